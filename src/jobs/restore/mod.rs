//! Restores a backup, or any snapshot file, to a data directory that an etcd member starts from.
//!
//! Everything that can be refused is refused before a byte is written; the directory appears whole or
//! not at all.

pub mod bump;
mod choice;
mod report;
mod seat;

pub use crate::datadir::{Layout, Step as Making, Version as EtcdVersion};
pub use bump::{Bump, Sighting};
pub use choice::{Origin, Pick};
pub use report::{Report, Step};
pub use seat::Seat;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::manifests;
use crate::catalog::Manifest;
use crate::config::Config;
use crate::datadir::{self, Membership, Recipe, Site};
use crate::error::{Error, Refusal};
use crate::snapshot::{Damage, Facts, Trailer, Unproven, Verified};
use crate::store::Directory;
use choice::Candidate;
use report::Made;

/// What is restored, and to what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The snapshot.
    pub pick: Pick,
    /// The data directory; it is made.
    pub data_dir: PathBuf,
    /// Where the write-ahead log goes, if not into the data directory.
    pub wal_dir: Option<PathBuf>,
    /// The cluster that comes of it, and which of its members this is.
    pub seat: Seat,
    /// How far the revision moves; where nothing is said, a Kubernetes host decides.
    pub ahead: Option<Ahead>,
    /// Whether the alarms of the old cluster go, or the database is written anew.
    pub changes: Changes,
    /// The etcd that is to start from it; where nothing is said, what the host's manifest names.
    pub etcd_version: Option<EtcdVersion>,
    /// Where Kubernetes has its files: `/etc/kubernetes`.
    pub kubernetes_dir: PathBuf,
}

/// What becomes of the database beside its new members.
#[derive(Debug, Clone, Copy)]
pub struct Changes {
    /// Alarms of the old cluster are not kept.
    pub clear_alarms: bool,
    /// Whether it is written anew.
    pub layout: Layout,
}

/// How far the revision of a restored store moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// Not at all: nobody remembers its revisions, or the cluster that it joins goes on.
    Stay,
    /// By so many.
    By(u64),
    /// Past all that the lost cluster can have reached.
    Auto,
}

/// What comes from outside: when, and who wants to know how far it is.
pub struct Run<'r> {
    /// The time.
    pub now: Timestamp,
    /// Told of every step.
    pub progress: &'r dyn Fn(&Progress),
}

/// How far a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The snapshot is being proven.
    Proving {
        /// Its bytes.
        size: u64,
    },
    /// The directory is being made.
    Making(datadir::Progress),
}

/// A snapshot that was chosen, proven just now, and held to what the catalog says of it.
pub struct Chosen {
    candidate: Candidate,
    now: Timestamp,
    verified: Verified,
}

/// Restores a snapshot to a directory.
///
/// # Errors
/// [`Error`]; then there is no directory that was not there before.
pub fn restore(config: Option<&Config>, request: &Request, run: &Run<'_>) -> Result<Report, Error> {
    let (membership, member) = request.seat.take(run.now)?;
    let site = Site::look(&request.data_dir, request.wal_dir.as_deref())?;
    site.require_apart()?;
    let etcd = request.version_to_start()?;
    let chosen = Chosen::find(config, &request.pick, run)?;
    let bump = bump_for(request, &chosen, &membership, run.now)?;
    let recipe = Recipe {
        name: member.name.clone(),
        membership,
        etcd,
        bump: bump.as_ref().map(|bump| bump.by),
        clear_alarms: request.changes.clear_alarms,
        layout: request.changes.layout,
        wal_dir: request.wal_dir.clone(),
        ownership: None,
    };
    recipe.check(chosen.verified.facts())?;
    require_space(&recipe, chosen.verified.facts(), &site)?;
    let built = datadir::build(
        &chosen.verified,
        &recipe,
        &request.data_dir,
        &mut |progress| {
            (run.progress)(&Progress::Making(progress));
        },
    )?;
    Ok(Report::new(
        request,
        &chosen,
        &recipe,
        Made {
            built,
            bump,
            member,
        },
    ))
}

/// The bump that this restore makes. One that is reckoned here is another on the next host.
fn bump_for(
    request: &Request,
    chosen: &Chosen,
    membership: &Membership,
    now: Timestamp,
) -> Result<Option<Bump>, Error> {
    let default = || default_on(&request.kubernetes_dir);
    let ahead = request.ahead.unwrap_or_else(default);
    let bump = chosen.bump(ahead, now)?;
    let reckoned = bump.as_ref().filter(|_| ahead == Ahead::Auto);
    let reckoned = reckoned.map(|bump| bump.by);
    request.seat.require_agreement(membership, reckoned)?;
    Ok(bump)
}

/// Refuses what would not fit, before a byte is written.
fn require_space(recipe: &Recipe, facts: &Facts, site: &Site) -> Result<(), Error> {
    let parent = site.data_dir().parent().unwrap_or(site.data_dir());
    let needed = recipe.space(facts);
    match Directory::open(parent).and_then(|directory| directory.space()) {
        Ok(space) if space.free < needed => Err(Refusal::Space {
            path: parent.into(),
            needed,
            free: space.free,
        }
        .into()),
        // where it cannot be told, writing will tell
        _ => Ok(()),
    }
}

impl Chosen {
    /// Finds a snapshot, proves every byte of it, and compares it with its manifest.
    ///
    /// # Errors
    /// [`Error`], where it is not there, not sound, or not what was backed up.
    pub fn find(config: Option<&Config>, pick: &Pick, run: &Run<'_>) -> Result<Self, Error> {
        let mut candidate = Candidate::find(config, pick)?;
        let verified = prove(&candidate, pick, run)?;
        candidate.compare(verified.file_sha256(), verified.facts(), pick)?;
        Ok(Chosen {
            candidate,
            verified,
            now: run.now,
        })
    }

    /// The snapshot's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.candidate.path
    }

    /// What the catalog says of it, where it does.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.candidate.manifest.as_ref()
    }

    /// What the operator should know of the choice.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.candidate.warnings();
        warnings.extend(self.candidate.ahead_of(self.now));
        warnings
    }

    /// The proven database.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// How far its revision moves.
    ///
    /// # Errors
    /// [`Refusal::TooFar`].
    pub fn bump(&self, ahead: Ahead, now: Timestamp) -> Result<Option<Bump>, Refusal> {
        let facts = self.verified.facts();
        let backup = Sighting {
            time: self.candidate.taken().unwrap_or(now),
            revision: facts.kv_hash.revision,
        };
        match ahead {
            Ahead::Stay | Ahead::By(0) => Ok(None),
            Ahead::By(by) => bump::given(backup.revision, by).map(Some),
            Ahead::Auto => bump::reckon(backup, &self.candidate.history(facts), now).map(Some),
        }
    }
}

fn prove(candidate: &Candidate, pick: &Pick, run: &Run<'_>) -> Result<Verified, Error> {
    let failed = |source| Error::Read {
        path: candidate.path.clone(),
        source,
    };
    let file = candidate.file.try_clone().map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    (run.progress)(&Progress::Proving { size });
    let trailer = if pick.skip_hash_check && candidate.manifest.is_none() {
        Trailer::Waived
    } else {
        Trailer::Required
    };
    let unproven = match Verified::prove(file, trailer, &super::verify::scratch) {
        Ok(verified) => return Ok(verified),
        Err(Unproven::Database(Damage::Read(source))) => return Err(failed(source)),
        Err(unproven) => unproven,
    };
    // what the catalog holds was sound once
    if let Some(changed) = candidate.changed(unproven.to_string()) {
        return Err(changed.into());
    }
    let path = candidate.path.clone();
    Err(match unproven {
        Unproven::Trailer(source) => Refusal::Unproven { path, source }.into(),
        Unproven::Database(source) => Error::Unsound { path, source },
    })
}

impl Request {
    /// The etcd that is to start: what was said, or else what the host's manifest names.
    fn version_to_start(&self) -> Result<Option<EtcdVersion>, Error> {
        if self.etcd_version.is_some() {
            return Ok(self.etcd_version);
        }
        let pod = manifests::etcd(&self.kubernetes_dir)?;
        let version = pod.and_then(|pod| pod.image.version());
        Ok(version.and_then(|version| EtcdVersion::parse(&version.to_string())))
    }
}

/// A Kubernetes host's components remember revisions.
fn default_on(kubernetes_dir: &Path) -> Ahead {
    if kubernetes_dir.join("manifests").is_dir() {
        Ahead::Auto
    } else {
        Ahead::Stay
    }
}
