//! What a restore made, and what there is to do now.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::{Bump, Chosen, Request};
use crate::catalog::BackupId;
use crate::datadir::{Built, Id, Layout, Member, PeerUrl, Recipe};
use crate::shell::quoted;
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

/// Something to do, and the command for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What, and where.
    pub what: String,
    /// The command.
    pub command: String,
}

/// What came of it.
pub(super) struct Made {
    pub(super) built: Built,
    pub(super) bump: Option<Bump>,
    pub(super) member: Member,
}

impl Report {
    pub(super) fn new(request: &Request, chosen: &Chosen, recipe: &Recipe, made: Made) -> Self {
        let facts = chosen.verified.facts();
        let candidate = &chosen.candidate;
        let membership = &recipe.membership;
        let mut warnings = chosen.warnings();
        warnings.extend(traps(chosen, recipe));
        Report {
            backup: candidate
                .manifest
                .as_ref()
                .map(|manifest| manifest.id.clone()),
            file: candidate.path.clone(),
            sha256: chosen.verified.file_sha256(),
            taken: candidate.taken(),
            next: next(request, chosen, recipe, &made),
            data_dir: made.built.data_dir,
            wal_dir: request.wal_dir.clone(),
            revision: made.built.revision,
            snapshot_revision: facts.kv_hash.revision,
            bump: made.bump,
            total_key: facts.total_key,
            total_size: made.built.size,
            hash: made.built.hash,
            name: made.member.name,
            member_id: made.built.member_id,
            cluster_id: made.built.cluster_id,
            members: membership.members().to_vec(),
            initial_cluster: membership.to_string(),
            initial_cluster_token: membership.token().to_owned(),
            warnings,
        }
    }
}

/// What of the old cluster goes on in the new one, and would not be expected.
fn traps(chosen: &Chosen, recipe: &Recipe) -> Vec<String> {
    let mut traps = Vec::new();
    let mut kinds = chosen.verified.facts().types.keys();
    if recipe.bump.is_none() && kinds.any(|kind| kind.starts_with("/registry/")) {
        traps.push(
            "the revision was not moved ahead: Kubernetes' components that ran before the restore may take old data for \
             new (--bump-revision auto moves it)"
                .into(),
        );
    }
    let alarms = chosen.verified.sums().get(&b"alarm"[..]);
    if !recipe.clear_alarms && alarms.is_some_and(|alarms| alarms.entries > 0) {
        traps.push(
            "the old cluster's alarms go on: writes may be refused until etcdctl alarm disarm (--clear-alarms leaves \
             them behind)"
                .into(),
        );
    }
    traps
}

/// What is left to do: the other members, the owner, the start.
fn next(request: &Request, chosen: &Chosen, recipe: &Recipe, made: &Made) -> Vec<Step> {
    let data_dir = quoted(&made.built.data_dir.display().to_string());
    let others = recipe.membership.members().iter();
    let others = others.filter(|other| other.id != made.member.id);
    let mut steps: Vec<Step> = others
        .map(|other| Step {
            what: format!(
                "restore {} on its host, from a copy of the same file",
                other.name
            ),
            command: command_for(request, chosen, recipe, other),
        })
        .collect();
    steps.push(Step {
        what: "give the directory to the user that etcd runs as, if that is not its owner".into(),
        command: format!("chown -R etcd:etcd {data_dir}"),
    });
    let urls = joined(&made.member);
    let wal = request.wal_dir.as_ref().map_or_else(String::new, |wal| {
        format!(" --wal-dir {}", quoted(&wal.display().to_string()))
    });
    steps.push(Step {
        what: "start etcd on it, with the flags that it had before".into(),
        command: format!(
            "etcd --name {} --data-dir {data_dir}{wal} --initial-advertise-peer-urls {urls} --listen-peer-urls {urls}",
            quoted(&made.member.name)
        ),
    });
    steps
}

/// The same restore for another member.
fn command_for(request: &Request, chosen: &Chosen, recipe: &Recipe, member: &Member) -> String {
    let text = |path: &std::path::Path| quoted(&path.display().to_string());
    let mut words = vec![
        "hypercloud-etcd restore --file".to_owned(),
        text(&chosen.candidate.path),
        format!("--data-dir {}", text(&request.data_dir)),
    ];
    words.extend(
        request
            .wal_dir
            .iter()
            .map(|wal| format!("--wal-dir {}", text(wal))),
    );
    words.push(format!("--name {}", quoted(&member.name)));
    words.push(format!(
        "--initial-cluster {}",
        quoted(&recipe.membership.to_string())
    ));
    words.push(format!(
        "--initial-cluster-token {}",
        quoted(recipe.membership.token())
    ));
    words.push(format!("--initial-advertise-peer-urls {}", joined(member)));
    // the members must agree, whatever the other host would reckon
    words.push(match recipe.bump {
        Some(by) => format!("--bump-revision {by} --mark-compacted"),
        None => "--bump-revision 0".into(),
    });
    for (is_given, flag) in [
        (recipe.clear_alarms, "--clear-alarms"),
        (recipe.layout == Layout::Compact, "--compact"),
        (request.pick.skip_hash_check, "--skip-hash-check"),
        (request.pick.allow_unverified, "--allow-unverified"),
        (request.pick.allow_suspect, "--allow-suspect"),
        (request.pick.allow_other_cluster, "--allow-other-cluster"),
    ] {
        words.extend(is_given.then(|| flag.to_owned()));
    }
    words.join(" ")
}

fn joined(member: &Member) -> String {
    let urls: Vec<&str> = member.peer_urls.iter().map(PeerUrl::as_str).collect();
    quoted(&urls.join(","))
}
