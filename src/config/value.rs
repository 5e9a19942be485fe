//! Reads the values of a TOML document, or says why it cannot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::amount::{self, NotAnAmount};
use super::problem::{cut, nearest, quoted};

/// A value of the document with its place in it.
pub(super) type Item<'i> = Spanned<DeValue<'i>>;

/// A read value, or everything that is wrong with it.
pub(super) type Read<T> = Result<T, Faults>;

/// Why a value cannot be accepted.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Which element of a list it is about.
    pub(super) element: Option<Element>,
}

/// One element of a list.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) index: usize,
    /// Its first byte in the document.
    pub(super) start: usize,
    pub(super) value: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            element: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn did_you_mean(self, meant: &str) -> Self {
        self.hint(format!("Did you mean {}?", quoted(meant)))
    }
}

/// Everything that is wrong with one value.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl From<NotAnAmount> for Fault {
    fn from(not: NotAnAmount) -> Self {
        let fault = Fault::new(not.message);
        match not.meant {
            Some(meant) => fault.did_you_mean(&meant),
            None => fault,
        }
    }
}

/// What sort of value TOML has here, in words.
fn sort_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value of the wrong sort.
pub(super) fn expected(wanted: &str, found: &DeValue<'_>) -> Fault {
    Fault::new(format!("expected {wanted}, found {}", sort_of(found)))
}

/// Text in quotes.
pub(super) fn text<'a>(item: &'a Item<'_>) -> Result<&'a str, Fault> {
    match item.get_ref() {
        DeValue::String(text) => Ok(text),
        other => Err(expected("text in quotes", other)),
    }
}

/// Text that is not blank.
pub(super) fn name(item: &Item<'_>) -> Result<String, Fault> {
    match text(item)? {
        blank if blank.trim().is_empty() => Err(Fault::new("the text is empty")),
        text => Ok(text.to_owned()),
    }
}

/// One of a few words.
pub(super) fn choice<T: Clone>(item: &Item<'_>, choices: &[(&str, T)]) -> Result<T, Fault> {
    let text = text(item)?;
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(value.clone());
    }
    let fault = Fault::new("not one of the choices");
    match nearest(text, choices.iter().map(|(name, _)| *name)) {
        Some(meant) => Err(fault.did_you_mean(meant)),
        None => Err(fault),
    }
}

/// A whole number between two bounds, both included.
pub(super) fn number(item: &Item<'_>, least: u32, most: u32) -> Result<u32, Fault> {
    match integer(item, "a whole number")? {
        n if n < 0 => Err(Fault::new("negative")),
        n if n < i128::from(least) => Err(Fault::new("too small")),
        n => u32::try_from(n)
            .ok()
            .filter(|n| *n <= most)
            .ok_or_else(|| Fault::new("too large")),
    }
}

/// An integer of TOML, clipped to what 128 bits hold.
fn integer(item: &Item<'_>, wanted: &str) -> Result<i128, Fault> {
    let DeValue::Integer(number) = item.get_ref() else {
        return Err(expected(wanted, item.get_ref()));
    };
    let digits = number.as_str();
    let clipped = if digits.starts_with('-') {
        i128::MIN
    } else {
        i128::MAX
    };
    Ok(i128::from_str_radix(digits, number.radix()).unwrap_or(clipped))
}

/// An absolute path.
pub(super) fn path(text: &str) -> Result<PathBuf, Fault> {
    if text.is_empty() {
        return Err(Fault::new("the path is empty"));
    }
    if text.contains('\0') {
        return Err(Fault::new("a path cannot hold a zero byte"));
    }
    if Path::new(text).is_absolute() {
        return Ok(PathBuf::from(text));
    }
    let fault = Fault::new("not an absolute path");
    Err(match text.strip_prefix('~') {
        Some(_) => fault.hint("`~` means nothing here: write the directory out, such as /root."),
        None => fault.hint("Begin the path with a slash."),
    })
}

/// Reads every element, and reports every one that cannot be read.
pub(super) fn list<T>(
    item: &Item<'_>,
    mut read: impl FnMut(&str) -> Result<T, Fault>,
) -> Read<Vec<T>> {
    let DeValue::Array(items) = item.get_ref() else {
        return Err(expected("a list in [ ]", item.get_ref()).into());
    };
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match text(item).and_then(&mut read) {
            Ok(value) => values.push(value),
            Err(mut fault) => {
                fault.element = Some(Element {
                    index,
                    start: item.span().start,
                    value: shown(item.get_ref()),
                });
                faults.push(fault);
            }
        }
    }
    if faults.is_empty() {
        Ok(values)
    } else {
        Err(Faults(faults))
    }
}

/// A duration such as `1h 30m`.
pub(super) fn duration(item: &Item<'_>) -> Result<Duration, Fault> {
    if let DeValue::String(text) = item.get_ref() {
        return Ok(amount::duration(text)?);
    }
    let fault = expected("a duration in quotes", item.get_ref());
    Err(match integer(item, "").map(u32::try_from) {
        Ok(Ok(seconds)) => fault.did_you_mean(&format!("{seconds}s")),
        _ => fault,
    })
}

/// A size such as `1GiB`, or a number of bytes.
pub(super) fn size(item: &Item<'_>) -> Result<u64, Fault> {
    if let DeValue::String(text) = item.get_ref() {
        return Ok(amount::bytes(text)?);
    }
    match integer(item, "a size in quotes or a number of bytes")? {
        n if n < 0 => Err(Fault::new("negative")),
        n => u64::try_from(n).map_err(|_| Fault::new("too large")),
    }
}

/// A value as TOML would write it, where that fits into a line.
pub(super) fn shown(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(quoted(text)),
        DeValue::Integer(number) => Some(cut(&number.to_string())),
        DeValue::Float(number) => Some(cut(number.as_str())),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
