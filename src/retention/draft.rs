//! A plan in the making: what each backup counts as, then what keeps it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::lineage::Lineage;
use super::{Coming, Decision, Plan, Policy, rules};
use crate::catalog::Summary;

/// What a backup counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It counts for the rules, the floor and the size.
    Good,
    /// It was never verified, or is suspect and somebody accepted a later one: it waits.
    Doubtful,
    /// It is suspect, and nobody has decided yet.
    Held,
    /// It is of another cluster.
    Foreign,
    /// It does not stand up to its proof any more.
    Decayed,
    /// It began later than now.
    Future,
}

type Reason = Cow<'static, str>;

/// The draft: one entry for each backup, newest first.
pub(super) struct Draft<'p, 'm> {
    policy: &'p Policy,
    sorted: Vec<&'m Summary>,
    standings: Vec<Standing>,
    /// The places of the good ones.
    good: Vec<usize>,
    /// Whether each stays, and why.
    fates: Vec<(bool, Reason)>,
}

impl<'p, 'm> Draft<'p, 'm> {
    /// Begins with backups that are sorted, the newest first.
    pub(super) fn new(policy: &'p Policy, sorted: Vec<&'m Summary>, now: Timestamp) -> Self {
        let mut present = sorted.iter().filter(|backup| backup.started <= now);
        let newest = present.clone().find(|backup| backup.is_good());
        // without a good one, the newest tells best which cluster this is
        let newest = newest.or_else(|| present.next()).copied();
        let mut lineage = newest.map(|newest| Lineage::of(newest, &sorted));
        let mut is_own = |backup| lineage.as_mut().is_some_and(|own| own.has(backup));
        let standing = |backup: &'m Summary| match backup {
            backup if backup.is_held() => Standing::Held,
            backup if backup.decay().is_some() => Standing::Decayed,
            backup if backup.started > now => Standing::Future,
            backup if !is_own(backup) => Standing::Foreign,
            backup if backup.is_good() => Standing::Good,
            _ => Standing::Doubtful,
        };
        let standings: Vec<Standing> = sorted.iter().copied().map(standing).collect();
        let good = standings.iter().enumerate();
        let good = good.filter(|(_, standing)| **standing == Standing::Good);
        Draft {
            policy,
            good: good.map(|(place, _)| place).collect(),
            fates: vec![(false, NO_RULE.into()); sorted.len()],
            standings,
            sorted,
        }
    }

    /// Ends with a plan in which a `coming` backup has its place.
    pub(super) fn decide(mut self, coming: Option<Coming>, now: Timestamp) -> Plan<'m> {
        self.apply_rules(coming.map(|_| now));
        self.keep_what_is_not_good(coming.is_some());
        for place in self.over_size(coming.map_or(0, |coming| coming.size)) {
            if let Some(fate) = self.fates.get_mut(place) {
                *fate = (false, OVER_SIZE.into());
            }
        }
        let decisions = self.sorted.into_iter().zip(self.fates);
        Plan {
            decisions: decisions
                .map(|(backup, (keep, reason))| Decision {
                    backup,
                    keep,
                    reason,
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
            if let (Some(fate), Some(reason)) = (self.fates.get_mut(*place), reason) {
                *fate = (true, reason);
            }
        }
    }

    fn times(&self) -> impl Iterator<Item = Timestamp> {
        let backups = self.good.iter().filter_map(|place| self.sorted.get(*place));
        backups.map(|backup| backup.started)
    }

    /// What counts for nothing stays: what is doubtful until it is of no more use, the rest until
    /// somebody has looked at it.
    fn keep_what_is_not_good(&mut self, is_coming: bool) {
        let successors = self.policy.successors();
        // where room is made, what is only waiting for a look gives way
        let spared = if is_coming {
            self.policy.floor()
        } else {
            successors
        };
        let (mut newer_good, mut newer_doubtful) = (0, 0);
        let all = self.sorted.iter().zip(&self.standings);
        for ((backup, standing), fate) in all.zip(&mut self.fates) {
            let reason = match standing {
                Standing::Good => {
                    newer_good += 1;
                    continue;
                }
                Standing::Held => HELD.into(),
                Standing::Decayed => DECAYED.into(),
                Standing::Future | Standing::Doubtful if backup.pinned => PINNED.into(),
                Standing::Future => FUTURE.into(),
                Standing::Foreign => {
                    format!("of another cluster, {}", backup.source.cluster_id).into()
                }
                Standing::Doubtful => {
                    let doubt = doubt(backup);
                    if newer_good < successors && newer_doubtful >= spared {
                        *fate = (
                            false,
                            format!("{doubt}; newer ones like it {spared}/{spared}").into(),
                        );
                        continue;
                    }
                    newer_doubtful += 1;
                    let newer = newer_good.min(successors);
                    let reason = format!("{doubt}; newer verified ones {newer}/{successors}");
                    *fate = (newer_good < successors, reason.into());
                    continue;
                }
            };
            *fate = (true, reason);
        }
    }

    /// The places that go because of the size: first what is doubtful and has enough successors, then
    /// the oldest good ones. The bytes of what is not good push no good one out.
    fn over_size(&self, coming: u64) -> BTreeSet<usize> {
        let limit = self.policy.max_total_size;
        let mut gone = BTreeSet::new();
        if limit == 0 {
            return gone;
        }
        let is_kept = |place: &usize| self.fates.get(*place).is_some_and(|fate| fate.0);
        let size = |place: &usize| {
            let backup = self.sorted.get(*place);
            backup.map_or(0, |backup| backup.stored.size)
        };
        let is_pinned = |place: &usize| self.sorted.get(*place).is_some_and(|backup| backup.pinned);
        let kept_good: Vec<usize> = self.good.iter().copied().filter(is_kept).collect();
        // a number of backups and of their bytes that no disk reaches
        let good_size = kept_good.iter().map(size).fold(coming, u64::saturating_add);
        let doubtful = self.doubtful().filter(is_kept).collect::<Vec<_>>();
        let mut total = doubtful
            .iter()
            .map(size)
            .fold(good_size, u64::saturating_add);
        let spared = kept_good.get(self.policy.floor() - 1);
        for place in doubtful.iter().rev() {
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

    fn doubtful(&self) -> impl Iterator<Item = usize> {
        let places = self.standings.iter().enumerate();
        places
            .filter(|(_, standing)| **standing == Standing::Doubtful)
            .map(|(place, _)| place)
    }
}

fn doubt(backup: &Summary) -> &'static str {
    if backup.verified {
        "suspect, and a later one was accepted"
    } else {
        "not verified"
    }
}

const PINNED: &str = "pinned";
const HELD: &str = "suspect; nothing is removed until it is accepted";
const DECAYED: &str = "no longer stands up to its proof; verify it again, or remove it by hand";
const FUTURE: &str = "it began in the future; the clock was or is wrong";
const OVER_SIZE: &str = "above max_total_size";
const NO_RULE: &str = "no rule keeps it";
