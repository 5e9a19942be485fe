//! Numbers with a unit: durations such as `1h 30m` and sizes such as `1GiB`.
//!
//! Whole numbers only; a result that does not fit is refused, never clipped.

use std::time::Duration;

/// Milliseconds in each unit of time, the largest first.
const TIMES: &[(&str, u64)] = &[
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Bytes in each unit of size.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Ten years. A clock can add this to any instant without running over its range.
const LONGEST: Duration = Duration::from_hours(3_650 * 24);

/// Why a text is no amount, and what it probably means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnAmount {
    pub(super) message: String,
    /// A text that would be accepted.
    pub(super) meant: Option<String>,
}

/// Reads `30s`, `1h 30m`, `0`.
pub(super) fn duration(text: &str) -> Result<Duration, NotAnAmount> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut last_unit) = (0_u64, u64::MAX);
    loop {
        let (number, unit, tail) = amount(rest)?;
        if unit.is_empty() {
            return wrong("the unit is missing", Some(format!("{}s", text.trim())));
        }
        let Some(&(_, millis)) = TIMES.iter().find(|(name, _)| *name == unit) else {
            return wrong(
                "not a unit of time (ms, s, m, h, d, w)",
                time_meant(number, unit),
            );
        };
        if millis >= last_unit {
            return wrong(
                "the units must go from the largest to the smallest, each once",
                None,
            );
        }
        total = number
            .checked_mul(millis)
            .and_then(|amount| total.checked_add(amount))
            .filter(|total| u128::from(*total) <= LONGEST.as_millis())
            .map_or_else(|| wrong("longer than ten years", None), Ok)?;
        last_unit = millis;
        rest = tail.trim_start();
        if rest.is_empty() {
            return Ok(Duration::from_millis(total));
        }
    }
}

/// Reads `1GiB`, `500MB`, `4096` in bytes.
pub(super) fn bytes(text: &str) -> Result<u64, NotAnAmount> {
    let (number, unit, tail) = amount(text.trim())?;
    if !tail.is_empty() {
        return wrong("not one number and one unit", None);
    }
    if unit.is_empty() {
        return Ok(number);
    }
    let Some(&(_, size)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return wrong(
            "not a unit of size (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)",
            size_meant(number, unit),
        );
    };
    number
        .checked_mul(size)
        .map_or_else(|| wrong("too large", None), Ok)
}

/// The leading whole number, the letters after it, and what remains.
fn amount(text: &str) -> Result<(u64, &str, &str), NotAnAmount> {
    let after_digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(after_digits);
    if digits.is_empty() {
        return match text.chars().next() {
            None => wrong("is empty", None),
            Some('-') => wrong("negative", None),
            Some(_) => wrong("does not begin with a number", None),
        };
    }
    if rest.starts_with(['.', ',']) {
        return wrong("not a whole number", None);
    }
    let number = digits
        .parse()
        .map_or_else(|_| wrong("too large", None), Ok)?;
    let rest = rest.trim_start();
    let after_unit = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(after_unit);
    Ok((number, unit, tail))
}

/// `30min`, `10sec`, `1H`: the first letter says it.
fn time_meant(number: u64, unit: &str) -> Option<String> {
    let lower = unit.to_lowercase();
    let known = [
        "weeks", "days", "hours", "hrs", "minutes", "mins", "seconds", "secs",
    ];
    let whole = known.iter().find(|word| word.starts_with(&lower))?;
    Some(format!("{number}{}", &whole[..1]))
}

/// `1G`, `1Gi`, `1gib`: powers of two, as Kubernetes means them.
fn size_meant(number: u64, unit: &str) -> Option<String> {
    let lower = unit.to_lowercase();
    let (_, mega) = [("k", "KiB"), ("m", "MiB"), ("g", "GiB"), ("t", "TiB")]
        .into_iter()
        .find(|(first, full)| {
            lower.starts_with(first) && full.to_lowercase().starts_with(&lower)
        })?;
    Some(format!("{number}{mega}"))
}

fn wrong<T>(message: &str, meant: Option<String>) -> Result<T, NotAnAmount> {
    Err(NotAnAmount {
        message: message.to_owned(),
        meant,
    })
}
