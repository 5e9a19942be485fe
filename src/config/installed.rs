//! The configuration as it is installed: every key with its default and a comment, all of them off;
//! and the same file with values filled in, so that what is written stays the whole reference.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::file;

/// The text of the installed configuration.
pub const INSTALLED: &str = include_str!("../../config/hypercloud-etcd.toml");
/// What the packages bring in its place: a word on where the reference is. It is the same in every
/// version, so that no upgrade asks about a file that was changed.
pub const PACKAGED: &str = include_str!("../../packaging/config.toml");

/// What a key is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// One text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl Value {
    /// For a person: in TOML's notation only where anything has to be escaped to be one line.
    #[must_use]
    pub fn plain(&self) -> String {
        let plain = match self {
            Value::Text(text) => text.clone(),
            Value::List(texts) => texts.join(", "),
        };
        let toml = self.to_string();
        if toml.contains('\\') { toml } else { plain }
    }
}

/// As TOML writes it, on one line, whatever the texts hold.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write_text(f, text),
            Value::List(texts) => {
                f.write_char('[')?;
                for (n, text) in texts.iter().enumerate() {
                    f.write_str(if n == 0 { "" } else { ", " })?;
                    write_text(f, text)?;
                }
                f.write_char(']')
            }
        }
    }
}

/// A basic string of TOML. Beyond what TOML asks for, everything that could be taken for the end of
/// a line, or turn the text around on a terminal, is escaped.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        let is_unseen = c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            _ if is_unseen => write!(f, "\\U{:08x}", u32::from(c))?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// The installed configuration with these keys set, each by its TOML path.
#[must_use]
pub fn filled_in(values: &[(&str, Value)]) -> String {
    let (mut text, mut table) = (String::new(), "");
    for line in INSTALLED.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            table = name;
        }
        let name = line
            .strip_prefix('#')
            .and_then(|rest| rest.split_once(" = "));
        let path = name.map(|(name, _)| file::join(table, name));
        let value = values.iter().find(|(key, _)| path.as_deref() == Some(*key));
        // writing to a string does not fail
        let _ = match (value, name) {
            (Some((_, value)), Some((name, _))) => writeln!(text, "{name} = {value}"),
            _ => writeln!(text, "{line}"),
        };
    }
    text
}

/// A line of a configuration for a screen: without the value of a key that may hold a credential,
/// or that no version knows.
#[must_use]
pub fn masked(line: &str) -> String {
    let bare = line.trim_start_matches(|c: char| c == '#' || c.is_whitespace());
    let is_table = bare.starts_with('[') && !bare.contains(['=', '"', '\'']);
    if INSTALLED.lines().any(|known| known == line) || is_table || bare.is_empty() {
        return line.to_owned();
    }
    let Some((before, _)) = line.split_once('=') else {
        return "…".to_owned();
    };
    let named = before
        .trim_start_matches(|c: char| c == '#' || c.is_whitespace())
        .trim_end();
    let last = named
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .trim_matches('"');
    if file::KEYS.iter().any(|key| key.name == last && key.shown) {
        line.chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect()
    } else {
        "… = …".to_owned()
    }
}
