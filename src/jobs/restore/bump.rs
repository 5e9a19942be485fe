//! How far a restored store moves its revision ahead: past every revision that a client of the lost
//! cluster can have seen, so that nobody's cache takes old data for new.
//!
//! Kubernetes' caches compare revisions. A store that comes back at an older revision hands out
//! revisions anew, and a controller that knows them from before never notices what changed.

use std::fmt;

use jiff::Timestamp;

use crate::error::Refusal;
use crate::report::text;

/// The least that a bump goes beyond the highest revision that was seen: what a cluster under heavy writes needs about a week for.
/// Revisions are 63 bits wide, so that it costs nothing.
pub const FLOOR: u64 = 1_000_000_000;
/// A revision that no bump goes beyond: half of what etcd can count to.
const LIMIT: u64 = (i64::MAX / 2).unsigned_abs();
/// The cluster may have been this much faster after the last backup than it ever was before.
const MARGIN: u64 = 10;
/// Revisions a second where no history tells: more than a large Kubernetes cluster writes.
const ASSUMED_RATE: u64 = 1_000;
/// Bumps are rounded up to this, so that people can read them.
const ROUND: u64 = 1_000_000;

/// Where a store was, and when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// When.
    pub time: Timestamp,
    /// Its revision.
    pub revision: u64,
    /// Who tells.
    pub witness: Witness,
}

/// Who tells where a store was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// The snapshot that is restored.
    Snapshot,
    /// A backup of the cluster with this id. A restore begins a new one.
    Backup(String),
    /// A restore in place, which brought the store back at that revision.
    Restore,
    /// The etcd that is running.
    Etcd,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Witness::Snapshot => "the snapshot",
            Witness::Backup(_) => "a backup",
            Witness::Restore => "an earlier restore in place",
            Witness::Etcd => "the running etcd",
        })
    }
}

/// How far the revision moves, and why so far.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Bump {
    /// Revisions that are added.
    pub by: u64,
    /// The reasoning, in a sentence.
    pub reason: String,
}

/// The bump that an operator asked for.
///
/// # Errors
/// [`Refusal::TooFar`], where too few revisions would be left.
pub fn given(revision: u64, by: u64) -> Result<Bump, Refusal> {
    Ok(Bump {
        by: checked(revision, u128::from(by))?,
        reason: format!("{}, as asked for", grouped(by)),
    })
}

/// Reckons the bump for a store that is at `snapshot`, from where this host's etcd was `seen` at other
/// times, in any order, and whatever its cluster was called then: caches outlive a cluster.
///
/// # Errors
/// [`Refusal::TooFar`], where too few revisions would be left.
pub fn reckon(snapshot: &Sighting, seen: &[Sighting], now: Timestamp) -> Result<Bump, Refusal> {
    // of several at one revision the newest: it was not left until then
    let order = |sighting: &&Sighting| (sighting.revision, sighting.time);
    let highest = seen.iter().max_by_key(order);
    let highest = highest
        .filter(|seen| seen.revision >= snapshot.revision)
        .unwrap_or(snapshot);
    let ahead = highest.revision - snapshot.revision;
    let unseen = seconds(highest.time, now);
    let (per_second, basis) = match peak_rate(seen) {
        Some(rate) => (
            rate.saturating_mul(MARGIN),
            format!("{MARGIN} times the fastest rise between two backups"),
        ),
        None => (
            ASSUMED_RATE,
            format!("assuming {ASSUMED_RATE} a second, as no two backups tell how fast it rises"),
        ),
    };
    let grown = u128::from(per_second) * u128::from(unseen);
    let beyond = grown.max(u128::from(FLOOR));
    let by = (u128::from(ahead) + beyond).next_multiple_of(u128::from(ROUND));
    let by = checked(snapshot.revision, by)?;
    let reach = match ahead {
        0 => "no later revision was seen".to_owned(),
        _ => format!(
            "{} to revision {}, which {} shows, the highest that was seen",
            grouped(ahead),
            grouped(highest.revision),
            highest.witness
        ),
    };
    let since = format!(
        "{} for the {} since then",
        grouped_wide(grown),
        text::duration(unseen)
    );
    let beyond = if grown > u128::from(FLOOR) {
        format!("{since} ({basis})")
    } else {
        let floor = grouped(FLOOR);
        format!("{floor} beyond it, the least that is used; needed are {since} ({basis})")
    };
    let reason = format!("{}: {reach}, and {beyond}", grouped(by));
    Ok(Bump { by, reason })
}

/// The fastest rise between two backups of one cluster in succession, in revisions a second, rounded
/// up. From one cluster to the next the revision jumps, by bumps and by what was lost.
fn peak_rate(seen: &[Sighting]) -> Option<u64> {
    let cluster = |sighting: &Sighting| match &sighting.witness {
        Witness::Backup(cluster) => Some((cluster.clone(), sighting.time, sighting.revision)),
        _ => None,
    };
    let mut backups: Vec<_> = seen.iter().filter_map(cluster).collect();
    backups.sort();
    let pairs = backups.iter().zip(backups.get(1..)?);
    pairs
        .filter(|(before, after)| before.0 == after.0)
        .filter_map(|(before, after)| {
            let rise = after.2.checked_sub(before.2)?;
            let seconds = seconds(before.1, after.1);
            (seconds > 0).then(|| rise.div_ceil(seconds))
        })
        .max()
}

/// Whole seconds, rounded up; none where the clock was set back.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    let passed = to.duration_since(from);
    let whole = u64::try_from(passed.as_secs()).unwrap_or(0);
    whole + u64::from(passed.subsec_nanos() > 0)
}

fn checked(revision: u64, by: u128) -> Result<u64, Refusal> {
    let most = LIMIT.saturating_sub(revision);
    u64::try_from(by)
        .ok()
        .filter(|by| *by <= most)
        .ok_or(Refusal::TooFar { revision, by, most })
}

/// A number with its thousands apart: `1,000,000,000`.
#[must_use]
pub fn grouped(number: u64) -> String {
    grouped_wide(u128::from(number))
}

fn grouped_wide(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    fn at(seconds: i64, revision: u64) -> Sighting {
        seen_by(Witness::Backup("c1".into()), seconds, revision)
    }

    fn seen_by(witness: Witness, seconds: i64, revision: u64) -> Sighting {
        Sighting {
            time: Timestamp::from_second(1_700_000_000 + seconds).unwrap(),
            revision,
            witness,
        }
    }

    #[test]
    fn a_quiet_cluster_is_moved_by_the_floor() {
        let history = [at(-7200, 1_000), at(-3600, 4_600), at(0, 8_200)];
        let bump = reckon(&at(0, 8_200), &history, at(3600, 0).time).unwrap();
        assert_eq!(bump.by, FLOOR);
        // one a second, ten times as fast, for an hour
        assert_eq!(
            bump.reason,
            "1,000,000,000: no later revision was seen, and 1,000,000,000 beyond it, the least that is used; needed \
             are 36,000 for the 1 h since then (10 times the fastest rise between two backups)"
        );
    }

    #[test]
    fn a_busy_cluster_and_an_old_backup_are_moved_by_what_they_need() {
        const DAY: i64 = 86_400;
        // 3,000 a second; the backup is ten days older than the newest one, which is a day old
        let history: Vec<Sighting> = (0..12)
            .map(|day| at(day * DAY, 3_000 * 86_400 * u64::try_from(day).unwrap()))
            .collect();
        let bump = reckon(&history[1], &history, at(12 * DAY, 0).time).unwrap();
        let needed = 3_000 * 86_400 * 10 + 30_000 * 86_400;
        assert_eq!(bump.by, needed);
        assert_eq!(
            bump.reason,
            "5,184,000,000: 2,592,000,000 to revision 2,851,200,000, which a backup shows, the highest that was seen, \
             and 2,592,000,000 for the 1 d since then (10 times the fastest rise between two backups)"
        );
    }

    #[test]
    fn a_backup_alone_is_moved_by_what_a_large_cluster_writes() {
        let month = 30 * 86_400;
        let bump = reckon(&at(0, 5), &[at(0, 5)], at(month, 0).time).unwrap();
        assert_eq!(bump.by, 2_592_000_000);
        assert!(
            bump.reason.contains("no two backups tell"),
            "{}",
            bump.reason
        );
    }

    #[test]
    fn a_clock_that_was_set_back_and_a_revision_that_fell_do_no_harm() {
        let history = [at(0, 9_000), at(60, 10), at(120, 70)];
        let bump = reckon(&at(120, 70), &history, at(-500, 0).time).unwrap();
        assert!(bump.by >= FLOOR + 8_930, "{bump:?}");
        assert!(
            bump.reason.contains("8,930 to revision 9,000"),
            "{}",
            bump.reason
        );
    }

    /// Whoever saw it, and whatever the cluster was called: nobody is told of a revision twice.
    #[test]
    fn the_floor_comes_on_top_of_all_that_was_seen() {
        let snapshot = at(0, 1_000);
        for (witness, shown) in [
            (Witness::Backup("c2".into()), "a backup"),
            (Witness::Restore, "an earlier restore in place"),
            (Witness::Etcd, "the running etcd"),
        ] {
            let later = seen_by(witness, 3_600, FLOOR + 2_000_000_000);
            let seen = [snapshot.clone(), later.clone()];
            let bump = reckon(&snapshot, &seen, at(3_700, 0).time).unwrap();
            assert!(
                snapshot.revision + bump.by >= later.revision + FLOOR,
                "{bump:?}"
            );
            assert!(
                bump.reason.contains(&format!("which {shown} shows")),
                "{bump:?}"
            );
        }
    }

    /// A bump between two clusters is no growth: each restore would need a larger one.
    #[test]
    fn a_jump_from_one_cluster_to_the_next_is_no_growth() {
        let second = |seconds, revision| seen_by(Witness::Backup("c2".into()), seconds, revision);
        let seen = [
            at(0, 10),
            at(100, 110),
            second(200, FLOOR),
            second(300, FLOOR + 200),
        ];
        assert_eq!(peak_rate(&seen), Some(2));
        assert_eq!(peak_rate(&[at(0, 10), second(200, FLOOR)]), None);
    }

    /// A copy's date is when it was copied.
    #[test]
    fn a_fresh_date_makes_no_bump_smaller_than_the_floor() {
        let copy = seen_by(Witness::Snapshot, 1_000, 50);
        let bump = reckon(&copy, &[at(0, 40), at(500, 2_000_050)], copy.time).unwrap();
        assert!(bump.by >= FLOOR + 2_000_000, "{bump:?}");
    }

    #[test]
    fn no_bump_leaves_etcd_without_revisions() {
        assert_eq!(given(5, 7).unwrap().by, 7);
        for by in [LIMIT, u64::MAX] {
            let refused = given(5, by).unwrap_err();
            assert!(matches!(refused, Refusal::TooFar { most, .. } if most == LIMIT - 5));
        }
        assert!(reckon(&at(0, LIMIT - FLOOR + 1), &[], at(0, 0).time).is_err());
        assert!(reckon(&at(0, u64::MAX), &[], at(0, 0).time).is_err());
        let fast = [at(0, 0), at(1, u64::MAX / 2)];
        let refused = reckon(&at(0, 0), &fast, at(4_000_000_000, 0).time);
        assert!(refused.is_err());
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    proptest! {
        /// Whatever the history: the store comes back above everything that was seen, and above what a cluster that
        /// goes on as fast as ever reaches by now.
        #[test]
        fn a_bump_passes_everything_that_can_have_been_seen(
            steps in prop::collection::vec((1_i64..100_000, 0_u64..1_000_000), 1..20),
            chosen in any::<prop::sample::Index>(),
            since in 0_i64..10_000_000,
        ) {
            let mut history = vec![at(0, 1)];
            for (seconds, rise) in &steps {
                let last = &history[history.len() - 1];
                let next = Sighting {
                    time: last.time + SignedDuration::from_secs(*seconds),
                    revision: last.revision + rise,
                    witness: last.witness.clone(),
                };
                history.push(next);
            }
            let backup = &history[chosen.index(history.len())];
            let last = &history[history.len() - 1];
            let now = last.time + SignedDuration::from_secs(since);
            let bump = reckon(backup, &history, now).unwrap();
            let fastest = steps.iter().map(|(seconds, rise)| rise / u64::try_from(*seconds).unwrap()).max().unwrap();
            let reached = last.revision + fastest * u64::try_from(since).unwrap();
            prop_assert!(backup.revision + bump.by >= reached.max(last.revision + FLOOR));
        }
    }
}
