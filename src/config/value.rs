//! What a key may say: one [`Kind`] for each sort of value, with the words that describe it and
//! the function that reads it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::Schedule;
use super::amount::{self, NotAnAmount};
use super::problem::{nearest, quoted};
use crate::etcd;

/// A value of the document with its place in it.
pub(super) type Item<'i> = Spanned<DeValue<'i>>;

/// A read value, or everything that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Fault>>;

/// A sort of value.
pub(super) struct Kind<T: 'static> {
    /// One or two words for a table of all keys.
    pub(super) name: &'static str,
    /// What is accepted, with an example.
    pub(super) accepts: &'static str,
    /// Whether a wrong value may be shown; not where it may hold a credential.
    pub(super) shown: bool,
    /// Reads it.
    pub(super) read: fn(&Item<'_>) -> Read<T>,
}

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
    pub(super) span: Range<usize>,
    pub(super) value: Option<String>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            element: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn did_you_mean(self, meant: &str) -> Self {
        self.hint(format!("Did you mean {}?", quoted(meant)))
    }
}

impl<T> From<Fault> for Read<T> {
    fn from(fault: Fault) -> Self {
        Err(vec![fault])
    }
}

// ---- what other modules decide -------------------------------------------------------------

/// Reads the client URL of a member.
fn endpoint(text: &str) -> Result<etcd::Endpoint, String> {
    etcd::Endpoint::parse(text).map_err(|error| error.to_string())
}

/// Reads a crontab line in a time zone.
pub(super) fn schedule(text: &str, timezone: &str) -> Result<Schedule, Fault> {
    if text.split_whitespace().count() != 5 {
        return Err(Fault::new("not a crontab line"));
    }
    if timezone.is_empty() || timezone.contains(char::is_whitespace) {
        return Err(Fault::new("not a time zone"));
    }
    Ok(Schedule {
        text: text.to_owned(),
        timezone: timezone.to_owned(),
    })
}

// ---- the kinds -----------------------------------------------------------------------------

const fn kind<T>(
    name: &'static str,
    accepts: &'static str,
    read: fn(&Item<'_>) -> Read<T>,
) -> Kind<T> {
    Kind {
        name,
        accepts,
        shown: true,
        read,
    }
}

const fn secret<T>(
    name: &'static str,
    accepts: &'static str,
    read: fn(&Item<'_>) -> Read<T>,
) -> Kind<T> {
    Kind {
        name,
        accepts,
        shown: false,
        read,
    }
}

pub(super) const FLAG: Kind<bool> = kind("boolean", "true or false", |item| match item.get_ref() {
    DeValue::Boolean(flag) => Ok(*flag),
    other => expected("a boolean", other).into(),
});

pub(super) const SCHEDULE: Kind<String> = kind(
    "schedule",
    "five crontab fields (minute, hour, day of month, month, day of week), such as \"0 */6 * * *\"",
    |item| {
        let text = text(item)?;
        // The zone has a problem of its own where it is wrong.
        schedule(text, "UTC").map_err(|fault| vec![fault])?;
        Ok(text.to_owned())
    },
);

pub(super) const TIMEZONE: Kind<String> = kind(
    "time zone",
    "the IANA name of a time zone, such as \"UTC\" or \"Europe/Berlin\"",
    |item| {
        let text = text(item)?;
        schedule("* * * * *", text).map_err(|fault| vec![fault])?;
        Ok(text.to_owned())
    },
);

pub(super) const DURATION: Kind<Duration> = kind(
    "duration",
    "a duration such as \"0s\", \"10m\" or \"1h 30m\"",
    |item| duration(item).map_err(|fault| vec![fault]),
);

pub(super) const POSITIVE: Kind<Duration> = kind(
    "duration",
    "a duration above zero, such as \"30s\" or \"1h 30m\"",
    |item| match duration(item) {
        Ok(Duration::ZERO) => Fault::new("zero makes no sense here").into(),
        other => other.map_err(|fault| vec![fault]),
    },
);

pub(super) const SIZE: Kind<u64> = kind(
    "size",
    "a size such as \"1GiB\", \"500MB\" or \"0\", or a number of bytes",
    |item| size(item).map_err(|fault| vec![fault]),
);

pub(super) const COUNT: Kind<u32> = kind("number", "a whole number from 0 to 1000000", |item| {
    number(item, 0, 1_000_000)
});

pub(super) const FLOOR: Kind<u32> = kind("number", "a whole number from 1 to 1000000", |item| {
    number(item, 1, 1_000_000)
});

pub(super) const FILE: Kind<PathBuf> = kind("path", "the absolute path of a file", |item| {
    path(text(item)?).map_err(|f| vec![f])
});

pub(super) const DIRECTORY: Kind<PathBuf> =
    kind("path", "the absolute path of a directory", |item| {
        path(text(item)?).map_err(|f| vec![f])
    });

pub(super) const FILES: Kind<Vec<PathBuf>> = kind(
    "list of paths",
    "a list of absolute paths of files",
    |item| list(item, path),
);

pub(super) const ENDPOINTS: Kind<Vec<etcd::Endpoint>> = kind(
    "list of URLs",
    "one or more different client URLs of etcd members, each scheme://host:port, such as \
     [\"https://127.0.0.1:2379\"]",
    endpoints,
);

pub(super) const NAME: Kind<String> = kind("text", "a name, not empty", |item| named(text(item)?));

pub(super) const LIVE_HASH: Kind<etcd::LiveHash> =
    kind("choice", "\"auto\", \"require\" or \"off\"", |item| {
        choice(
            text(item)?,
            &[
                ("auto", etcd::LiveHash::Auto),
                ("require", etcd::LiveHash::Require),
                ("off", etcd::LiveHash::Off),
            ],
        )
    });

pub(super) const COMPRESSION: Kind<String> = kind(
    "choice",
    "\"none\", \"zstd\" or \"zstd:LEVEL\" with a level from 1 to 22",
    |item| {
        let text = text(item)?;
        let level = text
            .strip_prefix("zstd:")
            .and_then(|level| level.parse::<u8>().ok());
        if level.is_some_and(|level| (1..=22).contains(&level)) {
            return Ok(text.to_owned());
        }
        choice(
            text,
            &[("none", "none".to_owned()), ("zstd", "zstd".to_owned())],
        )
    },
);

pub(super) const RECIPIENTS: Kind<Vec<String>> = secret(
    "list of recipients",
    "a list of age recipients, each beginning with \"age1\"",
    |item| {
        list(item, |text| match text {
            recipient if recipient.starts_with("age1") => Ok(recipient.to_owned()),
            _ => Err(Fault::new("not an age recipient")),
        })
    },
);

pub(super) const ADDRESS: Kind<SocketAddr> = kind(
    "address",
    "an IP address and a port, such as \"127.0.0.1:9379\"",
    |item| {
        text(item)?
            .parse()
            .map_err(|_| vec![Fault::new("not an address with a port")])
    },
);

/// A URL that works as a password: whoever knows it may call it.
pub(super) const HOOK: Kind<String> = secret(
    "URL",
    "a URL that begins with https:// or http://",
    |item| match text(item)? {
        url if url.starts_with("https://") || url.starts_with("http://") => Ok(url.to_owned()),
        _ => Fault::new("not a URL").into(),
    },
);

// ---- how they are read ---------------------------------------------------------------------

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

fn text<'a>(item: &'a Item<'_>) -> Read<&'a str> {
    match item.get_ref() {
        DeValue::String(text) => Ok(text),
        other => expected("text in quotes", other).into(),
    }
}

fn named(text: &str) -> Read<String> {
    if text.trim().is_empty() {
        return Fault::new("is empty").into();
    }
    Ok(text.to_owned())
}

fn choice<T: Clone>(text: &str, choices: &[(&str, T)]) -> Read<T> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(value.clone());
    }
    let fault = Fault::new("not one of the choices");
    match nearest(text, choices.iter().map(|(name, _)| *name)) {
        Some(meant) => fault.did_you_mean(meant).into(),
        None => fault.into(),
    }
}

fn number(item: &Item<'_>, least: u32, most: u32) -> Read<u32> {
    let DeValue::Integer(number) = item.get_ref() else {
        return expected("a whole number", item.get_ref()).into();
    };
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(n) if n < 0 => Fault::new("negative").into(),
        Ok(n) if n < i128::from(least) => Fault::new("too small").into(),
        Ok(n) if n <= i128::from(most) => Ok(u32::try_from(n).unwrap_or(most)),
        _ => Fault::new("too large").into(),
    }
}

fn path(text: &str) -> Result<PathBuf, Fault> {
    if text.is_empty() {
        return Err(Fault::new("is empty"));
    }
    if text.contains('\0') {
        return Err(Fault::new("contains a zero byte"));
    }
    if text.starts_with('~') {
        return Err(Fault::new("not an absolute path")
            .hint("`~` means nothing here: write the directory out, such as /root."));
    }
    if !Path::new(text).is_absolute() {
        return Err(Fault::new("not an absolute path").hint("Begin the path with a slash."));
    }
    Ok(PathBuf::from(text))
}

/// Reads every element, and reports every one that cannot be read.
fn list<T>(item: &Item<'_>, read: fn(&str) -> Result<T, Fault>) -> Read<Vec<T>> {
    let DeValue::Array(items) = item.get_ref() else {
        return expected("a list in [ ]", item.get_ref()).into();
    };
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let value = text(item).and_then(|text| read(text).map_err(|fault| vec![fault]));
        match value {
            Ok(value) => values.push(value),
            Err(found) => faults.extend(found.into_iter().map(|fault| {
                let element = Element {
                    index,
                    span: item.span(),
                    value: shown(item.get_ref()),
                };
                Fault {
                    element: Some(element),
                    ..fault
                }
            })),
        }
    }
    if faults.is_empty() {
        Ok(values)
    } else {
        Err(faults)
    }
}

fn endpoints(item: &Item<'_>) -> Read<Vec<etcd::Endpoint>> {
    let mut faults = Vec::new();
    let parsed = list(item, |text| {
        endpoint(text).map_err(|cause| {
            let fault = Fault::new(cause);
            if text.contains("://") || text.is_empty() {
                return fault;
            }
            fault.did_you_mean(&format!("https://{text}"))
        })
    })
    .unwrap_or_else(|found| {
        faults = found;
        Vec::new()
    });
    let DeValue::Array(items) = item.get_ref() else {
        return Err(faults);
    };
    let mut seen = HashSet::new();
    let mut schemes = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.get_ref().as_str() else {
            continue;
        };
        schemes.extend(
            text.split_once("://")
                .map(|(scheme, _)| scheme.to_lowercase()),
        );
        if !seen.insert(text.trim_end_matches('/').to_lowercase()) {
            let element = Element {
                index,
                span: item.span(),
                value: shown(item.get_ref()),
            };
            faults.push(Fault {
                element: Some(element),
                ..Fault::new("listed twice")
            });
        }
    }
    if items.is_empty() {
        faults.push(Fault::new("is empty"));
    }
    if schemes.contains("http") && schemes.contains("https") {
        faults.push(Fault::new("mixes http:// and https://"));
    }
    if faults.is_empty() {
        Ok(parsed)
    } else {
        Err(faults)
    }
}

/// A value as TOML would write it, where that fits into a line.
pub(super) fn shown(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(quoted(text)),
        DeValue::Integer(number) => Some(quoted(&number.to_string()).replace('"', "")),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn duration(item: &Item<'_>) -> Result<Duration, Fault> {
    match item.get_ref() {
        DeValue::String(text) => amount::duration(text).map_err(Fault::from),
        DeValue::Integer(number) => {
            let fault = expected("a duration in quotes", item.get_ref());
            match number.as_str().parse::<u32>() {
                Ok(seconds) => Err(fault.did_you_mean(&format!("{seconds}s"))),
                Err(_) => Err(fault),
            }
        }
        other => Err(expected("a duration in quotes", other)),
    }
}

fn size(item: &Item<'_>) -> Result<u64, Fault> {
    match item.get_ref() {
        DeValue::String(text) => amount::bytes(text).map_err(Fault::from),
        DeValue::Integer(number) => {
            match i128::from_str_radix(number.as_str(), number.radix()).map(u64::try_from) {
                Ok(Ok(bytes)) => Ok(bytes),
                _ if number.as_str().starts_with('-') => Err(Fault::new("negative")),
                _ => Err(Fault::new("too large")),
            }
        }
        other => Err(expected("a size", other)),
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
