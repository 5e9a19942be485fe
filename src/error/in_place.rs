//! The codes and hints of a restore in place.

use super::{Error, ExitCode, io_code};
use crate::host;
use crate::recovery::{self, Way};

pub(super) fn host_code(error: &host::Error) -> ExitCode {
    match error {
        host::Error::StillRunning { .. }
        | host::Error::StillListed { .. }
        | host::Error::Runtime { .. }
        | host::Error::NotStarted { .. } => ExitCode::Unavailable,
        host::Error::Read { source, .. } => io_code(source, ExitCode::Io),
        host::Error::Move { source, .. } => io_code(source, ExitCode::CannotCreate),
        host::Error::Both { .. } | host::Error::Gone { .. } => ExitCode::CannotCreate,
    }
}

pub(super) fn recovery_code(error: &recovery::Error) -> ExitCode {
    use recovery::Error as E;
    match error {
        E::Unfinished { .. } => ExitCode::Locked,
        E::NoJournal { .. } | E::Finished { .. } | E::Apart { .. } | E::Membership(_) => {
            ExitCode::Usage
        }
        E::Journal { source, .. } => io_code(source, ExitCode::Io),
        E::Damaged { .. } => ExitCode::Io,
        E::Unfit { .. } => ExitCode::Config,
        E::InTheWay { .. } | E::NoOldData { .. } => ExitCode::CannotCreate,
        E::Silent { .. } => ExitCode::Unavailable,
        E::StillServing { .. }
        | E::OtherHost { .. }
        | E::OtherCa { .. }
        | E::OtherCluster { .. }
        | E::Changed { .. }
        | E::Differs { .. } => ExitCode::Verification,
    }
}

/// What to do about the step that failed, and then about the rest.
pub(super) fn step_hint(way: Way, flags: &str, source: &Error) -> String {
    let then = match way {
        Way::Forward => {
            "Then go on with: hypercloud-etcd restore --resume; or return to the old data with: hypercloud-etcd restore --rollback"
        }
        Way::Back => "Then go on with: hypercloud-etcd restore --rollback",
    };
    let hint = match source.hint() {
        Some(hint) if hint.contains("restore --r") => hint,
        Some(hint) => format!("{hint}\n{then}"),
        None => then.into(),
    };
    // whoever types it needs what this host needs
    ["--resume", "--rollback"]
        .iter()
        .fold(hint, |hint, action| {
            let command = format!("restore {action}");
            hint.replace(&command, &format!("{command}{flags}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_a_hint_name_what_this_host_needs() {
        let source = Error::Interrupted;
        let hint = step_hint(Way::Forward, " --config /srv/c.toml", &source);
        for action in ["--resume", "--rollback"] {
            assert!(
                hint.contains(&format!("restore {action} --config /srv/c.toml")),
                "{hint}"
            );
        }
        let hint = step_hint(Way::Back, "", &source);
        assert!(hint.ends_with("restore --rollback"), "{hint}");
    }
}
