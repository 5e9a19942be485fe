use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::catalog::tests::manifest;
use crate::catalog::{BackupId, Outcome, Reproof};
use crate::sha256::Sha256;

/// A policy that keeps nothing but the floor.
fn nothing(zone: &str) -> Policy {
    Policy {
        keep_last: 0,
        keep_within: Duration::ZERO,
        keep_hourly: 0,
        keep_daily: 0,
        keep_weekly: 0,
        keep_monthly: 0,
        keep_yearly: 0,
        max_total_size: 0,
        min_verified: 1,
        zone: TimeZone::get(zone).unwrap(),
    }
}

fn backup(time: Timestamp) -> Summary {
    let mut backup = Summary::from(manifest("20261122T060000Z", 1));
    backup.id = BackupId::at(time);
    backup.started = time;
    backup
}

fn reproof(result: Outcome) -> Reproof {
    Reproof {
        at: time("2026-11-22T06:00:00Z"),
        result,
        problems: Vec::new(),
    }
}

/// Suspect, and a later one was accepted.
fn release(backup: &mut Summary) {
    backup.suspicions = vec!["keys are gone".into()];
    backup.released = Some(time("2026-11-22T06:00:00Z"));
}

/// Another cluster, whose files lie in the same directory.
fn adopt(backup: &mut Summary) {
    backup.source.cluster_id = "9".into();
    backup.ca = Some(Sha256::of(b"another CA"));
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The plan for these backups, whose sizes are one byte each: `keep` or `remove` and the reason.
fn planned(policy: &Policy, backups: &[Summary], now: &str) -> Vec<(bool, String)> {
    let plan = Plan::make(policy, backups, None, time(now));
    let told = plan.decisions.into_iter();
    told.map(|decision| (decision.keep, decision.reason.into_owned()))
        .collect()
}

/// `keep_daily=2` and the like.
fn set(policy: &mut Policy, word: &str) {
    let (key, value) = word.split_once('=').unwrap();
    let count = || value.parse().unwrap();
    match key {
        "keep_last" => policy.keep_last = count(),
        "keep_hourly" => policy.keep_hourly = count(),
        "keep_daily" => policy.keep_daily = count(),
        "keep_weekly" => policy.keep_weekly = count(),
        "keep_monthly" => policy.keep_monthly = count(),
        "keep_yearly" => policy.keep_yearly = count(),
        "keep_within" => policy.keep_within = Duration::from_hours(value.parse().unwrap()),
        "max_total_size" => policy.max_total_size = value.parse().unwrap(),
        "min_verified" => policy.min_verified = count(),
        "zone" => policy.zone = TimeZone::get(value).unwrap(),
        _ => panic!("{key} is no key"),
    }
}

/// Each block of the table is a policy, a time, and the backups with what is to become of them.
#[test]
fn the_rules_keep_what_the_golden_tables_say() {
    let table = include_str!("../../tests/golden/retention.txt");
    let (mut blocks, mut rows) = (0, 0);
    for block in table.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let mut lines = block.lines().filter(|line| !line.starts_with('#'));
        let head = lines.next().unwrap();
        let mut policy = nothing("UTC");
        let mut now = None;
        for word in head.split_whitespace() {
            match word.strip_prefix("now=") {
                Some(time) => now = Some(time),
                None => set(&mut policy, word),
            }
        }
        let rows_of_block: Vec<(&str, &str)> =
            lines.map(|line| line.split_once('|').unwrap()).collect();
        let backups: Vec<Summary> = rows_of_block
            .iter()
            .map(|(left, _)| {
                let mut words = left.split_whitespace();
                let mut backup = backup(time(words.next().unwrap()));
                backup.stored.size = 1;
                for word in words {
                    match word {
                        "pinned" => backup.pinned = true,
                        "failed" => backup.verified = false,
                        "decayed" => backup.last_verified = Some(reproof(Outcome::Failed)),
                        "released" => release(&mut backup),
                        "foreign" => adopt(&mut backup),
                        _ => backup.stored.size = word.parse().unwrap(),
                    }
                }
                backup
            })
            .collect();
        let expected: Vec<(bool, String)> = rows_of_block
            .iter()
            .map(|(_, right)| {
                let (verdict, reason) = right.trim().split_once(": ").unwrap();
                (verdict == "keep", reason.to_owned())
            })
            .collect();
        assert_eq!(
            planned(&policy, &backups, now.unwrap()),
            expected,
            "{block}"
        );
        (blocks, rows) = (blocks + 1, rows + expected.len());
    }
    assert!(blocks >= 20 && rows >= 100, "{blocks} blocks, {rows} rows");
}

#[test]
fn a_coming_backup_counts_for_the_rules_and_never_for_the_floor() {
    let mut policy = nothing("UTC");
    policy.keep_last = 3;
    let backups = [
        "2026-11-22T03:00:00Z",
        "2026-11-22T02:00:00Z",
        "2026-11-22T01:00:00Z",
    ]
    .map(|at| backup(time(at)));
    for (min_verified, goes) in [(2, true), (3, false)] {
        policy.min_verified = min_verified;
        let now = time("2026-11-22T04:00:00Z");
        let plan = Plan::make(&policy, &backups, Some(Coming { size: 4 }), now);
        let removed: Vec<_> = plan.removals().map(|d| d.backup.started).collect();
        let expected: Vec<Timestamp> = goes.then(|| backups[2].started).into_iter().collect();
        assert_eq!(removed, expected, "{min_verified}");
    }
}

/// A random history: any order, any time, any state.
fn histories() -> impl Strategy<Value = Vec<Summary>> {
    // gaps from none over minutes to months, so that each rule has something to tell apart
    let gap = prop_oneof![
        1 => Just(0_i64),
        4 => 1..7_200_i64,
        3 => 3_600..90_000_i64,
        2 => 86_400..3_000_000_i64,
        1 => 20_000_000..40_000_000_i64,
    ];
    let one = (gap, 0..14_u8, prop::bool::weighted(0.1), 0..50_u64);
    let held = prop::option::weighted(0.1, 0..60_usize);
    (prop::collection::vec(one, 0..60), held).prop_map(|(gaps, held)| {
        let mut at = time("2026-11-22T06:00:00Z");
        let mut taken = BTreeSet::new();
        let mut backups: Vec<Summary> = Vec::new();
        for (gap, state, pinned, size) in gaps {
            at -= SignedDuration::from_secs(gap);
            let mut one = backup(at);
            while !taken.insert(one.id.clone()) {
                one.id = one.id.following();
            }
            one.verified = !matches!(state, 0 | 1 | 6);
            match state {
                2 => one.last_verified = Some(reproof(Outcome::Failed)),
                3 => release(&mut one),
                4 => {
                    one.suspicions = vec!["keys are gone".into()];
                    one.accepted = Some(at);
                }
                5 | 6 => adopt(&mut one),
                7 => one.last_verified = Some(reproof(Outcome::Passed)),
                _ => {}
            }
            one.pinned = pinned;
            one.stored.size = size;
            backups.push(one);
        }
        if let Some(held) = held.and_then(|place| backups.get_mut(place)) {
            held.suspicions = vec!["keys are gone".into()];
            (held.accepted, held.released) = (None, None);
        }
        backups
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let count = || prop_oneof![3 => Just(0_u32), 4 => 1..8_u32, 1 => Just(1_000_000)];
    let zone = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kathmandu",
    ]);
    let rules = (count(), count(), count(), count(), count(), count());
    let hours = prop_oneof![3 => Just(0_u64), 2 => 1..2_000_u64];
    let limit = prop_oneof![2 => Just(0_u64), 2 => 1..600_u64];
    (rules, hours, limit, 0..6_u32, zone).prop_map(
        |((last, hourly, daily, weekly, monthly, yearly), hours, limit, floor, zone)| Policy {
            keep_last: last,
            keep_within: Duration::from_hours(hours),
            keep_hourly: hourly,
            keep_daily: daily,
            keep_weekly: weekly,
            keep_monthly: monthly,
            keep_yearly: yearly,
            max_total_size: limit,
            min_verified: floor,
            zone: TimeZone::get(zone).unwrap(),
        },
    )
}

/// A present that lies after, between or before the backups.
fn presents() -> impl Strategy<Value = Timestamp> {
    (-60_000_000..10_000_000_i64)
        .prop_map(|offset| time("2026-11-22T06:00:00Z") + SignedDuration::from_secs(offset))
}

fn ids<'d>(decisions: impl Iterator<Item = &'d Decision<'d>>) -> BTreeSet<BackupId> {
    decisions
        .map(|decision| decision.backup.id.clone())
        .collect()
}

fn removed(plan: &Plan<'_>) -> BTreeSet<BackupId> {
    plan.removals()
        .map(|decision| decision.backup.id.clone())
        .collect()
}

/// The backups that count, newest first: good ones of this time and of the cluster of the newest of
/// them.
fn counting(backups: &[Summary], now: Timestamp) -> Vec<&Summary> {
    let mut good: Vec<&Summary> = backups
        .iter()
        .filter(|backup| {
            let stands = backup.last_verified.as_ref();
            let stands = stands.is_none_or(|last| last.result == Outcome::Passed);
            let is_clear = backup.suspicions.is_empty() || backup.accepted.is_some();
            backup.verified && stands && is_clear && backup.started <= now
        })
        .collect();
    good.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    let own = good.first().map(|newest| newest.source.cluster_id.clone());
    good.retain(|backup| Some(&backup.source.cluster_id) == own.as_ref());
    good
}

fn is_frozen(backups: &[Summary]) -> bool {
    backups.iter().any(Summary::is_held)
}

/// Which good backups the rules keep, worked out another way: by the names of their hours and days.
fn reference(policy: &Policy, backups: &[Summary], now: Timestamp) -> BTreeSet<BackupId> {
    let good = counting(backups, now);
    let mut kept: BTreeSet<BackupId> = BTreeSet::new();
    let first = |n: u32| good.iter().take(n as usize).map(|b| b.id.clone());
    kept.extend(first(policy.keep_last));
    kept.extend(first(policy.min_verified.max(1)));
    if let Some(newest) = good.first() {
        let is_within = |b: &&&Summary| {
            newest.started.as_second() - b.started.as_second()
                < i64::try_from(policy.keep_within.as_secs()).unwrap()
        };
        kept.extend(good.iter().filter(is_within).map(|b| b.id.clone()));
    }
    for (count, name) in [
        (policy.keep_hourly, "%Y-%m-%d %H %z"),
        (policy.keep_daily, "%Y-%m-%d"),
        (policy.keep_weekly, "%G-%V"),
        (policy.keep_monthly, "%Y-%m"),
        (policy.keep_yearly, "%Y"),
    ] {
        let mut newest_of: BTreeMap<String, &Summary> = BTreeMap::new();
        for backup in &good {
            let local = backup.started.to_zoned(policy.zone.clone());
            newest_of
                .entry(local.strftime(name).to_string())
                .or_insert(backup);
        }
        let mut picked: Vec<&Summary> = newest_of.into_values().collect();
        picked.sort_by_key(|backup| Reverse((backup.started, backup.id.clone())));
        picked.truncate(count as usize);
        if picked.len() < count as usize {
            picked.extend(good.last());
        }
        kept.extend(picked.into_iter().map(|backup| backup.id.clone()));
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_plan_goes_below_the_floor_or_touches_what_is_for_a_person_to_decide(
        policy in policies(), backups in histories(), now in presents(), size in 0..99_u64,
    ) {
        for coming in [None, Some(Coming { size })] {
            let plan = Plan::make(&policy, &backups, coming, now);
            prop_assert_eq!(plan.decisions.len(), backups.len());
            let gone = removed(&plan);
            for spared in counting(&backups, now).iter().take(policy.min_verified.max(1) as usize) {
                prop_assert!(!gone.contains(&spared.id), "{} is of the floor", spared.id);
            }
            let own = counting(&backups, now).first().map(|newest| newest.source.cluster_id.clone());
            for backup in &backups {
                let is_foreign = own.as_ref().is_some_and(|own| *own != backup.source.cluster_id);
                let is_spared = backup.pinned || backup.started > now || is_foreign
                    || backup.decay().is_some();
                prop_assert!(!(is_spared && gone.contains(&backup.id)), "{}", backup.id);
            }
            prop_assert!(gone.is_empty() || !is_frozen(&backups), "a suspect one is held");
        }
    }

    #[test]
    fn what_lost_its_snapshot_counts_for_nothing_but_its_hold(
        policy in policies(), backups in histories(), lost in histories(), now in presents(),
    ) {
        let without = removed(&Plan::make(&policy, &backups, None, now));
        let with = removed(&Plan::make(&policy, &backups, None, now).with_lost(&lost));
        let expected = if is_frozen(&lost) { BTreeSet::new() } else { without };
        prop_assert_eq!(with, expected);
    }

    #[test]
    fn what_is_carried_out_leaves_nothing_to_do(
        policy in policies(), backups in histories(), now in presents(),
    ) {
        let gone = removed(&Plan::make(&policy, &backups, None, now));
        let rest: Vec<Summary> = backups.into_iter().filter(|b| !gone.contains(&b.id)).collect();
        let again = removed(&Plan::make(&policy, &rest, None, now));
        prop_assert!(again.is_empty(), "{again:?} after {gone:?}");
    }

    #[test]
    fn the_order_in_which_backups_are_told_is_of_no_account(
        policy in policies(), backups in histories(), now in presents(), seed in any::<u64>(),
    ) {
        let plan = Plan::make(&policy, &backups, None, now);
        let mut shuffled = backups.clone();
        let key = |backup: &Summary| {
            let second = backup.id.time().as_second().cast_unsigned();
            (second ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        shuffled.sort_by_key(key);
        let other = Plan::make(&policy, &shuffled, None, now);
        prop_assert_eq!(plan.decisions, other.decisions);
    }

    #[test]
    fn what_is_not_good_not_ours_or_not_of_this_time_costs_no_good_one(
        policy in policies(), backups in histories(), now in presents(),
    ) {
        prop_assume!(!is_frozen(&backups));
        let with = Plan::make(&policy, &backups, None, now);
        let good: Vec<Summary> = counting(&backups, now).into_iter().cloned().collect();
        let without = Plan::make(&policy, &good, None, now);
        let counts: BTreeSet<BackupId> = good.iter().map(|backup| backup.id.clone()).collect();
        let of_good = with.decisions.iter().filter(|d| counts.contains(&d.backup.id));
        prop_assert_eq!(ids(of_good.filter(|d| !d.keep)), removed(&without));
    }

    #[test]
    fn the_rules_agree_with_a_plain_reading_of_them(
        mut policy in policies(), backups in histories(), now in presents(),
    ) {
        prop_assume!(!is_frozen(&backups));
        policy.max_total_size = 0;
        let plan = Plan::make(&policy, &backups, None, now);
        let expected = reference(&policy, &backups, now);
        let gone = removed(&plan);
        for backup in counting(&backups, now).into_iter().filter(|backup| !backup.pinned) {
            prop_assert_eq!(!gone.contains(&backup.id), expected.contains(&backup.id), "{}", &backup.id);
        }
    }

    #[test]
    fn a_more_generous_policy_removes_nothing_more(
        mut policy in policies(), backups in histories(), now in presents(), which in 0..8_usize,
    ) {
        policy.max_total_size = 0;
        let before = removed(&Plan::make(&policy, &backups, None, now));
        let counts = [
            &mut policy.keep_last, &mut policy.keep_hourly, &mut policy.keep_daily,
            &mut policy.keep_weekly, &mut policy.keep_monthly, &mut policy.keep_yearly,
            &mut policy.min_verified,
        ];
        match counts.into_iter().nth(which) {
            // what is not verified waits for more successors then, and that keeps more, too
            Some(count) => *count += 1,
            None => policy.keep_within += Duration::from_hours(50),
        }
        let after = removed(&Plan::make(&policy, &backups, None, now));
        prop_assert!(after.is_subset(&before), "{after:?} instead of {before:?}");
    }

    #[test]
    fn the_size_takes_the_oldest_that_nothing_protects_and_no_more_than_needed(
        unlimited in policies(), backups in histories(), now in presents(), limit in 1..600_u64,
    ) {
        prop_assume!(!is_frozen(&backups));
        let unlimited = Policy { max_total_size: 0, ..unlimited };
        let policy = Policy { max_total_size: limit, ..unlimited.clone() };
        let gone_before = removed(&Plan::make(&unlimited, &backups, None, now));
        let gone = removed(&Plan::make(&policy, &backups, None, now));
        let mut good = counting(&backups, now);
        good.retain(|backup| !gone_before.contains(&backup.id));
        let total = |skip: &BTreeSet<BackupId>| -> u64 {
            good.iter().filter(|b| !skip.contains(&b.id)).map(|b| b.stored.size).sum()
        };
        let floor = policy.min_verified.max(1) as usize;
        let free: Vec<&Summary> = good.iter().copied().skip(floor).filter(|b| !b.pinned).collect();
        let by_size: Vec<&Summary> = free.iter().copied().filter(|b| gone.contains(&b.id)).collect();
        // the oldest of those that may go, without a gap
        let oldest = free.iter().rev().take(by_size.len()).map(|b| &b.id);
        prop_assert!(oldest.eq(by_size.iter().rev().map(|b| &b.id)));
        prop_assert!(total(&gone) <= limit || by_size.len() == free.len());
        if let Some(last) = by_size.first() {
            let mut one_less = gone.clone();
            one_less.remove(&last.id);
            prop_assert!(total(&one_less) > limit, "{} could have stayed", last.id);
        }
    }
}

#[test]
fn nothing_is_removed_while_a_suspect_backup_is_held() {
    let policy = nothing("UTC");
    let mut backups: Vec<Summary> = (1..=4)
        .map(|hour| backup(time(&format!("2026-11-22T0{hour}:00:00Z"))))
        .collect();
    let kept = |backups: &[Summary]| {
        let planned = planned(&policy, backups, "2026-11-22T06:00:00Z");
        planned.iter().filter(|(keep, _)| *keep).count()
    };
    assert_eq!(kept(&backups), 1);
    backups[1].suspicions = vec!["keys are gone".into()];
    assert_eq!(kept(&backups), 4);
    let planned = planned(&policy, &backups, "2026-11-22T06:00:00Z");
    let why = "nothing is removed until backup 20261122T020000Z is accepted: it is suspect";
    assert!(planned.contains(&(true, why.into())), "{planned:?}");
    // nor does it help that its snapshot is lost
    let lost = [backups.remove(1)];
    let now = time("2026-11-22T06:00:00Z");
    let removals = |lost: &[Summary]| {
        let plan = Plan::make(&policy, &backups, None, now).with_lost(lost);
        plan.removals().count()
    };
    assert_eq!((removals(&lost), removals(&[])), (0, 2));
    backups.insert(1, lost[0].clone());
    // accepted or not, once somebody has decided the policy holds again
    backups[1].released = Some(time("2026-11-22T05:00:00Z"));
    assert_eq!(kept(&backups), 1);
    backups[1].accepted = Some(time("2026-11-22T05:00:00Z"));
    assert_eq!(kept(&backups), 1);
}

#[test]
fn what_is_not_verified_gives_way_to_a_coming_backup_down_to_the_floor() {
    let policy = Policy {
        keep_last: 24,
        min_verified: 3,
        ..nothing("UTC")
    };
    // backups that nobody can confirm, every hour, and one good one before them
    let hour = |hour| time("2026-11-22T00:00:00Z") + SignedDuration::from_hours(hour);
    let mut backups: Vec<Summary> = (0..40).map(|number| backup(hour(number))).collect();
    for doubtful in &mut backups[1..] {
        doubtful.verified = false;
    }
    let gone = |coming| removed(&Plan::make(&policy, &backups, coming, hour(40)));
    let oldest = |count: usize| -> BTreeSet<BackupId> {
        let doubtful = backups[1..].iter().take(count);
        doubtful.map(|backup| backup.id.clone()).collect()
    };
    assert_eq!(gone(None), oldest(39 - 24));
    assert_eq!(gone(Some(Coming { size: 1 })), oldest(39 - 3));
}

/// What a backup says of its cluster: its id, its CA, and the ids that came before.
fn of(hour: i64, cluster: &str, ca: Option<&str>, succeeds: &[&str]) -> Summary {
    let mut backup = backup(time("2026-11-22T00:00:00Z") + SignedDuration::from_hours(hour));
    backup.source.cluster_id = cluster.into();
    backup.ca = ca.map(|ca| Sha256::of(ca.as_bytes()));
    backup.succeeds = succeeds.iter().map(|id| (*id).to_owned()).collect();
    backup
}

/// Backups, and how many of them are of another cluster.
#[rustfmt::skip]
fn lineages() -> [(&'static str, Vec<Summary>, usize); 8] {
    let doubted = |mut backup: Summary| {
        release(&mut backup);
        backup
    };
    let (own, twin) = (Some("own"), Some("twin"));
    [
        ("one id and one CA", vec![of(1, "a", own, &[]), of(2, "a", own, &[])], 0),
        ("the CA was renewed", vec![of(1, "a", own, &[]), of(2, "a", twin, &[])], 0),
        ("a restore under the same CA", vec![of(1, "a", own, &[]), of(2, "b", own, &[])], 0),
        ("no copies of a CA were kept", vec![of(1, "a", None, &[]), of(2, "a", own, &[])], 0),
        ("another host's", vec![of(1, "z", twin, &[]), of(2, "a", own, &[])], 1),
        ("another host's, without a CA", vec![of(1, "z", None, &[]), of(2, "a", None, &[])], 1),
        ("a rebuild that was accepted", vec![
            of(1, "a", own, &[]), of(2, "b", twin, &["a"]), of(3, "c", None, &["b"]),
        ], 0),
        ("what nobody has accepted links nothing", vec![
            of(1, "z", twin, &[]), doubted(of(2, "z", own, &[])), of(3, "a", own, &[]),
        ], 1),
    ]
}

#[test]
fn a_cluster_is_all_that_is_linked_with_the_newest_good_backup() {
    for (name, backups, foreign) in lineages() {
        let plan = Plan::make(
            &nothing("UTC"),
            &backups,
            None,
            time("2026-11-23T00:00:00Z"),
        );
        let told = plan.decisions.iter();
        let told = told.filter(|decision| decision.reason == "of another cluster, z");
        assert_eq!(told.count(), foreign, "{name}");
        // of good ones, the newest is the floor
        let good = backups.iter().filter(|backup| backup.is_good()).count();
        let gone = plan.removals().filter(|decision| decision.backup.is_good());
        assert_eq!(gone.count(), good - 1 - foreign, "{name}");
    }
}

#[test]
fn a_future_backup_does_not_tell_which_cluster_this_is() {
    let backups = [
        of(1, "a", None, &[]),
        of(2, "a", None, &[]),
        of(90, "z", None, &[]),
    ];
    let plan = Plan::make(
        &nothing("UTC"),
        &backups,
        None,
        time("2026-11-23T00:00:00Z"),
    );
    assert_eq!(removed(&plan), BTreeSet::from([backups[0].id.clone()]));
}
