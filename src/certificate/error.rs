//! Why a certificate or key file cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::pem::MAX_FILE;

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
                        "Run as root. The unit's root has no capability, so owner and mode have to let root in; see: namei -l {}",
                        path.display()
                    )
                }
                _ => format!(
                    "Name a PEM file; see what is there with: ls -lL {}",
                    path.display()
                ),
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

    /// Whether the file is there and this process may not read it.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Read { cause, .. } if cause.kind() == std::io::ErrorKind::PermissionDenied)
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
