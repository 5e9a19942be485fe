use proptest::prelude::*;

use super::*;

const NONE: Verdict = Verdict {
    again: None,
    skipped: None,
};

fn time(text: &str) -> Timestamp {
    // a bare time of day is one of 22 November 2026
    let full = if text.len() <= 8 {
        format!(
            "2026-11-22T{text}{}Z",
            if text.len() == 5 { ":00" } else { "" }
        )
    } else {
        text.to_owned()
    };
    full.parse().unwrap()
}

fn timetable(text: &str, zone: &str) -> Timetable {
    Timetable {
        schedule: Schedule::parse(text, zone).unwrap(),
        delay: SignedDuration::ZERO,
        catch_up: true,
        host: "cp-1".into(),
    }
}

fn hourly(settled: &str) -> Plan {
    Plan::new(timetable("0 * * * *", "UTC"), time(settled))
}

fn attempt(tick: &str, trigger: Trigger, number: u32) -> Step {
    let tick = time(tick);
    Step::Attempt {
        tick,
        trigger,
        number,
    }
}

fn wait(until: &str) -> Step {
    Step::Wait(Some(time(until)))
}

#[test]
fn a_tick_runs_once_at_its_time() {
    let mut plan = hourly("13:00");
    assert_eq!(plan.step(time("13:59:59")), wait("14:00"));
    assert_eq!(
        plan.step(time("14:00")),
        attempt("14:00", Trigger::Schedule, 1)
    );
    assert_eq!(plan.ended(End::Settled, time("14:00:07")), NONE);
    assert_eq!(plan.step(time("14:00:07")), wait("15:00"));
    assert_eq!(plan.settled(), time("14:00"));
}

#[test]
fn missed_runs_collapse_into_one() {
    let mut plan = hourly("09:00");
    assert_eq!(
        plan.step(time("14:20")),
        attempt("14:00", Trigger::CatchUp, 1)
    );
    assert_eq!(plan.ended(End::Settled, time("14:20:07")), NONE);
    assert_eq!(plan.step(time("14:20:07")), wait("15:00"));
}

#[test]
fn a_restart_across_a_tick_is_still_on_time() {
    let mut plan = hourly("13:00");
    assert_eq!(
        plan.step(time("14:00:40")),
        attempt("14:00", Trigger::Schedule, 1)
    );
}

#[test]
fn missed_runs_are_told_where_they_are_not_made_up_for() {
    let mut plan = hourly("09:00");
    plan.timetable.catch_up = false;
    let missed = Ticks {
        first: time("10:00"),
        last: time("14:00"),
    };
    assert_eq!(plan.step(time("14:20")), Step::Missed(missed));
    assert_eq!(plan.step(time("14:20")), wait("15:00"));
}

#[test]
fn ticks_during_a_run_are_skipped_and_told() {
    let mut plan = hourly("13:00");
    plan.step(time("14:00"));
    let verdict = plan.ended(End::Settled, time("16:30"));
    let skipped = Ticks {
        first: time("15:00"),
        last: time("16:00"),
    };
    assert_eq!((verdict.again, verdict.skipped), (None, Some(skipped)));
    assert_eq!(plan.step(time("16:30")), wait("17:00"));
}

#[test]
fn a_failed_run_is_tried_ever_more_rarely_until_shortly_before_the_next_tick() {
    let mut plan = hourly("13:00");
    let (mut now, mut attempts, mut last_pause) = (time("14:00"), 0, SignedDuration::ZERO);
    let end = loop {
        match plan.step(now) {
            Step::Attempt { number, tick, .. } => {
                attempts += 1;
                assert_eq!((number, tick), (attempts, time("14:00")));
                let Some(again) = plan.ended(End::Failed, now).again else {
                    break now;
                };
                let pause = again.duration_since(now);
                // the spread is a half, so each pause is at least the last one, up to the longest
                let least = last_pause.min(SignedDuration::from_secs(450));
                assert!(pause >= least || again == time("14:59"), "{pause:?}");
                assert!(pause <= SignedDuration::from_mins(15));
                last_pause = pause;
            }
            Step::Wait(Some(until)) => now = until,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end, time("14:59"));
    assert!((8..=14).contains(&attempts), "{attempts}");
    assert_eq!(plan.step(end), wait("15:00"));
    assert_eq!(
        plan.step(time("15:00")),
        attempt("15:00", Trigger::Schedule, 1)
    );
}

#[test]
fn a_lock_that_is_held_is_waited_for_without_an_end_of_patience() {
    let mut plan = hourly("13:00");
    let mut now = time("14:00");
    for _ in 0..100 {
        assert_eq!(plan.step(now), attempt("14:00", Trigger::Schedule, 1));
        now = plan.ended(End::Busy, now).again.unwrap();
    }
    assert_eq!(now, time("14:08:20"));
    plan.step(now);
    assert_eq!(plan.ended(End::Settled, time("14:08:21")), NONE);
}

#[test]
fn jitter_moves_every_run_by_the_same_time() {
    let mut plan = hourly("13:00");
    plan.timetable.delay = SignedDuration::from_mins(7);
    assert_eq!(plan.step(time("14:06:59")), wait("14:07"));
    assert_eq!(
        plan.step(time("14:07")),
        attempt("14:00", Trigger::Schedule, 1)
    );
    assert_eq!(plan.ended(End::Settled, time("14:08")), NONE);
    assert_eq!(plan.next_start(), Some(time("15:07")));
}

#[test]
fn a_clock_set_forward_makes_up_once() {
    let mut plan = hourly("13:00");
    assert_eq!(plan.step(time("13:10")), wait("14:00"));
    let tomorrow = time("2026-11-23T13:10:00Z");
    let Step::Attempt { tick, trigger, .. } = plan.step(tomorrow) else {
        panic!("a run")
    };
    assert_eq!(
        (tick, trigger),
        (time("2026-11-23T13:00:00Z"), Trigger::CatchUp)
    );
    assert_eq!(plan.ended(End::Settled, tomorrow), NONE);
    assert_eq!(
        plan.step(tomorrow),
        Step::Wait(Some(time("2026-11-23T14:00:00Z")))
    );
}

#[test]
fn a_clock_set_back_a_little_runs_no_tick_twice() {
    let mut plan = hourly("13:00");
    plan.step(time("14:00"));
    plan.ended(End::Settled, time("14:00:05"));
    for now in ["13:30", "13:59:59", "14:00", "14:00:05", "14:59"] {
        assert_eq!(plan.step(time(now)), wait("15:00"), "{now}");
    }
    assert_eq!(
        plan.step(time("15:00")),
        attempt("15:00", Trigger::Schedule, 1)
    );
}

#[test]
fn a_clock_set_back_by_far_does_not_stop_the_schedule() {
    let mut plan = Plan::new(timetable("0 * * * *", "UTC"), time("2027-06-01T00:00:00Z"));
    assert!(matches!(plan.step(time("14:30")), Step::ClockSetBack(_)));
    assert_eq!(plan.step(time("14:30")), wait("15:00"));
}

#[test]
fn a_clock_set_back_during_a_pause_does_not_stretch_it() {
    let mut plan = hourly("13:00");
    plan.step(time("14:00"));
    assert!(plan.ended(End::Failed, time("14:00:01")).again.is_some());
    assert_eq!(plan.step(time("12:00")), wait("12:15"));
}

#[test]
fn an_interrupted_run_goes_on_after_a_restart() {
    let begun = |attempts, under_way| Begun {
        planned: time("14:00"),
        trigger: Trigger::Schedule,
        attempts,
        under_way,
    };
    // cut off in its first attempt: at once, whatever catch_up says
    let mut plan = hourly("13:00");
    plan.timetable.catch_up = false;
    plan.resume(&begun(1, true), time("14:20"));
    assert_eq!(
        plan.step(time("14:20")),
        attempt("14:00", Trigger::Schedule, 2)
    );
    // cut off again and again: ever more rarely
    let mut plan = hourly("13:00");
    plan.resume(&begun(6, true), time("14:20"));
    let Step::Wait(Some(until)) = plan.step(time("14:20")) else {
        panic!("a pause")
    };
    assert!(until >= time("14:20:40"), "{until}");
    // too late for it, and it is a missed run like any other
    let mut plan = hourly("13:00");
    plan.resume(&begun(1, true), time("17:20"));
    assert_eq!(
        plan.step(time("17:20")),
        attempt("17:00", Trigger::CatchUp, 1)
    );
    // done with before the state was written: never again
    let mut plan = hourly("14:00");
    plan.resume(&begun(1, true), time("14:20"));
    assert_eq!(plan.step(time("14:20")), wait("15:00"));
}

#[test]
fn a_new_schedule_misses_nothing_that_it_did_not_have() {
    let mut plan = hourly("14:00");
    plan.change(timetable("*/5 * * * *", "UTC"), time("14:32"));
    assert_eq!(plan.step(time("14:32")), wait("14:35"));
    // the same schedule in a file that was otherwise changed has missed what it has missed
    let mut plan = hourly("14:00");
    plan.change(timetable("0 * * * *", "UTC"), time("15:10"));
    assert_eq!(
        plan.step(time("15:10")),
        attempt("15:00", Trigger::CatchUp, 1)
    );
}

#[test]
fn a_clock_change_drops_and_doubles_as_kubernetes_has_it() {
    // Berlin, 02:30 does not exist on 28 March 2027, and is there twice on 31 October
    let berlin = || timetable("30 2 * * *", "Europe/Berlin");
    let mut plan = Plan::new(berlin(), time("2027-03-27T01:30:00Z"));
    assert_eq!(
        plan.step(time("2027-03-28T12:00:00Z")),
        Step::Wait(Some(time("2027-03-29T00:30:00Z")))
    );
    let mut plan = Plan::new(berlin(), time("2027-10-30T00:30:00Z"));
    for tick in ["2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"] {
        assert_eq!(plan.step(time(tick)), attempt(tick, Trigger::Schedule, 1));
        assert_eq!(plan.ended(End::Settled, time(tick)), NONE);
    }
    assert_eq!(
        plan.step(time("2027-10-31T12:00:00Z")),
        Step::Wait(Some(time("2027-11-01T01:30:00Z")))
    );
}

#[test]
fn a_schedule_that_ends_is_waited_for_without_end() {
    let mut plan = Plan::new(timetable("0 0 29 2 *", "UTC"), time("2096-03-01T00:00:00Z"));
    assert_eq!(plan.step(time("2096-03-01T00:00:00Z")), Step::Wait(None));
}

proptest! {
    /// Whatever the clock does and however the attempts end: no tick is settled by two runs unless
    /// the clock was set back by hours, and there is always something to wait for.
    #[test]
    fn no_tick_runs_twice(moves in proptest::collection::vec((-5000_i64..20_000, 0_u8..4), 1..60)) {
        let mut plan = hourly("00:00");
        let mut now = time("00:00");
        let mut done = Vec::new();
        for (by, end) in moves {
            now = now.checked_add(SignedDuration::from_secs(by)).unwrap();
            match plan.step(now) {
                Step::Attempt { tick, .. } => {
                        let end = match end {
                        0 => End::Failed,
                        1 => End::Busy,
                        _ => End::Settled,
                    };
                    if plan.ended(end, now).again.is_none() {
                        prop_assert!(!done.contains(&tick), "{tick} twice");
                        done.push(tick);
                    }
                }
                Step::Wait(until) => prop_assert!(until.unwrap() > now),
                Step::ClockSetBack(by) => {
                    prop_assert!(by > SET_BACK);
                    done.clear();
                }
                Step::Missed(_) => prop_assert!(false, "catch_up is on"),
            }
        }
    }
}
