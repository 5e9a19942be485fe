//! Where a directory is to be, and what may be in the way there: nothing that is found is ever touched.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::{DATABASE, Error};

const LABEL: &str = "security.selinux";

/// To whom a directory belongs, and its SELinux context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    user: u32,
    group: u32,
    label: Option<Vec<u8>>,
}

impl Ownership {
    /// That of the directory at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be looked at.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let metadata = fs::metadata(path).map_err(failed(path, "looked at"))?;
        let mut label = vec![0; 4096];
        let label = match rustix::fs::getxattr(path, LABEL, &mut label[..]) {
            Ok(length) => {
                label.truncate(length);
                Some(label)
            }
            // a file system or a kernel without SELinux
            Err(Errno::NODATA | Errno::OPNOTSUPP) => None,
            Err(errno) => return Err(failed(path, "asked for its SELinux context")(errno.into())),
        };
        Ok(Ownership {
            user: metadata.uid(),
            group: metadata.gid(),
            label,
        })
    }

    /// The user's id.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.user
    }

    pub(super) fn give(&self, fd: impl AsFd) -> Result<(), Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        if (stat.st_uid, stat.st_gid) != (self.user, self.group) {
            let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
            rustix::fs::fchown(&fd, Some(user), Some(group))?;
        }
        match &self.label {
            Some(label) => rustix::fs::fsetxattr(&fd, LABEL, label, XattrFlags::empty()),
            None => Ok(()),
        }
    }
}

/// Where a directory is to be: nothing is there yet, or an empty directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// That of the empty directory.
    pub(super) ownership: Option<Ownership>,
}

impl Place {
    /// Looks at a place; a symbolic link to a directory is followed.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::MountPoint`], [`Error::NotEmpty`], or [`Error::Io`] where it cannot
    /// be looked at.
    pub(super) fn look(path: &Path) -> Result<Self, Error> {
        let unusable = |source| failed(path, "looked at")(source);
        if path
            .symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            let parent = parent_of(path)
                .canonicalize()
                .map_err(failed(&parent_of(path), "looked at"))?;
            let name = path
                .file_name()
                .ok_or_else(|| unusable(io::ErrorKind::InvalidFilename.into()))?;
            return Ok(Place {
                path: parent.join(name),
                ownership: None,
            });
        }
        let path = path.canonicalize().map_err(unusable)?;
        if in_use(&path)? {
            return Err(Error::InUse { path });
        }
        let device = |path: &Path| path.metadata().map(|metadata| metadata.dev());
        let above = device(&parent_of(&path)).map_err(unusable)?;
        if device(&path).map_err(unusable)? != above {
            return Err(Error::MountPoint { path });
        }
        if fs::read_dir(&path).map_err(unusable)?.next().is_some() {
            return Err(Error::NotEmpty { path });
        }
        Ok(Place {
            ownership: Some(Ownership::of(&path)?),
            path,
        })
    }

    /// Makes sure that it is in nobody's data directory.
    ///
    /// # Errors
    /// [`Error::InData`].
    pub(super) fn require_apart(&self) -> Result<(), Error> {
        let mut above = self.path.ancestors().skip(1);
        match above.find(|directory| directory.join(DATABASE).symlink_metadata().is_ok()) {
            None => Ok(()),
            Some(data_dir) => Err(Error::InData {
                path: self.path.clone(),
                data_dir: data_dir.into(),
            }),
        }
    }
}

/// Whether a running etcd has the database of a data directory open: bbolt locks it.
///
/// # Errors
/// [`Error::Io`] where there is a database that cannot be opened.
pub fn in_use(data_dir: &Path) -> Result<bool, Error> {
    let path = data_dir.join(DATABASE);
    let mut options = OpenOptions::new();
    // whatever it is, to open it must not take for ever
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(&path) {
        Ok(file) => file,
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(failed(&path, "opened")(error)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        // the lock ends with the file
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(failed(&path, "locked")(errno.into())),
    }
}

/// The directory that a path's last name is in.
pub(super) fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => ".".into(),
        Some(parent) => parent.into(),
        None => path.into(),
    }
}

pub(super) fn failed(path: &Path, done: &'static str) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        path: path.clone(),
        done,
        source,
    }
}
