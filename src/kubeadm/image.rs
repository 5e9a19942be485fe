//! The name of a container image, and the etcd version that its tag stands for.

use std::fmt;

use super::shown;

/// A reference to an image: `[registry/]repository[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `registry.k8s.io`, `192.168.50.90:5000`; `None` where the container runtime's default applies.
    pub registry: Option<String>,
    /// `etcd`, `coreos/etcd`
    pub repository: String,
    /// `3.5.24-0`
    pub tag: Option<String>,
    /// `sha256:…`
    pub digest: Option<String>,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a valid image reference: {reason}", shown(text))]
pub struct NotAnImage {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Image {
    /// Reads a reference by the rules of the container registries.
    ///
    /// # Errors
    /// [`NotAnImage`] that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, NotAnImage> {
        Self::read(text).map_err(|reason| NotAnImage {
            text: text.to_owned(),
            reason,
        })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // a colon before the last slash is the port of the registry
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (Some(first), rest),
            _ => (None, name),
        };
        if name.len() > 255 {
            return Err("its name is longer than 255 bytes");
        }
        if registry.is_some_and(|registry| !is_host(registry)) {
            return Err("the registry is no host[:port]");
        }
        if !repository.split('/').all(is_path_part) {
            return Err(
                "the repository holds other than lower-case letters, digits and single . _ - between them",
            );
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("the tag holds other than letters, digits and . _ -");
        }
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(
                "the digest is no algorithm:hex, such as sha256: with 64 digits in small letters",
            );
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The etcd in it, where the tag says that.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        Version::of_tag(self.tag.as_deref()?)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// A release of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The 3 of 3.5.24.
    pub major: u16,
    /// The 5 of 3.5.24.
    pub minor: u16,
    /// The 24 of 3.5.24.
    pub patch: u16,
}

impl Version {
    /// The release that a tag stands for: `3.5.24-0` (the revision of the image follows), `v3.5.24`.
    /// A tag that moves, such as `3.5` or `latest`, stands for none.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let tag = tag.strip_prefix('v').unwrap_or(tag);
        let end = tag.find(['-', '_', '+']).unwrap_or(tag.len());
        let mut numbers = tag[..end].split('.').map(number);
        let version = Self {
            major: numbers.next()??,
            minor: numbers.next()??,
            patch: numbers.next()??,
        };
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Digits alone, without a sign.
fn number(text: &str) -> Option<u16> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

/// What tells a registry from the first part of a repository.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.contains(|c: char| c.is_uppercase())
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_name = |part: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !part.is_empty()
            && part.bytes().all(is_letter)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_name),
    };
    is_host && port.is_none_or(|port| number(port).is_some_and(|port| port > 0))
}

/// Lower-case letters and digits, with `.`, `_`, `__` or hyphens between them.
fn is_path_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_in_words = [part.bytes().next(), part.bytes().last()]
        .iter()
        .all(|end| end.is_some_and(is_word));
    let mut separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends_in_words
        && separators.all(|text| {
            matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag
            .bytes()
            .all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
        && tag.bytes().next().is_some_and(is_word)
}

/// `algorithm:hex`. Of the algorithms that have a fixed length, the container runtimes take that
/// length in small letters alone.
fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte);
        let length = match algorithm {
            "sha256" => 64..=64,
            "sha512" => 128..=128,
            _ => 32..=128,
        };
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && algorithm.bytes().all(is_letter)
            && length.contains(&hex.len())
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
