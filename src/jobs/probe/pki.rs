//! The files of `[pki]`: readable, of one piece, private and valid. None of it would stop a backup.

use jiff::Timestamp;

use super::host::{secret_file, validity};
use super::{Check, Finding};
use crate::certificate::Certificate;
use crate::config::Config;
use crate::error::ExitCode;
use crate::pki::{self, Collected, Found};
use crate::report::EXPIRY_WARNING_DAYS;
use crate::store::Directory;

const KEY: &str = "pki.files";

pub(super) fn checks(config: &Config, now: Timestamp) -> Vec<Check> {
    if config.pki.files.is_empty() {
        let message = "the list is empty: no copy of the CA is kept beside the backups";
        return vec![Check::ok(KEY, message)];
    }
    let collected = pki::collect(&config.pki);
    let mut checks: Vec<Check> = collected
        .files
        .iter()
        .flat_map(|file| file_checks(file, &collected, now))
        .collect();
    checks.extend(
        collected
            .problems
            .iter()
            .map(|problem| Check::warning(KEY, problem.to_string(), problem.hint())),
    );
    checks.extend(in_the_way(config));
    checks
}

fn file_checks(file: &Found, all: &Collected, now: Timestamp) -> Vec<Check> {
    let mut checks: Vec<Check> = file
        .certificates
        .iter()
        .map(|certificate| validity_check(file, certificate, now))
        .collect();
    let name = file.path.display();
    if let Some(partner) = file.partner(&all.files) {
        let (certificate, private) = (partner.path.display(), secret_file(KEY, &file.path));
        checks.push(match (&file.key, private.result) {
            (Some(pki::PrivateKey::Readable(_)), Finding::Ok) => Check::ok(
                KEY,
                format!("{name} is private and belongs to {certificate}"),
            ),
            _ => harmless(private),
        });
    } else if file.key.is_some() {
        checks.push(harmless(secret_file(KEY, &file.path)));
    } else if checks.is_empty() {
        checks.push(Check::ok(KEY, format!("{name} is readable")));
    }
    checks
}

fn validity_check(file: &Found, certificate: &Certificate, now: Timestamp) -> Check {
    let check = harmless(validity(KEY, &file.path, certificate, now));
    if certificate.is_ca && certificate.days_left(now) < EXPIRY_WARNING_DAYS {
        let hint = "kubeadm renews no CA: see \"Manual Rotation of CA Certificates\" in the Kubernetes documentation.";
        return Check {
            hint: Some(hint.to_owned()),
            ..check
        };
    }
    check
}

/// A backup is made all the same, so nothing here fails the check.
fn harmless(check: Check) -> Check {
    match check.result {
        Finding::Failed => Check {
            result: Finding::Warning,
            exit_code: ExitCode::Done,
            ..check
        },
        _ => check,
    }
}

/// Something else where the copies go.
fn in_the_way(config: &Config) -> Option<Check> {
    let directory = Directory::open(&config.backup.dir).ok()?;
    if !directory.contains(pki::DIRECTORY) {
        return None;
    }
    let error = pki::Error::from(directory.subdirectory(pki::DIRECTORY).err()?);
    Some(Check::warning(KEY, error.to_string(), error.hint()))
}
