//! Reads the files and looks what they are: certificates, private keys, and whether a key fits.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, FileCopy, LARGEST, Name, Settings};
use crate::certificate::{self, Certificate};
use crate::sha256::Sha256;
use crate::store;

/// The files that can be kept.
#[derive(Debug, Default)]
pub struct Collected {
    /// SHA-256 of the CA certificate; `None`: nothing can be kept.
    pub fingerprint: Option<Sha256>,
    /// Each file, in the order of the settings.
    pub files: Vec<Found>,
    /// What is wrong with these, and why others are not among them.
    pub problems: Vec<Error>,
}

/// One file.
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The certificates in it.
    pub certificates: Vec<Certificate>,
    /// The private key in it.
    pub key: Option<PrivateKey>,
    pub(super) name: Name,
    pub(super) bytes: Vec<u8>,
}

/// What is known of a private key.
#[derive(Debug)]
pub enum PrivateKey {
    /// Its public half (`SubjectPublicKeyInfo` in DER).
    Readable(Vec<u8>),
    /// It is encrypted, or of a kind that cannot be read here.
    Sealed,
}

/// Reads every file.
#[must_use]
pub fn collect(settings: &Settings) -> Collected {
    let mut collected = Collected::default();
    let mut found = Vec::new();
    for path in &settings.files {
        match Found::read(path) {
            Ok(file) => found.push(file),
            Err(error) => collected.problems.push(error),
        }
    }
    let fits: Vec<_> = found.iter().map(|file| file.check_key(&found)).collect();
    for (file, fit) in found.into_iter().zip(fits) {
        // the key of another certificate would pass for that of this one
        if !matches!(fit, Err(certificate::Error::KeyMismatch { .. })) {
            collected.files.push(file);
        }
        collected.problems.extend(fit.err().map(Error::from));
    }
    if let Some(path) = settings.ca() {
        let ca = collected.files.iter().find(|file| file.path == path);
        collected.fingerprint = ca.and_then(Found::fingerprint);
        if collected.fingerprint.is_none() {
            collected.problems.push(Error::NoCa { path: path.into() });
        }
    }
    collected
}

impl Settings {
    /// Which file holds the CA certificate: told by its name, never by what can be read today.
    #[must_use]
    pub fn ca(&self) -> Option<&Path> {
        let named = self.files.iter().find(|path| path.ends_with("ca.crt"));
        named.or(self.files.first()).map(PathBuf::as_path)
    }
}

impl Found {
    fn read(path: &Path) -> Result<Self, Error> {
        let failed = |cause| Error::Read {
            path: path.into(),
            cause,
        };
        let bytes = store::read_file(path, LARGEST).map_err(failed)?;
        if bytes.is_empty() {
            return Err(failed(io::Error::other("it is empty")));
        }
        let name = Name::of(path).ok_or_else(|| failed(io::Error::other("it has no name")))?;
        Ok(Found {
            certificates: certificates(path, &bytes)?,
            key: private_key(path, &bytes)?,
            path: path.into(),
            name,
            bytes,
        })
    }

    /// SHA-256 of the first certificate.
    fn fingerprint(&self) -> Option<Sha256> {
        Some(Sha256::of(self.certificates.first()?.der()))
    }

    /// The certificate file among `all` that the private key in this one should belong to.
    #[must_use]
    pub fn partner<'a>(&'a self, all: &'a [Found]) -> Option<&'a Found> {
        self.key.as_ref()?;
        let certified = |file: &&Found| !file.certificates.is_empty();
        if certified(&self) {
            return Some(self);
        }
        let namesake = all
            .iter()
            .filter(certified)
            .find(|file| file.path.file_stem() == self.path.file_stem());
        // one certificate and one key belong together, whatever they are called
        let is_alone = all.iter().filter(|file| file.key.is_some()).count() == 1
            && all.iter().filter(certified).count() == 1;
        namesake.or_else(|| all.iter().filter(|_| is_alone).find(certified))
    }

    fn check_key(&self, all: &[Found]) -> Result<(), certificate::Error> {
        let Some(partner) = self.partner(all) else {
            return Ok(());
        };
        let of_partner = |public: &[u8]| {
            let mut bundle = partner.certificates.iter();
            bundle.any(|certificate| certificate.holds_key(public))
        };
        match &self.key {
            Some(PrivateKey::Readable(public)) if !of_partner(public) => {
                let first = partner.certificates.first().map(Certificate::whose);
                Err(certificate::Error::KeyMismatch {
                    path: self.path.clone(),
                    subject: first.unwrap_or_default().to_owned(),
                })
            }
            Some(PrivateKey::Sealed) => {
                certificate::public_key(&self.path, &self.bytes).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// What a manifest may say of it.
    pub(super) fn described(&self, name: Name) -> FileCopy {
        let is_public =
            |(_, label): (usize, String)| label == "CERTIFICATE" || label == "PUBLIC KEY";
        let mut labels = certificate::labels(&self.bytes).peekable();
        FileCopy {
            path: self.path.clone(),
            name,
            size: self.bytes.len() as u64,
            sha256: (labels.peek().is_some() && labels.all(is_public))
                .then(|| Sha256::of(&self.bytes)),
            public_key_sha256: match &self.key {
                Some(PrivateKey::Readable(public)) => Some(Sha256::of(public)),
                _ => None,
            },
        }
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The certificates of a file; one that is called `.crt` must have some.
fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<Certificate>, certificate::Error> {
    match certificate::parse(path, bytes) {
        Err(certificate::Error::Missing { .. }) if !is_called(path, "crt") => Ok(Vec::new()),
        result => result,
    }
}

/// The private key of a file; one that is called `.key` must have one.
fn private_key(path: &Path, bytes: &[u8]) -> Result<Option<PrivateKey>, certificate::Error> {
    let is_labelled = certificate::labels(bytes).any(|(_, label)| label.contains("PRIVATE KEY"));
    if !is_labelled && !is_called(path, "key") {
        return Ok(None);
    }
    match certificate::public_key(path, bytes) {
        Ok(public) => Ok(Some(PrivateKey::Readable(public))),
        Err(
            certificate::Error::EncryptedKey { .. } | certificate::Error::UnsupportedKey { .. },
        ) => Ok(Some(PrivateKey::Sealed)),
        Err(error) => Err(error),
    }
}

fn is_called(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own == extension)
}
