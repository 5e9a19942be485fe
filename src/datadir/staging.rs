//! A directory in the making, beside the place that it is for: made durable there, then swapped in
//! by one rename, or gone.
//!
//! What a crash has left of one is removed by the next attempt, and nothing else is: a name proves
//! nothing, so each has a marker in it from its first to its last moment here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use rustix::io::Errno;

use super::Error;
use super::place::{Ownership, Place, failed, in_use, parent_of};

/// What stands between the name of a directory and the number of the attempt to make it.
const MARK: &str = ".hypercloud-etcd-";
/// The file that only an unfinished directory of ours has. Where it stays in a log that is in place,
/// etcd passes it by: what ends in `.tmp` is not part of a log.
const MARKER: &str = "hypercloud-etcd-unfinished.tmp";
/// Names that may be taken before it is given up.
const TRIES: u32 = 100;

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
    /// Makes an empty directory beside `place`, as a part of the data directory `whole`; what earlier
    /// attempts left there in a crash is removed.
    pub(super) fn beside(
        place: Place,
        ownership: Option<&Ownership>,
        whole: &Path,
    ) -> Result<Self, Error> {
        remove_leftovers(&place.path)?;
        let ownership = ownership.cloned().or_else(|| place.ownership.clone());
        let path = make_beside(&place.path)?;
        let opened = File::open(&path).and_then(|lock| {
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            // not before the lock: who finds the marker finds the lock taken
            mark(&path, whole)?;
            if let Some(ownership) = &ownership {
                ownership.give(&lock)?;
            }
            Ok(lock)
        });
        let lock = opened.map_err(|error| {
            // the attempt ends here; what stays is removed by the next one
            let _ = remove(&path);
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

    /// Where it is being made.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it.
    pub(super) fn directory(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        let path = self.path.join(name);
        make_directory(&path)
            .and_then(|()| self.give(&File::open(&path)?))
            .map_err(failed(&path, "made"))
    }

    /// Makes a file in it.
    pub(super) fn file(&self, name: impl AsRef<Path>) -> Result<File, Error> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(failed(&path, "made"))?;
        self.give(&file).map_err(failed(&path, "given away"))?;
        Ok(file)
    }

    /// Makes a file of these bytes in it, durable, with zeroes up to `size` behind them.
    pub(super) fn write(
        &self,
        name: impl AsRef<Path>,
        bytes: &[u8],
        size: u64,
    ) -> Result<(), Error> {
        let name = name.as_ref();
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
    pub(super) fn sync(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        sync_directory(&self.path.join(name))
    }

    /// Takes the marker away: it is whole.
    pub(super) fn unmark(&self) -> Result<(), Error> {
        let path = if self.is_placed {
            &self.place.path
        } else {
            &self.path
        };
        fs::remove_file(path.join(MARKER)).map_err(failed(path, "finished"))?;
        sync_directory(path)
    }

    /// Puts it in its place, by one rename; an empty directory there gives way.
    pub(super) fn place(&mut self) -> Result<(), Error> {
        let Place { path, .. } = &self.place;
        self.sync("")?;
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
            let _ = remove(&self.path);
        }
    }
}

/// Makes a directory beside `target`, under a name that nothing has.
fn make_beside(target: &Path) -> Result<PathBuf, Error> {
    let first = std::process::id();
    let mut attempt = 0;
    loop {
        let mut path = target.as_os_str().to_owned();
        path.push(format!("{MARK}{}", first.wrapping_add(attempt)));
        let path = PathBuf::from(path);
        match make_directory(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < TRIES => {
                attempt += 1;
            }
            Err(error) => return Err(failed(&path, "made")(error)),
        }
    }
}

/// Says of a directory that it is unfinished, and which data directory it is for.
fn mark(path: &Path, whole: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut marker = options.open(path.join(MARKER))?;
    marker.write_all(whole.as_os_str().as_bytes())?;
    marker.sync_all()
}

/// The data directory that the unfinished directory at `path` is a part of; `None` where it is none.
pub(super) fn unfinished_part_of(path: &Path) -> Option<PathBuf> {
    let marker = path.join(MARKER);
    let is_file = marker.symlink_metadata().is_ok_and(|found| found.is_file());
    let whole = is_file.then(|| fs::read(marker).ok()).flatten()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&whole)))
}

/// Removes what attempts for `target` have left whose processes have ended.
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
        if let Some(_lock) = abandoned(&path) {
            remove(&path).map_err(failed(&path, "removed"))?;
        }
    }
    Ok(())
}

/// The lock on a directory that an attempt has left; `None` where it may be anything else.
fn abandoned(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    // no link is followed to what is somebody's
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let directory = options.open(path).ok()?;
    unfinished_part_of(path)?;
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    // where it cannot be told, it is left alone
    (!in_use(path).unwrap_or(true)).then_some(directory)
}

/// Removes a directory of ours, the marker last: what is interrupted can be told by it.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == MARKER {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_file(path.join(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::remove_dir(path),
    }
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
