use super::*;
use crate::catalog::Manifest;
use crate::catalog::tests::manifest;

fn status(backups: Vec<Manifest>, now: &str, stale_after: Option<Duration>) -> Status {
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
        ["the newest verified backup is 1 h 12 min old; the run of 2026-11-22T15:00:00Z has none"]
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
    assert!(
        status.problems[0].contains("the clock was set back"),
        "{:?}",
        status.problems
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
