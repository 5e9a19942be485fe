use super::*;
use crate::catalog::tests::manifest;
use crate::catalog::{Manifest, Outcome, Reproof};

fn status(backups: Vec<Manifest>, now: &str, stale_after: Option<Duration>) -> Status {
    troubled(backups, now, stale_after, &Trouble::default())
}

fn troubled(
    backups: Vec<Manifest>,
    now: &str,
    stale_after: Option<Duration>,
    trouble: &Trouble,
) -> Status {
    let mut backups: Vec<Summary> = backups.into_iter().map(Summary::from).collect();
    backups.sort_by_key(|backup| std::cmp::Reverse(backup.started));
    let listing = Listing {
        backups,
        unreadable: Vec::new(),
        lost: Vec::new(),
    };
    let schedule = Schedule::parse("0 * * * *", "UTC").unwrap();
    Status::of(&View {
        unfinished: None,
        listing: &listing,
        schedule: &schedule,
        jitter: Duration::ZERO,
        stale_after,
        space: Space { free: 1, total: 2 },
        certificates: Vec::new(),
        trouble,
        now: now.parse().unwrap(),
    })
}

#[test]
fn the_newest_verified_backup_must_cover_the_last_run_that_is_done() {
    let backup = || vec![manifest("20261122T140003Z", 7)];
    // hourly: the run of 15:00 counts as missed from 15:10 on
    for (now, ok) in [
        ("2026-11-22T14:30:00Z", true),
        ("2026-11-22T15:09:59Z", true),
        ("2026-11-22T15:10:00Z", false),
    ] {
        let status = status(backup(), now, None);
        assert_eq!(status.ok, ok, "{now}: {:?}", status.problems);
    }
    let stale = status(backup(), "2026-11-22T15:12:03Z", None);
    assert_eq!(
        stale.problems,
        [
            "the newest verified backup is 1 h 12 min old; no verified backup came of the run of 2026-11-22T15:00:00Z"
        ]
    );
    assert_eq!(stale.next.unwrap().to_string(), "2026-11-22T16:00:00Z");
}

#[test]
fn a_limit_of_the_operator_replaces_the_schedule() {
    let status = |now| {
        status(
            vec![manifest("20261122T140000Z", 7)],
            now,
            Some(Duration::from_hours(3)),
        )
    };
    assert!(status("2026-11-22T16:59:00Z").ok);
    assert_eq!(
        status("2026-11-22T17:01:00Z").problems,
        ["the newest verified backup is 3 h 1 min old; report.stale_after allows 3 h"]
    );
}

#[test]
fn an_unverified_backup_is_no_backup() {
    let mut unverified = manifest("20261122T150000Z", 9);
    unverified.verified = false;
    let alone = status(vec![unverified.clone()], "2026-11-22T15:05:00Z", None);
    assert_eq!(alone.problems[0], "there is no verified backup");
    let beside = status(
        vec![manifest("20261122T140000Z", 7), unverified],
        "2026-11-22T15:05:00Z",
        None,
    );
    assert_eq!(beside.newest_verified.unwrap().revision, 7);
    assert_eq!(
        beside.problems,
        ["1 newer backup is not verified, the last of them 20261122T150000Z"]
    );
}

#[test]
fn a_member_that_differs_is_a_problem_until_a_backup_finds_it_equal() {
    let mut backup = manifest("20261122T140000Z", 7);
    backup.contradicting_members = vec!["ab at https://10.0.0.2:2379".into()];
    let status = status(vec![backup], "2026-11-22T14:05:00Z", None);
    assert_eq!(
        status.problems,
        ["member ab at https://10.0.0.2:2379 held different data than the others at revision 7"]
    );
}

#[test]
fn a_backup_from_the_future_is_not_fresh() {
    let status = status(
        vec![manifest("20261122T140000Z", 7)],
        "2026-11-22T12:00:00Z",
        None,
    );
    let ahead = "backup 20261122T140000Z began in the future, at 2026-11-22T14:00:00Z: the clock was wrong then, or \
                 is wrong now; if it was wrong then, remove etcd-20261122T140000Z.json and then etcd-20261122T140000Z.db";
    assert_eq!(status.problems, ["there is no verified backup", ahead]);
    assert_eq!(status.newest_verified, None);
}

#[test]
fn a_backup_from_the_future_hides_no_present_one_and_each_is_named() {
    let backups = || {
        ["20301122T140000Z", "20301122T150000Z", "20261122T140000Z"]
            .map(|id| manifest(id, 7))
            .to_vec()
    };
    let fresh = status(backups(), "2026-11-22T14:05:00Z", None);
    assert_eq!(
        fresh
            .newest_verified
            .map(|newest| newest.id.to_string())
            .as_deref(),
        Some("20261122T140000Z")
    );
    assert_eq!(fresh.problems.len(), 2, "{:?}", fresh.problems);
    let stale = status(backups(), "2026-11-22T16:15:00Z", None);
    assert!(
        stale.problems[0].contains("no verified backup came of the run of 2026-11-22T16:00:00Z"),
        "{:?}",
        stale.problems
    );
    // a host whose clock is seconds ahead is nothing to be told of
    assert!(
        status(
            vec![manifest("20261122T140000Z", 7)],
            "2026-11-22T13:55:00Z",
            None
        )
        .ok
    );
}

#[test]
fn what_the_daemon_remembers_is_told_until_it_is_over() {
    let failing = |since: &str, error: &str| {
        Some(Failing {
            since: since.parse().unwrap(),
            last: "2026-11-22T14:02:00Z".parse().unwrap(),
            error: error.into(),
        })
    };
    let trouble = Trouble {
        failing: failing("2026-11-22T13:00:00Z", "etcd is down"),
        pruning: failing("2026-11-22T12:00:00Z", "it is stuck"),
    };
    let told = |id: &str, now: &str| troubled(vec![manifest(id, 7)], now, None, &trouble).problems;
    assert_eq!(
        told("20261122T140000Z", "2026-11-22T14:05:00Z"),
        [
            "backups fail since 2026-11-22T13:00:00Z: etcd is down",
            "pruning fails since 2026-11-22T12:00:00Z: it is stuck"
        ]
    );
    // somebody else's backup has succeeded since
    assert_eq!(
        told("20261122T140300Z", "2026-11-22T14:05:00Z"),
        ["pruning fails since 2026-11-22T12:00:00Z: it is stuck"]
    );
}

#[test]
fn what_was_never_proven_in_the_past_or_failed_says_nothing_of_all() {
    let proven = |id: &str, at: &str, result| {
        let mut backup = manifest(id, 7);
        backup.last_verified = Some(Reproof {
            at: at.parse().unwrap(),
            result,
            problems: vec!["x".into()],
        });
        backup
    };
    let since =
        |backups: Vec<Manifest>| status(backups, "2026-11-22T14:05:00Z", None).all_proven_since;
    let good = || proven("20261122T130000Z", "2026-11-22T13:30:00Z", Outcome::Passed);
    let failed = proven("20261122T120000Z", "2026-11-22T12:30:00Z", Outcome::Failed);
    let ahead = proven("20261122T110000Z", "2030-01-01T00:00:00Z", Outcome::Passed);
    let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    assert_eq!(since(vec![good(), failed]), time("2026-11-22T13:30:00Z"));
    // its proof is not to be believed; that it was made is
    assert_eq!(since(vec![good(), ahead]), time("2026-11-22T11:00:00Z"));
    assert_eq!(since(vec![good(), manifest("20300101T000000Z", 7)]), None);
}

#[test]
fn a_hold_says_how_it_can_end() {
    let mut suspect = manifest("20261122T140000Z", 7);
    suspect.suspicions = vec!["keys are gone".into()];
    let told =
        |backup: &Manifest| status(vec![backup.clone()], "2026-11-22T14:05:00Z", None).problems;
    assert!(
        told(&suspect)[0]
            .ends_with("until it is accepted: hypercloud-etcd accept 20261122T140000Z")
    );
    suspect.last_verified = Some(Reproof {
        at: suspect.started,
        result: Outcome::Failed,
        problems: vec!["x".into()],
    });
    let problems = told(&suspect);
    let hold = problems.iter().find(|problem| problem.contains("suspect"));
    assert!(
        hold.is_some_and(|hold| hold.ends_with(
            "until a later one is accepted, for this one no longer stands up to its proof: hypercloud-etcd accept ID"
        )),
        "{problems:?}"
    );
}

#[test]
fn a_ca_that_is_not_all_kept_is_a_problem_until_a_backup_keeps_it() {
    let mut backup = manifest("20261122T140000Z", 7);
    backup.pki_problems = vec!["ca.key cannot be read".into()];
    let doubtful = status(vec![backup.clone()], "2026-11-22T14:05:00Z", None);
    assert_eq!(doubtful.problems, ["ca.key cannot be read"]);
    let later = manifest("20261122T150000Z", 8);
    assert!(status(vec![backup, later], "2026-11-22T15:05:00Z", None).ok);
}
