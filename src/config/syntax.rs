//! The text as TOML: whether it is that at all, and where in it a byte stands.

use toml::Spanned;
use toml::de::DeTable;

use super::file;

/// A dotted key nests a table for each dot, inline tables nest further, and tables are freed
/// recursively: this many dots a line are free, ...
const FREE_DOTS: usize = 8;

/// ... and this many more in the whole file, which lists of addresses use up.
const MOST_DOTS: usize = 512;

/// Why a text is not TOML.
pub(super) struct NotToml {
    /// The byte at which it stops being TOML.
    pub(super) start: Option<usize>,
    /// What is wrong there, with a picture of the line where that cannot hold a secret.
    pub(super) message: String,
}

/// Parses a text, unless its tables nest deeper than a stack can bear.
pub(super) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, NotToml> {
    if let Some(start) = nested_too_deeply(text) {
        let message = "too many dots: tables nested too deeply".to_owned();
        return Err(NotToml {
            start: Some(start),
            message,
        });
    }
    DeTable::parse(text).map_err(|error| {
        let start = error.span().map(|span| span.start);
        let mut message = format!("not valid TOML: {}", error.message());
        if start.is_some_and(|start| may_be_shown(text, start)) {
            message.push_str(&picture(&error.to_string()));
        }
        NotToml { start, message }
    })
}

/// Where the line starts with which the dots become too many.
fn nested_too_deeply(text: &str) -> Option<usize> {
    let (mut start, mut spare) = (0, MOST_DOTS);
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with('#') {
            let dots = line.bytes().filter(|byte| *byte == b'.').count();
            match spare.checked_sub(dots.saturating_sub(FREE_DOTS)) {
                Some(left) => spare = left,
                None => return Some(start),
            }
        }
        start += line.len();
    }
    None
}

/// Whether the line of a syntax error belongs to a key that holds no secret.
fn may_be_shown(text: &str, start: usize) -> bool {
    let after = text.get(start..).unwrap_or_default();
    let until = text.len() - after.len() + after.find('\n').unwrap_or(after.len());
    for line in text[..until].lines().rev().map(str::trim) {
        if line.starts_with('#') {
            continue;
        }
        let word = line
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.')
            .next();
        let named = match line.split_once('=') {
            Some((key, _)) => key.trim().trim_matches('"'),
            None => word.unwrap_or_default(),
        };
        if !named.is_empty() {
            let last = named.rsplit('.').next().unwrap_or_default();
            return file::KEYS.iter().any(|key| key.name == last && key.shown);
        }
        if line.starts_with('[') {
            return true;
        }
    }
    true
}

/// The line with its caret out of the message of the TOML crate.
fn picture(error: &str) -> String {
    let mut picture = String::new();
    for line in error.lines().skip(1).take(3) {
        picture.push('\n');
        picture.push_str(line);
    }
    picture
}

/// Line and column of a byte, both counted from 1.
pub(super) fn place(text: &str, start: usize) -> (usize, usize) {
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}
