//! The state of the backups, as people and programs are told it: is the newest verified one fresh?

pub mod event;
pub mod state;
pub mod systemd;
pub mod text;

use std::cmp::Reverse;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::catalog::{BackupId, Listing, Reproof, Summary};
use crate::certificate::Certificate;
use crate::schedule::Schedule;
use crate::store::Space;

/// How long after its time a scheduled backup may still be under way before it counts as missed.
const GRACE: SignedDuration = SignedDuration::from_mins(10);
/// Days before a certificate's end from which on it is a problem.
pub const EXPIRY_WARNING_DAYS: i64 = 14;
/// Backups that are named where many are counted.
const TOLD: usize = 3;

/// What the answer is drawn from.
#[derive(Debug)]
pub struct View<'v> {
    /// The restore in place that is not finished, and what to do about it.
    pub unfinished: Option<String>,
    /// The backups.
    pub listing: &'v Listing<Summary>,
    /// When they are due.
    pub schedule: &'v Schedule,
    /// How much later than the schedule says a run may begin.
    pub jitter: Duration,
    /// How old the newest verified backup may be; `None`: as old as the schedule makes it.
    pub stale_after: Option<Duration>,
    /// The space of the backups' file system.
    pub space: Space,
    /// The certificates that backups need: the file, and what it says or why it cannot be read.
    pub certificates: Vec<(PathBuf, Result<Certificate, String>)>,
    /// The time.
    pub now: Timestamp,
}

/// Whether the cluster could be restored to a recent state, and what stands against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether the newest verified backup is fresh and nothing is wrong.
    pub ok: bool,
    /// The newest verified backup.
    pub newest_verified: Option<Newest>,
    /// Backups that are listed.
    pub backups: usize,
    /// Of these, the verified ones that are neither suspect nor altered since.
    pub verified: usize,
    /// Of these, the suspect ones that nobody has accepted.
    pub suspect: usize,
    /// Those that were verified and do not stand up to their proof any more.
    pub failed_again: Vec<BackupId>,
    /// Why nothing is pruned, where that is so.
    pub hold: Option<Hold>,
    /// When the backup that was proven longest ago was last proven.
    pub all_proven_since: Option<Timestamp>,
    /// The run that the newest verified backup has to cover.
    pub due: Option<Timestamp>,
    /// The next scheduled run.
    pub next: Option<Timestamp>,
    /// Free and total bytes of the backups' file system.
    pub disk: Disk,
    /// The certificates, by their end.
    pub certificates: Vec<Expiry>,
    /// Everything that is wrong, a sentence each; empty where `ok`.
    pub problems: Vec<String>,
}

/// A backup, as far as the status tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Newest {
    /// Its id.
    pub id: BackupId,
    /// When it was proven.
    pub finished: Timestamp,
    /// Seconds since it began: older data than that is not lost.
    pub age_seconds: i64,
    /// Bytes.
    pub size: u64,
    /// etcd's revision.
    pub revision: u64,
}

/// Suspect backups that keep anything from being pruned, until somebody accepts the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// When the first of them began.
    pub since: Timestamp,
    /// Their ids, newest first.
    pub backups: Vec<BackupId>,
    /// What is suspicious about the newest.
    pub suspicions: Vec<String>,
    /// Whether the newest has lost its snapshot, and cannot be accepted.
    #[serde(skip)]
    is_lost: bool,
}

impl Hold {
    fn of(listing: &Listing<Summary>) -> Option<Self> {
        let all = listing.backups.iter().chain(&listing.lost);
        let mut held: Vec<&Summary> = all.filter(|backup| backup.is_held()).collect();
        held.sort_by_key(|backup| Reverse((backup.started, &backup.id)));
        let (newest, oldest) = (held.first()?, held.last()?);
        Some(Hold {
            since: oldest.started,
            backups: held.iter().map(|backup| backup.id.clone()).collect(),
            suspicions: newest.suspicions.clone(),
            is_lost: listing.lost.iter().any(|backup| backup.id == newest.id),
        })
    }

    fn sentence(&self) -> String {
        let count = text::counted(self.backups.len(), "backup is", "backups are");
        let newest = self.backups.first().map(ToString::to_string);
        let newest = newest.unwrap_or_default();
        let ending = if self.is_lost {
            "a later one is accepted, for its snapshot is lost: hypercloud-etcd accept ID".into()
        } else {
            format!("it is accepted: hypercloud-etcd accept {newest}")
        };
        format!(
            "{count} suspect, the newest of them {newest}: {}; nothing is pruned until {ending}",
            self.suspicions.join("; ")
        )
    }
}

/// Space in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What may still be written.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// The end of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiry {
    /// The file it is in.
    pub file: PathBuf,
    /// Whose it is.
    pub subject: String,
    /// Its last second.
    pub not_after: Timestamp,
    /// Whole days until then; negative once it has passed.
    pub days_left: i64,
}

impl Status {
    /// Draws the status.
    #[must_use]
    pub fn of(view: &View<'_>) -> Self {
        let backups = &view.listing.backups;
        let newest = backups.iter().find(|backup| backup.is_good());
        let due = due(view);
        let hold = Hold::of(view.listing);
        let decayed: Vec<&Summary> = backups.iter().filter(|b| b.decay().is_some()).collect();
        // a suspect backup is fresh, too; that it is suspect is told apart
        let fresh = backups.iter().find(|backup| backup.is_sound());
        let mut problems: Vec<String> = view.unfinished.clone().into_iter().collect();
        problems.extend(hold.iter().map(Hold::sentence));
        problems.extend(freshness(view, fresh, due));
        problems.extend(decay(&decayed));
        problems.extend(newest.into_iter().flat_map(contradictions));
        problems.extend(
            newest
                .into_iter()
                .flat_map(|backup| backup.pki_problems.clone()),
        );
        problems.extend(newest.into_iter().flat_map(lost_copies));
        problems.extend(unproven_since(view, newest));
        problems.extend(
            view.listing.unreadable.iter().map(|(path, why)| {
                format!("the manifest {} cannot be used: {why}", path.display())
            }),
        );
        let (certificates, expiring) = expiries(view);
        problems.extend(expiring);
        Status {
            ok: problems.is_empty(),
            newest_verified: newest.map(|backup| Newest {
                id: backup.id.clone(),
                finished: backup.finished,
                age_seconds: age(view.now, backup).as_secs(),
                size: backup.size,
                revision: backup.revision,
            }),
            backups: backups.len(),
            verified: backups.iter().filter(|backup| backup.is_good()).count(),
            suspect: backups.iter().filter(|backup| backup.is_suspect()).count(),
            failed_again: decayed.iter().map(|backup| backup.id.clone()).collect(),
            hold,
            all_proven_since: backups.iter().map(Summary::last_proven).min(),
            due,
            next: view.schedule.next(view.now),
            disk: Disk {
                free: view.space.free,
                total: view.space.total,
            },
            certificates,
            problems,
        }
    }
}

fn age(now: Timestamp, backup: &Summary) -> SignedDuration {
    now.duration_since(backup.started)
}

/// The last scheduled run that is long enough ago to be done.
fn due(view: &View<'_>) -> Option<Timestamp> {
    let jitter = SignedDuration::try_from(view.jitter).unwrap_or(SignedDuration::ZERO);
    let at = view.now.checked_sub(GRACE.saturating_add(jitter)).ok()?;
    // a schedule that fires at all fires within eight years: 29 February, across 2100
    let since = at
        .checked_sub(SignedDuration::from_hours(24 * 366 * 8))
        .ok()?;
    view.schedule.latest(since, at)
}

fn freshness(view: &View<'_>, newest: Option<&Summary>, due: Option<Timestamp>) -> Option<String> {
    let Some(newest) = newest else {
        return Some("there is no verified backup".into());
    };
    let age = age(view.now, newest);
    if age < -SignedDuration::from_mins(5) {
        return Some(format!(
            "the newest verified backup, {}, began in the future: the clock was set back",
            newest.id
        ));
    }
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
            format!("the newest verified backup is {told} old; the run of {due:.0} has none")
        }),
    }
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
fn decay(decayed: &[&Summary]) -> Option<String> {
    let told = decayed.iter().take(TOLD).map(|backup| {
        let why = |last: &Reproof| format!("{} ({})", backup.id, last.problems.join("; "));
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
fn unproven_since(view: &View<'_>, newest: Option<&Summary>) -> Option<String> {
    let is_newer = |backup: &&Summary| {
        !backup.verified && newest.is_none_or(|newest| backup.started > newest.started)
    };
    let since: Vec<&Summary> = view.listing.backups.iter().filter(is_newer).collect();
    let last = since.first()?;
    Some(format!(
        "{} not verified, the last of them {}",
        text::counted(since.len(), "newer backup is", "newer backups are"),
        last.id
    ))
}

fn expiries(view: &View<'_>) -> (Vec<Expiry>, Vec<String>) {
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

#[cfg(test)]
mod tests;
