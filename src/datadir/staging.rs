//! A directory in the making, beside the place that it is for: made durable there, then swapped in
//! by one rename, or gone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, Gid, Uid, XattrFlags};
use rustix::io::Errno;

use super::{DATABASE, Error};

/// What stands between the name of a directory and the number of the attempt to make it.
const MARK: &str = ".restore-";
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

    fn give(&self, fd: impl AsFd) -> Result<(), Errno> {
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
pub struct Place {
    path: PathBuf,
    /// That of the empty directory.
    ownership: Option<Ownership>,
}

impl Place {
    /// Looks at a place; a symbolic link to a directory is followed.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::MountPoint`], [`Error::NotEmpty`], or [`Error::Io`] where it cannot
    /// be looked at.
    pub fn look(path: &Path) -> Result<Self, Error> {
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

    /// The place, by its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a running etcd has the database of a data directory open: bbolt locks it.
///
/// # Errors
/// [`Error::Io`] where there is a database that cannot be opened.
pub fn in_use(data_dir: &Path) -> Result<bool, Error> {
    let path = data_dir.join(DATABASE);
    let file = match File::open(&path) {
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

/// A directory in the making; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Staging {
    place: Place,
    path: PathBuf,
    ownership: Option<Ownership>,
    /// Held locked, so that another attempt can tell it from what a crash has left.
    _lock: File,
    is_placed: bool,
}

impl Staging {
    /// Makes an empty directory beside `place`; what earlier attempts left there in a crash is
    /// removed.
    pub(super) fn beside(place: Place, ownership: Option<&Ownership>) -> Result<Self, Error> {
        remove_leftovers(&place.path)?;
        let ownership = ownership.cloned().or_else(|| place.ownership.clone());
        let mut path = place.path.clone().into_os_string();
        path.push(format!("{MARK}{}", std::process::id()));
        let path = PathBuf::from(path);
        make_directory(&path).map_err(failed(&path, "made"))?;
        let opened = File::open(&path).and_then(|lock| {
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            if let Some(ownership) = &ownership {
                ownership.give(&lock)?;
            }
            Ok(lock)
        });
        let lock = opened.map_err(|error| {
            // the attempt ends here; an empty directory is all there is of it
            let _ = fs::remove_dir(&path);
            failed(&path, "made ready")(error)
        })?;
        Ok(Staging {
            place,
            path,
            ownership,
            _lock: lock,
            is_placed: false,
        })
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it.
    pub(super) fn directory(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        make_directory(&path)
            .and_then(|()| self.give(&File::open(&path)?))
            .map_err(failed(&path, "made"))
    }

    /// Makes a file in it.
    pub(super) fn file(&self, name: &str) -> Result<File, Error> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(failed(&path, "made"))?;
        self.give(&file).map_err(failed(&path, "given away"))?;
        Ok(file)
    }

    /// Makes a file of these bytes in it, durable, with zeroes up to `size` behind them.
    pub(super) fn write(&self, name: &str, bytes: &[u8], size: u64) -> Result<(), Error> {
        let mut file = self.file(name)?;
        let mut write = || {
            reserve(&file, size)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(failed(&self.path.join(name), "written"))
    }

    fn give(&self, file: &File) -> io::Result<()> {
        match &self.ownership {
            Some(ownership) => Ok(ownership.give(file)?),
            None => Ok(()),
        }
    }

    /// Makes the names in a directory of it durable.
    pub(super) fn sync(&self, name: &str) -> Result<(), Error> {
        sync_directory(&self.path.join(name))
    }

    /// Puts it in its place, by one rename; an empty directory there gives way.
    pub(super) fn place(&mut self) -> Result<(), Error> {
        let Place { path, .. } = &self.place;
        // a directory takes the place of an empty directory or of nothing, by the rules of rename(2)
        fs::rename(&self.path, path).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NOTEMPTY | Errno::EXIST) => Error::NotEmpty { path: path.clone() },
            Some(Errno::BUSY | Errno::XDEV) => Error::MountPoint { path: path.clone() },
            _ => failed(path, "put in place")(error),
        })?;
        self.is_placed = true;
        sync_directory(&parent_of(path)).inspect_err(|_| self.withdraw())
    }

    /// Takes it out of its place again.
    pub(super) fn withdraw(&mut self) {
        if self.is_placed && fs::rename(&self.place.path, &self.path).is_ok() {
            self.is_placed = false;
            if self.place.ownership.is_some() {
                // the empty directory that gave way
                let _ = make_directory(&self.place.path);
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_placed {
            // what stays is removed by the next attempt
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the directories of attempts for `target` whose processes have ended.
fn remove_leftovers(target: &Path) -> Result<(), Error> {
    let parent = parent_of(target);
    let Some(name) = target.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    let prefix = format!("{name}{MARK}");
    for entry in fs::read_dir(&parent).map_err(failed(&parent, "read"))? {
        let entry = entry.map_err(failed(&parent, "read"))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if number.is_none_or(|number| number.parse::<u32>().is_err()) {
            continue;
        }
        let path = entry.path();
        let is_abandoned = File::open(&path).is_ok_and(|directory| {
            rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
        });
        if is_abandoned {
            fs::remove_dir_all(&path).map_err(failed(&path, "removed"))?;
        }
    }
    Ok(())
}

/// Takes the blocks of a file at once, as etcd does for its log; on a file system that cannot, the
/// file is as long all the same.
fn reserve(file: &File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        _ if size == 0 => Ok(()),
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => file.set_len(size),
        Err(other) => Err(other.into()),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed(path, "made durable"))
}

/// The directory that a path's last name is in.
fn parent_of(path: &Path) -> PathBuf {
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
