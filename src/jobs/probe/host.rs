//! What this host offers: the schedule, the files for TLS, and the backup directory.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Check, sandbox};
use crate::certificate::{self, Certificate, Validity};
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::etcd::Settings;
use crate::report::{EXPIRY_WARNING_DAYS, text};
use crate::store::{self, Directory, Lock, Space};

/// Why root is refused.
const ONLY_BY_OWNER: &str =
    "The unit's root has no capability, so owner and mode have to let root in";

pub(super) fn schedule(config: &Config, now: Timestamp) -> Check {
    let (text, zone) = (config.schedule.text(), config.schedule.timezone());
    let next = config
        .schedule
        .next(now)
        .map_or_else(|| "never".into(), |next| format!("{next:.0}"));
    Check::ok("schedule", format!("{text} ({zone}), next run {next}"))
}

/// The configuration itself: whoever runs the check has read it, but can the unit?
pub(super) fn configuration(path: &Path) -> Option<Check> {
    let error = store::open_file(path).err()?;
    let message = format!("{} cannot be read by the unit: {error}", path.display());
    let hint = format!(
        "{ONLY_BY_OWNER}: chown root:root {0} && chmod 640 {0}",
        path.display()
    );
    Some(Check::failed(
        "config",
        message,
        Some(hint),
        ExitCode::Permission,
    ))
}

/// The CA, the client certificate and its key: readable, valid, and of one piece.
pub(super) fn tls_files(settings: &Settings, now: Timestamp) -> Vec<Check> {
    let broken = |key: &str, error: &certificate::Error| {
        let code = if error.is_permission() {
            ExitCode::Permission
        } else {
            ExitCode::Config
        };
        Check::failed(key, error.to_string(), error.hint(), code)
    };
    let mut checks = Vec::new();
    let authorities = certificate::read(&settings.ca_file)
        .map_err(|error| checks.push(broken("etcd.ca_file", &error)));
    let own = certificate::read(&settings.cert_file)
        .map_err(|error| checks.push(broken("etcd.cert_file", &error)));
    checks.extend(
        authorities
            .iter()
            .flatten()
            .map(|ca| validity("etcd.ca_file", &settings.ca_file, ca, now)),
    );
    if let Some(own) = own.as_ref().ok().and_then(|own| own.first()) {
        checks.push(validity("etcd.cert_file", &settings.cert_file, own, now));
        let key = certificate::read_file(&settings.key_file)
            .and_then(|text| certificate::check_key(own, &settings.key_file, &text));
        checks.push(match key {
            Ok(()) => secret_file("etcd.key_file", &settings.key_file),
            Err(error) => broken("etcd.key_file", &error),
        });
        if authorities
            .as_ref()
            .is_ok_and(|authorities| own.signer(authorities).is_none())
        {
            let message = format!(
                "{} is signed by {}, which is not in {}",
                settings.cert_file.display(),
                own.issuer,
                settings.ca_file.display()
            );
            checks.push(Check::warning(
                "etcd.cert_file",
                message,
                Some("Most clusters use one CA for both; see etcd's --trusted-ca-file.".into()),
            ));
        }
    }
    checks
}

pub(super) fn validity(key: &str, file: &Path, certificate: &Certificate, now: Timestamp) -> Check {
    let (file, whose, until) = (file.display(), certificate.whose(), certificate.not_after);
    let days = certificate.days_left(now);
    let renew = || Some("Renew it with: kubeadm certs renew all".to_owned());
    match certificate.validity(now) {
        Validity::Expired { until } => Check::failed(
            key,
            format!("{file}: {whose} expired at {until:.0}"),
            renew(),
            ExitCode::Config,
        ),
        Validity::NotYetValid { from } => {
            let hint = Some("See whether this host's clock is right: timedatectl".to_owned());
            Check::failed(
                key,
                format!("{file}: {whose} is not valid before {from:.0}"),
                hint,
                ExitCode::Config,
            )
        }
        Validity::Valid if days < EXPIRY_WARNING_DAYS => Check::warning(
            key,
            format!("{file}: {whose} expires in {days} days, at {until:.0}"),
            renew(),
        ),
        Validity::Valid => Check::ok(
            key,
            format!("{file}: {whose}, valid until {until:.0} ({days} days)"),
        ),
    }
}

/// A file that nobody but its owner should read.
pub(super) fn secret_file(key: &str, file: &Path) -> Check {
    match store::open_file(file).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            let message = format!(
                "{} can be read by others (mode {:04o})",
                file.display(),
                metadata.mode() & 0o7777
            );
            Check::warning(
                key,
                message,
                Some(format!("Close it with: chmod 600 {}", file.display())),
            )
        }
        Ok(_) => Check::ok(key, format!("{} is readable and private", file.display())),
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::PermissionDenied {
                ExitCode::Permission
            } else {
                ExitCode::Config
            };
            let hint = format!("See what is there with: ls -lL {}", file.display());
            Check::failed(
                key,
                format!("{} cannot be read: {error}", file.display()),
                Some(hint),
                code,
            )
        }
    }
}

/// The file system of the backup directory: rather not that of everything else.
fn mount(config: &Config, directory: &Directory) -> Option<Check> {
    let error = directory.require_mount().err()?;
    if config.backup.require_mount {
        return Some(Check::of_error(
            "backup.require_mount",
            &Error::Store(error),
        ));
    }
    let hint =
        "Mount a disk there, and set backup.require_mount = true in case it is ever not mounted.";
    Some(Check::warning(
        "backup.dir",
        format!("{error}, which backups can fill and which is lost with the host"),
        Some(hint.into()),
    ))
}

/// The backup directory: there, writable, private, with room.
pub(super) fn directory(config: &Config) -> Vec<Check> {
    const KEY: &str = "backup.dir";
    let path: &PathBuf = &config.backup.dir;
    let opened = Directory::open(path).and_then(|directory| {
        // an unnamed file shows that one can be made, and leaves nothing
        directory.draft()?;
        Lock::check(&directory)?;
        Ok((directory.space()?, directory))
    });
    let (Space { free, total }, directory) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![Check::of_error(KEY, &Error::Store(error))],
    };
    let room = format!(
        "{} of {} free ({}%)",
        text::size(free),
        text::size(total),
        text::percent(free, total)
    );
    let reserve = config.backup.reserve;
    let mut checks = vec![if free < reserve {
        let message = format!(
            "{}: {room}, less than the reserve of {}",
            path.display(),
            text::size(reserve)
        );
        Check::failed(
            KEY,
            message,
            Some("Free some space, or lower backup.reserve.".into()),
            ExitCode::CannotCreate,
        )
    } else {
        Check::ok(KEY, format!("{} is writable, {room}", path.display()))
    }];
    checks.extend(mount(config, &directory));
    if let Some(line) = sandbox::missing_line(path) {
        let message = format!("the installed unit may not write to {}", path.display());
        checks.push(Check::warning(KEY, message, Some(line)));
    }
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.mode() & 0o022 != 0
    {
        let message = format!(
            "others can write to {} (mode {:04o})",
            path.display(),
            metadata.mode() & 0o7777
        );
        checks.push(Check::warning(
            KEY,
            message,
            Some(format!("Close it with: chmod 700 {}", path.display())),
        ));
    }
    checks
}
