//! One error over all modules: what happened, why, what to do, and with which code to exit.

mod code;
mod exit_code;
mod in_place;
mod in_store;
mod refusal;
mod space;

use code::{config_code, cronjob_code, datadir_code, io_code, store_code};

pub use code::etcd_code;
pub use exit_code::ExitCode;
pub use refusal::{Refusal, Why};

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::recovery::{self, Way};
use crate::snapshot::{Damage, Mismatch};
use crate::{catalog, config, cronjob, datadir, etcd, host, kubeadm, schedule, store};

/// Why a job did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A schedule on the command line.
    #[error("the schedule cannot be used")]
    Schedule(#[from] schedule::Error),
    /// What was to be rendered.
    #[error(transparent)]
    CronJob(#[from] cronjob::Error),
    /// The backup directory.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The backups in it.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    /// A data directory was not made.
    #[error(transparent)]
    DataDir(#[from] datadir::Error),
    /// The building of a data directory ended early.
    #[error("{} was not made, and nothing was changed", path.display())]
    NotBuilt {
        /// The data directory.
        path: PathBuf,
        /// Why.
        source: datadir::Error,
    },
    /// A member did not give a snapshot.
    #[error("no snapshot could be taken")]
    Etcd(#[from] etcd::Error),
    /// The bytes received are not those that etcd sent.
    #[error("the snapshot from {endpoint} was not kept: it is not what etcd sent")]
    Trailer {
        /// The member.
        endpoint: String,
        /// The digests.
        source: Mismatch,
    },
    /// The database that a member sent is damaged.
    #[error("the snapshot from {endpoint} was not kept: its database is damaged")]
    Damaged {
        /// The member.
        endpoint: String,
        /// Where.
        source: Damage,
    },
    /// A file cannot be proven.
    #[error("{} does not hold a sound snapshot", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// Where it is damaged.
        source: Damage,
    },
    /// A backup that is not proven cannot be vouched for.
    #[error(
        "backup {0} cannot be accepted: it is not verified, or no longer stands up to its proof"
    )]
    NotSound(String),
    /// The endpoints are those of different clusters.
    #[error("the endpoints belong to {0} different clusters")]
    MixedClusters(usize),
    /// No member gave a snapshot that could be kept.
    #[error("none of {} members gave a snapshot that could be kept", .0.len())]
    Members(Vec<Error>),
    /// The disk has no room for the backup.
    #[error("the backup of {needed} bytes does not fit {}", path.display())]
    Space {
        /// The directory.
        path: PathBuf,
        /// Bytes of the snapshot.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Bytes that stay free.
        reserve: u64,
        /// The suspect backup because of which nothing is pruned.
        held: Option<String>,
    },
    /// The snapshot could not be written.
    #[error("the snapshot could not be written to {}", path.display())]
    Spool {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that the operator named could not be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The manifest of a static pod says nothing that can be used.
    #[error("the manifest {} cannot be used", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: kubeadm::Error,
    },
    /// Nothing on this host knows of an etcd.
    #[error("there is no etcd below {}: neither manifests/etcd.yaml nor manifests/kube-apiserver.yaml", kubernetes.display())]
    NoEtcd {
        /// The directory of Kubernetes.
        kubernetes: PathBuf,
    },
    /// There is a configuration, in which somebody has set something.
    #[error("there is a configuration already: {}", path.display())]
    Configured {
        /// The file.
        path: PathBuf,
    },
    /// A file that the operator asked for could not be written.
    #[error("{} cannot be written", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A restore was not begun.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What is moved or waited for on this host.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// A restore in place cannot begin or go on.
    #[error(transparent)]
    Recovery(#[from] recovery::Error),
    /// A restore in place was given up before it stopped anything.
    #[error("the restore was given up; nothing was changed, and everything runs as it did")]
    NothingChanged {
        /// Why.
        source: Box<Error>,
    },
    /// etcd was not reached, and a restore in place that is not finished may be why.
    #[error("{error}")]
    Meanwhile {
        /// What went wrong.
        error: Box<Error>,
        /// Which restore, and what to do about it.
        restore: String,
    },
    /// Somebody asked for the end of it, by a signal.
    #[error("it was interrupted")]
    Interrupted,
    /// A step of a restore in place failed; its journal knows where to go on.
    #[error("the {way} stopped at the step: {step}")]
    Step {
        /// Which step.
        step: recovery::Step,
        /// Which way.
        way: Way,
        /// What a command that goes on with it needs on this host.
        flags: String,
        /// Why.
        source: Box<Error>,
    },
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A part of this program ended without an answer.
    #[error("a part of the job ended without an answer: {0}")]
    Bug(String),
}

impl Error {
    /// Why, one reason a line, outermost first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        if let Error::Members(failures) = self {
            return failures.iter().map(Error::in_a_line).collect();
        }
        if let Error::Meanwhile { error, .. } = self {
            return error.causes();
        }
        if let Error::Space { free, reserve, .. } = self {
            return vec![format!(
                "{free} bytes are free, and {reserve} have to stay so"
            )];
        }
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        if causes.is_empty() {
            causes
        } else {
            vec![causes.join(": ")]
        }
    }

    /// The error in one line: for the journal, and in a list of several.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        // the etcd errors name the member themselves
        let own = (!matches!(self, Error::Etcd(_))).then(|| self.to_string());
        own.into_iter()
            .chain(self.causes())
            .collect::<Vec<_>>()
            .join(": ")
    }

    /// What to do about it, in full sentences.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Config(error) => error.hint(),
            Error::Etcd(error) => error.hint(),
            Error::Schedule(error) => Some(error.hint()),
            Error::CronJob(error) => Some(error.hint()),
            Error::Refused(refusal) => Some(refusal.hint()),
            Error::Host(error) => error.hint().map(str::to_owned),
            Error::Recovery(error) => error.hint(),
            Error::Step {
                way, flags, source, ..
            } => Some(in_place::step_hint(*way, flags, source)),
            Error::NothingChanged { source } => source.hint(),
            Error::Meanwhile { restore, .. } => Some(restore.clone()),
            Error::DataDir(error) | Error::NotBuilt { source: error, .. } => error.hint(),
            Error::Store(error) | Error::Catalog(catalog::Error::Store(error)) => {
                in_store::hint(error)
            }
            Error::Members(failures) => failures.iter().find_map(Error::hint),
            Error::Space { held, .. } => Some(space::hint(held.as_deref())),
            other => other.own_hint().map(str::to_owned),
        }
    }

    /// What to do, where that depends on nothing else.
    fn own_hint(&self) -> Option<&'static str> {
        Some(match self {
            Error::Catalog(catalog::Error::NotFound { .. }) => {
                "See what there is with: hypercloud-etcd list"
            }
            Error::Trailer { .. } => {
                "Something between here and etcd alters the stream; connect to the member directly."
            }
            Error::Damaged { .. } => {
                "The member's own database may be damaged. Compare the members with: etcdctl endpoint hashkv --cluster"
            }
            Error::Catalog(catalog::Error::Unreadable { .. }) => {
                "The snapshot beside it may be good all the same: hypercloud-etcd verify --file tells, and restore --file \
                 takes it. See what else there is with: hypercloud-etcd list"
            }
            Error::Unsound { .. } => "Choose another backup with: hypercloud-etcd list",
            Error::NotSound(_) => "See which are good with: hypercloud-etcd list",
            Error::MixedClusters(_) => "Name only members of one cluster in etcd.endpoints.",
            Error::Spool { source, .. } | Error::Catalog(catalog::Error::Write { source, .. })
                if is_full(Errno::from_io_error(source)) =>
            {
                "Free some space on that file system; no earlier backup was touched."
            }
            Error::Manifest { .. } => {
                "Correct that file, or name another directory with --kubernetes-dir."
            }
            Error::NoEtcd { .. } => {
                "Name the directory with --kubernetes-dir, or set endpoints, ca_file, cert_file and key_file in [etcd] by hand."
            }
            Error::Configured { .. } => {
                "See what would change with: hypercloud-etcd init --dry-run; replace it with --force, which keeps the old file."
            }
            Error::Usage(_) => "See the options with: hypercloud-etcd --help",
            Error::Bug(_) => "Please report this, with the journal of the run.",
            Error::Read { source, .. } | Error::Create { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                "Run the command as root."
            }
            _ => return None,
        })
    }

    /// The code to exit with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Config(error) => config_code(error),
            Error::MixedClusters(_)
            | Error::Schedule(_)
            | Error::Manifest { .. }
            | Error::NoEtcd { .. } => ExitCode::Config,
            Error::CronJob(error) => cronjob_code(error),
            Error::Etcd(error) => etcd_code(error),
            Error::Store(error) | Error::Catalog(catalog::Error::Store(error)) => store_code(error),
            Error::DataDir(error) | Error::NotBuilt { source: error, .. } => datadir_code(error),
            Error::Catalog(catalog::Error::NotFound { .. }) | Error::Usage(_) => ExitCode::Usage,
            Error::Catalog(catalog::Error::Unreadable { .. }) => ExitCode::Io,
            Error::Catalog(catalog::Error::Write { source, .. }) | Error::Spool { source, .. } => {
                io_code(source, ExitCode::Io)
            }
            Error::Read { source, .. } => io_code(source, ExitCode::Io),
            Error::Create { source, .. } => io_code(source, ExitCode::CannotCreate),
            Error::Trailer { .. }
            | Error::Damaged { .. }
            | Error::Unsound { .. }
            | Error::NotSound(_) => ExitCode::Verification,
            Error::Members(failures) => {
                let is_damage = |failure: &&Error| failure.exit_code() == ExitCode::Verification;
                let worst = failures.iter().find(is_damage).or(failures.first());
                worst.map_or(ExitCode::Unavailable, Error::exit_code)
            }
            Error::Space { .. } | Error::Configured { .. } => ExitCode::CannotCreate,
            Error::Refused(refusal) => refusal.exit_code(),
            Error::Host(error) => in_place::host_code(error),
            Error::Recovery(error) => in_place::recovery_code(error),
            Error::Step { source, .. } | Error::NothingChanged { source } => source.exit_code(),
            Error::Meanwhile { error, .. } => error.exit_code(),
            Error::Interrupted => ExitCode::Interrupted,
            Error::Bug(_) => ExitCode::Bug,
        }
    }

    /// The member that it is about, where it is about one.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        match self {
            Error::Etcd(error) => error.endpoint().map(ToString::to_string),
            Error::Meanwhile { error, .. } => error.endpoint(),
            Error::Trailer { endpoint, .. } | Error::Damaged { endpoint, .. } => {
                Some(endpoint.clone())
            }
            _ => None,
        }
    }

    /// Whether another member could do better: the fault is not this host's alone. A size is what a
    /// member claims, and its database may be far larger than another's that was defragmented.
    #[must_use]
    pub fn is_of_one_member(&self) -> bool {
        matches!(
            self,
            Error::Etcd(_) | Error::Trailer { .. } | Error::Damaged { .. } | Error::Space { .. }
        )
    }
}

fn is_full(errno: Option<Errno>) -> bool {
    matches!(errno, Some(Errno::NOSPC | Errno::DQUOT))
}
