//! What a schedule does that Kubernetes accepts and its author may not expect.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::Schedule;

const YEAR: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Around a clock change: more than the days before, of and after it, whatever the clock does.
const AROUND: SignedDuration = SignedDuration::from_hours(80);

/// Something that is accepted and may still surprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Both day fields are restricted: either one is enough for a run.
    EitherDay {
        /// The day of month, as written.
        day_of_month: String,
        /// The day of week, as written.
        day_of_week: String,
    },
    /// The same, with a field such as `*/2`, which crontab on most hosts takes to mean that both
    /// days must match.
    EitherDayUnlikeCrontab {
        /// The day of month, as written.
        day_of_month: String,
        /// The day of week, as written.
        day_of_week: String,
    },
    /// A clock change makes runs fall out.
    Dropped {
        /// The zone's name.
        timezone: String,
        /// The wall-clock time of the first of them.
        local: DateTime,
        /// How many runs fall out.
        runs: usize,
    },
    /// A clock change makes runs happen twice.
    Doubled {
        /// The zone's name.
        timezone: String,
        /// The wall-clock time of the first of them.
        local: DateTime,
        /// How many runs happen twice.
        runs: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::EitherDay {
                day_of_month,
                day_of_week,
            } => write!(
                f,
                "day of month {day_of_month} and day of week {day_of_week}: a run needs only one \
                 of them to match, not both"
            ),
            Warning::EitherDayUnlikeCrontab {
                day_of_month,
                day_of_week,
            } => write!(
                f,
                "day of month {day_of_month} and day of week {day_of_week}: a run needs only one \
                 of them to match, while crontab on most hosts requires both where a field begins \
                 with *"
            ),
            Warning::Dropped {
                timezone,
                local,
                runs,
            } => {
                changed(f, *local, *runs)?;
                write!(f, "dropped, as the clocks of {timezone} change")
            }
            Warning::Doubled {
                timezone,
                local,
                runs,
            } => {
                changed(f, *local, *runs)?;
                write!(f, "done twice, as the clocks of {timezone} change")
            }
        }
    }
}

fn changed(f: &mut fmt::Formatter<'_>, local: DateTime, runs: usize) -> fmt::Result {
    let (date, time) = (local.date(), local.time().strftime("%H:%M"));
    match runs {
        0 | 1 => write!(f, "the run at {time} on {date} is "),
        more => write!(f, "{more} runs from {time} on {date} on are "),
    }
}

/// Whether a run needs only one of two restricted day fields to match.
pub(super) fn either_day(schedule: &Schedule) -> Option<Warning> {
    let (day_of_month, day_of_week) = schedule.line.either_day.clone()?;
    let starred = [&day_of_month, &day_of_week]
        .into_iter()
        .any(|text| text.starts_with('*'));
    Some(if starred {
        Warning::EitherDayUnlikeCrontab {
            day_of_month,
            day_of_week,
        }
    } else {
        Warning::EitherDay {
            day_of_month,
            day_of_week,
        }
    })
}

/// The runs that the clock changes in the year after `at` drop or double.
///
/// None for a schedule that runs in every hour: the clock skips or repeats an hour, the backups
/// keep their distance.
pub(super) fn clock_changes(schedule: &Schedule, at: Timestamp) -> Vec<Warning> {
    let fields = &schedule.line.fields;
    if (0..24).all(|hour| fields.has_hour(hour)) {
        return Vec::new();
    }
    let end = at.saturating_add(YEAR).unwrap_or(Timestamp::MAX);
    let changes = schedule.zone.following(at).map(|change| change.timestamp());
    changes
        .take_while(|change| *change <= end)
        .flat_map(|c| around(schedule, c))
        .collect()
}

/// What one clock change does: the runs that there are beside those that the wall clock suggests.
fn around(schedule: &Schedule, change: Timestamp) -> Vec<Warning> {
    let mut runs = BTreeMap::new();
    for local in suggested(schedule, change) {
        runs.insert(local, 0_usize);
    }
    let end = change.saturating_add(AROUND).unwrap_or(change);
    let mut from = change.saturating_sub(AROUND).unwrap_or(change);
    while let Some(run) = schedule.next(from).filter(|run| *run <= end) {
        if let Some(times) = runs.get_mut(&schedule.zone.to_datetime(run)) {
            *times += 1;
        }
        from = run;
    }
    let those = |wanted: fn(usize) -> bool| -> (Option<DateTime>, usize) {
        let mut locals = runs
            .iter()
            .filter(|(_, times)| wanted(**times))
            .map(|(local, _)| *local);
        let first = locals.next();
        (first, usize::from(first.is_some()) + locals.count())
    };
    let timezone = || schedule.timezone.clone();
    let (dropped, doubled) = (those(|times| times == 0), those(|times| times > 1));
    let dropped = dropped.0.map(|local| Warning::Dropped {
        timezone: timezone(),
        local,
        runs: dropped.1,
    });
    let doubled = doubled.0.map(|local| Warning::Doubled {
        timezone: timezone(),
        local,
        runs: doubled.1,
    });
    dropped.into_iter().chain(doubled).collect()
}

/// The wall-clock times that the schedule names on the day of the change, the day before and the
/// day after.
fn suggested(schedule: &Schedule, change: Timestamp) -> Vec<DateTime> {
    let fields = &schedule.line.fields;
    let before = change.saturating_sub(1.second()).unwrap_or(change);
    let day = schedule.zone.to_datetime(before).date();
    let days = (-1..=1).filter_map(|n| day.checked_add(n.days()).ok());
    days.filter(|date| fields.has_month(date.month()) && fields.has_day(*date))
        .flat_map(|date| (0..24).map(move |hour| (date, hour)))
        .filter(|(_, hour)| fields.has_hour(*hour))
        .flat_map(|(date, hour)| (0..60).map(move |minute| date.at(hour, minute, 0, 0)))
        .filter(|local| fields.has_minute(local.minute()))
        .collect()
}
