//! The journals of earlier restores, which stay beside that of the last one.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::{Error, Journal, JournalFile, NAME, decoded, failed};

impl JournalFile {
    /// Keeps a copy of the last restore's journal under that restore's name, and tells its id. The
    /// journal itself stays until that of the next restore takes its place.
    ///
    /// # Errors
    /// Those of [`JournalFile::last`].
    pub fn keep_last(&self) -> Result<Option<String>, Error> {
        let Some(last) = self.last()? else {
            return Ok(None);
        };
        self.put(&self.kept(&last.id), &last)?;
        Ok(Some(last.id))
    }

    /// Gives the journal back to the restore before this one, which has changed nothing: what is to
    /// be returned from is still the earlier one. Whether there was one.
    ///
    /// # Errors
    /// Those of [`JournalFile::read`] and [`JournalFile::write`].
    pub fn reinstate(&self, journal: &Journal) -> Result<bool, Error> {
        let kept = journal.previous.as_ref().map(|id| self.kept(id));
        let Some(previous) = kept.map(|kept| self.read_at(kept)).transpose()?.flatten() else {
            return Ok(false);
        };
        self.put(&self.kept(&journal.id), journal)?;
        self.write(&previous)?;
        Ok(true)
    }

    /// An id that no restore here has: that of this second, or else of the next one that is free.
    #[must_use]
    pub fn free_id(&self, now: Timestamp) -> String {
        let last = self.read().ok().flatten().map(|last| last.id);
        let id = |seconds: i64| {
            let then = now.checked_add(SignedDuration::from_secs(seconds));
            then.unwrap_or(now).strftime("%Y%m%dT%H%M%SZ").to_string()
        };
        let is_free = |id: &String| Some(id) != last.as_ref() && !self.kept(id).exists();
        (0..60).map(id).find(is_free).unwrap_or_else(|| id(60))
    }

    /// The ids, in hex, of the clusters that restores on this host have made.
    #[must_use]
    pub fn clusters(&self) -> BTreeSet<String> {
        // one that cannot be read tells nothing
        let journals = self.all().into_iter().flatten();
        journals
            .map(|journal| journal.expected.cluster_id)
            .collect()
    }

    /// The journals of all restores on this host, in no order, for what they tell: where they say that
    /// things lie, they need not. Of one that cannot be read, why.
    #[must_use]
    pub fn all(&self) -> Vec<Result<Journal, Error>> {
        let entries = match self.directory.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(source) => return vec![Err(failed(&self.directory, source))],
        };
        let is_journal = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == NAME || (name.starts_with("journal-") && name.ends_with(".json"))
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let journals = paths.filter(is_journal).map(|path| decoded(&path));
        journals.filter_map(Result::transpose).collect()
    }

    pub(super) fn kept(&self, id: &str) -> PathBuf {
        self.directory.join(format!("journal-{id}.json"))
    }
}
