//! With which code it ends where no data directory was made.

use std::io;

use super::{ExitCode, io_code};
use crate::datadir;

/// The code that says what such a failure asks for.
pub(super) fn code(error: &datadir::Error) -> ExitCode {
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
