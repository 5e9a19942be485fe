//! Why no data directory was made, and what to do.

use std::io;
use std::path::PathBuf;

use crate::snapshot::Damage;

/// Why no data directory was made. Nothing is then left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A peer URL.
    #[error("the peer URL \"{url}\" cannot be used: {why}")]
    PeerUrl {
        /// The URL.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The list of members.
    #[error("the initial cluster cannot be used: \"{part}\": {why}")]
    Membership {
        /// The part that is wrong.
        part: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The member to restore is none of the new cluster's.
    #[error("\"{name}\" is not a member of the initial cluster, which has: {}", members.join(", "))]
    NotAMember {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        members: Vec<String>,
    },
    /// The database lacks what every etcd writes.
    #[error("the database has no bucket \"{0}\": it is not one of etcd 3")]
    NotEtcd(&'static str),
    /// The database is of a later etcd than the one that is to start from it.
    #[error(
        "the snapshot is of {what} {found}, newer than the etcd {target} that is to start from it"
    )]
    Newer {
        /// Which of its versions.
        what: &'static str,
        /// That version.
        found: String,
        /// The etcd that is to start.
        target: Version,
    },
    /// The revision would not fit.
    #[error(
        "revision {revision} cannot be raised by {bump}: the largest that etcd can have is 2^63 - 1"
    )]
    Bump {
        /// The snapshot's revision.
        revision: u64,
        /// What was to be added.
        bump: u64,
    },
    /// A bucket that is rewritten is larger than etcd ever makes it.
    #[error("the bucket \"{0}\" is larger than any that etcd writes")]
    Oversized(String),
    /// Buckets inside a bucket, which etcd never makes, cannot be rewritten.
    #[error("the bucket \"{0}\" has buckets in it, which cannot be rewritten")]
    Nested(String),
    /// There is something in the place of the data directory.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory is where a file system is mounted.
    #[error("{} is a mount point, which cannot be swapped for a new directory", path.display())]
    MountPoint {
        /// The directory.
        path: PathBuf,
    },
    /// The place is inside the data directory of an etcd.
    #[error("{} is in the data directory of an etcd, {}", path.display(), data_dir.display())]
    InData {
        /// The place.
        path: PathBuf,
        /// That data directory.
        data_dir: PathBuf,
    },
    /// The log cannot be where it was asked for.
    #[error("the log cannot go to {}, which {why}", path.display())]
    LogPlace {
        /// Where it was asked for.
        path: PathBuf,
        /// The data directory that it belongs to.
        data_dir: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// A log was put in its place, and the crash came before its data directory was.
    #[error("{} has the log of a restore to {} that was interrupted", path.display(), data_dir.display())]
    UnfinishedLog {
        /// Where the log is.
        path: PathBuf,
        /// The data directory that it was for.
        data_dir: PathBuf,
    },
    /// A running etcd has the database open.
    #[error("a running etcd has the database in {} open", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The snapshot could not be read a second time.
    #[error("the snapshot has changed since it was proven, or cannot be read any more")]
    Source(#[source] Damage),
    /// What was written is not what it should be.
    #[error("reading the new database back gave other data than was written")]
    Written(#[source] Damage),
    /// What was written differs from the snapshot.
    #[error("the new database differs from the snapshot: {0}")]
    Differs(String),
    /// The members have no JSON form, which is a bug.
    #[error("the members could not be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The system refused something.
    #[error("{} could not be {done}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What should have been done to it.
        done: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// A version of etcd, by its first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3, of all that there are.
    pub major: u32,
    /// 6 of etcd 3.6.1.
    pub minor: u32,
}

impl Version {
    /// Reads `3.6`, `3.6.1`, `v3.6.1` and the like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut next = || numbers.next()?.parse().ok();
        Some(Version {
            major: next()?,
            minor: next()?,
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Error {
    /// What to do about it, in full sentences.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::PeerUrl { .. } => "Write it as https://10.0.0.1:2380.".into(),
            Error::Membership { .. } => {
                "Write it as m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380.".into()
            }
            Error::NotAMember { .. } => {
                "Give one of these as the name, or add the member to the initial cluster.".into()
            }
            Error::NotEtcd(_) | Error::Oversized(_) => {
                "Look at the file with: hypercloud-etcd show --file PATH".into()
            }
            Error::Newer { .. } => {
                "Start that version of etcd or a later one, and say which with --etcd-version; a downgrade has to be done before the backup.".into()
            }
            Error::Bump { .. } => "Raise the revision by less.".into(),
            Error::Nested(_) => "Restore it without compacting, which keeps every page.".into(),
            Error::NotEmpty { path } => {
                let path = path.display();
                format!("It is not touched. Move it away first: mv {path} {path}.old")
            }
            Error::MountPoint { path } => {
                let path = path.display();
                format!("Restore to a directory in it, and start etcd with --data-dir={path}/data")
            }
            Error::InData { data_dir, .. } => {
                let data_dir = data_dir.display();
                format!("Name a directory beside it, such as {data_dir}.restored")
            }
            Error::LogPlace { data_dir, .. } => {
                let data_dir = data_dir.display();
                format!("Leave --wal-dir out, which puts the log into {data_dir}/member/wal, or name a directory for it alone.")
            }
            Error::UnfinishedLog { path, data_dir } => {
                let (path, data_dir) = (path.display(), data_dir.display());
                format!("Where there is no {data_dir}, no etcd has used it; then remove it: rm -r {path}")
            }
            Error::InUse { .. } => {
                "Stop that member first; on a kubeadm host move its manifest out of /etc/kubernetes/manifests.".into()
            }
            Error::Source(_) => "Verify the snapshot again, and restore from a file that nothing writes to.".into(),
            Error::Written(_) | Error::Differs(_) => {
                "Nothing was kept of it. Check the disk and the memory of this host: dmesg".into()
            }
            Error::Json(_) => return None,
            Error::Io { source, .. } => return io_hint(source),
        })
    }
}

fn io_hint(error: &io::Error) -> Option<String> {
    Some(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free some space on that file system; nothing was kept of the attempt.".into()
        }
        io::ErrorKind::PermissionDenied => "Run as root, or as the user that etcd runs as.".into(),
        io::ErrorKind::ReadOnlyFilesystem => {
            "The file system is mounted read-only; see why with: dmesg".into()
        }
        io::ErrorKind::NotFound => "Make the directory above it first.".into(),
        io::ErrorKind::NotADirectory => {
            "Something else is in its place. It is not touched; name another directory.".into()
        }
        _ => return None,
    })
}
