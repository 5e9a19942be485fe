//! The client URL of one member.

use std::fmt;
use std::net::Ipv6Addr;

use rustls::pki_types::ServerName;

use super::Error;

/// The client URL of one member, `scheme://host:port` and nothing after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    tls: bool,
    host: String,
    port: u16,
}

impl Endpoint {
    /// Reads `https://host:port` or `http://host:port`; case does not matter and is lowered.
    ///
    /// # Errors
    /// [`Error::InvalidEndpoint`] that says which part is missing or too much.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|reason| Error::InvalidEndpoint {
            text: without_secrets(text),
            reason,
        })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("the scheme is missing (https:// or http://)")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("the scheme is neither https nor http"),
        };
        if rest.contains('@') {
            return Err("a user name or password does not belong into it");
        }
        if rest.contains(['?', '#']) {
            return Err("nothing may follow the port");
        }
        if rest.contains('/') {
            return Err("a path does not belong into it, nothing may follow the port");
        }
        let (host, port) = split_port(rest)?;
        if host.is_empty() {
            return Err("the host is missing");
        }
        Ok(Self {
            tls,
            host: read_host(host)?,
            port: read_port(port)?,
        })
    }

    /// The host: a DNS name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host and port, with TLS where there was none and without where there was.
    pub(super) fn with_other_scheme(&self) -> Self {
        Self {
            tls: !self.tls,
            ..self.clone()
        }
    }

    /// Whether the member is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

/// Splits at the last colon outside brackets; the host keeps its brackets.
fn split_port(rest: &str) -> Result<(&str, &str), &'static str> {
    const MISSING: &str = "the port is missing (etcd listens on 2379)";
    if rest.starts_with('[') {
        let end = rest
            .find(']')
            .ok_or("the bracket of the IPv6 address is not closed")?;
        let (host, tail) = rest.split_at(end + 1);
        return tail
            .strip_prefix(':')
            .map(|port| (host, port))
            .ok_or(MISSING);
    }
    let (host, port) = rest.rsplit_once(':').ok_or(MISSING)?;
    if host.contains(':') {
        return Err("an IPv6 address needs brackets, as in https://[::1]:2379");
    }
    Ok((host, port))
}

fn read_host(host: &str) -> Result<String, &'static str> {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| "the brackets hold no IPv6 address")?;
        return Ok(address.to_string());
    }
    let host = host.to_ascii_lowercase();
    // digits and dots alone are an address; anything else that looks like one is a slip
    let looks_like_address = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    match ServerName::try_from(host.as_str()) {
        Ok(ServerName::IpAddress(_)) => Ok(host),
        Ok(ServerName::DnsName(_)) if !looks_like_address => Ok(host),
        _ => Err("the host is neither a DNS name nor an address"),
    }
}

fn read_port(port: &str) -> Result<u16, &'static str> {
    if port.is_empty() {
        return Err("the port is missing (etcd listens on 2379)");
    }
    match port.parse() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

/// The text for a message: what stands before an `@` may be a password.
fn without_secrets(text: &str) -> String {
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        _ => text.to_owned(),
    };
    shown
        .chars()
        .take(200)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        let cases = [
            (
                "https://127.0.0.1:2379",
                "127.0.0.1",
                2379,
                true,
                "https://127.0.0.1:2379",
            ),
            (
                "HTTPS://Etcd-1.Example:2379",
                "etcd-1.example",
                2379,
                true,
                "https://etcd-1.example:2379",
            ),
            (
                "http://localhost:1",
                "localhost",
                1,
                false,
                "http://localhost:1",
            ),
            (
                "https://[0:0::1]:65535",
                "::1",
                65535,
                true,
                "https://[::1]:65535",
            ),
            (
                "https://etcd_1:2379",
                "etcd_1",
                2379,
                true,
                "https://etcd_1:2379",
            ),
        ];
        for (text, host, port, tls, shown) in cases {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(
                (endpoint.host(), endpoint.port(), endpoint.is_tls()),
                (host, port, tls)
            );
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(Endpoint::parse(shown).unwrap(), endpoint);
        }
    }

    const REFUSED: &[(&str, &str)] = &[
        (
            "127.0.0.1:2379",
            "the scheme is missing (https:// or http://)",
        ),
        ("", "the scheme is missing (https:// or http://)"),
        (
            "unix://localhost:2379",
            "the scheme is neither https nor http",
        ),
        (
            "https://127.0.0.1",
            "the port is missing (etcd listens on 2379)",
        ),
        (
            "https://127.0.0.1:",
            "the port is missing (etcd listens on 2379)",
        ),
        (
            "https://[::1]",
            "the port is missing (etcd listens on 2379)",
        ),
        ("https://:2379", "the host is missing"),
        (
            "https://etcd:2379/",
            "a path does not belong into it, nothing may follow the port",
        ),
        (
            "https://etcd:2379/v3",
            "a path does not belong into it, nothing may follow the port",
        ),
        ("https://etcd:2379?a=b", "nothing may follow the port"),
        (
            "https://::1:2379",
            "an IPv6 address needs brackets, as in https://[::1]:2379",
        ),
        (
            "https://[::1:2379",
            "the bracket of the IPv6 address is not closed",
        ),
        ("https://[::g]:2379", "the brackets hold no IPv6 address"),
        (
            "https://127.0.0.300:2379",
            "the host is neither a DNS name nor an address",
        ),
        (
            "https://et cd:2379",
            "the host is neither a DNS name nor an address",
        ),
        ("https://etcd:0", "the port is not a number from 1 to 65535"),
        (
            "https://etcd:+1",
            "the port is not a number from 1 to 65535",
        ),
        (
            "https://etcd:65536",
            "the port is not a number from 1 to 65535",
        ),
    ];

    #[test]
    fn what_is_wrong_with_an_endpoint_is_said() {
        for (text, reason) in REFUSED {
            let error = Endpoint::parse(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{text}` is not an etcd endpoint: {reason}")
            );
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_not_repeated() {
        for text in [
            "https://root:hunter2@etcd:2379",
            "root:hunter2@etcd:2379",
            "https://a@hunter2@etcd",
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_accepted_reads_back_the_same(text in "(https?|HTTP)://[a-z0-9.:\\[\\]@/_-]{0,20}(:[0-9]{0,5})?") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                proptest::prop_assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), endpoint);
            }
        }
    }
}
