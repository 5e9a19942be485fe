//! Which failure of a module ends a command with which code.

use std::io;

use rustix::io::Errno;

use super::{ExitCode, is_full};
use crate::{config, cronjob, datadir, etcd, store};

pub(super) fn config_code(error: &config::Error) -> ExitCode {
    match error {
        config::Error::Denied { .. } => ExitCode::Permission,
        _ => ExitCode::Config,
    }
}

pub(super) fn cronjob_code(error: &cronjob::Error) -> ExitCode {
    match error {
        cronjob::Error::Path { .. } | cronjob::Error::Login | cronjob::Error::NoEndpoint => {
            ExitCode::Config
        }
        cronjob::Error::Yaml(_) => ExitCode::Bug,
        _ => ExitCode::Usage,
    }
}

/// The code that says what a failure with one member asks for.
#[must_use]
pub fn etcd_code(error: &etcd::Error) -> ExitCode {
    match error.kind() {
        etcd::Kind::Unreachable => ExitCode::Unavailable,
        etcd::Kind::Permission => ExitCode::Permission,
        etcd::Kind::Configuration => ExitCode::Config,
    }
}

pub(super) fn store_code(error: &store::Error) -> ExitCode {
    match (error, error.errno()) {
        (store::Error::Locked { .. }, _) => ExitCode::Locked,
        (
            store::Error::Exists { .. }
            | store::Error::Moved { .. }
            | store::Error::NotMounted { .. },
            _,
        ) => ExitCode::CannotCreate,
        (_, Some(Errno::ACCESS | Errno::PERM)) => ExitCode::Permission,
        (store::Error::Read { .. }, _) | (_, Some(Errno::IO)) => ExitCode::Io,
        (store::Error::Open { .. } | store::Error::Write { .. }, _) => ExitCode::CannotCreate,
    }
}

pub(super) fn datadir_code(error: &datadir::Error) -> ExitCode {
    use datadir::Error as E;
    match error {
        E::PeerUrl { .. }
        | E::Membership { .. }
        | E::NotAMember { .. }
        | E::Bump { .. }
        | E::LogPlace { .. } => ExitCode::Usage,
        E::NotEtcd(_) | E::Newer { .. } | E::Oversized(_) | E::Nested(_) | E::Source(_) => {
            ExitCode::Verification
        }
        E::NotEmpty { .. } | E::MountPoint { .. } | E::InData { .. } | E::UnfinishedLog { .. } => {
            ExitCode::CannotCreate
        }
        E::InUse { .. } => ExitCode::Locked,
        E::Written(_) | E::Differs(_) => ExitCode::Io,
        E::Json(_) => ExitCode::Bug,
        E::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ExitCode::CannotCreate,
            _ => io_code(source, ExitCode::Io),
        },
    }
}

pub(super) fn io_code(error: &io::Error, otherwise: ExitCode) -> ExitCode {
    if error.kind() == io::ErrorKind::PermissionDenied {
        ExitCode::Permission
    } else if is_full(Errno::from_io_error(error)) {
        // one code for a full disk, whichever step meets it
        ExitCode::CannotCreate
    } else {
        otherwise
    }
}
