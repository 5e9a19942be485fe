//! One thing that is wrong with the configuration, told so that it can be repaired at once: the
//! key, where it stands, what it says, what is accepted, and what was probably meant.
//!
//! Values of unknown keys are never shown: somebody may have written a password there.

use std::fmt;

use serde::Serialize;

/// Longer values and keys are cut, so that one line of an error stays one line.
const SHOWN_CHARS: usize = 80;

/// Whether the configuration can be used in spite of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used, but does not do all that it says.
    Warning,
}

/// One mistake in the configuration file.
///
/// `Display` is everything but the hint; only the picture of a syntax error takes more than one
/// line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The TOML path of the key, such as `etcd.endpoints[1]`; empty for a syntax error.
    pub key: String,
    /// The line in the file, counted from 1.
    pub line: Option<usize>,
    /// The character in that line, counted from 1.
    pub column: Option<usize>,
    /// What the file says, in TOML's notation; absent where it might be a secret.
    pub value: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// What would be right.
    pub accepted: String,
    /// What to do about it: a full sentence.
    pub hint: Option<String>,
    /// Whether the configuration is refused for it.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if !self.key.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        if self.accepted.is_empty() {
            return Ok(());
        }
        write!(f, "; accepted: {}", self.accepted)
    }
}

/// A text as TOML would write it, cut to a readable length; the user and password of a URL are
/// masked.
pub(super) fn quoted(text: &str) -> String {
    // `escape_debug` leaves letters of every script alone and makes the rest visible.
    let escaped: String = cut(&masked(text))
        .chars()
        .flat_map(|c| {
            if c == '\'' {
                vec![c]
            } else {
                c.escape_debug().collect()
            }
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The beginning of a text that is too long for a line.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The text of a URL without the user and password in it.
fn masked(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}://***{}", &text[..scheme], &text[at..])
        }
        _ => text.to_owned(),
    }
}

/// A key as TOML would write it.
pub(super) fn key_name(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= SHOWN_CHARS && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// The candidate that was probably meant: a few letters away, or one that `word` abbreviates.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.is_empty() || word.len() > SHOWN_CHARS {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .filter_map(|candidate| {
            let distance = distance(&word, &candidate.to_lowercase());
            let abbreviated = word.len() >= 3 && candidate.starts_with(&word);
            (distance <= allowed || abbreviated).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j - 1] + differs)
                .min(above[j] + 1)
                .min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}
