//! Why a schedule or its zone is refused, and what to write instead.

use super::field::Field;
use crate::line;

/// Why a schedule is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No text at all.
    #[error("schedule: the text is empty, five fields are needed")]
    Empty,
    /// More or fewer than five fields.
    #[error("schedule: five fields are needed, `{}` has {found}", shown(text))]
    FieldCount {
        /// The schedule.
        text: String,
        /// How many fields it has.
        found: usize,
    },
    /// An `@name` that Kubernetes does not know.
    #[error(
        "schedule: `{}` is not accepted, only @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually",
        shown(text)
    )]
    Shorthand {
        /// The schedule.
        text: String,
    },
    /// `@every`.
    #[error("schedule: `{}` is an interval, only times are accepted", shown(text))]
    Interval {
        /// The schedule.
        text: String,
    },
    /// `TZ=` or `CRON_TZ=`.
    #[error("schedule: a time zone in `{}` is not accepted", shown(text))]
    ZoneInText {
        /// The schedule.
        text: String,
    },
    /// Nothing where a number belongs, as in `5-`.
    #[error("{field}: a number is missing in `{}`, accepted are {}", shown(item), field.accepted())]
    Missing {
        /// The field.
        field: Field,
        /// The item of the field's list.
        item: String,
    },
    /// Neither a number nor a name of the field.
    #[error("{field}: {} is not accepted, only {}", within(value, item), field.accepted())]
    NotANumber {
        /// The field.
        field: Field,
        /// The item of the field's list.
        item: String,
        /// The part of it that is wrong.
        value: String,
    },
    /// A number below or above the field's values.
    #[error("{field}: {} is not accepted, only {}", within(value, item), field.accepted())]
    OutOfRange {
        /// The field.
        field: Field,
        /// The item of the field's list.
        item: String,
        /// The number.
        value: String,
    },
    /// A range that falls, as in `22-2`.
    #[error("{field}: the range {} falls, only rising ranges within {} are accepted", shown(item), field.accepted())]
    Reversed {
        /// The field.
        field: Field,
        /// The item of the field's list.
        item: String,
        /// Where the range begins.
        low: u32,
        /// Where it ends.
        high: u32,
    },
    /// More than one `-` in an item.
    #[error("{field}: {} has more than one hyphen, accepted are {} or a range of two", shown(item), field.accepted())]
    Hyphens {
        /// The field.
        field: Field,
        /// The item of the field's list.
        item: String,
    },
    /// More than one `/` in an item.
    #[error(
        "{field}: {} has more than one slash, only one step is accepted",
        shown(item)
    )]
    Slashes {
        /// The field.
        field: Field,
        /// The item of the field's list.
        item: String,
    },
    /// A step that is not a whole number of at least 1.
    #[error(
        "{field}: the step `{}` in {} is not accepted, only whole numbers from 1 on",
        shown(step),
        shown(item)
    )]
    Step {
        /// The field.
        field: Field,
        /// The item of the field's list.
        item: String,
        /// What follows the slash.
        step: String,
    },
    /// A field with nothing but commas: Kubernetes accepts it and never runs the job.
    #[error("{field}: `{}` holds no value, so the schedule never fires, accepted are {}", shown(text), field.accepted())]
    NoValue {
        /// The field.
        field: Field,
        /// The field's text.
        text: String,
    },
    /// A date that no year has: Kubernetes accepts it and never runs the job.
    #[error(
        "day of month: {} does not exist in month {}, so the schedule never fires",
        shown(day),
        shown(month)
    )]
    NoSuchDay {
        /// The day field's text.
        day: String,
        /// The month field's text.
        month: String,
    },
    /// A zone name that Kubernetes or this host's zone database does not know.
    #[error(
        "timezone: `{}` is not accepted, only the exact IANA name of a time zone",
        shown(name)
    )]
    Zone {
        /// The name.
        name: String,
        /// The name as it should be written, where only upper and lower case are wrong.
        similar: Option<String>,
    },
    /// The zone `Local`.
    #[error("timezone: Local is not accepted, only the IANA name of a time zone")]
    LocalZone,
    /// The lists of numbers made from the text do not suit the `cron` crate: a bug.
    #[error("schedule: the field sets `{lists}` could not be held")]
    FieldSets {
        /// What was given to it.
        lists: String,
        /// What it answered.
        source: cron::error::Error,
    },
}

/// A value, with the item that it is part of.
fn within(value: &str, item: &str) -> String {
    if value == item {
        shown(value)
    } else {
        format!("{} in {}", shown(value), shown(item))
    }
}

/// Text for one line of a message.
fn shown(text: &str) -> String {
    line::shown(text, 60)
}
