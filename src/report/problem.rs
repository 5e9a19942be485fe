//! What is wrong, a sentence each.

use jiff::{SignedDuration, Timestamp};

use super::state::{Failing, Trouble};
use super::{EXPIRY_WARNING_DAYS, Expiry, View, age, text};
use crate::catalog::{Reproof, Summary};

/// Backups that are named where many are counted.
const TOLD: usize = 3;
/// How far a backup may be ahead of the time: two hosts' clocks are never quite the same.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn freshness(
    view: &View<'_>,
    newest: Option<&Summary>,
    due: Option<Timestamp>,
) -> Option<String> {
    let Some(newest) = newest else {
        return Some("there is no verified backup".into());
    };
    let age = age(view.now, newest);
    let told = text::age(age);
    match view.stale_after {
        Some(limit) => {
            (age > SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)).then(|| {
                format!(
                    "the newest verified backup is {told} old; report.stale_after allows {}",
                    text::duration(limit.as_secs())
                )
            })
        }
        None => due.filter(|due| newest.finished < *due).map(|due| {
            format!("the newest verified backup is {told} old; no verified backup came of the run of {due:.0}")
        }),
    }
}

/// A backup that began later than any clock in order lets it.
pub(super) fn is_of_the_future(backup: &Summary, now: Timestamp) -> bool {
    backup.started.duration_since(now) > AHEAD
}

/// Backups from the future: each counts for nothing until its time has come, and nothing removes it.
pub(super) fn ahead(view: &View<'_>) -> impl Iterator<Item = String> {
    let backups = view.listing.backups.iter();
    backups
        .filter(|backup| is_of_the_future(backup, view.now))
        .map(|Summary { id, started, file, .. }| {
            format!(
                "backup {id} began in the future, at {started:.0}: the clock was wrong then, or is wrong now; if it \
                 was wrong then, remove {} and then {file}",
                id.manifest_name()
            )
        })
}

/// Runs that fail, unless somebody else's has succeeded since.
pub(super) fn failing<'t>(trouble: &'t Trouble, newest: Option<&Summary>) -> Option<&'t Failing> {
    let failing = trouble.failing.as_ref();
    failing.filter(|failing| newest.is_none_or(|newest| newest.finished <= failing.last))
}

/// What is wrong with the newest good backup, though it is good.
pub(super) fn of_backup(newest: &Summary) -> Vec<String> {
    let mut problems: Vec<String> = contradictions(newest).collect();
    problems.extend(newest.pki_problems.clone());
    problems.extend(lost_copies(newest));
    problems
}

/// Manifests that cannot be read, and backups without their snapshots.
pub(super) fn unreadable(view: &View<'_>) -> impl Iterator<Item = String> {
    let unreadable = view.listing.unreadable.iter();
    unreadable.map(|(path, why)| {
        let path = path.display();
        format!(
            "the backup of {path} cannot be used: {why}; put back what is missing, or move it away"
        )
    })
}

/// Members whose data differed from the backup: one of them is corrupt, and nobody else says so.
fn contradictions(newest: &Summary) -> impl Iterator<Item = String> {
    newest.contradicting_members.iter().map(|member| {
        format!(
            "member {member} held different data than the others at revision {}",
            newest.revision
        )
    })
}

/// The copies of the CA beside the newest backup, as its last proof found them.
fn lost_copies(newest: &Summary) -> Vec<String> {
    let last = newest.last_verified.as_ref();
    last.map_or_else(Vec::new, |last| last.problems.clone())
}

/// What has changed on the disk, counted and named.
pub(super) fn decay(decayed: &[&Summary]) -> Option<String> {
    let told = decayed.iter().take(TOLD).map(|backup| {
        let why = |last: &Reproof| {
            let first = last.problems.first().map(|problem| text::brief(problem));
            format!("{} ({})", backup.id, first.unwrap_or_default())
        };
        backup.decay().map(why).unwrap_or_default()
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let more = match decayed.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let no_longer = "no longer stands up to its proof";
    let count = text::counted(
        decayed.len(),
        &format!("backup {no_longer}"),
        "backups no longer stand up to their proof",
    );
    (!decayed.is_empty()).then(|| format!("{count}: {told}{more}"))
}

/// Backups newer than the newest verified one, which could not be verified.
pub(super) fn unproven_since(view: &View<'_>, newest: Option<&Summary>) -> Option<String> {
    let is_newer = |backup: &&Summary| {
        !backup.verified
            && !is_of_the_future(backup, view.now)
            && newest.is_none_or(|newest| backup.started > newest.started)
    };
    let since: Vec<&Summary> = view.listing.backups.iter().filter(is_newer).collect();
    let last = since.first()?;
    Some(format!(
        "{} not verified, the last of them {}",
        text::counted(since.len(), "newer backup is", "newer backups are"),
        last.id
    ))
}

pub(super) fn expiries(view: &View<'_>) -> (Vec<Expiry>, Vec<String>) {
    let mut expiries = Vec::new();
    let mut problems = Vec::new();
    for (file, certificate) in &view.certificates {
        match certificate {
            Ok(certificate) => {
                let days_left = certificate.days_left(view.now);
                let name = file.display();
                if certificate.not_after < view.now {
                    problems.push(format!(
                        "the certificate in {name} expired at {:.0}",
                        certificate.not_after
                    ));
                } else if days_left < EXPIRY_WARNING_DAYS {
                    problems.push(format!(
                        "the certificate in {name} expires in {}",
                        text::counted(usize::try_from(days_left).unwrap_or(0), "day", "days")
                    ));
                }
                expiries.push(Expiry {
                    file: file.clone(),
                    subject: certificate.subject.clone(),
                    not_after: certificate.not_after,
                    days_left,
                });
            }
            Err(why) => problems.push(why.clone()),
        }
    }
    expiries.sort_by_key(|expiry| expiry.not_after);
    (expiries, problems)
}
