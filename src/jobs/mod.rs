//! The verbs: each reads top to bottom as what it does.

pub mod backup;
mod live;
pub mod look;
mod pki;
pub mod probe;
mod receive;
pub mod restore;
pub mod verify;

use std::fs::File;
use std::io;

use crate::error::Error;
use crate::store::Directory;

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
