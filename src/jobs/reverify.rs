//! Proves stored backups again and writes into each manifest what came of it.
//!
//! The lock is held only while a manifest is written, so no backup waits for a proof; nor does a
//! proof fail because its result cannot be written down.

use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::lock;
use super::verify::{Verdict, verify};
use crate::catalog::{self, BackupId, Catalog, Reproof};
use crate::config::Config;
use crate::error::Error;
use crate::store::{self, Directory, Place};

/// How often a lock that another job holds is tried again.
const POLL: Duration = Duration::from_millis(100);

/// The backups that are to be proven.
#[derive(Debug)]
pub struct Due {
    /// Their ids, the oldest proof first.
    pub ids: Vec<BackupId>,
    /// Whether the directory holds no backup at all.
    pub is_deserted: bool,
    /// The directory.
    pub place: Place,
}

/// How a backup is to be proven.
#[derive(Default)]
pub struct Terms<'t> {
    /// Asked every few megabytes, without a hurry then; the answer no ends it.
    pub go_on: Option<&'t dyn Fn() -> bool>,
    /// The directory that it has to be in.
    pub place: Option<Place>,
    /// Until when another job's lock is waited for, to write the result down.
    pub lock_until: Option<Instant>,
}

/// What came of it.
#[derive(Debug)]
pub enum Came {
    /// It was proven, or was found not to be what it was.
    Proven(Proven),
    /// There is no such backup any more, or the proof was stopped.
    Gone,
    /// The directory is not the one that it has to be in, or cannot be had: nothing is known of the
    /// backup. Why, in a line.
    Elsewhere(String),
}

/// A backup that was proven again.
#[derive(Debug)]
pub struct Proven {
    /// What came of it.
    pub verdict: Verdict,
    /// Why the manifest does not say so.
    pub unrecorded: Option<Error>,
}

impl Proven {
    /// Whether the result is not written down only because another job holds the lock.
    #[must_use]
    pub fn is_locked_out(&self) -> bool {
        self.unrecorded.as_ref().is_some_and(is_locked)
    }
}

/// The backups that were last proven before this time, by what can be believed now.
///
/// # Errors
/// Where the directory cannot be read, or is not mounted where it has to be.
pub fn due(config: &Config, before: Timestamp, now: Timestamp) -> Result<Due, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    if config.backup.require_mount {
        directory.require_mount()?;
    }
    let mut backups = Catalog::of(&directory).summaries()?.backups;
    let is_deserted = backups.is_empty();
    backups.retain(|backup| {
        let proven = backup.last_proven(now);
        proven.is_none_or(|proven| proven < before)
    });
    backups.sort_by_key(|backup| backup.last_proven(now));
    Ok(Due {
        ids: backups.into_iter().map(|backup| backup.id).collect(),
        is_deserted,
        place: directory.place()?,
    })
}

/// Proves a backup again, where there is one.
///
/// # Errors
/// Where this process cannot do the work, not where the backup is bad.
pub fn prove_again(
    config: &Config,
    id: &BackupId,
    terms: &Terms<'_>,
    now: Timestamp,
) -> Result<Came, Error> {
    let directory = match Directory::open(&config.backup.dir) {
        Err(error) if terms.place.is_some() => {
            return Ok(Came::Elsewhere(Error::from(error).in_a_line()));
        }
        directory => directory?,
    };
    let elsewhere = || {
        let path = directory.path().display();
        Came::Elsewhere(format!("{path} is another directory than when this began"))
    };
    if let Some(place) = terms.place
        && directory.place()? != place
    {
        return Ok(elsewhere());
    }
    let catalog = Catalog::of(&directory);
    let is_there = || directory.contains(&id.manifest_name());
    let manifest = match catalog.read(id) {
        Ok(manifest) => manifest,
        Err(_) if !is_there() => return Ok(Came::Gone),
        Err(catalog::Error::Unreadable { path, source }) => {
            let why = format!("the manifest cannot be used: {source}");
            return Ok(Came::Proven(Proven {
                verdict: Verdict::against(path.display().to_string(), why),
                unrecorded: None,
            }));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(verdict) = verify(config, &manifest, terms.go_on)? else {
        return Ok(Came::Gone);
    };
    // what is missing from another directory is not lost
    if directory.require_at_its_path().is_err() {
        return Ok(elsewhere());
    }
    // one that was removed in the meantime is not missing
    if !is_there() {
        return Ok(Came::Gone);
    }
    let unrecorded = loop {
        match record(&directory, id, &verdict, now) {
            Err(error) if is_locked(&error) && is_before(terms.lock_until) => thread::sleep(POLL),
            recorded => break recorded.err(),
        }
    };
    Ok(Came::Proven(Proven {
        verdict,
        unrecorded,
    }))
}

fn is_before(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() < deadline)
}

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Store(store::Error::Locked { .. }))
}

/// Writes it down, in the manifest as it is by now.
fn record(
    directory: &Directory,
    id: &BackupId,
    verdict: &Verdict,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(result) = verdict.snapshot else {
        return Ok(());
    };
    let _lock = lock(directory, "verify", now)?;
    let catalog = Catalog::of(directory);
    let mut manifest = catalog.read(id)?;
    manifest.last_verified = Some(Reproof {
        at: now,
        result,
        problems: verdict.found.clone(),
    });
    Ok(catalog.amend(&manifest)?)
}
