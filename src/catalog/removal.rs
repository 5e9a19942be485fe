//! Takes a backup away, and ends what a crash has cut short.
//!
//! The manifest becomes a hidden note first, in one step that needs no space: from then on there is
//! no such backup, and whoever comes later knows that the data is ours to remove. Once the data is gone, the note gets
//! another name: it stays for as long as something that the backup had for itself may have to go, such
//! as copies of a CA, and no data is removed because of it. What lies there then is what somebody has
//! brought back.

use super::listing::MANIFEST_LIMIT;
use super::{BackupId, Catalog, Error, Manifest};
use crate::store;

/// A backup that is gone.
#[derive(Debug)]
pub struct Removed {
    /// Its id.
    pub id: BackupId,
    /// Its manifest, where that can still be read.
    pub manifest: Option<Manifest>,
    /// The note that tells of it.
    note: String,
}

/// What came of removing what a crash has left.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// The files that are gone.
    pub removed: Vec<String>,
    /// What stays, and is tried again by the next job.
    pub stuck: Vec<store::Error>,
}

impl Catalog<'_> {
    /// Removes a backup, its manifest first; [`Catalog::removed`] tells of it until it is settled by
    /// [`Catalog::end_removal`]. The caller holds the lock.
    ///
    /// # Errors
    /// [`Error::Store`]; the backup is then still there and whole, or its removal is ended by the
    /// next job.
    pub fn remove(&self, id: &BackupId) -> Result<(), Error> {
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
        // the backup is gone: a note that keeps its name gets the other one from the next job
        let _ = self.directory.rename(&note, &id.removed_name());
        Ok(())
    }

    /// The backups that are gone and not settled, as their manifests were.
    ///
    /// # Errors
    /// [`Error::Store`] where the directory cannot be read.
    pub fn removed(&self) -> Result<Vec<Removed>, Error> {
        let notes = self.directory.names()?.into_iter();
        Ok(notes
            .filter_map(|note| {
                let id = BackupId::in_removed(&note).or_else(|| BackupId::in_removing(&note));
                id.map(|id| (id, note))
            })
            .filter(|(id, _)| !self.directory.contains(&id.data_name()))
            .map(|(id, note)| {
                let bytes = self.directory.read(&note, MANIFEST_LIMIT).ok();
                let manifest =
                    bytes.and_then(|bytes| Manifest::parse(&id.manifest_name(), &bytes).ok());
                Removed { id, manifest, note }
            })
            .collect())
    }

    /// Forgets a backup that is gone.
    ///
    /// # Errors
    /// [`Error::Store`]; the next job tries again.
    pub fn end_removal(&self, gone: &Removed) -> Result<(), Error> {
        Ok(self.directory.remove(&gone.note)?)
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
            let settled = if let Some(id) = BackupId::in_publishing(&note) {
                self.end_publishing(&id, &note)
            } else if let Some(id) = BackupId::in_removing(&note) {
                self.end_removing(&id, &note)
            } else {
                continue;
            };
            match settled {
                Ok(removed) => leftovers.removed.extend(removed),
                Err(error) => leftovers.stuck.push(error),
            }
        }
        Ok(leftovers)
    }

    /// Ends a publishing that was cut short: the data without a manifest goes, then the note.
    fn end_publishing(self, id: &BackupId, note: &str) -> Result<Option<String>, store::Error> {
        let removed = self.remove_orphan(id)?;
        self.directory.remove(note)?;
        Ok(removed)
    }

    /// Ends a removal that was cut short: the data without a manifest goes, then the note says so.
    fn end_removing(self, id: &BackupId, note: &str) -> Result<Option<String>, store::Error> {
        let removed = self.remove_orphan(id)?;
        // what is no file is no note of ours
        if self.directory.stamp(note).is_ok() {
            self.directory.rename(note, &id.removed_name())?;
        }
        Ok(removed)
    }

    fn remove_orphan(self, id: &BackupId) -> Result<Option<String>, store::Error> {
        let data = id.data_name();
        let is_orphan =
            self.directory.contains(&data) && !self.directory.contains(&id.manifest_name());
        if is_orphan {
            self.directory.remove(&data)?;
        }
        Ok(is_orphan.then_some(data))
    }
}
