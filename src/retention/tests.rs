use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::catalog::BackupId;
use crate::catalog::tests::manifest;

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

fn backup(time: Timestamp) -> Manifest {
    let mut backup = manifest("20261122T060000Z", 1);
    backup.id = BackupId::at(time);
    backup.started = time;
    backup
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The plan for these backups, whose sizes are one byte each: `keep` or `remove` and the reason.
fn planned(policy: &Policy, backups: &[Manifest], now: &str) -> Vec<(bool, String)> {
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
        let backups: Vec<Manifest> = rows_of_block
            .iter()
            .map(|(left, _)| {
                let mut words = left.split_whitespace();
                let mut backup = backup(time(words.next().unwrap()));
                backup.stored.size = 1;
                for word in words {
                    match word {
                        "pinned" => backup.pinned = true,
                        "failed" => backup.verified = false,
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
fn histories() -> impl Strategy<Value = Vec<Manifest>> {
    // gaps from none over minutes to months, so that each rule has something to tell apart
    let gap = prop_oneof![
        1 => Just(0_i64),
        4 => 1..7_200_i64,
        3 => 3_600..90_000_i64,
        2 => 86_400..3_000_000_i64,
        1 => 20_000_000..40_000_000_i64,
    ];
    let one = (gap, 0..6_u8, prop::bool::weighted(0.1), 0..50_u64);
    prop::collection::vec(one, 0..60).prop_map(|gaps| {
        let mut at = time("2026-11-22T06:00:00Z");
        let mut taken = BTreeSet::new();
        let mut backups: Vec<Manifest> = Vec::new();
        for (gap, state, pinned, size) in gaps {
            at -= SignedDuration::from_secs(gap);
            let mut one = backup(at);
            while !taken.insert(one.id.clone()) {
                one.id = one.id.following();
            }
            one.verified = state > 0;
            one.pinned = pinned;
            one.stored.size = size;
            backups.push(one);
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

/// Which good backups the rules keep, worked out another way: by the names of their hours and days.
fn reference(policy: &Policy, backups: &[Manifest], now: Timestamp) -> BTreeSet<BackupId> {
    let mut good: Vec<&Manifest> = backups
        .iter()
        .filter(|backup| backup.verified && backup.started <= now)
        .collect();
    good.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    let mut kept: BTreeSet<BackupId> = BTreeSet::new();
    let first = |n: u32| good.iter().take(n as usize).map(|b| b.id.clone());
    kept.extend(first(policy.keep_last));
    kept.extend(first(policy.min_verified.max(1)));
    if let Some(newest) = good.first() {
        let is_within = |b: &&&Manifest| {
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
        let mut newest_of: BTreeMap<String, &Manifest> = BTreeMap::new();
        for backup in &good {
            let local = backup.started.to_zoned(policy.zone.clone());
            newest_of
                .entry(local.strftime(name).to_string())
                .or_insert(backup);
        }
        let mut picked: Vec<&Manifest> = newest_of.into_values().collect();
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
    fn no_plan_goes_below_the_floor_or_touches_a_pin_or_the_future(
        policy in policies(), backups in histories(), now in presents(),
    ) {
        let plan = Plan::make(&policy, &backups, None, now);
        prop_assert_eq!(plan.decisions.len(), backups.len());
        let gone = removed(&plan);
        let is_present = |backup: &&Manifest| backup.verified && backup.started <= now;
        let mut good: Vec<&Manifest> = backups.iter().filter(is_present).collect();
        good.sort_by_key(|backup| Reverse((backup.started, backup.id.clone())));
        for spared in good.iter().take(policy.min_verified.max(1) as usize) {
            prop_assert!(!gone.contains(&spared.id), "{} is of the floor", spared.id);
        }
        for backup in &backups {
            let is_spared = backup.pinned || backup.started > now;
            prop_assert!(!(is_spared && gone.contains(&backup.id)), "{}", backup.id);
        }
    }

    #[test]
    fn what_is_carried_out_leaves_nothing_to_do(
        policy in policies(), backups in histories(), now in presents(),
    ) {
        let gone = removed(&Plan::make(&policy, &backups, None, now));
        let rest: Vec<Manifest> = backups.into_iter().filter(|b| !gone.contains(&b.id)).collect();
        let again = removed(&Plan::make(&policy, &rest, None, now));
        prop_assert!(again.is_empty(), "{again:?} after {gone:?}");
    }

    #[test]
    fn the_order_in_which_backups_are_told_is_of_no_account(
        policy in policies(), backups in histories(), now in presents(), seed in any::<u64>(),
    ) {
        let plan = Plan::make(&policy, &backups, None, now);
        let mut shuffled = backups.clone();
        let key = |backup: &Manifest| {
            let second = backup.id.time().as_second().cast_unsigned();
            (second ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        shuffled.sort_by_key(key);
        let other = Plan::make(&policy, &shuffled, None, now);
        prop_assert_eq!(plan.decisions, other.decisions);
    }

    #[test]
    fn failed_backups_and_those_of_the_future_cost_no_good_one(
        policy in policies(), backups in histories(), now in presents(),
    ) {
        let counts = |backup: &Manifest| backup.verified && backup.started <= now;
        let with = Plan::make(&policy, &backups, None, now);
        let good: Vec<Manifest> = backups.iter().filter(|b| counts(b)).cloned().collect();
        let without = Plan::make(&policy, &good, None, now);
        let of_good = with.decisions.iter().filter(|decision| counts(decision.backup));
        prop_assert_eq!(ids(of_good.filter(|d| !d.keep)), removed(&without));
    }

    #[test]
    fn the_rules_agree_with_a_plain_reading_of_them(
        mut policy in policies(), backups in histories(), now in presents(),
    ) {
        policy.max_total_size = 0;
        let plan = Plan::make(&policy, &backups, None, now);
        let expected = reference(&policy, &backups, now);
        for decision in &plan.decisions {
            let backup = decision.backup;
            if backup.verified && backup.started <= now && !backup.pinned {
                prop_assert_eq!(decision.keep, expected.contains(&backup.id), "{:?}", decision.reason);
            }
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
        let unlimited = Policy { max_total_size: 0, ..unlimited };
        let policy = Policy { max_total_size: limit, ..unlimited.clone() };
        let kept_before: Vec<&Manifest> = Plan::make(&unlimited, &backups, None, now)
            .decisions.iter().filter(|d| d.keep).map(|d| d.backup).collect();
        let gone = removed(&Plan::make(&policy, &backups, None, now));
        let good: Vec<&Manifest> = kept_before.iter().copied()
            .filter(|b| b.verified && b.started <= now).collect();
        let total = |skip: &BTreeSet<BackupId>| -> u64 {
            good.iter().filter(|b| !skip.contains(&b.id)).map(|b| b.stored.size).sum()
        };
        let floor = policy.min_verified.max(1) as usize;
        let free: Vec<&Manifest> = good.iter().copied().skip(floor).filter(|b| !b.pinned).collect();
        let by_size: Vec<&Manifest> = free.iter().copied().filter(|b| gone.contains(&b.id)).collect();
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
    let mut backups: Vec<Manifest> = (1..=4)
        .map(|hour| backup(time(&format!("2026-11-22T0{hour}:00:00Z"))))
        .collect();
    let kept = |backups: &[Manifest]| {
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
    let removals = |lost: &[Manifest]| {
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
