//! The backups in a directory, told by their manifests: no manifest, no backup.
//!
//! Publishing goes note, data, manifest, and the note away again; removing makes the manifest such a
//! note, then the data goes, then the note that it is gone takes its place. A crash in between leaves the note, so that the next job
//! knows which file without a manifest is its own to remove, and never takes one that somebody put
//! there by hand.

mod id;
mod listing;
mod manifest;
mod removal;
mod selector;
mod standing;
mod summary;

pub use id::BackupId;
pub use listing::{Listing, Memory};
pub use manifest::{FORMAT, Manifest, Outcome, Proof, Reproof, Source, Step, Stored, Trigger};
pub use removal::{Leftovers, Removed};
pub use selector::{NotFound, Selector};
pub use summary::Summary;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use crate::store::{self, Directory, Draft};

/// What the catalog refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory refuses.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A manifest could not be written.
    #[error("the manifest {} could not be written", path.display())]
    Write {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A manifest could not be read.
    #[error("the manifest {} cannot be used", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// Why, in a sentence.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No single backup fits.
    #[error("there is no such backup in {}", path.display())]
    NotFound {
        /// The directory.
        path: PathBuf,
        /// What was looked for.
        source: NotFound,
    },
}

/// The backups of one directory.
#[derive(Debug, Clone, Copy)]
pub struct Catalog<'d> {
    directory: &'d Directory,
}

impl<'d> Catalog<'d> {
    /// The catalog of a directory.
    #[must_use]
    pub fn of(directory: &'d Directory) -> Self {
        Catalog { directory }
    }

    /// The one backup that a selector names.
    ///
    /// # Errors
    /// [`Error::NotFound`] where none or several fit; [`Error::Unreadable`] where the one that fits has
    /// a manifest of which nothing can be told.
    pub fn find(&self, selector: &Selector) -> Result<Manifest, Error> {
        let listing = self.summaries()?;
        let source = match selector.pick(&listing.backups) {
            Ok(found) => return self.read(&found.id),
            Err(why) => why,
        };
        let is_meant = |(path, _): &&(PathBuf, String)| selector.is_id_in(path);
        match (&source, listing.unreadable.iter().find(is_meant)) {
            (NotFound::None(..), Some((path, why))) => Err(Error::Unreadable {
                path: path.clone(),
                source: why.clone().into(),
            }),
            _ => Err(Error::NotFound {
                path: self.directory.path().into(),
                source,
            }),
        }
    }

    /// The manifest of a backup as it is now.
    ///
    /// # Errors
    /// [`Error::Unreadable`], also where there is no such backup (any more).
    pub fn read(&self, id: &BackupId) -> Result<Manifest, Error> {
        let name = id.manifest_name();
        self.manifest(&name).map_err(|why| Error::Unreadable {
            path: self.directory.path().join(name),
            source: why.into(),
        })
    }

    /// Why the snapshot of a backup is not there in its full size, in a sentence; `None` where it is.
    #[must_use]
    pub fn lost(&self, manifest: &Manifest) -> Option<String> {
        self.presence(&manifest.file, manifest.stored.size).err()
    }

    /// The snapshot of a backup.
    ///
    /// # Errors
    /// [`Error::Store`] where it is missing or cannot be read.
    pub fn data(&self, manifest: &Manifest) -> Result<File, Error> {
        Ok(self.directory.file(&manifest.file)?)
    }

    /// The first id from this one on that nothing in the directory has taken: a clock that was set
    /// back must not make two backups one.
    #[must_use]
    pub fn free_id(&self, mut id: BackupId) -> BackupId {
        let taken = |id: &BackupId| {
            let names = [
                id.data_name(),
                id.manifest_name(),
                id.note_name(),
                id.removal_name(),
                id.removed_name(),
            ];
            names.iter().any(|name| self.directory.contains(name))
        };
        while taken(&id) {
            id = id.following();
        }
        id
    }

    /// Publishes a backup, its manifest last. The caller holds the lock.
    ///
    /// # Errors
    /// The backup is then not there; what was begun is removed now or by the next job.
    pub fn publish(&self, data: Draft<'_>, manifest: &Manifest) -> Result<(), Error> {
        let json = self.draft_of(manifest)?;
        let id = &manifest.id;
        self.directory.draft()?.publish(&id.note_name())?;
        // what failed is the news; what cannot be removed now is removed by the next job
        if let Err(error) = data.publish(&id.data_name()) {
            let _ = self.directory.remove(&id.note_name());
            return Err(error.into());
        }
        if let Err(error) = json.publish(&id.manifest_name()) {
            let _ = self.directory.remove(&id.data_name());
            let _ = self.directory.remove(&id.note_name());
            return Err(error.into());
        }
        // the backup is there, whole and durable: a note that stays is removed by the next job
        let _ = self.directory.remove(&id.note_name());
        Ok(())
    }

    /// Writes the manifest of a backup anew, whole or not at all. The caller holds the lock, and has
    /// read the manifest under it.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::Write`], also where there is no manifest of that backup (any more).
    pub fn amend(&self, manifest: &Manifest) -> Result<(), Error> {
        let name = manifest.id.manifest_name();
        self.directory.file(&name)?;
        Ok(self.draft_of(manifest)?.replace(&name)?)
    }

    fn draft_of(self, manifest: &Manifest) -> Result<Draft<'d>, Error> {
        let path = self.directory.path().join(manifest.id.manifest_name());
        let draft = self.directory.draft()?;
        let json = manifest.to_json().map_err(std::io::Error::from);
        json.and_then(|json| {
            draft
                .file()
                .map_err(std::io::Error::other)?
                .write_all(&json)
        })
        .map_err(|source| Error::Write { path, source })?;
        Ok(draft)
    }
}

#[cfg(test)]
pub(crate) mod tests;
