//! Takes one backup: stream, prove, keep the CA, publish. What is not proven is not called a backup.

use std::fs::File;
use std::sync::Arc;

use jiff::Timestamp;

use super::live::{self, Agreement};
use super::receive::receive;
use super::{blocking, lock, pki, scratch_in};
use crate::anomaly;
use crate::catalog::{
    self, BackupId, Catalog, Manifest, Outcome, Proof, Source, Step, Stored, Trigger,
};
use crate::config::Config;
use crate::error::Error;
use crate::etcd::{Client, Endpoint, LiveHash, MemberStatus, Survey};
use crate::report::event;
use crate::snapshot::{self, Digests, Inspection};
use crate::store::{Directory, Draft};

/// What comes from outside: why, when, and who wants to know how far it is.
pub struct Run<'r> {
    /// Why the backup is made.
    pub trigger: Trigger,
    /// The time.
    pub clock: &'r dyn Fn() -> Timestamp,
    /// Told of every step.
    pub progress: &'r dyn Fn(&Progress),
}

/// How far a backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Bytes arrive.
    Receiving {
        /// From this member.
        endpoint: Endpoint,
        /// Bytes received.
        received: u64,
        /// Bytes to come in all.
        announced: u64,
    },
    /// All bytes are here and are being proven.
    Proving {
        /// Bytes received.
        size: u64,
    },
}

/// How often a snapshot is taken again because a compaction kept the members from confirming it.
const COMPACTION_RETRIES: usize = 2;

/// Takes, proves and publishes one backup. The manifest tells whether every proof that was asked
/// for was given.
///
/// # Errors
/// [`Error`]; then no file is visible that was not there before.
pub async fn backup(config: &Config, run: &Run<'_>) -> Result<Manifest, Error> {
    let started = (run.clock)();
    let directory = Directory::open(&config.backup.dir)?;
    if config.backup.require_mount {
        directory.require_mount()?;
    }
    let _lock = lock(&directory, "backup", started)?;
    let catalog = Catalog::of(&directory);
    remove_leftovers(catalog, &directory);
    let survey = Box::pin(Survey::take(&config.etcd)).await;
    let taken = first_good(config, &directory, &survey, run).await?;
    directory.require_at_its_path()?;
    let id = catalog.free_id(BackupId::at(started));
    let mut manifest = taken.manifest(id, run.trigger, started, (run.clock)());
    pki::keep(config, &directory, &mut manifest);
    judge(config, catalog, &mut manifest);
    taken.publish(catalog, &manifest)?;
    warn_of_suspicions(&manifest);
    Ok(manifest)
}

/// Notes what is unlike the last good backup. What is not proven counts for nothing anyway.
fn judge(config: &Config, catalog: Catalog<'_>, manifest: &mut Manifest) {
    if !manifest.verified {
        return;
    }
    match catalog.newest_good(manifest.started) {
        Ok(Some(last_good)) => {
            manifest.suspicions = anomaly::suspicions(&config.anomaly, &last_good, manifest);
            // another id is taken over only by the word of a person
            if last_good.source.cluster_id == manifest.source.cluster_id {
                manifest.succeeds = last_good.succeeds;
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(
            "the backup was not compared with the last good one: {}",
            Error::from(error).in_a_line()
        ),
    }
}

/// Says what nobody must miss, once the backup is there.
fn warn_of_suspicions(manifest: &Manifest) {
    if manifest.is_suspect() {
        let (id, why) = (&manifest.id, manifest.suspicions.join("; "));
        tracing::error!(
            message_id = event::BACKUP_SUSPECT, backup_id = %id, revision = manifest.facts.revision,
            "backup {id} is SUSPECT: {why}. It is kept, and nothing is pruned. If this is how the \
             cluster is meant to be, say so with: hypercloud-etcd accept {id}"
        );
    }
}

/// Removes what an interrupted job has left. What cannot be removed stops no backup.
pub(super) fn remove_leftovers(catalog: Catalog<'_>, directory: &Directory) {
    let stays = |error: Error| {
        tracing::warn!(
            "what an interrupted job left stays there: {}",
            error.in_a_line()
        );
    };
    match catalog.remove_leftovers() {
        Ok(leftovers) => {
            for leftover in leftovers.removed {
                tracing::warn!(
                    "removed {leftover}, which an interrupted job had left in {}",
                    directory.path().display()
                );
            }
            leftovers.stuck.into_iter().map(Error::from).for_each(stays);
        }
        Err(error) => stays(error.into()),
    }
    pki::remove_leftovers(directory);
}

/// Tries the members in order of preference. A snapshot that the other members contradict is kept
/// only when no member gives a better one.
async fn first_good<'d>(
    config: &Config,
    directory: &'d Directory,
    survey: &Survey,
    run: &Run<'_>,
) -> Result<Taken<'d>, Error> {
    let clusters = survey.cluster_ids().len();
    if clusters > 1 {
        return Err(Error::MixedClusters(clusters));
    }
    let mut doubtful = None;
    let mut failures = Vec::new();
    for endpoint in survey.preference() {
        match from_member(config, directory, &endpoint, run).await {
            Ok(taken) if taken.agreement.outcome() != Outcome::Failed => {
                failures.iter().for_each(passed_over);
                return Ok(taken);
            }
            Ok(taken) => {
                let contradiction = &taken.agreement;
                tracing::error!("the snapshot from {endpoint} is contradicted: {contradiction}");
                doubtful.get_or_insert(taken);
            }
            Err(error) if error.is_of_one_member() => failures.push(error),
            Err(error) => return Err(error),
        }
    }
    match (doubtful, failures.len()) {
        (Some(doubtful), _) => {
            failures.iter().for_each(passed_over);
            Ok(doubtful)
        }
        (None, 1) => Err(failures.remove(0)),
        (None, _) => Err(Error::Members(failures)),
    }
}

/// A member that failed where another did not: the backup is there, but somebody should look.
fn passed_over(failure: &Error) {
    tracing::warn!("{}; another member served", failure.in_a_line());
}

/// One member's snapshot; taken again where a compaction kept every member from confirming it.
async fn from_member<'d>(
    config: &Config,
    directory: &'d Directory,
    endpoint: &Endpoint,
    run: &Run<'_>,
) -> Result<Taken<'d>, Error> {
    let mut retries = 0..COMPACTION_RETRIES;
    loop {
        let taken = attempt(config, directory, endpoint, run).await?;
        if !taken.agreement.is_prevented_by_compaction() || retries.next().is_none() {
            return Ok(taken);
        }
        tracing::info!(
            "a compaction overtook the snapshot from {endpoint} before it could be confirmed; taking another"
        );
    }
}

/// Connects, streams into a private file, and proves what arrived.
async fn attempt<'d>(
    config: &Config,
    directory: &'d Directory,
    endpoint: &Endpoint,
    run: &Run<'_>,
) -> Result<Taken<'d>, Error> {
    let mut client = Client::connect(&config.etcd, endpoint).await?;
    let member = client.status().await?;
    let mut stream = client.snapshot(config.etcd.stall_timeout).await?;
    let draft = directory.draft()?;
    let (file, digests) = receive(&mut stream, (config, directory), &draft, run).await?;
    digests.check().map_err(|source| Error::Trailer {
        endpoint: endpoint.to_string(),
        source,
    })?;
    (run.progress)(&Progress::Proving {
        size: digests.length,
    });
    let (inspection, agreement) =
        prove(config, directory, (endpoint, file), digests.length).await?;
    Ok(Taken {
        draft,
        member,
        digests,
        inspection,
        agreement,
        live_hash: config.etcd.live_hash,
    })
}

/// Walks the database and asks the members for their hash of it, while the bytes become durable.
async fn prove(
    config: &Config,
    directory: &Directory,
    (endpoint, file): (&Endpoint, File),
    length: u64,
) -> Result<(Inspection, Agreement), Error> {
    let failed = |source| Error::Spool {
        path: directory.path().into(),
        source,
    };
    let file = Arc::new(file);
    let scratch = scratch_in(directory).map_err(failed)?;
    let head = snapshot::head(&file, length);
    let (to_walk, to_sync) = (Arc::clone(&file), Arc::clone(&file));
    let walk = blocking(move || Inspection::walk(&to_walk, length, &|| scratch.try_clone()));
    let sync = blocking(move || to_sync.sync_data());
    let (inspection, synced, answers) = tokio::join!(walk, sync, live::ask(&config.etcd, head));
    synced?.map_err(failed)?;
    let inspection = inspection?.map_err(|source| Error::Damaged {
        endpoint: endpoint.to_string(),
        source,
    })?;
    let inspection = Arc::new(inspection);
    let agreement = live::compare(answers, &inspection, &file, length).await?;
    snapshot::release_cache(&file);
    Arc::into_inner(inspection)
        .map(|inspection| (inspection, agreement))
        .ok_or_else(|| Error::Bug("the inspection is still in use".into()))
}

/// A snapshot that has arrived, and what was found about it.
struct Taken<'d> {
    draft: Draft<'d>,
    member: MemberStatus,
    digests: Digests,
    inspection: Inspection,
    agreement: Agreement,
    live_hash: LiveHash,
}

impl Taken<'_> {
    fn manifest(
        &self,
        id: BackupId,
        trigger: Trigger,
        started: Timestamp,
        finished: Timestamp,
    ) -> Manifest {
        let (size, sha256) = (self.digests.length, self.digests.whole);
        let facts = self.inspection.facts.clone();
        let live = self.agreement.outcome();
        let passed = |step, detail| Step {
            step,
            result: Outcome::Passed,
            detail,
        };
        Manifest {
            format: catalog::FORMAT,
            verified: live == Outcome::Passed
                || (live == Outcome::Skipped && self.live_hash != LiveHash::Require),
            pinned: false,
            trigger,
            file: id.data_name(),
            size,
            sha256,
            stored: Stored {
                size,
                sha256,
                seal: Vec::new(),
            },
            source: Source {
                endpoint: self.member.endpoint.to_string(),
                cluster_id: format!("{:x}", self.member.cluster_id),
                member_id: format!("{:x}", self.member.member_id),
                etcd_version: self.member.version.clone(),
            },
            succeeds: Vec::new(),
            verification: vec![
                passed(
                    Proof::Trailer,
                    format!("SHA-256 {}, as etcd appended it", self.digests.trailer),
                ),
                passed(
                    Proof::Structure,
                    format!(
                        "{} entries on pages of {} bytes",
                        facts.total_entries, facts.page_size
                    ),
                ),
                Step {
                    step: Proof::Live,
                    result: live,
                    detail: self.agreement.to_string(),
                },
            ],
            contradicting_members: self.agreement.differing(),
            pki: None,
            pki_problems: Vec::new(),
            suspicions: Vec::new(),
            accepted: None,
            released: None,
            last_verified: None,
            facts,
            started,
            finished,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            id,
        }
    }

    fn publish(self, catalog: Catalog<'_>, manifest: &Manifest) -> Result<(), Error> {
        Ok(catalog.publish(self.draft, manifest)?)
    }
}

#[cfg(test)]
mod tests;
