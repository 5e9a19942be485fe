//! The codes that a command exits with.

use crate::{config, cronjob};

/// Exit codes, as in sysexits.h; the unit and the man page rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// The answer is no.
    No = 1,
    /// The command line is wrong.
    Usage = 64,
    /// A backup does not stand up to its proof.
    Verification = 65,
    /// etcd or a store is not reachable.
    Unavailable = 69,
    /// A bug of this program.
    Bug = 70,
    /// Output cannot be created.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Another job holds the lock.
    Locked = 75,
    /// Permission is missing.
    Permission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl ExitCode {
    /// All of them, in their order.
    pub const ALL: [ExitCode; 11] = [
        ExitCode::Done,
        ExitCode::No,
        ExitCode::Usage,
        ExitCode::Verification,
        ExitCode::Unavailable,
        ExitCode::Bug,
        ExitCode::CannotCreate,
        ExitCode::Io,
        ExitCode::Locked,
        ExitCode::Permission,
        ExitCode::Config,
    ];

    /// What it says, for the manual.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            ExitCode::Done => "Done.",
            ExitCode::No => "The answer is no: something that was asked about is wrong.",
            ExitCode::Usage => "The command line is wrong.",
            ExitCode::Verification => "A backup or snapshot does not stand up to its proof.",
            ExitCode::Unavailable => "etcd or a store is not reachable.",
            ExitCode::Bug => "A bug of this program.",
            ExitCode::CannotCreate => "A file or directory cannot be created.",
            ExitCode::Io => "Reading or writing failed.",
            ExitCode::Locked => "Another job holds the lock.",
            ExitCode::Permission => "Permission is missing.",
            ExitCode::Config => "The configuration is wrong.",
        }
    }

    /// The kind of error that it stands for, in a word: `ERROR_KIND` in the journal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ExitCode::Done => "done",
            ExitCode::No => "no",
            ExitCode::Usage => "usage",
            ExitCode::Verification => "verification",
            ExitCode::Unavailable => "unavailable",
            ExitCode::Bug => "bug",
            ExitCode::CannotCreate => "cannot-create",
            ExitCode::Io => "io",
            ExitCode::Locked => "locked",
            ExitCode::Permission => "permission",
            ExitCode::Config => "config",
        }
    }
}

pub(super) fn of_config(error: &config::Error) -> ExitCode {
    match error {
        config::Error::Denied { .. } => ExitCode::Permission,
        _ => ExitCode::Config,
    }
}

pub(super) fn of_cronjob(error: &cronjob::Error) -> ExitCode {
    match error {
        cronjob::Error::Path { .. } | cronjob::Error::Login | cronjob::Error::NoEndpoint => {
            ExitCode::Config
        }
        cronjob::Error::Yaml(_) => ExitCode::Bug,
        _ => ExitCode::Usage,
    }
}
