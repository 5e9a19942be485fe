//! What the PEM files of a TLS identity say: whose certificate, signed by whom, for which names,
//! until when, and whether a private key belongs to it.
//!
//! It promises that every entry of a bundle is either read or named in an error, and that no byte
//! of a private key reaches an error, a log or a `Debug` text. Text taken from a certificate is
//! stripped of control characters, so a hostile name cannot forge a log line. It has no clock and
//! does not decide trust: that is the TLS library's.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::pem::{self, PemObject as _, SectionKind, SliceIter};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate, X509Name};

/// The largest file that is read as PEM, in bytes.
const MAX_FILE: u64 = 4 << 20;
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

/// Why a certificate or key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("{} cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is larger than any certificate bundle.
    #[error("{} is larger than {} MiB and cannot be a PEM file", path.display(), MAX_FILE >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no entry of the kind that is needed.
    #[error("{} holds no {wanted} in PEM form", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// One entry of the file cannot be read.
    #[error("entry {entry} of {} cannot be read: {reason}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which entry, counted from 1.
        entry: usize,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// The private key is encrypted.
    #[error("the private key in {} is encrypted", path.display())]
    EncryptedKey {
        /// The key file.
        path: PathBuf,
    },
    /// The private key is of a kind that cannot sign a TLS handshake here.
    #[error("the private key in {} is damaged or of an unsupported kind", path.display())]
    UnsupportedKey {
        /// The key file.
        path: PathBuf,
    },
    /// The private key is another certificate's.
    #[error("the private key in {} does not belong to the certificate of {subject}", path.display())]
    KeyMismatch {
        /// The key file.
        path: PathBuf,
        /// The subject of the certificate.
        subject: String,
    },
}

impl Error {
    /// What to do about it, as a full sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { path, cause } => match cause.kind() {
                io::ErrorKind::NotFound => {
                    format!("Correct the path, or create {}.", path.display())
                }
                io::ErrorKind::PermissionDenied => {
                    format!(
                        "Run as root, or see who may read it with: ls -l {}",
                        path.display()
                    )
                }
                _ => return None,
            },
            Self::Missing { path, .. } | Self::Entry { path, .. } | Self::TooLarge { path } => {
                format!(
                    "See what the file holds with: grep -n -e ----- {}",
                    path.display()
                )
            }
            Self::EncryptedKey { path } => format!(
                "The daemon cannot type a passphrase; decrypt it with: openssl pkey -in {} -out NEW.key",
                path.display()
            ),
            Self::UnsupportedKey { .. } => {
                "RSA (2048 bit and more), ECDSA P-256 and P-384, and Ed25519 keys can be used."
                    .to_owned()
            }
            Self::KeyMismatch { path, .. } => format!(
                "Compare the public keys with: openssl pkey -pubout -in {} and openssl x509 -noout -pubkey -in CERTIFICATE",
                path.display()
            ),
        })
    }

    /// The file that the error is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::TooLarge { path }
            | Self::Missing { path, .. }
            | Self::Entry { path, .. }
            | Self::EncryptedKey { path }
            | Self::UnsupportedKey { path }
            | Self::KeyMismatch { path, .. } => path,
        }
    }
}

/// Reads every certificate of a PEM file, in the order of the file; never empty.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], and those of [`parse`].
pub fn read(path: &Path) -> Result<Vec<Certificate>, Error> {
    parse(path, &read_file(path)?)
}

/// Reads every certificate of PEM text that came from `path`; never empty.
///
/// Private keys between them (a kubelet's combined file) are passed over.
///
/// # Errors
/// [`Error::Missing`] where there is none, [`Error::Entry`] for an entry that is cut, not base64,
/// not a certificate, or a certificate under a label that TLS libraries skip.
pub fn parse(path: &Path, text: &[u8]) -> Result<Vec<Certificate>, Error> {
    refuse_foreign_labels(path, text)?;
    let mut certificates = Vec::new();
    for (index, section) in SliceIter::<(SectionKind, Vec<u8>)>::new(text).enumerate() {
        let entry = index + 1;
        let failed = |reason| Error::Entry {
            path: path.to_owned(),
            entry,
            reason,
        };
        let (kind, der) = section.map_err(|error| failed(pem_reason(&error).to_owned()))?;
        if kind == SectionKind::Certificate {
            certificates.push(Certificate::from_der(der).map_err(failed)?);
        }
    }
    if certificates.is_empty() {
        return Err(Error::Missing {
            path: path.to_owned(),
            wanted: "certificate",
        });
    }
    Ok(certificates)
}

/// Proves that the private key in PEM `text`, which came from `path`, belongs to `certificate`.
///
/// # Errors
/// [`Error::Missing`], [`Error::Entry`], [`Error::EncryptedKey`], [`Error::UnsupportedKey`] and
/// [`Error::KeyMismatch`].
pub fn check_key(certificate: &Certificate, path: &Path, text: &[u8]) -> Result<(), Error> {
    let path = || path.to_owned();
    // OpenSSL's old encrypted form keeps the plain label and says so in a header
    if text.windows(10).any(|part| part == b"Proc-Type:") {
        return Err(Error::EncryptedKey { path: path() });
    }
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if labels(text).any(|(_, label)| label.contains("ENCRYPTED")) => {
            Error::EncryptedKey { path: path() }
        }
        pem::Error::NoItemsFound => Error::Missing {
            path: path(),
            wanted: "private key",
        },
        other => Error::Entry {
            path: path(),
            entry: 1,
            reason: pem_reason(&other).to_owned(),
        },
    })?;
    let signer = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| Error::UnsupportedKey { path: path() })?;
    match rustls::sign::CertifiedKey::new(vec![certificate.der.clone()], signer).keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(Error::KeyMismatch {
                path: path(),
                subject: certificate.whose().to_owned(),
            })
        }
        Err(_) => Err(Error::UnsupportedKey { path: path() }),
    }
}

/// Reads a PEM file whole, for [`parse`] and [`check_key`].
///
/// # Errors
/// [`Error::Read`] and [`Error::TooLarge`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |cause| Error::Read {
        path: path.to_owned(),
        cause,
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
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

/// The labels of the PEM entries, each with its number from 1.
fn labels(text: &[u8]) -> impl Iterator<Item = (usize, String)> {
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter_map(|line| line.strip_prefix(b"-----BEGIN "))
        .map(|rest| {
            printable(
                String::from_utf8_lossy(rest)
                    .trim_end()
                    .trim_end_matches('-'),
            )
        })
        .enumerate()
        .map(|(index, label)| (index + 1, label))
}

/// Certificates under other labels (OpenSSL's `TRUSTED CERTIFICATE`) would be skipped in silence.
fn refuse_foreign_labels(path: &Path, text: &[u8]) -> Result<(), Error> {
    match labels(text).find(|(_, label)| label.contains("CERTIFICATE") && label != "CERTIFICATE") {
        Some((entry, label)) => Err(Error::Entry {
            path: path.to_owned(),
            entry,
            reason: format!("it is a `{label}`, only a `CERTIFICATE` can be read"),
        }),
        None => Ok(()),
    }
}

/// The reason alone: the library's own text may quote a line of the file.
fn pem_reason(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its END line is missing",
        pem::Error::IllegalSectionStart { .. } => "its BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "it is not base64",
        _ => "it is not PEM",
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
