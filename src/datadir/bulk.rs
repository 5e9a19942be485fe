//! Copies the bulk of a database by the shortest way that the file system knows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::{Progress, Step};

/// Bytes between two news of the progress.
pub(super) const CHUNK: u64 = 64 << 20;

/// Copies the first `length` bytes of one file to another, which is empty: by sharing the blocks
/// where the file system can do that, else within the kernel, else byte by byte.
pub(super) fn copy(
    from: &File,
    to: &File,
    length: u64,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return to.set_len(length);
    }
    // a full disk shows before the first byte
    match rustix::fs::fallocate(to, FallocateFlags::KEEP_SIZE, 0, length) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(other) => return Err(other.into()),
    }
    let mut done = 0;
    while done < length {
        let chunk = CHUNK.min(length - done);
        let copied = match in_kernel(from, to, done, chunk) {
            Ok(copied) => copied,
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                by_hand(from, to, done, chunk)?
            }
            Err(Errno::INTR) => continue,
            Err(other) => return Err(other.into()),
        };
        if copied == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += copied;
        progress(Progress {
            step: Step::Write,
            done,
            total: length,
        });
    }
    Ok(())
}

fn in_kernel(from: &File, to: &File, offset: u64, length: u64) -> Result<u64, Errno> {
    let (mut at_source, mut at_target) = (offset, offset);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let copied =
        rustix::fs::copy_file_range(from, Some(&mut at_source), to, Some(&mut at_target), length)?;
    Ok(copied as u64)
}

fn by_hand(from: &File, to: &File, offset: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < length {
        let left = usize::try_from(length - done).unwrap_or(usize::MAX);
        let piece = left.min(buffer.len());
        match from.read_at(&mut buffer[..piece], offset + done) {
            Ok(0) => break,
            Ok(read) => {
                to.write_all_at(&buffer[..read], offset + done)?;
                done += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
