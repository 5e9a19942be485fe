//! The private file that a snapshot is received into, hashed as it is written.
//!
//! The file has no name yet: until it is published, a crash leaves nothing behind.

use std::fs::File;
use std::io::{self, Write as _};

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;

use super::trailer::{Digests, Hasher};

/// A snapshot on its way in.
#[derive(Debug)]
pub struct Spool {
    file: File,
    hasher: Hasher,
}

impl Spool {
    /// Spools into an empty file.
    #[must_use]
    pub fn new(file: File) -> Self {
        Spool {
            file,
            hasher: Hasher::default(),
        }
    }

    /// Takes `length` bytes of disk at once, so that a full disk shows before the first byte. On a
    /// file system that cannot reserve, it shows later.
    ///
    /// # Errors
    /// The system's, most often that there is no space.
    pub fn reserve(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) | Ok(()) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Writes and hashes the next bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }

    /// Gives the file back, with what passed through.
    #[must_use]
    pub fn finish(self) -> (File, Digests) {
        (self.file, self.hasher.finish())
    }
}

/// Reads a file once and hashes it.
///
/// # Errors
/// The system's.
pub fn digest(file: &File) -> io::Result<Digests> {
    use std::os::unix::fs::FileExt as _;

    let mut hasher = Hasher::default();
    // stays in the processor's own memory until it is hashed
    let mut buffer = vec![0; 128 << 10];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Tells the system that the file's pages will not be read again soon, so that a backup does not
/// push what the node needs out of its memory.
pub fn release_cache(file: &File) {
    // only advice: where it cannot be given, nothing is lost
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}
