//! Which backups are kept and which are removed, with the reason for each: a policy, the manifests
//! and the time make a plan. No clock, no file.
//!
//! What the plan promises, whatever the policy, the clock or the operator's mistakes:
//!
//! - The `min_verified` newest good backups are kept, or all of them where there are fewer.
//! - Only good backups count for a rule. One that is not good never pushes a good one out; it goes
//!   once enough newer good ones exist.
//! - A backup that began in the future counts for nothing and is kept: the clock was wrong then or is
//!   wrong now, and neither may cost another backup.
//! - A pinned backup is kept.
//! - While a suspect backup is held, nothing is removed; nor where its snapshot is lost.
//! - Once the plan is carried out, the next plan of the same policy and time removes nothing.
//!
//! The order is that of the times in the manifests, never that of the files' dates.

mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::catalog::Manifest;

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
    pub backup: &'m Manifest,
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
        backups: &'m [Manifest],
        coming: Option<Coming>,
        now: Timestamp,
    ) -> Self {
        let mut sorted: Vec<&Manifest> = backups.iter().collect();
        sorted.sort_by_cached_key(|backup| Reverse((backup.started, backup.id.clone())));
        let draft = Draft {
            policy,
            good: sorted
                .iter()
                .enumerate()
                .filter(|(_, backup)| backup.is_good() && backup.started <= now)
                .map(|(place, _)| place)
                .collect(),
            reasons: vec![None; sorted.len()],
            sorted,
        };
        let mut plan = draft.decide(coming, now);
        if let Some(held) = backups.iter().find(|backup| backup.is_held()) {
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
    pub fn with_lost(mut self, lost: &[Manifest]) -> Self {
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

type Reason = Cow<'static, str>;

/// A plan in the making: a place in `sorted` has a reason to stay, or none yet.
struct Draft<'p, 'm> {
    policy: &'p Policy,
    /// Newest first.
    sorted: Vec<&'m Manifest>,
    /// The places of the good ones that did not begin in the future.
    good: Vec<usize>,
    reasons: Vec<Option<Reason>>,
}

impl<'m> Draft<'_, 'm> {
    fn decide(mut self, coming: Option<Coming>, now: Timestamp) -> Plan<'m> {
        self.apply_rules(coming.map(|_| now));
        self.keep_unproven(now);
        let mut removed = self.over_size(coming.map_or(0, |coming| coming.size), now);
        let reasons = std::mem::take(&mut self.reasons);
        let decisions = self.sorted.iter().zip(reasons).enumerate();
        Plan {
            decisions: decisions
                .map(|(place, (backup, reason))| {
                    let over_size = removed.remove(&place).then_some(OVER_SIZE);
                    let keep = over_size.is_none() && reason.is_some();
                    let reason = over_size.map(Cow::from).or(reason);
                    Decision {
                        backup,
                        keep,
                        reason: reason.unwrap_or_else(|| self.why_not(backup)),
                    }
                })
                .collect(),
        }
    }

    /// The rules, the floor, and the pins among the good ones.
    fn apply_rules(&mut self, coming: Option<Timestamp>) {
        let times = coming.into_iter().chain(self.times());
        let kept = rules::kept(self.policy, &times.collect::<Vec<_>>());
        let kept = kept.into_iter().skip(usize::from(coming.is_some()));
        let floor = self.policy.floor();
        let mut by_rule: Vec<Option<Reason>> = kept.map(|reason| reason.map(Cow::from)).collect();
        by_rule.resize(self.good.len(), None);
        for (number, (place, by_rule)) in self.good.iter().zip(by_rule).enumerate() {
            let by_floor = || {
                let text = format!("min_verified {}/{floor}", number + 1);
                (number < floor).then(|| text.into())
            };
            let pin = self.sorted.get(*place).filter(|backup| backup.pinned);
            let reason = pin.map(|_| PINNED.into()).or(by_rule).or_else(by_floor);
            if let Some(slot) = self.reasons.get_mut(*place) {
                *slot = reason;
            }
        }
    }

    fn times(&self) -> impl Iterator<Item = Timestamp> {
        let backups = self.good.iter().filter_map(|place| self.sorted.get(*place));
        backups.map(|backup| backup.started)
    }

    /// What is not good, or not of this time, stays until it is of no more use.
    fn keep_unproven(&mut self, now: Timestamp) {
        let successors = self.policy.successors();
        let mut newer_good = 0;
        for (backup, reason) in self.sorted.iter().zip(&mut self.reasons) {
            if backup.started > now {
                *reason = Some(if backup.pinned { PINNED } else { FUTURE }.into());
            } else if backup.is_good() {
                newer_good += 1;
            } else if backup.pinned {
                *reason = Some(PINNED.into());
            } else if newer_good < successors {
                *reason = Some(unproven(newer_good, successors));
            }
        }
    }

    /// The places that go because of the size: first what is not good and has enough successors, then
    /// the oldest good ones. The bytes of what is not good push no good one out.
    fn over_size(&self, coming: u64, now: Timestamp) -> BTreeSet<usize> {
        let limit = self.policy.max_total_size;
        let mut gone = BTreeSet::new();
        if limit == 0 {
            return gone;
        }
        let is_kept = |place: &usize| self.reasons.get(*place).is_some_and(Option::is_some);
        let size = |place: &usize| {
            let backup = self.sorted.get(*place);
            backup.map_or(0, |backup| backup.stored.size)
        };
        let is_pinned = |place: &usize| self.sorted.get(*place).is_some_and(|backup| backup.pinned);
        let kept_good: Vec<usize> = self.good.iter().copied().filter(is_kept).collect();
        // a number of backups and of their bytes that no disk reaches
        let good_size = kept_good.iter().map(size).fold(coming, u64::saturating_add);
        let unproven = self.unproven(now).filter(is_kept).collect::<Vec<_>>();
        let mut total = unproven
            .iter()
            .map(size)
            .fold(good_size, u64::saturating_add);
        let spared = kept_good.get(self.policy.floor() - 1);
        for place in unproven.iter().rev() {
            if total > limit && !is_pinned(place) && spared.is_some_and(|last| place > last) {
                total = total.saturating_sub(size(place));
                gone.insert(*place);
            }
        }
        let mut total = good_size;
        for place in kept_good.iter().skip(self.policy.floor()).rev() {
            if total > limit && !is_pinned(place) {
                total = total.saturating_sub(size(place));
                gone.insert(*place);
            }
        }
        gone
    }

    /// The places of what is not good, as far as it did not begin in the future.
    fn unproven(&self, now: Timestamp) -> impl Iterator<Item = usize> {
        let places = self.sorted.iter().enumerate();
        places
            .filter(move |(_, backup)| !backup.is_good() && backup.started <= now)
            .map(|(place, _)| place)
    }

    fn why_not(&self, backup: &Manifest) -> Reason {
        if backup.is_good() {
            NO_RULE.into()
        } else {
            let successors = self.policy.successors();
            unproven(successors, successors)
        }
    }
}

fn unproven(newer_good: usize, successors: usize) -> Reason {
    format!("not verified; newer verified ones {newer_good}/{successors}").into()
}

const PINNED: &str = "pinned";
const FUTURE: &str = "it began in the future; the clock was or is wrong";
const OVER_SIZE: &str = "above max_total_size";
const NO_RULE: &str = "no rule keeps it";
