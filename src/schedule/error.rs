//! Why a schedule or its zone is refused, and what to write instead.

use super::field::Field;

/// Why a schedule is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No text at all.
    #[error("schedule: the text is empty, five fields are needed")]
    Empty,
    /// More or fewer than five fields.
    #[error("schedule: {found} fields in `{}`, five are needed", shown(text))]
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

impl Error {
    /// What to do about it, in a full sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Error::FieldCount { text, .. } => field_count_hint(text),
            Error::Shorthand { text } => shorthand_hint(text),
            Error::NotANumber { field, value, .. } => word_hint(*field, value),
            Error::OutOfRange { field, item, value } => range_hint(*field, item, value),
            Error::Reversed {
                field,
                item,
                low,
                high,
            } => reversed_hint(*field, item, *low, *high),
            Error::Step { field, .. } => {
                let max = field.range().1;
                format!("Write a number from 1 to {max} after the slash, such as */2.")
            }
            Error::NoValue { field, .. } => {
                format!("Write a value between the commas, or * for every {field}.")
            }
            Error::Zone { name, similar } => zone_hint(name, similar.as_deref()),
            other => other.fixed_hint().into(),
        }
    }

    /// The hint where it does not depend on what was written.
    fn fixed_hint(&self) -> &'static str {
        match self {
            Error::Interval { .. } => {
                "An interval counts from the creation or the last run of a CronJob, so the daemon \
                 would never run at the same times: write the times, such as `*/5 * * * *` for \
                 every five minutes."
            }
            Error::ZoneInText { .. } => {
                "Kubernetes refuses TZ= and CRON_TZ= in a schedule: remove it, and set the \
                 `timezone` key to the zone, such as timezone = \"Europe/Berlin\"."
            }
            Error::Missing { .. } => {
                "Write a number on both sides of a hyphen and before a slash, such as 1-5 or 0/5."
            }
            Error::Hyphens { .. } => {
                "Write one range as first-last and separate several with commas, such as 1-2,4-5."
            }
            Error::Slashes { .. } => "Write one step after a range, such as */5 or 1-9/2.",
            Error::NoSuchDay { .. } => {
                "Write a day that the month has: Kubernetes would accept this schedule and never \
                 run it."
            }
            Error::LocalZone => {
                "Write the zone that is meant, such as UTC or Europe/Berlin: the local zone of a \
                 Kubernetes controller is not that of this host."
            }
            Error::FieldSets { .. } => {
                "This is a bug in hypercloud-etcd: report it with the schedule."
            }
            _ => "Write minute, hour, day of month, month and day of week, such as `0 * * * *`.",
        }
    }
}

fn field_count_hint(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let torn = |word: &&str| word.ends_with([',', '-', '/']) || word.starts_with([',', '-', '/']);
    if words.len() > 5 && words.iter().any(torn) {
        return "Remove the spaces within a field: a list is written 0,30 and a range 1-5.".into();
    }
    if words.len() > 5 {
        return "Write minute, hour, day of month, month and day of week: there are no fields for \
                seconds, a year, a user or a command."
            .into();
    }
    "Write minute, hour, day of month, month and day of week with a space between them, such as \
     `0 3 * * *` for 03:00 every day."
        .into()
}

fn shorthand_hint(text: &str) -> String {
    let plain = text.trim().to_ascii_lowercase();
    if super::parse::is_shorthand(&plain) {
        return format!("Write {plain} in lower case, with nothing before or after it.");
    }
    if plain == "@reboot" {
        return "A CronJob has no start of the host to wait for: write the times, such as \
                `0 * * * *`."
            .into();
    }
    "Write one of these names, or the five fields, such as `0 3 * * 1-5`.".into()
}

fn word_hint(field: Field, value: &str) -> String {
    if value.contains(['\'', '"', '`']) {
        return "Remove the quotation marks from the schedule.".into();
    }
    if value.contains(':') {
        return "Write minute and hour as two fields, such as `30 3 * * *` for 03:30.".into();
    }
    if value.contains(';') {
        return "Separate the items of a list with commas.".into();
    }
    if value.chars().any(|c| !c.is_ascii_graphic()) {
        return "Retype the field: it holds a character that is not ASCII, as texts copied from a \
                web page do."
            .into();
    }
    if let Some(name) = full_name(field, value) {
        return format!("Write {name}: names have three letters.");
    }
    let other = Field::ALL
        .into_iter()
        .find(|f| full_name(*f, value).is_some());
    if let Some(other) = other.filter(|other| *other != field) {
        return format!(
            "{value} belongs in the field for the {other}, the {}.",
            place(other)
        );
    }
    if value == "H" || value.contains('~') {
        return "Kubernetes has no random times: write the time, and set the `jitter` key to spread \
                the hosts."
            .into();
    }
    if value.contains(['L', 'W', '#', 'C']) {
        return "Kubernetes does not have L, W, C and # of other schedulers: write the days \
                themselves."
            .into();
    }
    format!(
        "Write {} here, a list such as 1,2, a range such as 1-5, or *.",
        field.accepted()
    )
}

/// The three-letter name in the field that a word begins with, if the word is letters alone.
fn full_name(field: Field, value: &str) -> Option<&'static str> {
    let head = value
        .get(..3)
        .filter(|_| value.bytes().all(|b| b.is_ascii_alphabetic()))?;
    let mut names = field.names().iter();
    names.find(|name| name.eq_ignore_ascii_case(head)).copied()
}

fn place(field: Field) -> &'static str {
    if field == Field::Month {
        "fourth"
    } else {
        "fifth"
    }
}

fn range_hint(field: Field, item: &str, value: &str) -> String {
    let accepted = field.accepted();
    let number = value.trim_start_matches(['+', '0']);
    let fix = match (field, number) {
        (Field::DayOfWeek, "7") => match item.split_once('-') {
            Some((first, last)) if last == value && first != value => {
                format!("write {first}-6,0 for a range that ends on Sunday")
            }
            _ => "write 0 or SUN for Sunday".into(),
        },
        (Field::Hour, "24") => "write 0 for midnight".into(),
        (Field::Minute, "60") => "write 0 for the full hour".into(),
        (Field::DayOfMonth | Field::Month, "") => "the first is 1".into(),
        (Field::DayOfMonth, _) => "the last day of a month has no number of its own".into(),
        _ => {
            let (min, max) = field.range();
            format!("the lowest number is {min}, the highest {max}")
        }
    };
    format!("Kubernetes accepts {accepted} here: {fix}.")
}

fn reversed_hint(field: Field, item: &str, low: u32, high: u32) -> String {
    if item.contains('/') {
        return "A range does not run past the end of its field: write the values as a list, such \
                as 1,3,5."
            .into();
    }
    let (min, max) = field.range();
    let span = |first: u32, last: u32| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    let (late, early) = (span(low, max), span(min, high));
    format!("A range does not run past the end of its field: write {late},{early}.")
}

fn zone_hint(name: &str, similar: Option<&str>) -> String {
    if let Some(similar) = similar {
        return format!("Write {similar}: Kubernetes tells upper from lower case.");
    }
    if name.is_empty() {
        return "Write the zone, such as UTC or Europe/Berlin.".into();
    }
    "Write a name such as UTC or Europe/Berlin: `timedatectl list-timezones` lists them.".into()
}

/// A value, with the item that it is part of.
fn within(value: &str, item: &str) -> String {
    if value == item {
        shown(value)
    } else {
        format!("{} in {}", shown(value), shown(item))
    }
}

/// Text for one line of a message: characters that cannot be seen are escaped, a long text is cut.
fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == LONGEST {
            shown.push('…');
            break;
        }
        if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown
}
