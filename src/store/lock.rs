//! One writer at a time, daemon or command line: an advisory lock on `.lock` in the directory.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Directory, Error};

/// The lock; let go when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who holds the lock.
#[derive(Debug, thiserror::Error)]
#[error("it is held by {0}")]
pub struct Held(String);

/// What the lock's file says at most.
const LIMIT: u64 = 256;

/// The lock's file.
const NAME: &str = ".lock";

impl Lock {
    /// Whether nothing stands in its place that could never be locked. It is neither taken nor made.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn check(directory: &Directory) -> Result<(), Error> {
        match open(directory, OFlags::empty()) {
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(directory.unwritable(NAME, errno)),
        }
    }

    /// Takes the lock at once or not at all. `holder` tells others who has it.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process has it, else [`Error::Write`].
    pub fn take(directory: &Directory, holder: &str) -> Result<Self, Error> {
        let failed = |errno: Errno| directory.unwritable(NAME, errno);
        let mut file = open(directory, OFlags::CREATE).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::Locked {
                    path: directory.path().into(),
                    source: Held::read(file),
                });
            }
            Err(errno) => return Err(failed(errno)),
        }
        // the text only informs; the lock holds without it, on a full disk too
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()));
        Ok(Lock { _file: file })
    }
}

fn open(directory: &Directory, how: OFlags) -> Result<File, Errno> {
    // not to be caught waiting on a pipe that somebody put there
    let flags = how | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::openat(&directory.fd, NAME, flags, mode)?.into())
}

impl Held {
    fn read(file: File) -> Self {
        let mut text = String::new();
        let _ = file.take(LIMIT).read_to_string(&mut text);
        let line: String = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        Held(if line.is_empty() {
            "a process that has just begun".into()
        } else {
            line
        })
    }
}
