//! What a restore made, and what there is to do now.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::next::{Step, next};
use super::seat::{Host, Taken};
use super::{Bump, Chosen, Request};
use crate::catalog::BackupId;
use crate::datadir::{Built, Id, Member, Recipe};
use crate::snapshot::Sha256;

/// A restored data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The backup, where the snapshot is one.
    pub backup: Option<BackupId>,
    /// The snapshot's file.
    pub file: PathBuf,
    /// SHA-256 of that file.
    pub sha256: Sha256,
    /// When it was taken, where that is known; else the date of the file.
    pub taken: Option<Timestamp>,
    /// Whether that is the date of the file, which a copy has from when it was copied.
    pub taken_is_file_date: bool,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where the write-ahead log is, if not in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_dir: Option<PathBuf>,
    /// The revision that the store comes back at.
    pub revision: u64,
    /// The revision that it was at when the snapshot was taken.
    pub snapshot_revision: u64,
    /// How far it was moved ahead, and why.
    pub bump: Option<Bump>,
    /// Keys.
    pub total_key: u64,
    /// Bytes of the new database.
    pub total_size: u64,
    /// What `etcdutl snapshot status` says of the new database.
    pub hash: u32,
    /// This member's name.
    pub name: String,
    /// The manifest that says so, where nobody else did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_from: Option<PathBuf>,
    /// Its id.
    pub member_id: Id,
    /// The new cluster's id.
    pub cluster_id: Id,
    /// All members of the new cluster.
    pub members: Vec<Member>,
    /// As etcd takes it.
    pub initial_cluster: String,
    /// What sets the new cluster apart from the old one.
    pub initial_cluster_token: String,
    /// What the operator should know of it.
    pub warnings: Vec<String>,
    /// What there is to do now.
    pub next: Vec<Step>,
}

/// What came of it.
pub(super) struct Made {
    pub(super) built: Built,
    pub(super) bump: Option<Bump>,
    pub(super) taken: Taken,
}

impl Report {
    pub(super) fn new(
        (request, host): (&Request, &Host),
        chosen: &Chosen,
        recipe: &Recipe,
        made: Made,
    ) -> Self {
        let facts = chosen.verified.facts();
        let candidate = &chosen.candidate;
        let membership = &recipe.membership;
        let mut warnings = chosen.warnings();
        warnings.extend(made.taken.warnings.iter().cloned());
        warnings.extend(chosen.traps(recipe.bump.unwrap_or(0), recipe.clear_alarms));
        Report {
            backup: candidate
                .manifest
                .as_ref()
                .map(|manifest| manifest.id.clone()),
            file: candidate.path.clone(),
            sha256: chosen.verified.file_sha256(),
            taken: candidate.taken(),
            taken_is_file_date: candidate.manifest.is_none(),
            next: next((request, host), chosen, recipe, &made),
            data_dir: made.built.data_dir,
            wal_dir: request.wal_dir.clone(),
            revision: made.built.revision,
            snapshot_revision: facts.kv_hash.revision,
            bump: made.bump,
            total_key: facts.total_key,
            total_size: made.built.size,
            hash: made.built.hash,
            name: made.taken.member.name,
            member_from: made.taken.from,
            member_id: made.built.member_id,
            cluster_id: made.built.cluster_id,
            members: membership.members().to_vec(),
            initial_cluster: membership.to_string(),
            initial_cluster_token: membership.token().to_owned(),
            warnings,
        }
    }
}
