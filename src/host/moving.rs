//! Moves within one file system: never over something, durable when they return, and settled by a
//! second try where the first was interrupted.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::Error;

/// Brings what is at `from` to `to`, whichever of the two it is at; whether it had to be moved.
///
/// # Errors
/// [`Error::Both`] and [`Error::Gone`] where it cannot be told what to move, else [`Error::Move`].
pub fn settle(from: &Path, to: &Path) -> Result<bool, Error> {
    let (from, to) = (from.to_owned(), to.to_owned());
    match (is_there(&from)?, is_there(&to)?) {
        (true, true) => Err(Error::Both { from, to }),
        (false, false) => Err(Error::Gone { from, to }),
        (is_here, _) => {
            let renamed = if is_here { rename(&from, &to) } else { Ok(()) };
            // an interrupted move may not be durable yet
            let done = renamed.and_then(|()| sync_above(&to).and_then(|()| sync_above(&from)));
            done.map(|()| is_here)
                .map_err(|source| Error::Move { from, to, source })
        }
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // a file system that cannot refuse by itself; that nothing is there was just seen
        Err(Errno::INVAL | Errno::NOSYS) => std::fs::rename(from, to),
        done => Ok(done?),
    }
}

fn sync_above(path: &Path) -> io::Result<()> {
    let above = path.parent().unwrap_or(Path::new("/"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(above, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(directory)?)
}

fn is_there(path: &Path) -> Result<bool, Error> {
    match rustix::fs::lstat(path) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(unreadable(path, errno.into())),
    }
}

/// Whether a directory is where a file system is mounted, so that it cannot be renamed.
///
/// # Errors
/// [`Error::Read`].
pub fn is_mount_point(path: &Path) -> Result<bool, Error> {
    let failed = |errno: Errno| unreadable(path, errno.into());
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if let Ok(found) = rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS)
        && found
            .stx_attributes_mask
            .contains(StatxAttributes::MOUNT_ROOT)
    {
        return Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // kernels before 5.8
    let own = rustix::fs::lstat(path).map_err(failed)?;
    let above = rustix::fs::lstat(path.join("..")).map_err(failed)?;
    Ok(own.st_dev != above.st_dev || own.st_ino == above.st_ino)
}

/// Whether two directories are on one file system, so that files move between them.
///
/// # Errors
/// [`Error::Read`].
pub fn is_on_one_file_system(one: &Path, other: &Path) -> Result<bool, Error> {
    let device = |path: &Path| {
        std::fs::metadata(path)
            .map(|metadata| metadata.dev())
            .map_err(|source| unreadable(path, source))
    };
    Ok(device(one)? == device(other)?)
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Read {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;

    fn put(path: &Path, text: &str) {
        let mut file = fs::File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_move_that_was_done_is_not_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        put(&from.join("file"), "content");
        assert!(settle(&from, &to).unwrap());
        assert!(!settle(&from, &to).unwrap());
        assert_eq!(fs::read_to_string(to.join("file")).unwrap(), "content");
        assert!(settle(&to, &from).unwrap());
    }

    #[test]
    fn nothing_is_moved_over_something_nor_from_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        assert!(matches!(settle(&from, &to), Err(Error::Gone { .. })));
        put(&from, "old");
        put(&to, "new");
        assert!(matches!(settle(&from, &to), Err(Error::Both { .. })));
        assert_eq!(fs::read_to_string(&from).unwrap(), "old");
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        let nowhere = dir.path().join("missing/to");
        assert!(matches!(settle(&from, &nowhere), Err(Error::Move { .. })));
        assert_eq!(fs::read_to_string(&from).unwrap(), "old");
    }

    #[test]
    fn a_mount_point_is_told_from_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(dir.path()).unwrap());
        for mounted in ["/", "/proc"] {
            assert!(is_mount_point(Path::new(mounted)).unwrap(), "{mounted}");
        }
        assert!(is_mount_point(&dir.path().join("missing")).is_err());
        assert!(is_on_one_file_system(dir.path(), dir.path()).unwrap());
        assert!(!is_on_one_file_system(dir.path(), Path::new("/proc")).unwrap());
    }
}
