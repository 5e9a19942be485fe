//! Keeps the CA beside a backup. Nothing that goes wrong here stops the backup: it is said in the
//! journal and in the manifest, and `status` reads it there.

use crate::catalog::Manifest;
use crate::config::Config;
use crate::pki;
use crate::report::event;
use crate::store::Directory;

/// Copies what is not there yet, and notes the copies and the troubles in the manifest.
pub(super) fn keep(config: &Config, directory: &Directory, manifest: &mut Manifest) {
    let kept = pki::keep(&config.pki, directory);
    for copy in &kept.made {
        tracing::info!(
            message_id = event::CA_COPIED,
            "kept a copy of the CA's files: {}",
            copy.display()
        );
    }
    for problem in &kept.problems {
        tracing::warn!("the CA's files need a look: {problem}");
    }
    manifest.pki = kept.copies;
    manifest.pki_problems = kept.problems.iter().map(ToString::to_string).collect();
}

/// Removes what an interrupted backup has left among the copies.
pub(super) fn remove_leftovers(directory: &Directory) {
    match pki::remove_leftovers(directory) {
        Ok(removed) => removed.iter().for_each(|name| {
            tracing::warn!("removed {name}, which an interrupted backup had left beside the CA");
        }),
        Err(error) => {
            let error = pki::Error::from(error);
            tracing::warn!("what an interrupted backup left beside the CA stays there: {error}");
        }
    }
}

/// What is wrong with the copies that a manifest names.
pub(super) fn prove(manifest: &Manifest, directory: &Directory) -> Vec<String> {
    let copies = manifest.pki.iter();
    copies
        .flat_map(|copies| pki::prove(copies, directory))
        .map(|problem| problem.to_string())
        .collect()
}
