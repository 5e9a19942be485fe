//! Where backups are kept: a directory whose files appear whole or not at all.
//!
//! A file is written without a name, synced, and linked into place; then the directory is synced.
//! A crash at any instant leaves either the whole file or nothing. A file of another's is never
//! overwritten; one of our own is replaced only where that is said ([`Draft::replace`]).

mod draft;
mod lock;
mod subdirectory;

pub use draft::Draft;
pub use lock::{Held, Lock};

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Where backups go; the `[backup]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directory; it exists, the operator made it.
    pub dir: PathBuf,
    /// Bytes of free space that no backup may eat into.
    pub reserve: u64,
    /// Whether no backup is made while the directory is on the root file system.
    pub require_mount: bool,
}

/// What the system says of a file. Two that are equal are of the same file, unchanged: ours are
/// never written over, and who edits one changes its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Its bytes.
    pub size: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: (i64, u64),
    changed: (i64, u64),
}

/// Why no link is read.
const LINK: &str = "it is a symbolic link";

impl Stamp {
    /// That of a regular file.
    fn of(stat: &rustix::fs::Stat) -> io::Result<Self> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(io::Error::other(LINK)),
            _ => return Err(io::Error::other("it is not a regular file")),
        }
        Ok(Stamp {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }
}

/// Which directory it is, whatever its path: another one where a disk was unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    device: u64,
    inode: u64,
}

/// What a directory refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory itself cannot be used.
    #[error("the backup directory {} cannot be opened", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file in it cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file in it cannot be created, published or removed.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file, or the directory for one without a name.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is already a file of that name, which stays as it is.
    #[error("{} already exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Its path leads somewhere else by now.
    #[error("the backup was discarded: {} is another directory than when it began", path.display())]
    Moved {
        /// The path.
        path: PathBuf,
        /// Where it leads.
        source: io::Error,
    },
    /// It is on the root file system, where it must not be.
    #[error("nothing is mounted at {}: it is on the root file system", path.display())]
    NotMounted {
        /// The directory.
        path: PathBuf,
    },
    /// Another process holds the directory's lock.
    #[error("another job holds the lock of {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who, where the holder has said so.
        source: Held,
    },
}

impl Error {
    /// The system's error number, if it has one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Open { source, .. }
            | Error::Read { source, .. }
            | Error::Write { source, .. }
            | Error::Moved { source, .. } => Errno::from_io_error(source),
            Error::Exists { .. } | Error::NotMounted { .. } | Error::Locked { .. } => None,
        }
    }
}

/// Space of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still write.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// An open backup directory.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens an existing directory; a symbolic link to one is followed, once, here.
    ///
    /// # Errors
    /// [`Error::Open`] where it is missing, not a directory, or not accessible.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| Error::Open {
            path: path.into(),
            source: errno.into(),
        })?;
        Ok(Directory {
            fd,
            path: path.into(),
        })
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory it is.
    ///
    /// # Errors
    /// [`Error::Open`] with the system's reason.
    pub fn place(&self) -> Result<Place, Error> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| self.unusable(errno))?;
        Ok(Place {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }

    /// Makes sure that whoever looks at the path sees what is written here: the directory can be
    /// renamed, or another file system mounted over it, while a job runs.
    ///
    /// # Errors
    /// [`Error::Moved`] where the path leads to no directory or to another one.
    pub fn require_at_its_path(&self) -> Result<(), Error> {
        let open = rustix::fs::fstat(&self.fd).map_err(|errno| self.unusable(errno))?;
        let elsewhere = match rustix::fs::stat(&self.path) {
            Ok(now) if (now.st_dev, now.st_ino) == (open.st_dev, open.st_ino) => return Ok(()),
            Ok(_) => return Err(self.other_than_before()),
            Err(errno) => errno.into(),
        };
        Err(Error::Moved {
            path: self.path.clone(),
            source: elsewhere,
        })
    }

    /// Makes sure that it is on another file system than `/`: where a disk is not mounted, its mount
    /// point is an empty directory like any other. That something is mounted at it would say less,
    /// since the sandbox of a unit makes a mount point of every directory it may write to.
    ///
    /// # Errors
    /// [`Error::NotMounted`], or [`Error::Open`] with the system's reason.
    pub fn require_mount(&self) -> Result<(), Error> {
        let own = rustix::fs::fstat(&self.fd).map_err(|errno| self.unusable(errno))?;
        let root = rustix::fs::stat("/").map_err(|errno| self.unusable(errno))?;
        if own.st_dev == root.st_dev {
            Err(Error::NotMounted {
                path: self.path.clone(),
            })
        } else {
            Ok(())
        }
    }

    /// What to say of a directory that does not hold what was kept in it.
    #[must_use]
    pub fn other_than_before(&self) -> Error {
        Error::Moved {
            path: self.path.clone(),
            source: io::Error::other("it is another directory than when the job began"),
        }
    }

    /// The space of its file system.
    ///
    /// # Errors
    /// [`Error::Open`] with the system's reason.
    pub fn space(&self) -> Result<Space, Error> {
        let stat = rustix::fs::fstatvfs(&self.fd).map_err(|errno| self.unusable(errno))?;
        Ok(Space {
            free: stat.f_bavail * stat.f_frsize,
            total: stat.f_blocks * stat.f_frsize,
        })
    }

    /// The names of everything in it, in no order.
    ///
    /// # Errors
    /// [`Error::Open`] with the system's reason.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let entries = rustix::fs::Dir::read_from(&self.fd).map_err(|errno| self.unusable(errno))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|errno| self.unusable(errno))?;
            // a name that is not UTF-8 is none of ours
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Opens a regular file in it for reading; a symbolic link is not followed.
    ///
    /// # Errors
    /// [`Error::Read`] where it is missing, a link, not a regular file, or not readable.
    pub fn file(&self, name: &str) -> Result<File, Error> {
        Ok(self.opened(name)?.0)
    }

    fn opened(&self, name: &str) -> Result<(File, Stamp), Error> {
        // not to be caught waiting on a pipe that somebody put there
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty());
        let fd = fd.map_err(|errno| match errno {
            Errno::LOOP => self.unreadable(name, io::Error::other(LINK)),
            other => self.unreadable(name, other),
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.unreadable(name, errno))?;
        let stamp = Stamp::of(&stat).map_err(|why| self.unreadable(name, why))?;
        Ok((File::from(fd), stamp))
    }

    /// Reads a small file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Read`], also where it is larger.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        Ok(self.read_stamped(name, limit)?.0)
    }

    /// Reads a small file of at most `limit` bytes, and tells what the system says of it.
    ///
    /// # Errors
    /// Those of [`Directory::read`].
    pub fn read_stamped(&self, name: &str, limit: u64) -> Result<(Vec<u8>, Stamp), Error> {
        let (mut file, stamp) = self.opened(name)?;
        if stamp.size > limit {
            let why = io::Error::other(format!("it is larger than {limit} bytes"));
            return Err(self.unreadable(name, why));
        }
        // in one go, and without asking for its end: ten thousand files are read so, and what grows
        // while it is read is none of ours
        let mut bytes = vec![0; usize::try_from(stamp.size).unwrap_or(0)];
        file.read_exact(&mut bytes)
            .map_err(|why| match why.kind() {
                io::ErrorKind::UnexpectedEof => {
                    let why = io::Error::other("it became shorter while it was read");
                    self.unreadable(name, why)
                }
                _ => self.unreadable(name, why),
            })?;
        Ok((bytes, stamp))
    }

    /// What tells a regular file from what it was before, and its size; no byte of it is read.
    ///
    /// # Errors
    /// [`Error::Read`] where it is missing, a link, or not a regular file.
    pub fn stamp(&self, name: &str) -> Result<Stamp, Error> {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|errno| self.unreadable(name, errno))?;
        Stamp::of(&stat).map_err(|why| self.unreadable(name, why))
    }

    fn unreadable(&self, name: &str, why: impl Into<io::Error>) -> Error {
        Error::Read {
            path: self.path.join(name),
            source: why.into(),
        }
    }

    /// Whether there is anything of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`Error::Write`] with the system's reason.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(|errno| self.unwritable(name, errno))?;
        self.sync()
    }

    /// Gives a file another name, in place of whatever has that name.
    ///
    /// # Errors
    /// [`Error::Write`] with the system's reason.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(|errno| {
            // what is named is what is in the way
            let is_in_the_way = matches!(
                errno,
                Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR
            );
            self.unwritable(if is_in_the_way { to } else { from }, errno)
        })?;
        self.sync()
    }

    /// Makes the directory's entries durable.
    fn sync(&self) -> Result<(), Error> {
        rustix::fs::fsync(&self.fd).map_err(|errno| self.unwritable("", errno))
    }

    fn unusable(&self, errno: Errno) -> Error {
        Error::Open {
            path: self.path.clone(),
            source: errno.into(),
        }
    }

    fn unwritable(&self, name: &str, errno: Errno) -> Error {
        let path = if name.is_empty() {
            self.path.clone()
        } else {
            self.path.join(name)
        };
        Error::Write {
            path,
            source: errno.into(),
        }
    }
}

/// Opens a regular file that the operator named, for reading; links are followed, since the operator
/// chose them.
///
/// # Errors
/// The system's; also where it is not a regular file.
pub fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// Reads a small regular file as [`open_file`] opens it.
///
/// # Errors
/// The system's; [`io::ErrorKind::FileTooLarge`] where it has more than `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let why = format!("it is larger than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
