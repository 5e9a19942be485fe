//! The PEM files: bundles of certificates, and private keys.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject as _, SectionKind, SliceIter};

use super::{Certificate, Error, printable};

/// The largest file that is read as PEM, in bytes.
pub(super) const MAX_FILE: u64 = 4 << 20;

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
/// [`Error::KeyMismatch`], and those of [`public_key`].
pub fn check_key(certificate: &Certificate, path: &Path, text: &[u8]) -> Result<(), Error> {
    if certificate.holds_key(&public_key(path, text)?) {
        Ok(())
    } else {
        Err(Error::KeyMismatch {
            path: path.to_owned(),
            subject: certificate.whose().to_owned(),
        })
    }
}

/// The public half (`SubjectPublicKeyInfo` in DER) of the private key in PEM `text`, which came
/// from `path`.
///
/// # Errors
/// [`Error::Missing`], [`Error::Entry`], [`Error::EncryptedKey`] and [`Error::UnsupportedKey`].
pub fn public_key(path: &Path, text: &[u8]) -> Result<Vec<u8>, Error> {
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
    signer
        .public_key()
        .map(|public| public.as_ref().to_vec())
        .ok_or_else(|| Error::UnsupportedKey { path: path() })
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
    // asked before opening, because opening a pipe would wait for its writer
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
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

/// The labels of the PEM entries, each with its number from 1.
pub fn labels(text: &[u8]) -> impl Iterator<Item = (usize, String)> {
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
