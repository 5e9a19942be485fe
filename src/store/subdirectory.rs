//! Directories inside the backup directory. None is reached through a symbolic link, so nobody who
//! can write here leads a private file elsewhere.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{Directory, Error};

impl Directory {
    /// Opens a directory in this one; a symbolic link is not followed.
    ///
    /// # Errors
    /// [`Error::Read`] where it is missing, a link, not a directory, or not accessible.
    pub fn subdirectory(&self, name: &str) -> Result<Directory, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Directory { fd, path }),
            Err(errno) => Err(Error::Read {
                path,
                source: errno.into(),
            }),
        }
    }

    /// The same, made with mode 0700 where there is none. What is in it is durable, also where an
    /// earlier job was interrupted before it could see to that.
    ///
    /// # Errors
    /// [`Error::Write`] where it cannot be made, else those of [`Directory::subdirectory`].
    pub fn make_subdirectory(&self, name: &str) -> Result<Directory, Error> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.unwritable(name, errno)),
        }
        let made = self.subdirectory(name)?;
        made.sync()?;
        self.sync()?;
        Ok(made)
    }

    /// Removes a directory in this one if it is empty; whether it was.
    ///
    /// # Errors
    /// [`Error::Write`] with the system's reason.
    pub fn remove_empty(&self, name: &str) -> Result<bool, Error> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(self.unwritable(name, errno)),
        }
    }
}
