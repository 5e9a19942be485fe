//! Which snapshot is restored: a backup of the catalog or any file, and what speaks against it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Changes;
use super::bump::{Sighting, Witness};
use crate::catalog::{self, Catalog, Listing, Manifest, Selector};
use crate::config::Config;
use crate::datadir::Layout;
use crate::error::{Error, Refusal, Why};
use crate::jobs::look;
use crate::recovery::Options;
use crate::snapshot::{Facts, Sha256, Wrapping};
use crate::store::{self, Directory};

/// What the operator chose, and what they take upon themselves.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and none excludes another"
)]
pub struct Pick {
    /// Where the snapshot is.
    pub origin: Origin,
    /// A backup may be restored that was never wholly proven.
    pub allow_unverified: bool,
    /// A backup may be restored that is suspect.
    pub allow_suspect: bool,
    /// A backup may be restored that is of another cluster than the newest one.
    pub allow_other_cluster: bool,
    /// A file may lack the digest of its bytes, or have a wrong one.
    pub skip_hash_check: bool,
}

impl Pick {
    /// These, and what is changed of the database, as a restore in place remembers them.
    pub(in crate::jobs) fn options(&self, changes: Changes) -> Options {
        Options {
            clear_alarms: changes.clear_alarms,
            compact: changes.layout == Layout::Compact,
            skip_hash_check: self.skip_hash_check,
            allow_unverified: self.allow_unverified,
            allow_suspect: self.allow_suspect,
            allow_other_cluster: self.allow_other_cluster,
        }
    }
}

/// Where a snapshot is.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A backup of the catalog.
    Backup(Selector),
    /// Any file.
    File(PathBuf),
}

/// A snapshot that was found, and the backups that it stands among. Nothing of it is proven yet.
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// What the catalog says of it.
    pub(super) manifest: Option<Manifest>,
    listing: Listing,
}

impl Candidate {
    /// Finds what was picked. A file needs no catalog; where there is one, it tells more.
    pub(super) fn find(config: Option<&Config>, pick: &Pick) -> Result<Self, Error> {
        let candidate = match &pick.origin {
            Origin::Backup(selector) => Self::backup(config, selector, pick)?,
            Origin::File(path) => Self::any_file(config, path)?,
        };
        if let Some(wrapping) = Wrapping::of(&candidate.file) {
            let path = candidate.path;
            return Err(Refusal::Wrapped { path, wrapping }.into());
        }
        Ok(candidate)
    }

    fn backup(config: Option<&Config>, selector: &Selector, pick: &Pick) -> Result<Self, Error> {
        let Some(config) = config else {
            return Err(Error::Bug("a selector without a configuration".into()));
        };
        let directory = Directory::open(&config.backup.dir)?;
        let catalog = Catalog::of(&directory);
        // one whose snapshot is lost is chosen, too, and then told of: nobody gets another unasked
        let manifest = catalog.find(selector)?;
        let listing = catalog.list_present()?;
        require_trust(&manifest, &listing, pick)?;
        let file = match catalog.data(&manifest) {
            Err(catalog::Error::Store(store::Error::Read { source, .. }))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                let why = format!(
                    "{} is lost",
                    directory.path().join(&manifest.file).display()
                );
                return Err(changed(&manifest, &listing, why).into());
            }
            file => file?,
        };
        Ok(Candidate {
            path: directory.path().join(&manifest.file),
            file,
            manifest: Some(manifest),
            listing,
        })
    }

    fn any_file(config: Option<&Config>, path: &Path) -> Result<Self, Error> {
        let file = store::open_file(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        let listing = config
            .and_then(|config| look::manifests(config).ok())
            .unwrap_or_default();
        Ok(Candidate {
            // it is told to people who are in other directories
            path: std::path::absolute(path).unwrap_or_else(|_| path.into()),
            file,
            manifest: None,
            listing,
        })
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        match &self.manifest {
            Some(manifest) => format!("the backup {}", manifest.id),
            None => self.path.display().to_string(),
        }
    }

    /// Holds the bytes, as they were read just now, to what the catalog says of them.
    pub(super) fn compare(
        &mut self,
        sha256: Sha256,
        facts: &Facts,
        pick: &Pick,
    ) -> Result<(), Refusal> {
        if let Some(manifest) = &self.manifest {
            if let Some(difference) = difference(manifest, sha256, facts) {
                return Err(changed(manifest, &self.listing, difference));
            }
        } else {
            // a file that is one of the backups is treated as such
            let mut known = self.listing.backups.iter();
            self.manifest = known.find(|backup| backup.sha256 == sha256).cloned();
        }
        if let Some(manifest) = &self.manifest {
            require_trust(manifest, &self.listing, pick)?;
        }
        if pick.allow_other_cluster {
            Ok(())
        } else {
            self.require_same_cluster(facts)
        }
    }

    /// The refusal of a snapshot that does not stand up to its proof; `None` for a mere file.
    pub(super) fn changed(&self, why: String) -> Option<Refusal> {
        let manifest = self.manifest.as_ref()?;
        Some(changed(manifest, &self.listing, why))
    }

    fn require_same_cluster(&self, facts: &Facts) -> Result<(), Refusal> {
        let Some(newest) = self.listing.backups.first() else {
            return Ok(());
        };
        let why = match &self.manifest {
            Some(manifest) if manifest.source.cluster_id == newest.source.cluster_id => {
                return Ok(());
            }
            Some(manifest) => format!(
                "it is of cluster {}, the newest backup {} of cluster {}",
                manifest.source.cluster_id, newest.id, newest.source.cluster_id
            ),
            None if share_a_member(facts, &newest.facts) => return Ok(()),
            None => format!(
                "its members are {}; those of the newest backup {} are {}",
                member_ids(facts),
                newest.id,
                member_ids(&newest.facts)
            ),
        };
        Err(Refusal::OtherCluster {
            name: self.name(),
            source: Why(why),
        })
    }

    /// When the snapshot was taken; of a file that no manifest tells of, its date.
    pub(super) fn taken(&self) -> Option<Timestamp> {
        let dated = || {
            let modified = self.file.metadata().and_then(|found| found.modified());
            Timestamp::try_from(modified.ok()?).ok()
        };
        let known = self.manifest.as_ref().map(|manifest| manifest.started);
        known.or_else(dated)
    }

    /// Where the backups were when they were made, whatever their cluster was called: a restore
    /// begins a new one, whose revisions people have seen as well.
    pub(super) fn sightings(&self) -> impl Iterator<Item = Sighting> {
        let all = self.listing.backups.iter().chain(&self.listing.lost);
        all.map(|backup| Sighting {
            time: backup.started,
            revision: backup.facts.kv_hash.revision,
            witness: Witness::Backup(backup.source.cluster_id.clone()),
        })
    }

    /// A backup whose clock was ahead is the newest for as long as that lasts, whatever came after.
    pub(super) fn ahead_of(&self, now: Timestamp) -> Option<String> {
        let manifest = self.manifest.as_ref()?;
        (manifest.started > now).then(|| {
            format!(
                "the backup says that it was made at {:.0}, which is yet to come: a clock was wrong, and newer \
                 backups may stand below it in: hypercloud-etcd list",
                manifest.started
            )
        })
    }

    /// What the operator should know of the choice.
    pub(super) fn warnings(&self) -> Vec<String> {
        let manifest = self.manifest.as_ref();
        let unverified = manifest
            .and_then(Manifest::doubt)
            .map(|why| format!("the backup is not verified: {why}"));
        let suspect = manifest
            .and_then(suspicion)
            .map(|why| format!("the backup is suspect: {why}"));
        let mut warnings: Vec<String> = unverified.into_iter().chain(suspect).collect();
        warnings.extend(
            self.listing
                .unreadable
                .iter()
                .map(|(path, why)| format!("{} was ignored: {why}", path.display())),
        );
        warnings
    }
}

fn difference(manifest: &Manifest, sha256: Sha256, facts: &Facts) -> Option<String> {
    if sha256 != manifest.sha256 {
        return Some(format!(
            "the file's SHA-256 is {sha256}, the manifest says {}",
            manifest.sha256
        ));
    }
    (*facts != manifest.facts)
        .then(|| "the database says something else than the manifest".to_owned())
}

/// Refuses a backup that is not to be trusted, unless the operator takes that upon themselves.
fn require_trust(manifest: &Manifest, listing: &Listing, pick: &Pick) -> Result<(), Refusal> {
    let unverified = manifest.doubt().filter(|_| !pick.allow_unverified);
    let suspect = suspicion(manifest).filter(|_| !pick.allow_suspect);
    let id = manifest.id.to_string();
    let instead = good_before(listing, manifest);
    match (unverified, suspect) {
        (Some(doubt), _) => Err(Refusal::Unverified {
            id,
            source: Why(doubt),
            instead,
        }),
        (None, Some(suspicion)) => Err(Refusal::Suspect {
            id,
            source: Why(suspicion),
            instead,
        }),
        (None, None) => Ok(()),
    }
}

fn changed(manifest: &Manifest, listing: &Listing, why: String) -> Refusal {
    Refusal::Changed {
        id: manifest.id.to_string(),
        source: Why(why),
        instead: good_before(listing, manifest),
    }
}

/// Why a backup may not show what the cluster is meant to be.
fn suspicion(manifest: &Manifest) -> Option<String> {
    let is_suspect = manifest.is_suspect();
    is_suspect.then(|| manifest.suspicions.join("; "))
}

/// The newest good backup that is older than this one; where there is none, the newest of all.
fn good_before(listing: &Listing, manifest: &Manifest) -> Option<String> {
    let others = || {
        let backups = listing.backups.iter();
        backups.filter(|other| other.is_good() && other.id != manifest.id)
    };
    let before = others().find(|other| other.started <= manifest.started);
    before
        .or_else(|| others().next())
        .map(|other| other.id.to_string())
}

fn share_a_member(one: &Facts, other: &Facts) -> bool {
    let ids: BTreeSet<&str> = one
        .members
        .iter()
        .map(|member| member.id.as_str())
        .collect();
    let mut others = other.members.iter();
    // a database without members tells nothing
    ids.is_empty()
        || other.members.is_empty()
        || others.any(|member| ids.contains(member.id.as_str()))
}

fn member_ids(facts: &Facts) -> String {
    let ids: Vec<&str> = facts
        .members
        .iter()
        .map(|member| member.id.as_str())
        .collect();
    ids.join(", ")
}
