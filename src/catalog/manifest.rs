//! What is written beside each snapshot: everything that is known of it, and how it was proven.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::id::BackupId;
use crate::pki::Copies;
use crate::snapshot::{Facts, Sha256};

/// The version of the manifest's shape; a newer one is left to newer programs.
pub const FORMAT: u32 = 1;

/// How far an id may be from the time it stands for: it moves on where a second is taken.
const DRIFT: SignedDuration = SignedDuration::from_hours(1);

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
    /// The ids that the same cluster had before, by the word of whoever accepted a new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub succeeds: Vec<String>,
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
    /// What was unlike the last good backup when this one was made, a sentence each.
    #[serde(default)]
    pub suspicions: Vec<String>,
    /// When somebody said that this is how the cluster is meant to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Timestamp>,
    /// When somebody accepted a later one instead: it holds nothing any more, and never counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
    /// The last time that the stored bytes were proven again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified: Option<Reproof>,
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

/// What came of proving a stored backup again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reproof {
    /// When.
    pub at: Timestamp,
    /// Whether the snapshot is what it was when it was made.
    pub result: Outcome,
    /// What was found, a sentence each; what concerns the copies of the CA leaves the result alone.
    pub problems: Vec<String>,
}

impl Manifest {
    /// Reads a manifest that was found under `name`.
    ///
    /// # Errors
    /// A sentence, where it is not one, is of a newer format, names a file that is not its own, or
    /// began at another time than its id says.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let manifest = read(bytes, |manifest: &Manifest| manifest.format)?;
        check_names(name, &manifest.id, &manifest.file, manifest.started)?;
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

    /// Takes over what the cluster was called before, from a backup of this id and with this past.
    pub fn succeed(&mut self, cluster_id: &str, succeeds: &[String]) {
        let past = succeeds.iter().map(String::as_str).chain([cluster_id]);
        let other = past.filter(|id| *id != self.source.cluster_id);
        self.succeeds = other.map(str::to_owned).collect();
    }

    /// Why it was no good backup from the beginning: the proofs that were not given; `None` where it is
    /// verified.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let steps = self.verification.iter();
        let missing = steps.filter(|step| step.result != Outcome::Passed);
        let details: Vec<&str> = missing.map(|step| step.detail.as_str()).collect();
        (!self.verified).then(|| match details[..] {
            [] => "its manifest does not say why".to_owned(),
            _ => details.join("; "),
        })
    }

    /// The result of one proof.
    #[must_use]
    pub fn proof(&self, proof: Proof) -> Option<&Step> {
        self.verification.iter().find(|step| step.step == proof)
    }
}

/// Reads a manifest, or as much of it as the type holds; one of another format is none.
pub(super) fn read<T: DeserializeOwned>(
    bytes: &[u8],
    format: impl Fn(&T) -> u32,
) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let result = serde_json::from_slice(bytes);
    // a file of another format need not have the same fields
    let format = if let Ok(manifest) = &result {
        format(manifest)
    } else {
        let minimal = serde_json::from_slice::<Format>(bytes);
        minimal
            .map_err(|error| format!("it is not a manifest: {error}"))?
            .format
    };
    if format != FORMAT {
        return Err(format!(
            "it is of format {format}; this version reads format {FORMAT}"
        ));
    }
    result.map_err(|error| format!("it is damaged: {error}"))
}

/// Whether a manifest that was found under `name` is about this backup, and names its own file and time.
pub(super) fn check_names(
    name: &str,
    id: &BackupId,
    file: &str,
    started: Timestamp,
) -> Result<(), String> {
    if id.manifest_name() != name {
        return Err(format!("it belongs to another backup, {id}"));
    }
    if file != id.data_name() {
        return Err(format!("it names the file {file:?}, which is not its own"));
    }
    if started.duration_since(id.time()).abs() > DRIFT {
        return Err(format!("it says that backup {id} began at {started}"));
    }
    Ok(())
}
