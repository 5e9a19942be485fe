//! The verbs: each reads top to bottom as what it does.

pub mod backup;
mod live;
pub mod look;
pub mod probe;
mod sandbox;
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
    directory
        .draft()
        .and_then(|draft| draft.file())
        .map_err(io::Error::other)
}
