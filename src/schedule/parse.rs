//! Crontab text → field sets, accepting what Kubernetes (robfig/cron v3) accepts and nothing else.
//!
//! The text never reaches the `cron` crate, which reads it by other rules (Sunday is 1, both day
//! fields must match): it gets explicit lists of numbers and holds them.

use std::collections::BTreeSet;
use std::str::FromStr;

use cron::TimeUnitSpec as _;
use jiff::civil::Date;

use super::error::Error;
use super::field::Field;

/// A schedule's text, its fields joined by single spaces, and what they mean.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) fields: Fields,
    /// Both day fields as written, where neither is open and a run therefore needs only one match.
    pub(super) either_day: Option<(String, String)>,
}

/// When a schedule runs, as sets of values.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    times: cron::Schedule,
    /// The days of week, where a run needs either day to match and not both: `cron` knows only both.
    or_days: Option<cron::Schedule>,
}

impl Fields {
    pub(super) fn has_month(&self, month: i8) -> bool {
        self.times.months().includes(ordinal(month))
    }

    /// Whether a run may happen on this day of the month and of the week; the month is not looked at.
    pub(super) fn has_day(&self, date: Date) -> bool {
        let day = ordinal(date.day());
        let weekday = ordinal(date.weekday().to_sunday_one_offset());
        std::iter::once(&self.times)
            .chain(&self.or_days)
            .any(|s| s.days_of_month().includes(day) && s.days_of_week().includes(weekday))
    }

    pub(super) fn has_hour(&self, hour: i8) -> bool {
        self.times.hours().includes(ordinal(hour))
    }

    pub(super) fn has_minute(&self, minute: i8) -> bool {
        self.times.minutes().includes(ordinal(minute))
    }
}

fn ordinal(value: i8) -> u32 {
    u32::from(value.unsigned_abs())
}

/// The values of one field.
#[derive(Debug)]
struct Values {
    set: BTreeSet<u32>,
    /// An item of the list is `*` or `?` with step 1: the field leaves the day to the other one.
    open: bool,
}

/// The shorthands that Kubernetes knows, in lower case only.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Reads a schedule.
pub(super) fn line(text: &str) -> Result<Line, Error> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // The API server looks for these two letters anywhere, and no valid schedule has them.
    if text.contains("TZ") || text.to_ascii_uppercase().contains("TZ=") {
        return Err(Error::ZoneInText { text: text.into() });
    }
    match words[..] {
        [] => Err(Error::Empty),
        [word, ..] if word.starts_with('@') => shorthand(text, word),
        [minute, hour, dom, month, dow] => {
            let (fields, closed) = fields([minute, hour, dom, month, dow])?;
            Ok(Line {
                text: words.join(" "),
                fields,
                either_day: closed.then(|| (dom.into(), dow.into())),
            })
        }
        _ => Err(Error::FieldCount {
            text: text.into(),
            found: words.len(),
        }),
    }
}

/// Whether this is one of the names that stand for five fields.
pub(super) fn is_shorthand(text: &str) -> bool {
    SHORTHANDS.iter().any(|(name, _)| *name == text)
}

fn shorthand(text: &str, word: &str) -> Result<Line, Error> {
    if word.eq_ignore_ascii_case("@every") {
        return Err(Error::Interval { text: text.into() });
    }
    let known = SHORTHANDS.iter().find(|(name, _)| *name == text);
    let (_, meaning) = known.ok_or_else(|| Error::Shorthand { text: text.into() })?;
    Ok(Line {
        text: text.into(),
        ..line(meaning)?
    })
}

/// The field sets, and whether neither day field is open.
fn fields(words: [&str; 5]) -> Result<(Fields, bool), Error> {
    let [minute, hour, dom, month, dow] = words;
    let minutes = values(Field::Minute, minute)?;
    let hours = values(Field::Hour, hour)?;
    let days = values(Field::DayOfMonth, dom)?;
    let months = values(Field::Month, month)?;
    let weekdays = values(Field::DayOfWeek, dow)?;

    let closed = !days.open && !weekdays.open;
    let lonely = closed && weekdays.set.is_empty();
    must_hold_one(Field::Minute, minute, &minutes)?;
    must_hold_one(Field::Hour, hour, &hours)?;
    must_hold_one(Field::Month, month, &months)?;
    if !closed || lonely {
        must_hold_one(Field::DayOfMonth, dom, &days)?;
        if !exists(&days.set, &months.set) {
            return Err(Error::NoSuchDay {
                day: dom.into(),
                month: month.into(),
            });
        }
    }
    if !closed {
        must_hold_one(Field::DayOfWeek, dow, &weekdays)?;
    }

    let hold = |days: &str, weekdays: &str| {
        let (minutes, hours, months) = (list(&minutes.set), list(&hours.set), list(&months.set));
        let lists = format!("0 {minutes} {hours} {days} {months} {weekdays}");
        cron::Schedule::from_str(&lists).map_err(|source| Error::FieldSets { lists, source })
    };
    // `cron` counts the days of the week from 1
    let from_sunday = list(&weekdays.set.iter().map(|day| day + 1).collect());
    let of_month = list(&days.set);
    let (times, or_days) = if !closed {
        (hold(&of_month, &from_sunday)?, None)
    } else if lonely {
        (hold(&of_month, "*")?, None)
    } else if days.set.is_empty() {
        (hold("*", &from_sunday)?, None)
    } else {
        (hold(&of_month, "*")?, Some(hold("*", &from_sunday)?))
    };
    Ok((Fields { times, or_days }, closed))
}

fn list(set: &BTreeSet<u32>) -> String {
    let numbers: Vec<String> = set.iter().map(u32::to_string).collect();
    numbers.join(",")
}

fn must_hold_one(field: Field, text: &str, values: &Values) -> Result<(), Error> {
    if values.set.is_empty() {
        return Err(Error::NoValue {
            field,
            text: text.into(),
        });
    }
    Ok(())
}

/// Whether one of the months ever has one of the days.
fn exists(days: &BTreeSet<u32>, months: &BTreeSet<u32>) -> bool {
    let longest = months.iter().map(|month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    });
    longest.max() >= days.first().copied()
}

fn values(field: Field, text: &str) -> Result<Values, Error> {
    let mut values = Values {
        set: BTreeSet::new(),
        open: false,
    };
    // Kubernetes drops empty items
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (range, step) = range_and_step(field, item)?;
        let (low, high, star) = bounds(field, item, range, step.is_some())?;
        let step = step.map_or(Ok(1), |text| positive(field, item, text))?;
        values.set.extend((low..=high).step_by(step));
        values.open |= star && step == 1;
    }
    Ok(values)
}

fn range_and_step(field: Field, item: &str) -> Result<(&str, Option<&str>), Error> {
    match item.split('/').collect::<Vec<_>>()[..] {
        [range] => Ok((range, None)),
        [range, step] => Ok((range, Some(step))),
        _ => Err(Error::Slashes {
            field,
            item: item.into(),
        }),
    }
}

/// Lowest value, highest value, and whether they were written as `*` or `?`.
fn bounds(field: Field, item: &str, range: &str, step: bool) -> Result<(u32, u32, bool), Error> {
    let (min, max) = field.range();
    let (low, high) = match range.split('-').collect::<Vec<_>>()[..] {
        // Kubernetes ignores what follows `*-`
        ["*" | "?", ..] => return Ok((min, max, true)),
        [one] if step => (number(field, item, one)?, max),
        [one] => {
            let value = number(field, item, one)?;
            (value, value)
        }
        [low, high] => (number(field, item, low)?, number(field, item, high)?),
        _ => {
            return Err(Error::Hyphens {
                field,
                item: item.into(),
            });
        }
    };
    if low > high {
        return Err(Error::Reversed {
            field,
            item: item.into(),
            low,
            high,
        });
    }
    Ok((low, high, false))
}

/// A number or a name, within the field's range.
fn number(field: Field, item: &str, text: &str) -> Result<u32, Error> {
    let (min, max) = field.range();
    if text.is_empty() {
        return Err(Error::Missing {
            field,
            item: item.into(),
        });
    }
    if let Some(value) = (min..)
        .zip(field.names())
        .find(|(_, n)| n.eq_ignore_ascii_case(text))
    {
        return Ok(value.0);
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::NotANumber {
            field,
            item: item.into(),
            value: text.into(),
        });
    }
    match digits.parse() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(Error::OutOfRange {
            field,
            item: item.into(),
            value: text.into(),
        }),
    }
}

/// A step. Kubernetes counts in 64 bits: a step past the field's end leaves its first value alone.
fn positive(field: Field, item: &str, text: &str) -> Result<usize, Error> {
    if text.is_empty() {
        return Err(Error::Missing {
            field,
            item: item.into(),
        });
    }
    match text.parse::<i64>() {
        Ok(step) if step > 0 => Ok(usize::try_from(step).unwrap_or(usize::MAX)),
        _ => Err(Error::Step {
            field,
            item: item.into(),
            step: text.into(),
        }),
    }
}
