//! What a look at many backups needs of each manifest: a fraction of it, read in a fraction of the
//! time. The keys of each type, most of a manifest, are passed over.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::id::BackupId;
use super::manifest::{self, Manifest, Reproof, Source, Stored};
use crate::sha256::Sha256;

/// A backup in a list; each field is that of the [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// [`Manifest::format`]
    pub format: u32,
    /// [`Manifest::id`]
    pub id: BackupId,
    /// [`Manifest::verified`]
    pub verified: bool,
    /// [`Manifest::pinned`]
    #[serde(default)]
    pub pinned: bool,
    /// [`Manifest::file`]
    pub file: String,
    /// [`Manifest::size`]
    pub size: u64,
    /// [`Manifest::stored`]
    pub stored: Stored,
    /// etcd's revision.
    pub revision: u64,
    /// Keys that live at that revision.
    pub total_key: u64,
    /// [`Manifest::source`]
    pub source: Source,
    /// The cluster's CA, where its files were kept: [`Manifest::pki`]
    #[serde(default, rename = "pki", deserialize_with = "fingerprint")]
    pub ca: Option<Sha256>,
    /// [`Manifest::succeeds`]
    #[serde(default)]
    pub succeeds: Vec<String>,
    /// [`Manifest::contradicting_members`]
    #[serde(default)]
    pub contradicting_members: Vec<String>,
    /// [`Manifest::pki_problems`]
    #[serde(default)]
    pub pki_problems: Vec<String>,
    /// [`Manifest::suspicions`]
    #[serde(default)]
    pub suspicions: Vec<String>,
    /// [`Manifest::accepted`]
    pub accepted: Option<Timestamp>,
    /// [`Manifest::released`]
    pub released: Option<Timestamp>,
    /// [`Manifest::last_verified`]
    pub last_verified: Option<Reproof>,
    /// [`Manifest::started`]
    pub started: Timestamp,
    /// [`Manifest::finished`]
    pub finished: Timestamp,
}

impl Summary {
    /// Reads what is needed of a manifest that was found under `name`.
    ///
    /// # Errors
    /// Those of [`Manifest::parse`]; what is passed over is not looked at.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let summary = manifest::read(bytes, |summary: &Summary| summary.format)?;
        manifest::check_names(name, &summary.id, &summary.file, summary.started)?;
        Ok(summary)
    }
}

/// Of the copies of a CA, what they are called by.
fn fingerprint<'de, D: Deserializer<'de>>(copies: D) -> Result<Option<Sha256>, D::Error> {
    #[derive(Deserialize)]
    struct Copies {
        fingerprint: Sha256,
    }
    let copies = Option::<Copies>::deserialize(copies)?;
    Ok(copies.map(|copies| copies.fingerprint))
}

impl From<Manifest> for Summary {
    fn from(manifest: Manifest) -> Self {
        Summary {
            format: manifest.format,
            id: manifest.id,
            verified: manifest.verified,
            pinned: manifest.pinned,
            file: manifest.file,
            size: manifest.size,
            stored: manifest.stored,
            revision: manifest.facts.revision,
            total_key: manifest.facts.total_key,
            source: manifest.source,
            ca: manifest.pki.map(|copies| copies.fingerprint),
            succeeds: manifest.succeeds,
            contradicting_members: manifest.contradicting_members,
            pki_problems: manifest.pki_problems,
            suspicions: manifest.suspicions,
            accepted: manifest.accepted,
            released: manifest.released,
            last_verified: manifest.last_verified,
            started: manifest.started,
            finished: manifest.finished,
        }
    }
}
