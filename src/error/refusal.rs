//! Why a restore is not begun. Whatever is said here, nothing has been changed.

use std::path::PathBuf;

use super::ExitCode;
use crate::snapshot::{Mismatch, Wrapping};

/// What speaks against a restore.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The backup was never proven, or not wholly.
    #[error("the backup {id} is not verified")]
    Unverified {
        /// The backup.
        id: String,
        /// What its proofs lack.
        source: Why,
        /// A verified backup to take instead.
        instead: Option<String>,
    },
    /// The backup may not show what the cluster is meant to be.
    #[error("the backup {id} is suspect")]
    Suspect {
        /// The backup.
        id: String,
        /// What is suspicious.
        source: Why,
        /// A good backup to take instead.
        instead: Option<String>,
    },
    /// The backup's bytes are not those that were proven.
    #[error("the backup {id} has changed since it was made")]
    Changed {
        /// The backup.
        id: String,
        /// What differs.
        source: Why,
        /// A verified backup to take instead.
        instead: Option<String>,
    },
    /// The file does not end in the digest of its bytes.
    #[error("{} is not proven to be what etcd sent", path.display())]
    Unproven {
        /// The file.
        path: PathBuf,
        /// The digests, or that there is none.
        source: Mismatch,
    },
    /// The file is compressed or encrypted.
    #[error("{} is not a database but {wrapping}", path.display())]
    Wrapped {
        /// The file.
        path: PathBuf,
        /// In what.
        wrapping: Wrapping,
    },
    /// The data is of another cluster than that of the newest backup.
    #[error("{name} is of another cluster than the newest backup")]
    OtherCluster {
        /// The backup, or the file.
        name: String,
        /// Both clusters.
        source: Why,
    },
    /// The member's own URLs are not those that the others are told.
    #[error("the advertised URLs of \"{name}\" are not those that the initial cluster gives it")]
    Advertised {
        /// The member.
        name: String,
        /// Its own.
        advertised: String,
        /// Those in the list of members.
        expected: String,
    },
    /// The disk has no room for the data directory.
    #[error("the data directory of {needed} bytes does not fit {}", path.display())]
    Space {
        /// The directory above it.
        path: PathBuf,
        /// Bytes that it will take.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A bump that would leave etcd no revisions to go on with.
    #[error("revision {revision} can be moved ahead by {most} at most, not by {by}")]
    TooFar {
        /// The store's revision.
        revision: u64,
        /// What was asked for, or found to be needed.
        by: u128,
        /// What can be had.
        most: u64,
    },
}

/// A reason in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Why(pub String);

impl Refusal {
    pub(super) fn hint(&self) -> String {
        match self {
            Refusal::Unverified { instead, .. } => with_another(
                instead.as_deref(),
                "If it is all there is, go on with --allow-unverified",
            ),
            Refusal::Suspect { instead, .. } => with_another(
                instead.as_deref(),
                "If this is what the cluster is meant to be, go on with --allow-suspect",
            ),
            Refusal::Changed { instead, .. } => with_another(
                instead.as_deref(),
                "See whether another stands up to its proof with: hypercloud-etcd verify --all",
            ),
            Refusal::Unproven {
                source: Mismatch::Absent { .. },
                path,
            } => format!(
                "A file copied from a data directory never had a digest: restore it with --skip-hash-check. A snapshot \
                 that was cut short lacks it, too: hypercloud-etcd show --file {} tells what is there.",
                path.display()
            ),
            Refusal::Unproven { .. } => {
                "Take another copy of the file, or another backup. If it is all there is, --skip-hash-check goes on; \
                 every page is still walked."
                    .into()
            }
            Refusal::Wrapped { path, wrapping } => format!(
                "Unwrap it first, with: {}",
                wrapping.command(&path.display().to_string())
            ),
            Refusal::OtherCluster { .. } => {
                "If this host is to hold that cluster's data, go on with --allow-other-cluster. A restored cluster has a \
                 new id, so that backups from before a restore need it, too."
                    .into()
            }
            Refusal::Advertised {
                advertised,
                expected,
                ..
            } => format!("It advertises {advertised}; write --initial-advertise-peer-urls {expected}"),
            Refusal::Space { needed, free, .. } => format!(
                "{free} bytes are free: {} more are needed. Free them, or restore to a larger file system.",
                needed - free
            ),
            Refusal::TooFar { .. } => {
                "Choose a smaller one, with: --bump-revision N --mark-compacted".into()
            }
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Refusal::Advertised { .. } | Refusal::TooFar { .. } => ExitCode::Usage,
            Refusal::Space { .. } => ExitCode::CannotCreate,
            _ => ExitCode::Verification,
        }
    }
}

/// What to do where a backup is not to be trusted.
fn with_another(instead: Option<&str>, otherwise: &str) -> String {
    match instead {
        Some(id) => format!("Restore {id}, which is verified. {otherwise}."),
        None => format!("There is no good backup. {otherwise}."),
    }
}
