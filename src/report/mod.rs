//! The state of the backups, as people and programs are told it: is the newest verified one fresh?

pub mod event;
mod hold;
mod problem;
pub mod state;
pub mod systemd;
pub mod text;

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::catalog::{BackupId, Listing, Summary};
use crate::certificate::Certificate;
use crate::schedule::Schedule;
use crate::store::Space;
pub use hold::Hold;
use state::{Failing, Trouble};

/// How long after its time a scheduled backup may still be under way before it counts as missed.
const GRACE: SignedDuration = SignedDuration::from_mins(10);
/// Days before a certificate's end from which on it is a problem.
pub const EXPIRY_WARNING_DAYS: i64 = 14;

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
    /// What the daemon remembers to be wrong.
    pub trouble: &'v Trouble,
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
    /// Since when no run of the daemon has succeeded, and why the last one did not.
    pub failing: Option<Failing>,
    /// Since when what the policy removes could not be removed, and why.
    pub pruning: Option<Failing>,
    /// When the backup that was proven longest ago was last proven; none where one never was. Those
    /// that no longer stand up to their proof are left out.
    pub all_proven_since: Option<Timestamp>,
    /// The run that the newest verified backup has to cover.
    pub due: Option<Timestamp>,
    /// The next scheduled run.
    pub next: Option<Timestamp>,
    /// Free and total bytes of the backups' file system.
    pub disk: Disk,
    /// The certificates, by their end.
    pub certificates: Vec<Expiry>,
    /// Everything that is wrong, a sentence each, the worst first; empty where `ok`.
    pub problems: Vec<String>,
    /// Of these, that there is no fresh backup.
    #[serde(skip)]
    pub staleness: Option<String>,
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
        let present = || {
            let all = backups.iter();
            all.filter(|backup| !problem::is_of_the_future(backup, view.now))
        };
        let newest = present().find(|backup| backup.is_good());
        let due = due(view);
        let hold = Hold::of(view.listing);
        let decayed: Vec<&Summary> = backups.iter().filter(|b| b.decay().is_some()).collect();
        // a suspect backup is fresh, too; that it is suspect is told apart
        let fresh = present().find(|backup| backup.is_sound());
        let staleness = problem::freshness(view, fresh, due);
        let failing = problem::failing(view.trouble, newest).cloned();
        let pruning = view.trouble.pruning.clone();
        let lasting = |what: &str, failing: &Option<Failing>| {
            let failing = failing.as_ref();
            failing.map(|failing| format!("{what} since {:.0}: {}", failing.since, failing.error))
        };
        let mut problems: Vec<String> = view.unfinished.clone().into_iter().collect();
        problems.extend(lasting("backups fail", &failing));
        problems.extend(staleness.clone());
        problems.extend(hold.iter().map(Hold::sentence));
        problems.extend(problem::decay(&decayed));
        problems.extend(problem::ahead(view));
        problems.extend(lasting("pruning fails", &pruning));
        problems.extend(newest.into_iter().flat_map(problem::of_backup));
        problems.extend(problem::unproven_since(view, newest));
        problems.extend(problem::unreadable(view));
        let (certificates, expiring) = problem::expiries(view);
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
            failing,
            pruning,
            all_proven_since: all_proven_since(backups, view.now),
            due,
            next: view.schedule.next(view.now),
            disk: Disk {
                free: view.space.free,
                total: view.space.total,
            },
            certificates,
            problems,
            staleness,
        }
    }
}

/// When the one was proven that was proven longest ago, of those that stand up to it.
fn all_proven_since(backups: &[Summary], now: Timestamp) -> Option<Timestamp> {
    let sound = backups.iter().filter(|backup| backup.decay().is_none());
    sound.map(|backup| backup.last_proven(now)).min().flatten()
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

#[cfg(test)]
mod tests;
