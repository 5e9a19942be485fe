//! What a key may say: one [`Kind`] for each sort of value, with the words that describe it and
//! the function that reads it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::value::{
    Fault, Item, Read, choice, duration, expected, list, name, number, path, size, text,
};
use crate::schedule::Schedule;
use crate::{etcd, pki};

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
    other => Err(expected("a boolean", other).into()),
});

pub(super) const SCHEDULE: Kind<String> = kind(
    "schedule",
    "five crontab fields (minute, hour, day of month, month, day of week), such as \"0 */6 * * *\", \
     or a name such as \"@daily\"",
    |item| {
        let text = text(item)?;
        // The zone has a problem of its own where it is wrong.
        schedule(text, "UTC")?;
        Ok(text.to_owned())
    },
);

pub(super) const TIMEZONE: Kind<String> = kind(
    "time zone",
    "the IANA name of a time zone, such as \"UTC\" or \"Europe/Berlin\"",
    |item| {
        let text = text(item)?;
        schedule("* * * * *", text)?;
        Ok(text.to_owned())
    },
);

pub(super) const DURATION: Kind<Duration> = kind(
    "duration",
    "a duration such as \"0s\", \"10m\" or \"1h 30m\"",
    |item| Ok(duration(item)?),
);

pub(super) const POSITIVE: Kind<Duration> = kind(
    "duration",
    "a duration above zero, such as \"30s\" or \"1h 30m\"",
    |item| match duration(item)? {
        Duration::ZERO => Err(Fault::new("zero makes no sense here").into()),
        duration => Ok(duration),
    },
);

pub(super) const SIZE: Kind<u64> = kind(
    "size",
    "a size such as \"1GiB\", \"500MB\" or \"0\", or a number of bytes",
    |item| Ok(size(item)?),
);

pub(super) const COUNT: Kind<u32> = kind("number", "a whole number from 0 to 1000000", |item| {
    Ok(number(item, 0, 1_000_000)?)
});

pub(super) const FLOOR: Kind<u32> = kind("number", "a whole number from 1 to 1000000", |item| {
    Ok(number(item, 1, 1_000_000)?)
});

pub(super) const PERCENT: Kind<u32> = kind("number", "a whole number from 1 to 100", |item| {
    Ok(number(item, 1, 100)?)
});

pub(super) const TYPES: Kind<Vec<String>> = kind(
    "list of types",
    "a list of types as `show` names them, such as [\"/registry/events\"]",
    |item| {
        list(item, |text| match text {
            name if name == "other" || name.starts_with("/registry/") => Ok(name.to_owned()),
            _ => Err(Fault::new(
                "neither begins with /registry/ nor is \"other\"",
            )),
        })
    },
);

/// What a key says that switches something off.
const OFF: &str = "off";

pub(super) const REVERIFY: Kind<Option<String>> = kind(
    "schedule",
    "five crontab fields, such as \"0 3 * * 0\", a name such as \"@weekly\", or \"off\"",
    |item| match (SCHEDULE.read)(item) {
        Ok(schedule) => Ok(Some(schedule)),
        Err(_) if text(item)? == OFF => Ok(None),
        Err(faults) => Err(faults),
    },
);

pub(super) const FILE: Kind<PathBuf> = kind("path", "the absolute path of a file", |item| {
    Ok(path(text(item)?)?)
});

pub(super) const DIRECTORY: Kind<PathBuf> =
    kind("path", "the absolute path of a directory", |item| {
        Ok(path(text(item)?)?)
    });

pub(super) const FILES: Kind<Vec<PathBuf>> = kind(
    "list of paths",
    "a list of absolute paths of files, each with a name of its own",
    files,
);

pub(super) const ENDPOINTS: Kind<Vec<etcd::Endpoint>> = kind(
    "list of URLs",
    "one or more different client URLs of etcd members, each scheme://host:port, such as \
     [\"https://127.0.0.1:2379\"]",
    endpoints,
);

pub(super) const NAME: Kind<String> = kind("text", "a name, not empty", |item| Ok(name(item)?));

pub(super) const LIVE_HASH: Kind<etcd::LiveHash> =
    kind("choice", "\"auto\", \"require\" or \"off\"", |item| {
        let choices = [
            ("auto", etcd::LiveHash::Auto),
            ("require", etcd::LiveHash::Require),
            ("off", etcd::LiveHash::Off),
        ];
        Ok(choice(item, &choices)?)
    });

pub(super) const COMPRESSION: Kind<String> = kind(
    "choice",
    "\"none\", \"zstd\" or \"zstd:LEVEL\" with a level from 1 to 22",
    |item| {
        let level = text(item)?.strip_prefix("zstd:").map(str::parse::<u8>);
        if let Some(Ok(level @ 1..=22)) = level {
            return Ok(format!("zstd:{level}"));
        }
        let choices = ["none", "zstd"].map(|name| (name, name));
        Ok(choice(item, &choices)?.to_owned())
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
            .map_err(|_| Fault::new("not an address with a port").into())
    },
);

/// A URL that works as a password: whoever knows it may call it.
pub(super) const HOOK: Kind<String> = secret(
    "URL",
    "a URL that begins with https:// or http://",
    |item| match text(item)? {
        url if url.starts_with("https://") || url.starts_with("http://") => Ok(url.to_owned()),
        _ => Err(Fault::new("not a URL").into()),
    },
);

/// Reads paths whose last parts differ: the copies of the files lie in one directory.
fn files(item: &Item<'_>) -> Read<Vec<PathBuf>> {
    let mut seen = HashSet::new();
    list(item, |text| {
        let path = path(text)?;
        let Some(name) = pki::Name::of(&path) else {
            return Err(Fault::new("not the path of a file that is not hidden"));
        };
        if seen.insert(name) {
            return Ok(path);
        }
        let fault = Fault::new("another file of the list has the same name");
        Err(fault.hint("Make a symbolic link to it that has another name, and list that."))
    })
}

/// Reads the client URLs of the members: different ones, all with or all without TLS.
fn endpoints(item: &Item<'_>) -> Read<Vec<etcd::Endpoint>> {
    let (mut seen, mut schemes) = (HashSet::new(), HashSet::new());
    let mut result = list(item, |text| {
        schemes.extend(
            text.split_once("://")
                .map(|(scheme, _)| scheme.to_lowercase()),
        );
        let endpoint = endpoint(text)?;
        if !seen.insert(endpoint.clone()) {
            return Err(Fault::new("listed twice"));
        }
        Ok(endpoint)
    });
    if result.as_ref().is_ok_and(Vec::is_empty) {
        return Err(Fault::new("the list is empty").into());
    }
    if schemes.contains("http") && schemes.contains("https") {
        let mixed = Fault::new("http:// and https:// are mixed");
        let mut faults = result.err().unwrap_or_default();
        faults.0.push(mixed);
        result = Err(faults);
    }
    result
}

/// Reads the client URL of one member.
fn endpoint(text: &str) -> Result<etcd::Endpoint, Fault> {
    etcd::Endpoint::parse(text).map_err(|error| {
        let fault = Fault::new(error.to_string());
        if text.is_empty() || text.contains("://") {
            return fault;
        }
        fault.did_you_mean(&format!("https://{text}"))
    })
}

/// Reads a crontab line in a time zone.
pub(super) fn schedule(text: &str, timezone: &str) -> Result<Schedule, Fault> {
    Schedule::parse(text, timezone)
        .map_err(|error| Fault::new(error.to_string()).hint(error.hint()))
}
