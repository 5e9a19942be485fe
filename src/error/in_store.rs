//! What to do where the backup directory refuses.

use rustix::io::Errno;

use super::is_full;
use crate::store;

pub(super) fn hint(error: &store::Error) -> Option<String> {
    let (store::Error::Open { path, .. }
    | store::Error::Read { path, .. }
    | store::Error::Write { path, .. }
    | store::Error::Exists { path }
    | store::Error::Moved { path, .. }
    | store::Error::NotMounted { path }
    | store::Error::Locked { path, .. }) = error;
    let is_link = path.is_symlink();
    let directory = path
        .parent()
        .filter(|_| !path.is_dir())
        .unwrap_or(path)
        .display();
    let path = path.display();
    Some(match (error, error.errno()) {
        (store::Error::Locked { .. }, _) => {
            "Wait for it to end, or see the process that has the lock with: ps -fp PID".to_owned()
        }
        (store::Error::Moved { .. }, _) => {
            format!("See what is there now with: findmnt -T {path}; then take the backup again.")
        }
        (store::Error::NotMounted { .. }, _) => {
            format!(
                "Mount the disk for the backups, or set backup.require_mount = false; see: findmnt -T {path}"
            )
        }
        (store::Error::Open { .. }, Some(Errno::NOENT | Errno::LOOP)) if is_link => {
            format!("See what the link points to, and mount or make that: readlink {path}")
        }
        (store::Error::Open { .. }, Some(Errno::NOENT)) => {
            format!("Mount it if it is a mount point, or make it with: install -d -m 0700 {path}")
        }
        (store::Error::Open { .. }, Some(Errno::NOTDIR)) => {
            format!("Set backup.dir to a directory; {path} is a file.")
        }
        (_, Some(Errno::ACCESS)) if rustix::process::geteuid().is_root() => {
            format!(
                "The unit's root has no capability, so owner and mode have to let root in; see: namei -l {path}; and give root the directory: chown root:root {directory} && chmod 700 {directory}"
            )
        }
        (_, Some(Errno::ACCESS | Errno::PERM)) => {
            "Run as root, or give this user access to the directory.".to_owned()
        }
        (_, Some(Errno::ROFS)) => {
            format!(
                "It is mounted read-only; see: findmnt -T {path}. To the daemon it also is where the directory was made after its start: systemctl restart hypercloud-etcd"
            )
        }
        (_, errno) if is_full(errno) => {
            "Free some space on that file system; no earlier backup was touched.".to_owned()
        }
        (
            store::Error::Write { .. },
            Some(Errno::LOOP | Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR),
        ) => {
            format!("There is something else in place of that file; move it away: {path}")
        }
        (store::Error::Exists { .. }, _) => "Move that file away; it is not touched.".to_owned(),
        _ => return None,
    })
}
