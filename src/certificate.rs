//! What the PEM files of a TLS identity say: whose certificate, signed by whom, for which names,
//! until when, and whether a private key belongs to it.
//!
//! It promises that every entry of a bundle is either read or named in an error, and that no byte
//! of a private key reaches an error, a log or a `Debug` text. Text taken from a certificate is
//! stripped of control characters, so a hostile name cannot forge a log line. It has no clock and
//! does not decide trust: that is the TLS library's.

mod error;
mod pem;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate, X509Name, X509Version};

pub use error::Error;
pub use pem::{check_key, labels, parse, public_key, read, read_file};

/// The longest text that is kept from one field of a certificate, in characters.
const MAX_TEXT: usize = 256;

/// One X.509 certificate: what it says, and the bytes that say it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, as in `O=system:masters, CN=kube-apiserver-etcd-client`; may be empty.
    pub subject: String,
    /// The subject of the CA that signed it.
    pub issuer: String,
    /// The DNS names it is valid for.
    pub dns_names: Vec<String>,
    /// The addresses it is valid for.
    pub ip_addresses: Vec<IpAddr>,
    /// The first instant of its validity.
    pub not_before: Timestamp,
    /// The last instant of its validity.
    pub not_after: Timestamp,
    /// SHA-256 of the DER bytes, in lower-case hex, as `openssl x509 -fingerprint -sha256` without colons.
    pub fingerprint: String,
    /// Whether it may sign other certificates.
    pub is_ca: bool,
    /// Whether it may identify a client (no extended key usage, or one that names it).
    pub for_client: bool,
    der: CertificateDer<'static>,
}

/// Whether a certificate is valid at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It is valid.
    Valid,
    /// Its time is over.
    Expired {
        /// The last instant of its validity.
        until: Timestamp,
    },
    /// Its time has not come.
    NotYetValid {
        /// The first instant of its validity.
        from: Timestamp,
    },
}

impl Certificate {
    /// Reads one DER certificate, as a TLS peer presents it.
    ///
    /// # Errors
    /// What is wrong with the bytes, as a phrase without their content.
    pub fn from_der(der: Vec<u8>) -> Result<Self, String> {
        let (rest, parsed) = X509Certificate::from_der(&der)
            .map_err(|_| "it is not an X.509 certificate".to_owned())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the certificate", rest.len()));
        }
        let (dns_names, ip_addresses) = alternative_names(&parsed);
        let usage = parsed
            .extended_key_usage()
            .ok()
            .flatten()
            .map(|usage| usage.value);
        Ok(Self {
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            dns_names,
            ip_addresses,
            not_before: instant(&parsed.validity().not_before),
            not_after: instant(&parsed.validity().not_after),
            fingerprint: Sha256::digest(&der)
                .iter()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")),
            is_ca: parsed.is_ca(),
            for_client: usage.is_none_or(|usage| usage.client_auth || usage.any),
            der: CertificateDer::from(der),
        })
    }

    /// The DER bytes.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The subject, or words for a certificate that has none.
    #[must_use]
    pub fn whose(&self) -> &str {
        if self.subject.is_empty() {
            "an unnamed subject"
        } else {
            &self.subject
        }
    }

    /// Whether it is valid at `now`; both ends of its time count as valid.
    #[must_use]
    pub fn validity(&self, now: Timestamp) -> Validity {
        if now < self.not_before {
            Validity::NotYetValid {
                from: self.not_before,
            }
        } else if now > self.not_after {
            Validity::Expired {
                until: self.not_after,
            }
        } else {
            Validity::Valid
        }
    }

    /// Whole days of 24 hours from `now` to the end of its validity; negative once it is over.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(86_400)
    }

    /// The first certificate of `authorities` whose key signed this one.
    ///
    /// `None` also where the signature is of a kind that cannot be checked here (the kinds are
    /// RSA, ECDSA on P-256 and P-384, Ed25519).
    #[must_use]
    pub fn signer<'a>(&self, authorities: &'a [Self]) -> Option<&'a Self> {
        let (_, parsed) = X509Certificate::from_der(&self.der).ok()?;
        authorities.iter().find(|authority| {
            X509Certificate::from_der(&authority.der).is_ok_and(|(_, signer)| {
                parsed.issuer().as_raw() == signer.subject().as_raw()
                    && parsed.verify_signature(Some(signer.public_key())).is_ok()
            })
        })
    }

    /// Whether it is of X.509 version 3, the only one that TLS libraries take from a peer.
    #[must_use]
    pub fn is_version_3(&self) -> bool {
        X509Certificate::from_der(&self.der)
            .is_ok_and(|(_, parsed)| parsed.version() == X509Version::V3)
    }

    /// Whether its public key is the one in `info`, a `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn holds_key(&self, info: &[u8]) -> bool {
        X509Certificate::from_der(&self.der)
            .is_ok_and(|(_, parsed)| parsed.public_key().raw == info)
    }

    /// Every name and address it is valid for, as a list for people.
    #[must_use]
    pub fn names(&self) -> String {
        let addresses = self.ip_addresses.iter().map(ToString::to_string);
        let all: Vec<String> = self.dns_names.iter().cloned().chain(addresses).collect();
        if all.is_empty() {
            "no name at all".to_owned()
        } else {
            printable(&all.join(", "))
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for entry in &extension.value.general_names {
            match entry {
                GeneralName::DNSName(dns) => names.push(printable(dns)),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }
    (names, addresses)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// A certificate without an end says 9999-12-31T23:59:59Z, which is past what a timestamp holds.
fn instant(time: &ASN1Time) -> Timestamp {
    let seconds = time.timestamp();
    let limit = if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_second(seconds).unwrap_or(limit)
}

fn name(name: &X509Name<'_>) -> String {
    printable(&name.to_string())
}

fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
