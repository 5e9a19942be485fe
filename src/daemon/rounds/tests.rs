use super::*;

const WEEKLY: &str = "0 3 * * 0";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, "UTC").unwrap()
}

fn ids(hours: &[u32]) -> Vec<BackupId> {
    let id = |hour: &u32| BackupId::try_from(format!("20261101T{hour:02}0000Z")).unwrap();
    hours.iter().map(id).collect()
}

/// Sunday, 22 November 2026.
fn sunday(clock: &str) -> Timestamp {
    time(&format!("2026-11-22T{clock}:00Z"))
}

fn weekly() -> Rounds {
    Rounds::new(Some(schedule(WEEKLY)), None, time("2026-11-20T12:00:00Z"))
}

#[test]
fn a_round_proves_each_backup_once_and_is_told() {
    let mut rounds = weekly();
    assert_eq!(rounds.task(time("2026-11-21T12:00:00Z")), Task::Nothing);
    assert_eq!(rounds.next_start(), Some(sunday("03:00")));
    assert_eq!(rounds.task(sunday("03:00")), Task::List(sunday("03:00")));
    rounds.listed(ids(&[1, 2, 3]));
    for (number, id) in ids(&[1, 2, 3]).iter().enumerate() {
        assert_eq!(rounds.progress(), Some((number.min(1), 3 - number / 2)));
        assert_eq!(rounds.task(sunday("04:00")), Task::Prove(id.clone()));
        // the second is gone by now: it counts for nothing
        let is_good = [Some(true), None, Some(false)][number];
        rounds.proven(id, is_good);
    }
    let tally = Tally {
        proven: 2,
        failed: 1,
    };
    assert_eq!(rounds.task(sunday("05:00")), Task::Tell(tally));
    assert_eq!(rounds.task(sunday("05:00")), Task::Nothing);
    assert_eq!(rounds.next_start(), Some(time("2026-11-29T03:00:00Z")));
}

#[test]
fn a_missed_round_is_made_up_for_once_and_a_cut_off_one_goes_on() {
    let month_ago = Reverify {
        settled: time("2026-10-20T00:00:00Z"),
        began: None,
    };
    let now = time("2026-11-20T12:00:00Z");
    let mut rounds = Rounds::new(Some(schedule(WEEKLY)), Some(&month_ago), now);
    assert_eq!(rounds.task(now), Task::List(now));
    // what a restart remembers is when it began: what was proven since is not proven again
    let again = rounds.remembered();
    assert_eq!(again.began, Some(now));
    let later = time("2026-11-20T18:00:00Z");
    let mut rounds = Rounds::new(Some(schedule(WEEKLY)), Some(&again), later);
    assert_eq!(rounds.task(later), Task::List(now));
    rounds.listed(Vec::new());
    assert_eq!(rounds.task(later), Task::Tell(Tally::default()));
    assert_eq!(rounds.task(later), Task::Nothing);
    assert_eq!(rounds.remembered().began, None);
    assert_eq!(rounds.next_start(), Some(sunday("03:00")));
}

#[test]
fn ticks_that_pass_during_a_round_are_its_own() {
    let mut rounds = Rounds::new(Some(schedule("0 * * * *")), None, sunday("02:30"));
    assert_eq!(rounds.task(sunday("03:00")), Task::List(sunday("03:00")));
    rounds.listed(Vec::new());
    assert_eq!(rounds.task(sunday("07:30")), Task::Tell(Tally::default()));
    assert_eq!(rounds.task(sunday("07:31")), Task::Nothing);
    assert_eq!(rounds.next_start(), Some(sunday("08:00")));
}

#[test]
fn a_directory_that_cannot_be_read_is_tried_again_and_told_once() {
    let mut rounds = weekly();
    let began = sunday("03:00");
    assert_eq!(rounds.task(began), Task::List(began));
    assert!(rounds.unlisted(began));
    assert_eq!(rounds.task(began), Task::Nothing, "no loop without a pause");
    assert_eq!(rounds.next_start(), Some(sunday("03:01")));
    assert_eq!(rounds.task(sunday("03:01")), Task::List(began));
    assert!(!rounds.unlisted(sunday("03:01")));
}

#[test]
fn one_that_cannot_be_proven_stops_no_other() {
    let mut rounds = weekly();
    rounds.task(sunday("03:00"));
    rounds.listed(ids(&[1, 2]));
    rounds.pass_over();
    let [_, second] = &ids(&[1, 2])[..] else {
        panic!("two")
    };
    assert_eq!(rounds.task(sunday("03:00")), Task::Prove(second.clone()));
    // news of another one leaves it where it is
    rounds.proven(&ids(&[7])[0], Some(false));
    assert_eq!(rounds.task(sunday("03:00")), Task::Prove(second.clone()));
}

#[test]
fn a_new_schedule_misses_nothing_and_none_ends_the_round() {
    let mut rounds = weekly();
    rounds.change(Some(schedule("0 4 * * *")), time("2026-11-21T05:00:00Z"));
    assert_eq!(rounds.task(time("2026-11-21T05:00:00Z")), Task::Nothing);
    assert_eq!(rounds.task(sunday("04:00")), Task::List(sunday("04:00")));
    rounds.change(None, sunday("04:01"));
    assert_eq!(rounds.task(sunday("09:00")), Task::Nothing);
    assert_eq!((rounds.next_start(), rounds.progress()), (None, None));
    rounds.change(Some(schedule(WEEKLY)), sunday("09:00"));
    assert_eq!(rounds.next_start(), Some(time("2026-11-29T03:00:00Z")));
}

#[test]
fn a_clock_that_was_far_ahead_does_not_stop_the_rounds() {
    let ahead = Reverify {
        settled: time("2028-01-01T00:00:00Z"),
        began: Some(time("2028-01-01T00:00:00Z")),
    };
    let mut rounds = Rounds::new(Some(schedule(WEEKLY)), Some(&ahead), sunday("02:00"));
    assert_eq!(rounds.task(sunday("02:00")), Task::Nothing);
    assert_eq!(rounds.task(sunday("03:00")), Task::List(sunday("03:00")));
}

#[test]
fn a_disk_that_goes_away_in_mid_round_is_told_once_and_the_round_goes_on_when_it_is_back() {
    let mut rounds = weekly();
    let began = sunday("03:00");
    assert_eq!(rounds.task(began), Task::List(began));
    rounds.listed(ids(&[1, 2, 3]));
    rounds.proven(&ids(&[1])[0], Some(true));
    assert!(rounds.lost(sunday("03:10")));
    assert_eq!(rounds.task(sunday("03:10")), Task::Nothing);
    assert_eq!(rounds.next_start(), Some(sunday("03:11")));
    assert_eq!(rounds.task(sunday("03:11")), Task::List(began));
    assert!(!rounds.unlisted(sunday("03:11")), "told already");
    assert_eq!(rounds.remembered().began, Some(began), "it is not settled");
    assert_eq!(rounds.task(sunday("09:00")), Task::List(began));
    rounds.listed(ids(&[2, 3]));
    for id in ids(&[2, 3]) {
        assert_eq!(rounds.task(sunday("09:00")), Task::Prove(id.clone()));
        rounds.proven(&id, Some(true));
    }
    let tally = Tally {
        proven: 3,
        failed: 0,
    };
    assert_eq!(rounds.task(sunday("09:00")), Task::Tell(tally));
}

#[test]
fn a_result_that_another_jobs_lock_keeps_from_being_written_is_come_back_to() {
    let mut rounds = weekly();
    rounds.task(sunday("03:00"));
    rounds.listed(ids(&[1, 2]));
    let [first, second] = &ids(&[1, 2])[..] else {
        panic!("two")
    };
    rounds.put_off(first, sunday("03:00"));
    assert_eq!(
        rounds.task(sunday("03:00")),
        Task::Nothing,
        "no loop without a pause"
    );
    assert_eq!(rounds.task(sunday("03:01")), Task::Prove(second.clone()));
    rounds.proven(second, Some(true));
    assert_eq!(rounds.task(sunday("03:01")), Task::Prove(first.clone()));
    rounds.put_off(first, sunday("03:01"));
    assert_eq!(rounds.task(sunday("03:02")), Task::Prove(first.clone()));
}
