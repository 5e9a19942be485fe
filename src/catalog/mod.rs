//! The backups in a directory, told by their manifests: no manifest, no backup.
//!
//! Publishing goes note, data, manifest, and the note away again; removing makes the manifest such a
//! note, then the data goes, then the note. A crash in between leaves the note, so that the next job
//! knows which file without a manifest is its own to remove, and never takes one that somebody put
//! there by hand.

mod id;
mod manifest;
mod removal;
mod selector;

pub use id::BackupId;
pub use manifest::{FORMAT, Manifest, Outcome, Proof, Source, Step, Stored, Trigger};
pub use removal::{Leftovers, Removed};
pub use selector::{NotFound, Selector};

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use crate::store::{self, Directory, Draft};

/// Bytes that a manifest may have.
const MANIFEST_LIMIT: u64 = 4 << 20;

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

/// All that a directory holds of ours.
#[derive(Debug, Default)]
pub struct Listing {
    /// The backups, newest first.
    pub backups: Vec<Manifest>,
    /// Manifests that cannot be read: each one's path, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl<'d> Catalog<'d> {
    /// The catalog of a directory.
    #[must_use]
    pub fn of(directory: &'d Directory) -> Self {
        Catalog { directory }
    }

    /// Reads every manifest.
    ///
    /// # Errors
    /// [`Error::Store`] where the directory cannot be read; a single manifest never fails it.
    pub fn list(&self) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        for name in self.directory.names()? {
            if BackupId::in_name(&name, "etcd-", ".json").is_none() {
                continue;
            }
            match self.manifest(&name) {
                Ok(manifest) => listing.backups.push(manifest),
                Err(why) => listing
                    .unreadable
                    .push((self.directory.path().join(name), why)),
            }
        }
        // what the manifest says, never a file's date; the id decides where a clock was set back
        listing
            .backups
            .sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
        listing.unreadable.sort();
        Ok(listing)
    }

    /// What [`Catalog::list`] finds, without the backups whose snapshot is not there in its full
    /// size: these are among what cannot be read. No byte of a snapshot is looked at.
    ///
    /// # Errors
    /// Those of [`Catalog::list`].
    pub fn list_present(&self) -> Result<Listing, Error> {
        let mut listing = self.list()?;
        for backup in std::mem::take(&mut listing.backups) {
            let name = backup.id.manifest_name();
            match self.presence(&backup) {
                Ok(()) => listing.backups.push(backup),
                // one that is removed just now goes manifest first
                Err(_) if !self.directory.contains(&name) => {}
                Err(why) => listing
                    .unreadable
                    .push((self.directory.path().join(name), why)),
            }
        }
        listing.unreadable.sort();
        Ok(listing)
    }

    fn presence(self, backup: &Manifest) -> Result<(), String> {
        let file = self.directory.file(&backup.file);
        let why = |error: &dyn std::fmt::Display| format!("its snapshot is lost: {error}");
        let metadata = match file {
            Ok(file) => file.metadata().map_err(|error| why(&error))?,
            Err(store::Error::Read { source, .. }) => return Err(why(&source)),
            Err(error) => return Err(why(&error)),
        };
        let (has, says) = (metadata.len(), backup.stored.size);
        if has == says {
            Ok(())
        } else {
            Err(format!("its snapshot has {has} bytes instead of {says}"))
        }
    }

    fn manifest(self, name: &str) -> Result<Manifest, String> {
        let bytes = self
            .directory
            .read(name, MANIFEST_LIMIT)
            .map_err(|error| match error {
                store::Error::Read { source, .. } => source.to_string(),
                other => other.to_string(),
            })?;
        Manifest::parse(name, &bytes)
    }

    /// The one backup that a selector names.
    ///
    /// # Errors
    /// [`Error::NotFound`] where none or several fit.
    pub fn find(&self, selector: &Selector) -> Result<Manifest, Error> {
        let backups = self.list()?.backups;
        let found = selector.pick(&backups);
        found.cloned().map_err(|source| Error::NotFound {
            path: self.directory.path().into(),
            source,
        })
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
