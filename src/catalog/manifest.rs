//! What is written beside each snapshot: everything that is known of it, and how it was proven.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::BackupId;
use crate::pki::Copies;
use crate::snapshot::{Facts, Sha256};

/// The version of the manifest's shape; a newer one is left to newer programs.
pub const FORMAT: u32 = 1;

/// A backup, as `etcd-<id>.json` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The backup's name.
    pub id: BackupId,
    /// Whether every proof that was asked for was given.
    pub verified: bool,
    /// A pinned backup is never pruned.
    #[serde(default)]
    pub pinned: bool,
    /// Why it was made.
    pub trigger: Trigger,
    /// The file that holds the snapshot, in the manifest's own directory.
    pub file: String,
    /// Bytes of the snapshot as etcd sent it, trailer included.
    pub size: u64,
    /// SHA-256 of those bytes.
    pub sha256: Sha256,
    /// The object as it lies in the directory.
    pub stored: Stored,
    /// What the database says.
    #[serde(flatten)]
    pub facts: Facts,
    /// The member that served it.
    pub source: Source,
    /// Each proof, and what came of it.
    pub verification: Vec<Step>,
    /// Members whose own data differs from the snapshot: a corrupt member, or several.
    #[serde(default)]
    pub contradicting_members: Vec<String>,
    /// The copies of the cluster's CA as it was when the backup was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pki: Option<Copies>,
    /// What of the CA's files was not kept, or is doubtful, a sentence each.
    #[serde(default)]
    pub pki_problems: Vec<String>,
    /// When the backup began (RFC 3339, UTC).
    pub started: Timestamp,
    /// When it was proven (RFC 3339, UTC).
    pub finished: Timestamp,
    /// The version of the program that made it.
    pub tool_version: String,
}

/// Why a backup was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The schedule was due.
    Schedule,
    /// Somebody asked for it.
    Command,
    /// A run was missed while nothing ran.
    CatchUp,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trigger::Schedule => "schedule",
            Trigger::Command => "command",
            Trigger::CatchUp => "catch-up",
        })
    }
}

/// The object that holds the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: Sha256,
    /// What was done to the snapshot, in order; empty: it lies as etcd sent it.
    pub seal: Vec<String>,
}

/// Where a snapshot came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The endpoint that was asked.
    pub endpoint: String,
    /// The cluster's id, in lower-case hex.
    pub cluster_id: String,
    /// The member's id, in lower-case hex.
    pub member_id: String,
    /// The member's version of etcd.
    pub etcd_version: String,
}

/// One proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub step: Proof,
    /// What came of it.
    pub result: Outcome,
    /// What was compared, found, or missing.
    pub detail: String,
}

/// The three things that are proven of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// The SHA-256 that etcd appended is that of the bytes received.
    Trailer,
    /// Every page and entry of the database is sound.
    Structure,
    /// The members answer the same hash of the keys as the file.
    Live,
}

/// What came of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be tried, or was not asked for.
    Skipped,
}

impl Manifest {
    /// Reads a manifest that was found under `name`.
    ///
    /// # Errors
    /// A sentence, where it is not one, is of a newer format, or names a file that is not its own.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not a manifest: {error}"))?;
        if format != FORMAT {
            return Err(format!(
                "it is of format {format}; this version reads format {FORMAT}"
            ));
        }
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))?;
        if manifest.id.manifest_name() != name {
            return Err(format!("it belongs to another backup, {}", manifest.id));
        }
        if manifest.file != manifest.id.data_name() {
            return Err(format!(
                "it names the file {:?}, which is not its own",
                manifest.file
            ));
        }
        Ok(manifest)
    }

    /// The manifest as it is written.
    ///
    /// # Errors
    /// None in practice: every field has a JSON form.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Whether the cluster could be restored from it, by all that is known.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.verified
    }

    /// The result of one proof.
    #[must_use]
    pub fn proof(&self, proof: Proof) -> Option<&Step> {
        self.verification.iter().find(|step| step.step == proof)
    }
}
