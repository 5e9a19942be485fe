//! What the module promises: agreement with Kubernetes, and words that help.

use jiff::ToSpan as _;
use proptest::prelude::*;

use super::*;

const VECTORS: &str = include_str!("../../tests/golden/cron-vectors.jsonl");

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
