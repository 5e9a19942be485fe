//! What to write instead of a schedule that is refused.

use super::error::Error;
use super::field::Field;

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
                "Write a number on both sides of a hyphen or a slash, such as 1-5 or 0/5."
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
        _ => return format!("Write a {field} from {accepted}."),
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
