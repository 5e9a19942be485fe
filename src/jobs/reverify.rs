//! Proves stored backups again and writes into each manifest what came of it.
//!
//! The lock is held only while a manifest is written, so no backup waits for a proof; nor does a
//! proof fail because its result cannot be written down.

use jiff::Timestamp;

use super::lock;
use super::verify::{Verdict, verify};
use crate::catalog::{self, BackupId, Catalog, Reproof, Summary};
use crate::config::Config;
use crate::error::Error;
use crate::store::Directory;

/// A backup that was proven again.
#[derive(Debug)]
pub struct Proven {
    /// What came of it.
    pub verdict: Verdict,
    /// Why the manifest does not say so.
    pub unrecorded: Option<Error>,
}

/// The backups that were last proven before this time, the oldest proof first.
///
/// # Errors
/// Where the directory cannot be read.
pub fn proven_before(config: &Config, time: Timestamp) -> Result<Vec<BackupId>, Error> {
    let mut backups = super::look::list(config)?.backups;
    backups.retain(|backup| backup.last_proven() < time);
    backups.sort_by_key(Summary::last_proven);
    Ok(backups.into_iter().map(|backup| backup.id).collect())
}

/// Proves a backup again, without a hurry and for as long as `go_on` says so, where there is one.
/// `None`: it was stopped, or there is no such backup any more.
///
/// # Errors
/// Where this process cannot do the work, not where the backup is bad.
pub fn prove_again(
    config: &Config,
    id: &BackupId,
    go_on: Option<&dyn Fn() -> bool>,
    now: Timestamp,
) -> Result<Option<Proven>, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let catalog = Catalog::of(&directory);
    let is_there = || directory.contains(&id.manifest_name());
    let manifest = match catalog.read(id) {
        Ok(manifest) => manifest,
        Err(_) if !is_there() => return Ok(None),
        Err(catalog::Error::Unreadable { path, source }) => {
            let why = format!("the manifest cannot be used: {source}");
            return Ok(Some(Proven {
                verdict: Verdict::against(path.display().to_string(), why),
                unrecorded: None,
            }));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(verdict) = verify(config, &manifest, go_on)? else {
        return Ok(None);
    };
    // one that was removed in the meantime is not missing
    if !is_there() {
        return Ok(None);
    }
    let unrecorded = record(&directory, id, &verdict, now).err();
    Ok(Some(Proven {
        verdict,
        unrecorded,
    }))
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
