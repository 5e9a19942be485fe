//! A proven database becomes a data directory that a member of a new cluster starts from: etcd 3.4,
//! 3.5, 3.6 and 3.7 alike, and with no tool of etcd.
//!
//! The directory is made beside its place and swapped in by one rename, when every file is durable
//! and the new database has been proven in turn: whatever fails, nothing is left. What was written
//! by an unfinished attempt that a crash ended is removed by the next one, which knows it by a marker.
//!
//! No network and no clock: what the caller wants is in the [`Recipe`].

mod bulk;
mod contents;
mod database;
mod error;
mod membership;
mod place;
mod raft_snapshot;
mod site;
mod staging;
#[cfg(test)]
mod tests;
mod wal;
mod wire;

pub use error::{Error, Version};
pub use membership::{Id, Member, Membership, PeerUrl};
pub use place::{Ownership, in_use};
pub use site::Site;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde::Serialize;

use crate::snapshot::{Facts, Verified, status_hash};
use contents::Contents;
use database::Failure;
use place::failed;
use site::Log;
use staging::Staging;

/// Where a data directory has its database.
const DATABASE: &str = "member/snap/db";

/// What to make.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The members of the new cluster.
    pub membership: Membership,
    /// The name of the member whose directory it is.
    pub name: String,
    /// The etcd that is to start from it, where that is known.
    pub etcd: Option<Version>,
    /// Revisions to add, so that no client has seen a later one; all before counts as compacted.
    /// Every member of the cluster has to be made with the same number; 0 adds none.
    pub bump: Option<u64>,
    /// Whether alarms are cleared: else one of the old cluster, such as that its database is full,
    /// goes on.
    pub clear_alarms: bool,
    /// How the database is laid out.
    pub layout: Layout,
    /// Another place for the log than in the data directory.
    pub wal_dir: Option<PathBuf>,
    /// To whom it is to belong; else as the empty directory in its place, or to this process.
    pub ownership: Option<Ownership>,
}

/// How the new database is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Layout {
    /// The snapshot's pages as they are, and what changes behind them.
    Copy,
    /// Written anew, as a defragmentation does.
    Compact,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The database is being written.
    Write,
    /// It is being proven, and made durable.
    Prove,
}

/// A data directory that has been made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Built {
    /// Where it is.
    pub data_dir: PathBuf,
    /// The member's id.
    pub member_id: Id,
    /// The cluster's id.
    pub cluster_id: Id,
    /// The revision that the store is at.
    pub revision: u64,
    /// What `etcdutl snapshot status` says of its database.
    pub hash: u32,
    /// Bytes of its database.
    pub size: u64,
}

/// A database that has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The revision that the store is at.
    pub revision: u64,
    /// What `etcdutl snapshot status` says of it.
    pub hash: u32,
    /// Its bytes.
    pub size: u64,
}

impl Recipe {
    /// Whether a database like this can be restored so; the revision that the store is then at.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Newer`] or [`Error::Bump`].
    pub fn check(&self, facts: &Facts) -> Result<u64, Error> {
        contents::check(facts, self)
    }

    /// Bytes that the data directory will take: the database, what is appended to it, and the log.
    #[must_use]
    pub fn space(&self, facts: &Facts) -> u64 {
        facts.total_size + 64 * u64::from(facts.page_size) + wal::SEGMENT
    }
}

/// Makes the data directory of a member.
///
/// # Errors
/// [`Error`], and nothing is left of the attempt.
pub fn build(
    source: &Verified,
    recipe: &Recipe,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Built, Error> {
    let member = recipe.membership.member(&recipe.name)?;
    let contents = Contents::plan(source, recipe)?;
    let site = Site::look(target, recipe.wal_dir.as_deref())?;

    let data_dir = site.data.path.clone();
    let begin = |place| Staging::beside(place, recipe.ownership.as_ref(), &data_dir);
    let mut data = begin(site.data)?;
    let mut apart = match &site.log {
        Log::Apart(place) => Some(begin(place.clone())?),
        Log::Inside(_) => None,
    };
    data.directory("member")?;
    data.directory("member/snap")?;
    let file = data.file(DATABASE)?;
    let path = data.path().join(DATABASE);
    let database = write(source, &contents, recipe.layout, (&file, &path), progress)?;
    let log = wal::log(&recipe.membership, member.id).map_err(Error::Json)?;
    if let Log::Inside(directory) = &site.log {
        write_inside(&data, directory, &log)?;
    }
    if let Some(apart) = &apart {
        apart.write(wal::NAME, &log, wal::SEGMENT)?;
    }
    write_snapshot(&recipe.membership, &data)?;
    put_in_place(&mut data, apart.as_mut())?;
    Ok(Built {
        data_dir,
        member_id: member.id,
        cluster_id: recipe.membership.cluster_id(),
        revision: database.revision,
        hash: database.hash,
        size: database.size,
    })
}

/// Writes the database of a member alone, to an empty file that lies at `path`, proves it and makes
/// it durable.
///
/// # Errors
/// [`Error`]; what is in the file then is of no use.
pub fn write_database(
    source: &Verified,
    recipe: &Recipe,
    (file, path): (&File, &Path),
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, Error> {
    let contents = Contents::plan(source, recipe)?;
    write(source, &contents, recipe.layout, (file, path), progress)
}

fn write(
    source: &Verified,
    contents: &Contents,
    layout: Layout,
    (file, path): (&File, &Path),
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, Error> {
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let syncing = scope.spawn(move || sync(file, &told));
        let mut wrote = |step| {
            let _ = tell.send(Wrote::Some);
            progress(step);
        };
        let size = database::write(source, contents, layout, file, &mut wrote);
        let size = size.map_err(|failure| match failure {
            Failure::Source(damage) => Error::Source(damage),
            Failure::File(error) => failed(path, "written")(error),
            Failure::Nested(bucket) => Error::Nested(bucket),
        });
        if size.is_ok() {
            // a thread that has ended says why below
            let _ = tell.send(Wrote::All);
        }
        drop(tell);
        let size = size?;
        let mut tell = |done| {
            progress(Progress {
                step: Step::Prove,
                done,
                total: size,
            });
        };
        tell(0);
        let proven = database::prove(contents, file, size);
        let ended = |_| Err(io::Error::other("the syncing thread has ended"));
        let synced = syncing.join().unwrap_or_else(ended);
        // a disk that fails is why a proof fails, never the other way round
        synced.map_err(failed(path, "made durable"))?;
        proven?;
        tell(size);
        Ok(Written {
            revision: contents.revision,
            hash: status_hash(&contents.sums),
            size,
        })
    })
}

/// How much of a file is written.
#[derive(PartialEq)]
enum Wrote {
    Some,
    All,
}

/// Makes a file durable while it is written, so that the disk does not wait for the last byte. One of
/// which nobody says that it is whole is of no use, and need not be durable.
fn sync(file: &File, told: &Receiver<Wrote>) -> io::Result<()> {
    while let Ok(wrote) = told.recv() {
        // one time for all that was written since the last
        if wrote == Wrote::All || told.try_iter().any(|wrote| wrote == Wrote::All) {
            return file.sync_all();
        }
        file.sync_data()?;
    }
    Ok(())
}

/// Writes the log to a directory in the data directory, which is made with all that are above it.
fn write_inside(data: &Staging, directory: &Path, log: &[u8]) -> Result<(), Error> {
    let is_to_be_made = |path: &&Path| !path.as_os_str().is_empty() && *path != Path::new("member");
    let made: Vec<&Path> = directory.ancestors().filter(is_to_be_made).collect();
    for path in made.iter().rev() {
        data.directory(path)?;
    }
    data.write(directory.join(wal::NAME), log, wal::SEGMENT)?;
    made.into_iter().try_for_each(|path| data.sync(path))
}

fn write_snapshot(membership: &Membership, data: &Staging) -> Result<(), Error> {
    let snapshot = raft_snapshot::file(membership).map_err(Error::Json)?;
    let name = format!("member/snap/{}", raft_snapshot::name(membership));
    data.write(name, &snapshot, snapshot.len() as u64)?;
    data.sync("member/snap")?;
    data.sync("member")
}

/// Swaps in a whole data directory, after a log that lies apart: etcd takes data without its log for
/// none at all. Until both are there the log keeps its marker, by which the next attempt knows it.
fn put_in_place(data: &mut Staging, mut log: Option<&mut Staging>) -> Result<(), Error> {
    if let Some(log) = &mut log {
        log.place()?;
    }
    if let Err(error) = data.unmark().and_then(|()| data.place()) {
        log.into_iter().for_each(Staging::withdraw);
        return Err(error);
    }
    if let Some(log) = log {
        // it is in use from now on, and etcd passes a marker by
        let _ = log.unmark();
    }
    Ok(())
}
