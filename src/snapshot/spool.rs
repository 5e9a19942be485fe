//! The private file that a snapshot is received into, hashed as it is written.
//!
//! The file has no name yet: until it is published, a crash leaves nothing behind.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;
use sha2::Digest as _;

use super::Sha256;
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

/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

/// Reads a file once and hashes it.
///
/// # Errors
/// The system's.
pub fn digest(file: &File) -> io::Result<Digests> {
    let mut hasher = Hasher::default();
    read(file, 0..u64::MAX, &mut |bytes| hasher.update(bytes))?;
    Ok(hasher.finish())
}

/// The digest of parts of files, one after the other.
///
/// # Errors
/// The system's; also where a file ends before its part does.
pub fn digest_of<'f>(
    parts: impl IntoIterator<Item = (&'f File, Range<u64>)>,
) -> io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    for (file, range) in parts {
        let expected = range.end - range.start;
        if read(file, range, &mut |bytes| hasher.update(bytes))? != expected {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Sha256::from(hasher))
}

/// Reads a part of a file, as far as there is any; how many bytes that were.
fn read(file: &File, range: Range<u64>, take: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut offset = range.start;
    while offset < range.end {
        let left = usize::try_from(range.end - offset).unwrap_or(BUFFER);
        match file.read_at(&mut buffer[..left.min(BUFFER)], offset) {
            Ok(0) => break,
            Ok(read) => {
                take(&buffer[..read]);
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(offset - range.start)
}

/// Tells the system that the file's pages will not be read again soon, so that a backup does not
/// push what the node needs out of its memory.
pub fn release_cache(file: &File) {
    // only advice: where it cannot be given, nothing is lost
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}
