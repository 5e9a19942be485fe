//! Takes a backup away, and ends what a crash has cut short.
//!
//! The manifest becomes a hidden note first, in one step that needs no space: from then on there is
//! no such backup, and whoever comes later knows that the data is ours to remove.

use super::{BackupId, Catalog, Error, Manifest};
use crate::store;

/// What came of removing what a crash has left.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// The files that are gone.
    pub removed: Vec<String>,
    /// What stays, and is tried again by the next job.
    pub stuck: Vec<store::Error>,
}

impl Catalog<'_> {
    /// Removes a backup, its manifest first. The caller holds the lock.
    ///
    /// # Errors
    /// [`Error::Store`]; the backup is then still there and whole, or its removal is ended by the
    /// next job.
    pub fn remove(&self, manifest: &Manifest) -> Result<(), Error> {
        let id = &manifest.id;
        let (name, note) = (id.manifest_name(), id.removal_name());
        self.directory.rename(&name, &note)?;
        let data = id.data_name();
        if self.directory.contains(&data)
            && let Err(error) = self.directory.remove(&data)
        {
            // what stays is a backup like any other: half of one would be seen by nobody
            if self.directory.contains(&data) {
                let _ = self.directory.rename(&note, &name);
            }
            return Err(error.into());
        }
        // a note that stays is removed by the next job
        let _ = self.directory.remove(&note);
        Ok(())
    }

    /// Removes what a crash has left. One file's trouble stops no other. The caller holds the lock.
    ///
    /// # Errors
    /// [`Error::Store`] where the directory cannot be read.
    pub fn remove_leftovers(&self) -> Result<Leftovers, Error> {
        let mut leftovers = Leftovers::default();
        match self.directory.remove_drafts() {
            Ok(removed) => leftovers.removed = removed,
            Err(error) => leftovers.stuck.push(error),
        }
        for note in self.directory.names()? {
            let Some(id) = BackupId::in_note(&note) else {
                continue;
            };
            match self.settle(&id, &note) {
                Ok(removed) => leftovers.removed.extend(removed),
                Err(error) => leftovers.stuck.push(error),
            }
        }
        Ok(leftovers)
    }

    /// Ends what was cut short: without a manifest the data goes, then the note.
    fn settle(self, id: &BackupId, note: &str) -> Result<Option<String>, store::Error> {
        let data = id.data_name();
        let is_orphan =
            self.directory.contains(&data) && !self.directory.contains(&id.manifest_name());
        if is_orphan {
            self.directory.remove(&data)?;
        }
        self.directory.remove(note)?;
        Ok(is_orphan.then_some(data))
    }
}
