//! A crontab line in a time zone → the instants at which it runs, as a Kubernetes CronJob has them.
//!
//! The same text must mean the same in this daemon and in the CronJob that it can be rendered to.
//! So the text is read by Kubernetes' own rules (robfig/cron v3, five fields, day of week 0 to 6)
//! and the next run is found by the controller's own steps, through clock changes too. The field
//! sets are held by the `cron` crate, which never sees the text: it would read `1` as Sunday and
//! require both day fields to match.
//!
//! Refused on top of what Kubernetes refuses, each with the reason: `@every` (its phase belongs to
//! the CronJob object), a schedule that can never fire, and a zone name in the text.
//!
//! Pure: no clock, no I/O but the zone database behind a zone's name. How far the answers agree
//! with a cluster also depends on both having the same edition of that database.

mod error;
mod field;
mod hint;
mod parse;
#[cfg(test)]
mod tests;
mod walk;
mod warning;

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

pub use error::Error;
pub use field::Field;
pub use warning::Warning;

/// How far from a clock change the next run cannot depend on where the search for it began.
const CALM: SignedDuration = SignedDuration::from_hours(30);

/// Files of a zone database that stand for whatever zone their host chose.
const HOST_ZONES: [&str; 2] = ["localtime", "posixrules"];

/// When to run.
#[derive(Debug, Clone)]
pub struct Schedule {
    line: parse::Line,
    zone: TimeZone,
    timezone: String,
}

impl Schedule {
    /// Parses 5-field crontab text exactly as a Kubernetes CronJob means it, in an IANA zone.
    ///
    /// # Errors
    /// What Kubernetes would refuse as `spec.schedule` or `spec.timeZone`, or never run, or run at
    /// times that only the cluster knows.
    pub fn parse(text: &str, timezone: &str) -> Result<Schedule, Error> {
        Ok(Schedule {
            line: parse::line(text)?,
            zone: zone(timezone)?,
            timezone: timezone.to_owned(),
        })
    }

    /// The schedule as a CronJob should have it: the fields joined by single spaces.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.line.text
    }

    /// The zone's IANA name.
    #[must_use]
    pub fn timezone(&self) -> &str {
        &self.timezone
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first run strictly after `after`; `None`: there is none up to the end of the fifth
    /// calendar year that follows (as for 29 February asked from 2096 on).
    ///
    /// Near a clock change of some zones the answer depends on `after`. Kubernetes asks from the
    /// last planned run, and so should a daemon that is to agree with it.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = floor(after);
        let mut from = after;
        loop {
            let run = walk::next(&self.line.fields, from, |unix| self.offset(unix))?;
            if run > after {
                return Timestamp::from_second(run).ok();
            }
            // Where a repeated stretch does not begin on the hour (Pacific/Chatham), the walk's
            // first step can go back past its start: ask again from the next minute.
            from += 60 - (from + 1).rem_euclid(60);
        }
    }

    /// The latest run at or before `at` but after `since`: the end of the chain that asking
    /// [`Schedule::next`] from `since` on would go through, found without going through it.
    #[must_use]
    pub fn latest(&self, since: Timestamp, at: Timestamp) -> Option<Timestamp> {
        let mut latest = None;
        let mut from = since;
        while let Some(run) = self.next(from).filter(|run| *run <= at) {
            from = self.leap(run, at);
            latest = Some(from);
        }
        latest
    }

    /// What is legal and may still surprise, such as a run that a clock change in the year after
    /// `at` drops or doubles.
    #[must_use]
    pub fn warnings(&self, at: Timestamp) -> Vec<Warning> {
        let mut warnings = Vec::new();
        warnings.extend(warning::either_day(self));
        warnings.extend(warning::clock_changes(self, at));
        warnings
    }

    /// The last run up to `at` that is reached from `run` before the clock changes again.
    ///
    /// Between two changes the walk misses nothing, wherever in the stretch it begins, so the last
    /// run can be found by bisection. Close to a change this answers `run` itself.
    fn leap(&self, run: Timestamp, at: Timestamp) -> Timestamp {
        let settled = run.saturating_sub(CALM).unwrap_or(run);
        let change = self
            .zone
            .following(settled)
            .next()
            .map(|change| change.timestamp());
        let limit = match change {
            Some(change) => change.saturating_sub(CALM).unwrap_or(run).min(at),
            None => at,
        };
        let (mut low, mut high) = (floor(run), floor(limit));
        while low < high {
            let middle = low + (high - low) / 2;
            match walk::next(&self.line.fields, middle, |unix| self.offset(unix)) {
                Some(next) if next <= floor(limit) => low = next,
                _ => high = middle,
            }
        }
        Timestamp::from_second(low).unwrap_or(run)
    }

    fn offset(&self, unix: i64) -> i64 {
        let at = Timestamp::from_second(
            unix.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()),
        );
        at.map_or(0, |at| i64::from(self.zone.to_offset(at).seconds()))
    }
}

/// How much later than planned this host starts: at most `up_to`, the same on every run, and spread
/// over the hosts of a fleet.
#[must_use]
pub fn jitter(up_to: Duration, host: &str) -> Duration {
    let digest = Sha256::digest(host.as_bytes());
    let share = digest
        .iter()
        .take(4)
        .fold(0_u128, |share, byte| share << 8 | u128::from(*byte));
    let nanos = (up_to.as_nanos() * share) >> 32;
    Duration::from_nanos_u128(nanos)
}

/// A zone by exactly the name under which Kubernetes accepts it in `spec.timeZone`.
fn zone(name: &str) -> Result<TimeZone, Error> {
    let unknown = |similar: Option<String>| Error::Zone {
        name: name.into(),
        similar,
    };
    if name.eq_ignore_ascii_case("local") {
        return Err(Error::LocalZone);
    }
    if !name.split('/').all(is_zone_part) || HOST_ZONES.contains(&name) {
        return Err(unknown(None));
    }
    let zone = TimeZone::get(name).map_err(|_| unknown(None))?;
    match zone.iana_name() {
        Some(known) if known == name && !zone.is_unknown() => Ok(zone),
        known => Err(unknown(
            known.filter(|known| *known != name).map(String::from),
        )),
    }
}

/// The API server's rule for what stands between the slashes of a zone's name.
fn is_zone_part(part: &str) -> bool {
    let accepted = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    (1..=14).contains(&part.len())
        && part.chars().all(accepted)
        && !part.starts_with('-')
        && !matches!(part, "." | "..")
}

/// The whole second at or before an instant.
fn floor(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}
