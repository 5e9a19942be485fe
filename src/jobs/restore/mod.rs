//! Restores a backup, or any snapshot file, to a data directory that an etcd member starts from.
//!
//! Everything that can be refused is refused before a byte is written; the directory appears whole or
//! not at all.

pub mod bump;
mod choice;
mod chosen;
mod earlier;
mod next;
mod report;
mod seat;

pub use crate::datadir::{Layout, Step as Making, Version as EtcdVersion};
pub use bump::{Bump, Sighting, Witness};
pub use choice::{Origin, Pick};
pub use chosen::Chosen;
pub use earlier::Earlier;
pub use next::Step;
pub use report::Report;
pub use seat::Seat;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::config::Config;
use crate::datadir::{self, Membership, Recipe, Site};
use crate::error::{Error, Refusal};
use crate::snapshot::Facts;
use crate::store::Directory;
use report::Made;
use seat::Host;

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

/// Restores a snapshot to a directory.
///
/// # Errors
/// [`Error`]; then there is no directory that was not there before.
pub fn restore(config: Option<&Config>, request: &Request, run: &Run<'_>) -> Result<Report, Error> {
    let said = request.seat.said(run.now)?;
    let site = Site::look(&request.data_dir, request.wal_dir.as_deref())?;
    site.require_apart()?;
    let host = Host::read(request)?;
    let chosen = Chosen::find(config, &request.pick, run)?;
    let facts = chosen.verified.facts();
    let taken = match said {
        Some(said) => said,
        None => request.seat.follow(&host, &facts.members, run.now)?,
    };
    let earlier = Earlier::of(&request.kubernetes_dir);
    let bump = bump_for(request, &chosen, (&taken.membership, &earlier), run.now)?;
    let recipe = Recipe {
        name: taken.member.name.clone(),
        membership: taken.membership.clone(),
        etcd: request.etcd_version.or_else(|| host.etcd_version()),
        bump: bump.as_ref().map(|bump| bump.by),
        clear_alarms: request.changes.clear_alarms,
        layout: request.changes.layout,
        wal_dir: request.wal_dir.clone(),
        ownership: None,
    };
    recipe.check(facts)?;
    require_space(&recipe, facts, &site)?;
    let mut progress = |progress| (run.progress)(&Progress::Making(progress));
    let built = datadir::build(&chosen.verified, &recipe, &request.data_dir, &mut progress)
        .map_err(|source| Error::NotBuilt {
            path: request.data_dir.clone(),
            source,
        })?;
    let mut report = Report::new(
        (request, &host),
        &chosen,
        &recipe,
        Made { built, bump, taken },
    );
    report.warnings.extend(earlier.warnings);
    Ok(report)
}

/// The bump that this restore makes. One that is reckoned here is another on the next host.
fn bump_for(
    request: &Request,
    chosen: &Chosen,
    (membership, earlier): (&Membership, &Earlier),
    now: Timestamp,
) -> Result<Option<Bump>, Error> {
    let default = || default_on(&request.kubernetes_dir);
    let ahead = request.ahead.unwrap_or_else(default);
    let bump = chosen.bump(ahead, &earlier.seen, now)?;
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

/// A Kubernetes host's components remember revisions.
fn default_on(kubernetes_dir: &Path) -> Ahead {
    if kubernetes_dir.join("manifests").is_dir() {
        Ahead::Auto
    } else {
        Ahead::Stay
    }
}
