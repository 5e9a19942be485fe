//! Which backups are kept and which are removed, with the reason for each: a policy, the backups
//! and the time make a plan. No clock, no file.
//!
//! What the plan promises, whatever the policy, the clock or the operator's mistakes:
//!
//! - The `min_verified` newest good backups are kept, or all of them where there are fewer.
//! - Only good backups count for a rule. One that is not good never pushes a good one out; it goes
//!   once enough newer good ones exist, or enough newer ones like it.
//! - A backup that no longer stands up to its proof is kept: what the disk has lost is for a person
//!   to see, never for a rule to clear away.
//! - A backup of another cluster counts for nothing and is kept (`lineage.rs`).
//! - A backup that began in the future counts for nothing and is kept: it costs no other one. Where
//!   it is the present clock that is ahead, `keep_within` keeps what began shortly before the newest
//!   by that clock; what the other rules and the floor keep by number stays.
//! - A pinned backup is kept.
//! - While a suspect backup is held, nothing is removed; nor where its snapshot is lost.
//! - Once the plan is carried out, the next plan of the same policy and time removes nothing.
//!
//! The order is that of the times in the manifests, never that of the files' dates.

mod draft;
mod lineage;
mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::catalog::Summary;
use draft::Draft;

/// What is kept; the `[retention]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// This many of the newest.
    pub keep_last: u32,
    /// All that began less than this before the newest.
    pub keep_within: Duration,
    /// The newest of each of this many hours that have a backup.
    pub keep_hourly: u32,
    /// The newest of each of this many days.
    pub keep_daily: u32,
    /// The newest of each of this many weeks; a week begins on Monday.
    pub keep_weekly: u32,
    /// The newest of each of this many months.
    pub keep_monthly: u32,
    /// The newest of each of this many years.
    pub keep_yearly: u32,
    /// The oldest go where all together have more bytes than this; 0: no limit.
    pub max_total_size: u64,
    /// This many of the newest are kept whatever else is said; at least one.
    pub min_verified: u32,
    /// The zone in which hours, days and weeks are told.
    pub zone: TimeZone,
}

impl Policy {
    /// How many of the newest good backups nothing may touch.
    fn floor(&self) -> usize {
        self.min_verified.max(1) as usize
    }

    /// How many newer good backups make one that is not good superfluous.
    fn successors(&self) -> usize {
        self.floor().max(self.keep_last as usize)
    }
}

/// A backup that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming {
    /// Its bytes.
    pub size: u64,
}

/// What becomes of each backup.
#[derive(Debug)]
pub struct Plan<'m> {
    /// Each backup, newest first.
    pub decisions: Vec<Decision<'m>>,
}

/// What becomes of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'m> {
    /// The backup.
    pub backup: &'m Summary,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reason: Cow<'static, str>,
}

impl<'m> Plan<'m> {
    /// Decides on backups that are there, with their snapshots. A `coming` one counts for the rules
    /// and the size, never for the floor: it may fail.
    #[must_use]
    pub fn make(
        policy: &Policy,
        backups: &'m [Summary],
        coming: Option<Coming>,
        now: Timestamp,
    ) -> Self {
        let mut sorted: Vec<&Summary> = backups.iter().collect();
        sorted.sort_by_key(|backup: &&'m Summary| {
            let backup: &'m Summary = backup;
            Reverse((backup.started, &backup.id))
        });
        let held = sorted.iter().find(|backup| backup.is_held()).copied();
        let mut plan = Draft::new(policy, sorted, now).decide(coming, now);
        if let Some(held) = held {
            let id = &held.id;
            plan.freeze(&format!(
                "nothing is removed until backup {id} is accepted: it is suspect"
            ));
        }
        plan
    }

    /// The plan where these are there, too, but without their snapshots: they count for nothing, yet
    /// what one of them holds stays.
    #[must_use]
    pub fn with_lost(mut self, lost: &[Summary]) -> Self {
        if let Some(held) = lost.iter().find(|backup| backup.is_held()) {
            let id = &held.id;
            self.freeze(&format!(
                "nothing is removed until a backup after {id} is accepted: that one is suspect, and \
                 its snapshot is lost"
            ));
        }
        self
    }

    /// Keeps what would go: what looks like an accident must not cost what it may be undone with.
    fn freeze(&mut self, why: &str) {
        for decision in self.decisions.iter_mut().filter(|decision| !decision.keep) {
            decision.keep = true;
            decision.reason = why.to_owned().into();
        }
    }

    /// The backups that go, oldest first.
    pub fn removals(&self) -> impl Iterator<Item = &Decision<'m>> {
        self.decisions
            .iter()
            .rev()
            .filter(|decision| !decision.keep)
    }
}
