//! What the module promises: agreement with Kubernetes, and words that help.

use proptest::prelude::*;

use super::*;

const VECTORS: &str = include_str!("../../tests/golden/cron-vectors.jsonl");

/// What is refused, with the words a person sees; an empty line between two.
const REFUSALS: &str = include_str!("../../tests/golden/schedule-refusals.txt");

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn parsed(text: &str, timezone: &str) -> Schedule {
    Schedule::parse(text, timezone).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The next `n` runs, each asked from the one before.
fn runs(schedule: &Schedule, after: Timestamp, n: usize) -> Vec<Timestamp> {
    std::iter::successors(schedule.next(after), |run| schedule.next(*run))
        .take(n)
        .collect()
}

#[derive(serde::Deserialize)]
struct Vector {
    schedule: String,
    #[serde(default)]
    timezone: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    next: Vec<String>,
    error: Option<String>,
    class: String,
}

/// Why a vector does not agree, if it does not.
fn disagreement(vector: &Vector) -> Option<String> {
    let timezone = if vector.error.is_some() {
        "UTC"
    } else {
        &vector.timezone
    };
    let answer = Schedule::parse(&vector.schedule, timezone);
    if vector.error.is_some() {
        return answer.is_ok().then(|| "accepted".into());
    }
    match answer {
        Ok(schedule) => {
            let wanted: Vec<Timestamp> = vector.next.iter().map(|t| instant(t)).collect();
            let found = runs(&schedule, instant(&vector.after), wanted.len().max(1));
            (found != wanted).then(|| format!("{found:?} and not {wanted:?}"))
        }
        // what we refuse on top, on purpose
        Err(Error::Interval { .. }) if vector.class == "every" => None,
        Err(Error::NoSuchDay { .. }) if vector.class == "never" => None,
        Err(Error::NoValue { .. }) if vector.class == "weird" && vector.next.is_empty() => None,
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn every_vector_agrees_with_kubernetes() {
    let vectors: Vec<Vector> = VECTORS
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|v| {
            Some(format!(
                "{} {:?} {} {}: {}",
                v.class,
                v.schedule,
                v.timezone,
                v.after,
                disagreement(v)?
            ))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        vectors.len(),
        wrong.join("\n")
    );
    assert!(vectors.len() > 3_700, "only {} vectors", vectors.len());
}

/// One field: items as people write them, and some that they should not.
fn field(field: Field) -> impl Strategy<Value = String> {
    let (min, max) = field.range();
    let item = prop_oneof![
        3 => Just("*".to_owned()),
        4 => (min..=max).prop_map(|n| n.to_string()),
        2 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (min..=max, 1_u32..9).prop_map(|(a, step)| format!("{a}/{step}")),
        2 => (1_u32..70).prop_map(|step| format!("*/{step}")),
    ];
    prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))
}

fn text() -> impl Strategy<Value = String> {
    let [minute, hour, day, month, weekday] = Field::ALL.map(field);
    let open = || Just("*".to_owned());
    let month = prop_oneof![2 => open(), 1 => month];
    let day = prop_oneof![open(), day];
    let weekday = prop_oneof![open(), weekday];
    (minute, hour, day, month, weekday).prop_map(|fields| {
        let (minute, hour, day, month, weekday) = fields;
        format!("{minute} {hour} {day} {month} {weekday}")
    })
}

/// Every zone that Kubernetes accepts, most of them rarely, the odd ones often.
fn timezone() -> impl Strategy<Value = String> {
    let all: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .filter(|name| zone(name).is_ok())
        .collect();
    let odd = [
        "Australia/Lord_Howe",
        "Asia/Beirut",
        "Africa/Cairo",
        "Pacific/Apia",
        "America/Asuncion",
        "Antarctica/Troll",
        "Africa/Casablanca",
        "Europe/Berlin",
        "UTC",
    ];
    prop_oneof![
        prop::sample::select(all),
        prop::sample::select(odd.map(String::from).to_vec())
    ]
}

/// An instant, three times in four within two days of a clock change of the zone.
fn near(schedule: &Schedule, unix: i64, shift: Option<i64>) -> Timestamp {
    let at = Timestamp::from_second(unix).unwrap();
    let change = schedule
        .zone
        .following(at)
        .next()
        .map(|change| change.timestamp());
    match (change, shift) {
        (Some(change), Some(shift)) => change + SignedDuration::from_secs(shift),
        _ => at,
    }
}

proptest! {
    #[test]
    fn runs_come_after_the_start_and_rise(
        (text, timezone) in (text(), timezone()),
        unix in 0_i64..2_500_000_000,
        shift in prop::option::weighted(0.75, -200_000_i64..200_000),
    ) {
        if let Ok(schedule) = Schedule::parse(&text, &timezone) {
            let mut last = near(&schedule, unix, shift);
            for run in runs(&schedule, last, 40) {
                prop_assert!(run > last, "{run} after {last}");
                last = run;
            }
        }
    }

    #[test]
    fn the_latest_run_ends_the_chain_of_next_runs(
        (text, timezone) in (text(), timezone()),
        unix in 0_i64..2_500_000_000,
        shift in prop::option::weighted(0.75, -1_500_000_i64..200_000),
        length in 1_i64..3_000_000,
    ) {
        if let Ok(schedule) = Schedule::parse(&text, &timezone) {
            let since = near(&schedule, unix, shift);
            let at = since + SignedDuration::from_secs(length);
            let next = |from: Timestamp| schedule.next(from).filter(|run| *run <= at);
            let chain = std::iter::successors(next(since), |run| next(*run));
            prop_assert_eq!(schedule.latest(since, at), chain.last());
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*", timezone in "\\PC*") {
        if let Err(error) = Schedule::parse(&text, "UTC") {
            prop_assert!(!error.to_string().is_empty() && error.hint().ends_with('.'));
        }
        prop_assert!(Schedule::parse("0 * * * *", &timezone).is_err() || zone(&timezone).is_ok());
    }

    #[test]
    fn no_line_of_crontab_characters_makes_the_parser_panic(text in "[-0-9*?/,+@A-Z ]{0,24}") {
        if let Err(error) = Schedule::parse(&text, "UTC") {
            prop_assert!(!error.to_string().is_empty() && error.hint().ends_with('.'));
        }
    }

    #[test]
    fn jitter_stays_within_its_bound(nanos in 0_u64.., host in ".*") {
        let up_to = Duration::from_nanos(nanos);
        prop_assert!(jitter(up_to, &host) <= up_to);
        prop_assert_eq!(jitter(up_to, &host), jitter(up_to, &host));
    }
}

#[test]
fn every_refusal_says_what_is_wrong_and_what_to_write() {
    let refusals: Vec<&str> = REFUSALS.split("\n\n").collect();
    for refusal in &refusals {
        let (given, _) = refusal.split_once('\n').unwrap();
        let (key, value) = given.split_once(" = ").unwrap();
        let value: String = serde_json::from_str(value).unwrap();
        let error = match key {
            "timezone" => Schedule::parse("0 * * * *", &value).unwrap_err(),
            _ => Schedule::parse(&value, "UTC").unwrap_err(),
        };
        let found = format!("{given}\nerror: {error}\n hint: {}", error.hint());
        assert_eq!(found, refusal.trim_end());
    }
    assert_eq!(refusals.len(), 60);
}

#[test]
fn a_zone_is_accepted_by_its_exact_iana_name() {
    let names = [
        "UTC",
        "Etc/UTC",
        "GMT+0",
        "EST5EDT",
        "America/Argentina/ComodRivadavia",
    ];
    for timezone in names {
        assert_eq!(parsed("0 * * * *", timezone).timezone(), timezone);
    }
}

#[test]
fn the_text_is_normalised_and_means_the_same() {
    for (given, text) in [
        (" 0\t3 * \u{a0}* MON ", "0 3 * * MON"),
        ("@daily", "@daily"),
        ("5, * * * *", "5, * * * *"),
    ] {
        assert_eq!(parsed(given, "UTC").text(), text);
        assert_eq!(parsed(text, "UTC").text(), text);
    }
}

#[test]
fn one_day_field_is_enough_where_the_other_holds_no_value() {
    let from = instant("2026-11-22T00:00:00Z");
    assert_eq!(
        runs(&parsed("0 0 5 * ,", "UTC"), from, 2),
        ["2026-12-05T00:00:00Z", "2027-01-05T00:00:00Z"].map(instant)
    );
    assert_eq!(
        runs(&parsed("0 0 , * 1", "UTC"), from, 2),
        ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"].map(instant)
    );
}

#[test]
fn a_day_that_does_not_exist_does_not_stop_the_search() {
    let monthly = parsed("@monthly", "Pacific/Apia");
    assert_eq!(
        monthly.next(instant("2011-12-28T00:00:00Z")),
        Some(instant("2012-01-01T00:00:00+14:00"))
    );
    let absent = parsed("0 0 30 12 *", "Pacific/Apia");
    assert_eq!(
        absent.next(instant("2011-12-28T00:00:00Z")),
        Some(instant("2012-12-30T00:00:00+14:00"))
    );
}

#[test]
fn a_search_that_begins_within_an_overlap_does_not_go_back() {
    // 02:45 to 03:45 comes twice, and this is the second 02:45
    let after = instant("2026-04-05T02:45:00+12:45");
    assert_eq!(
        parsed("0 3 * * *", "Pacific/Chatham").next(after),
        Some(instant("2026-04-05T03:00:00+12:45"))
    );
}

#[test]
fn there_is_no_run_past_the_horizon_or_the_calendar() {
    assert_eq!(
        parsed("0 0 29 2 *", "UTC").next(instant("2096-03-01T00:00:00Z")),
        None
    );
    for timezone in ["UTC", "Asia/Seoul", "America/New_York"] {
        let schedule = parsed("0 0 1 1 *", timezone);
        assert_eq!(schedule.next(Timestamp::MAX), None);
        assert!(
            schedule
                .next(Timestamp::MIN)
                .is_none_or(|run| run > Timestamp::MIN)
        );
        assert!(schedule.warnings(Timestamp::MAX).is_empty());
    }
}

#[test]
fn the_latest_run_is_after_since_and_not_after_at() {
    let schedule = parsed("0 6 * * *", "Europe/Berlin");
    let (first, second) = (
        instant("2026-11-21T05:00:00Z"),
        instant("2026-11-22T05:00:00Z"),
    );
    let tick = SignedDuration::from_nanos(1);
    assert_eq!(schedule.latest(first, second), Some(second));
    assert_eq!(schedule.latest(first, second - tick), None);
    assert_eq!(schedule.latest(first - tick, second - tick), Some(first));
    assert_eq!(schedule.latest(second, first), None);
}

#[test]
fn the_latest_of_years_of_minutes_is_found_by_few_searches() {
    let at = instant("2026-11-22T12:34:56Z");
    let latest = Some(instant("2026-11-22T12:34:00Z"));
    assert_eq!(
        parsed("* * * * *", "UTC").latest(Timestamp::MIN, at),
        latest
    );
    assert_eq!(
        parsed("* * * * *", "Europe/Berlin").latest(instant("2016-01-01T00:00:00Z"), at),
        latest
    );
}

fn warned(text: &str, timezone: &str) -> Vec<String> {
    let warnings = parsed(text, timezone).warnings(instant("2026-11-22T00:00:00Z"));
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn two_restricted_days_are_warned_about() {
    assert_eq!(
        warned("0 0 13 * 5", "UTC"),
        ["day of month 13 and day of week 5: a run needs only one of them to match, not both"]
    );
    assert_eq!(
        warned("0 0 */2 * 1", "UTC"),
        [
            "day of month */2 and day of week 1: a run needs only one of them to match, while crontab on most hosts requires both where a field begins with *"
        ]
    );
    for plain in ["0 0 */1 * 1", "0 0 */2 * *", "0 0 ? * 1", "@weekly"] {
        assert!(warned(plain, "UTC").is_empty(), "{plain}");
    }
}

#[test]
fn runs_that_a_clock_change_drops_or_doubles_are_warned_about() {
    assert_eq!(
        warned("30 2 * * *", "Europe/Berlin"),
        [
            "the run at 02:30 on 2027-03-28 is dropped, as the clocks of Europe/Berlin change",
            "the run at 02:30 on 2027-10-31 is done twice, as the clocks of Europe/Berlin change",
        ]
    );
    assert_eq!(
        warned("*/15 1-3 * * *", "Europe/Berlin"),
        [
            "4 runs from 02:00 on 2027-03-28 on are dropped, as the clocks of Europe/Berlin change",
            "4 runs from 02:00 on 2027-10-31 on are done twice, as the clocks of Europe/Berlin change",
        ]
    );
    // Kubernetes drops these though the wall clock shows the times
    assert_eq!(
        warned("0 3 * * 0", "Asia/Beirut"),
        ["the run at 03:00 on 2027-03-28 is dropped, as the clocks of Asia/Beirut change"]
    );
    for (text, timezone) in [
        ("0 3 * * *", "Europe/Berlin"),
        ("30 2 * * 1-5", "Europe/Berlin"),
        ("30 * * * *", "Europe/Berlin"),
        ("30 2 * * *", "Asia/Seoul"),
    ] {
        assert!(warned(text, timezone).is_empty(), "{text} {timezone}");
    }
}

#[test]
fn a_host_keeps_its_share_of_the_jitter() {
    let up_to = Duration::from_mins(10);
    let late = ["cp-1", "cp-2", "cp-3"].map(|host| jitter(up_to, host));
    assert!(late[0] != late[1] && late[1] != late[2], "{late:?}");
    assert_eq!(jitter(Duration::from_mins(5), "cp-1"), late[0] / 2);
    assert_eq!(jitter(Duration::ZERO, "cp-1"), Duration::ZERO);
    assert!(jitter(Duration::MAX, "cp-1") < Duration::MAX);
}

#[test]
fn a_schedule_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}
    shared(&parsed("0 * * * *", "UTC"));
}
