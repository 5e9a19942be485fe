//! The verbs: each reads top to bottom as what it does.

pub mod accept;
pub mod backup;
pub mod in_place;
pub mod init;
mod live;
pub mod look;
pub mod manifests;
pub mod pin;
mod pki;
pub mod place;
pub mod probe;
pub mod prune;
mod receive;
pub mod restore;
pub mod reverify;
pub mod verify;

use std::fs::File;
use std::io;

use jiff::Timestamp;

use crate::catalog::{Catalog, Manifest, Selector};
use crate::config::Config;
use crate::error::Error;
use crate::store::{Directory, Lock};

/// Takes the directory's lock, saying for whom.
fn lock(directory: &Directory, job: &str, now: Timestamp) -> Result<Lock, Error> {
    let (process, name) = (std::process::id(), env!("CARGO_PKG_NAME"));
    let holder = format!("process {process} ({name} {job}), since {now:.0}");
    Ok(Lock::take(directory, &holder)?)
}

/// Changes what the manifest of one backup says, under the lock; the manifest as it is then.
fn amend(
    config: &Config,
    selector: &Selector,
    (job, now): (&str, Timestamp),
    change: impl FnOnce(&mut Manifest),
) -> Result<Manifest, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let _lock = lock(&directory, job, now)?;
    let catalog = Catalog::of(&directory);
    let mut manifest = catalog.find(selector)?;
    let before = manifest.clone();
    change(&mut manifest);
    if manifest != before {
        catalog.amend(&manifest)?;
    }
    Ok(manifest)
}

/// Runs what blocks (a disk, a hash) beside the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| Error::Bug(panic.to_string()))
}

/// An unnamed file beside the backups, for what does not fit memory.
fn scratch_in(directory: &Directory) -> io::Result<File> {
    let file = directory.draft().and_then(|draft| draft.file());
    // the caller names the directory; the system's number decides hint and exit code
    file.map_err(|error| {
        error
            .errno()
            .map_or_else(|| io::Error::other(error), io::Error::from)
    })
}
