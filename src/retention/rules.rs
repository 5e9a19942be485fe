//! The rules, as restic means them: each walks from the newest backup to the oldest and keeps the
//! first that it meets of each hour, day, week, month or year, until it has kept as many as it may.
//! While it may keep more, it keeps the very oldest, too, so that a young history reaches back as far
//! as it can.

use std::fmt::Write as _;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::Policy;

/// One rule on its walk.
struct Rule {
    name: &'static str,
    bucket: fn(DateTime, Offset) -> Bucket,
    count: u32,
    kept: u32,
    last: Option<Bucket>,
}

/// Which hour, day, week, month or year; two times share it or do not.
type Bucket = (i64, i32);

impl Rule {
    /// Whether this backup is kept as one of so many; `None`: it is not.
    fn meets(&mut self, local: (DateTime, Offset), is_oldest: bool) -> Option<(u32, u32)> {
        if self.kept == self.count {
            return None;
        }
        let bucket = Some((self.bucket)(local.0, local.1));
        if bucket == self.last && !is_oldest {
            return None;
        }
        self.last = bucket;
        self.kept += 1;
        Some((self.kept, self.count))
    }
}

/// The reason for each of these times, newest first, that a rule keeps. What follows the last that any
/// rule keeps may be left out.
pub(super) fn kept(policy: &Policy, times: &[Timestamp]) -> Vec<Option<String>> {
    let within = SignedDuration::try_from(policy.keep_within).unwrap_or(SignedDuration::MAX);
    let mut rules = calendar(policy);
    let Some(newest) = times.first() else {
        return Vec::new();
    };
    let mut kept = Vec::new();
    for (place, time) in times.iter().enumerate() {
        let mut reason = String::new();
        let number = u32::try_from(place + 1).unwrap_or(u32::MAX);
        if number <= policy.keep_last {
            add(&mut reason, "keep_last", number, policy.keep_last);
        }
        let is_within = newest.duration_since(*time) < within;
        if is_within {
            let comma = if reason.is_empty() { "" } else { ", " };
            let _ = write!(reason, "{comma}keep_within");
        }
        if rules.iter().any(|rule| rule.kept < rule.count) {
            let offset = policy.zone.to_offset(*time);
            let local = (offset.to_datetime(*time), offset);
            for rule in &mut rules {
                if let Some((number, count)) = rule.meets(local, place + 1 == times.len()) {
                    add(&mut reason, rule.name, number, count);
                }
            }
        } else if number > policy.keep_last && !is_within {
            break;
        }
        kept.push((!reason.is_empty()).then_some(reason));
    }
    kept
}

fn add(reason: &mut String, rule: &str, number: u32, count: u32) {
    let comma = if reason.is_empty() { "" } else { ", " };
    // writing to a string does not fail
    let _ = write!(reason, "{comma}{rule} {number}/{count}");
}

/// The rules that have a bucket.
fn calendar(policy: &Policy) -> [Rule; 5] {
    let rule = |name, count, bucket| Rule {
        name,
        bucket,
        count,
        kept: 0,
        last: None,
    };
    [
        // an hour that comes twice, where the clocks go back, is two hours
        rule("keep_hourly", policy.keep_hourly, |time, offset| {
            (day(time) * 24 + i64::from(time.hour()), offset.seconds())
        }),
        rule("keep_daily", policy.keep_daily, |time, _| (day(time), 0)),
        rule("keep_weekly", policy.keep_weekly, |time, _| {
            let week = time.date().iso_week_date();
            (i64::from(week.year()), i32::from(week.week()))
        }),
        rule("keep_monthly", policy.keep_monthly, |time, _| {
            (i64::from(time.year()), i32::from(time.month()))
        }),
        rule("keep_yearly", policy.keep_yearly, |time, _| {
            (i64::from(time.year()), 0)
        }),
    ]
}

/// A number of the day that no other day has.
fn day(time: DateTime) -> i64 {
    i64::from(time.year()) * 400 + i64::from(time.day_of_year())
}
