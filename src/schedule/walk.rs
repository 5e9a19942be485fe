//! Field sets × a zone's offsets → the next instant, as the Kubernetes controller would find it.
//!
//! The walk moves from the largest unit to the smallest in wall-clock time and starts over whenever
//! a smaller unit carries into a larger one. A local time that a clock change skips is dropped, one
//! that it repeats runs twice. Where a clock changes at midnight or by half an hour, what is found
//! depends on the exact order of these moves, and so on where the walk began: Kubernetes has that
//! too, and agreeing with it is the point.

use jiff::civil::{Date, DateTime, Time, time};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};

use super::parse::Fields;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How many calendar years the walk looks ahead.
const HORIZON_YEARS: i16 = 5;

/// The first run after the second `after`, both in seconds since 1970; `offset` gives the zone's
/// offset from UTC in seconds at such an instant. `None`: no run up to the end of the fifth
/// calendar year after, or the calendar ends.
pub(super) fn next(fields: &Fields, after: i64, offset: impl Fn(i64) -> i64) -> Option<i64> {
    let mut walk = Walk {
        fields,
        offset,
        at: after.checked_add(1)?,
        aligned: false,
    };
    let last_year = walk.local()?.year() + HORIZON_YEARS;
    while walk.local()?.year() <= last_year {
        let carried =
            walk.month()? || walk.day()? || walk.hour()? || walk.minute()? || walk.second()?;
        if !carried {
            return Some(walk.at);
        }
    }
    None
}

/// A position on its way to the next run. Each step answers whether it carried into a larger unit,
/// and `None` where the calendar ends.
///
/// It ends: past its one alignment every step moves forward in real time, and the year is bounded.
struct Walk<'a, Z> {
    fields: &'a Fields,
    offset: Z,
    at: i64,
    /// The units below the one that moved have been set to their start; done once in a walk.
    aligned: bool,
}

impl<Z: Fn(i64) -> i64> Walk<'_, Z> {
    fn local(&self) -> Option<DateTime> {
        civil(self.at + (self.offset)(self.at))
    }

    /// The instant of a local time. In a gap or an overlap it is the one that Go's `time.Date`
    /// gives, which favours neither side.
    fn instant(&self, local: DateTime) -> Option<i64> {
        let local = Offset::UTC.to_timestamp(local).ok()?.as_second();
        let guess = local - (self.offset)(local);
        Some(local - (self.offset)(guess))
    }

    fn align(&mut self, start: impl FnOnce(DateTime) -> DateTime) -> Option<()> {
        if !self.aligned {
            self.aligned = true;
            self.at = self.instant(start(self.local()?))?;
        }
        Some(())
    }

    fn month(&mut self) -> Option<bool> {
        while !self.fields.has_month(self.local()?.month()) {
            self.align(|t| t.date().first_of_month().to_datetime(Time::midnight()))?;
            let local = self.local()?;
            self.at = self.instant(month_later(local)?)?;
            if self.local()?.month() == 1 {
                return Some(true);
            }
        }
        Some(false)
    }

    fn day(&mut self) -> Option<bool> {
        while !self.fields.has_day(self.local()?.date()) {
            self.align(|t| t.date().to_datetime(Time::midnight()))?;
            let before = self.at;
            self.at = self.instant(self.local()?.checked_add(1.day()).ok()?)?;
            // A clock change moved midnight: the nearest whole number of hours brings it back.
            let hour = i64::from(self.local()?.hour());
            self.at += if hour > 12 {
                DAY - hour * HOUR
            } else {
                -hour * HOUR
            };
            if self.at <= before {
                // Tomorrow does not exist (Pacific/Apia had no 30 December 2011): pass over it.
                self.at = before + DAY;
            }
            if self.local()?.day() == 1 {
                return Some(true);
            }
        }
        Some(false)
    }

    fn hour(&mut self) -> Option<bool> {
        while !self.fields.has_hour(self.local()?.hour()) {
            self.align(|t| t.date().to_datetime(time(t.hour(), 0, 0, 0)))?;
            self.at += HOUR;
            if self.local()?.hour() == 0 {
                return Some(true);
            }
        }
        Some(false)
    }

    fn minute(&mut self) -> Option<bool> {
        while !self.fields.has_minute(self.local()?.minute()) {
            if !self.aligned {
                self.aligned = true;
                self.at -= self.at.rem_euclid(MINUTE);
            }
            self.at += MINUTE;
            if self.local()?.minute() == 0 {
                return Some(true);
            }
        }
        Some(false)
    }

    fn second(&mut self) -> Option<bool> {
        let second = i64::from(self.local()?.second());
        if second == 0 {
            return Some(false);
        }
        self.aligned = true;
        self.at += MINUTE - second;
        Some(true)
    }
}

/// A count of seconds on the wall clock as a date and a time.
fn civil(local: i64) -> Option<DateTime> {
    Some(Offset::UTC.to_datetime(Timestamp::from_second(local).ok()?))
}

/// The same day and time of the following month; a day that it lacks counts on into the next.
fn month_later(local: DateTime) -> Option<DateTime> {
    let first = local.date().first_of_month().checked_add(1.month()).ok()?;
    let date: Date = first.checked_add((local.day() - 1).days()).ok()?;
    Some(date.to_datetime(local.time()))
}
