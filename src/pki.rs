//! The cluster's CA, and other files of the host that a restored cluster needs, kept beside the
//! backups in `pki/<SHA-256 of the CA certificate>/`.
//!
//! A file is copied when its copy is missing, appears whole or not at all, and is never overwritten:
//! a new CA has a new directory, and a file that changed under the same CA (a key that was encoded
//! anew, a bundle that grew) is kept beside the earlier one as `ca.2.key`. A private key that
//! belongs to another certificate is not copied. A copy goes with the last backup that names it.
//!
//! No byte of a file reaches an error, a log or a `Debug` text. A manifest tells a public file by
//! its SHA-256 and a private key by that of its public half. Of any other file it tells only the
//! size, since the digest of a short secret is enough to guess it by.

mod collect;
mod error;
mod forget;
mod keep;
mod name;
mod prove;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sha256::Sha256;

pub use collect::{Collected, Found, PrivateKey, collect};
pub use error::Error;
pub use forget::{Forgotten, forget};
pub use keep::{Kept, keep, remove_leftovers};
pub use name::Name;
pub use prove::prove;

/// The directory of the copies, in the backup directory.
pub const DIRECTORY: &str = "pki";

/// Bytes that a file may have.
const LARGEST: u64 = 1 << 20;

/// What is kept; the `[pki]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The files, each with a base name of its own; none: nothing is kept. The one called
    /// `ca.crt`, or else the first, is the CA certificate.
    pub files: Vec<PathBuf>,
}

/// The copies that belong to a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// SHA-256 of the CA certificate (DER): the name of their directory.
    pub fingerprint: Sha256,
    /// Each file that was kept.
    pub files: Vec<FileCopy>,
}

/// The copy of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileCopy {
    /// Where the file was found, and where it goes back to.
    pub path: PathBuf,
    /// What its copy is called.
    pub name: Name,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of certificates and public keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// SHA-256 of the public half of a private key, as in
    /// `openssl pkey -pubout -outform DER | sha256sum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_sha256: Option<Sha256>,
}

#[cfg(test)]
mod tests;
