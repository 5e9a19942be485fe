//! Reads the manifests of a directory: whole, or as much of them as a look at all needs.
//!
//! A directory can hold ten thousand backups, and the daemon looks at it every minute. So the files
//! are read by several threads, and a [`Memory`] reads again only what was changed.

use std::collections::HashMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use jiff::Timestamp;

use super::{BackupId, Catalog, Error, Manifest, Summary};
use crate::store::{self, Stamp};

/// Bytes that a manifest may have.
pub(super) const MANIFEST_LIMIT: u64 = 4 << 20;
/// Threads that read; more would wait for one another.
const THREADS: usize = 4;
/// Manifests for which another thread is worth its start.
const WORTH_A_THREAD: usize = 256;

/// All that a directory holds of ours.
#[derive(Debug)]
pub struct Listing<B = Manifest> {
    /// The backups, newest first.
    pub backups: Vec<B>,
    /// Manifests that cannot be read: each one's path, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Where snapshots were looked for: the backups without theirs, newest first. Each is among what
    /// cannot be read, too.
    pub lost: Vec<B>,
}

/// A manifest, and whether its snapshot is there.
type Looked<B> = (B, Result<(), String>);

/// The same, with what tells the manifest from a later one.
type Stamped = (Stamp, Looked<Summary>);

/// What came of a file, by its name.
type Found<T> = (String, Result<T, String>);

/// Manifests by their names, as they were when they were read.
type Known = HashMap<String, (Stamp, Summary)>;

/// What was read before, so that it is not read again.
#[derive(Debug, Default)]
pub struct Memory {
    known: Known,
}

impl<B> Default for Listing<B> {
    fn default() -> Self {
        Listing {
            backups: Vec::new(),
            unreadable: Vec::new(),
            lost: Vec::new(),
        }
    }
}

impl Catalog<'_> {
    /// Reads every manifest, without the backups whose snapshot is not there in its full size: these
    /// are among what cannot be read. No byte of a snapshot is looked at. Ten thousand whole manifests
    /// take a hundred megabytes; whoever needs less takes [`Catalog::present`].
    ///
    /// # Errors
    /// [`Error::Store`] where the directory cannot be read; a single manifest never fails it.
    pub fn list_present(&self) -> Result<Listing, Error> {
        let read = read_all(&self.manifest_names()?, |name| {
            let manifest = self.manifest(name)?;
            let presence = self.presence(&manifest.file, manifest.stored.size);
            Ok((manifest, presence))
        });
        Ok(self.present_of(read, |backup| (backup.started, &backup.id)))
    }

    /// Reads every manifest, as far as a list of all needs it.
    ///
    /// # Errors
    /// Those of [`Catalog::list_present`].
    pub fn summaries(&self) -> Result<Listing<Summary>, Error> {
        let read = read_all(&self.manifest_names()?, |name| {
            Summary::parse(name, &self.bytes(name)?)
        });
        Ok(self.listing(read, |backup| (backup.started, &backup.id)))
    }

    /// What [`Catalog::summaries`] finds, without the backups whose snapshot is not there in its
    /// full size: these are among what cannot be read. No byte of a snapshot is looked at.
    ///
    /// # Errors
    /// Those of [`Catalog::list_present`].
    pub fn present(&self) -> Result<Listing<Summary>, Error> {
        let looked = self.look(&HashMap::new())?.into_iter();
        let looked = looked.map(|(name, result)| (name, result.map(|(_, looked)| looked)));
        Ok(self.present_of(looked.collect(), |backup| (backup.started, &backup.id)))
    }

    /// What [`Catalog::present`] finds, without a look at the manifests that are in the memory and
    /// were not changed since.
    ///
    /// # Errors
    /// Those of [`Catalog::list_present`].
    pub fn present_again(&self, memory: &mut Memory) -> Result<Listing<Summary>, Error> {
        let looked = self.look(&memory.known)?;
        memory.known.clear();
        let mut found = Vec::with_capacity(looked.len());
        for (name, result) in looked {
            if let Ok((stamp, (summary, _))) = &result {
                memory.known.insert(name.clone(), (*stamp, summary.clone()));
            }
            found.push((name, result.map(|(_, looked)| looked)));
        }
        Ok(self.present_of(found, |backup| (backup.started, &backup.id)))
    }

    /// Looks at every manifest that is not known as it is, and for the snapshot of each.
    fn look(self, known: &Known) -> Result<Vec<Found<Stamped>>, Error> {
        Ok(read_all(&self.manifest_names()?, |name| {
            let unchanged = |of: &Stamp| self.directory.stamp(name).is_ok_and(|now| now == *of);
            let (stamp, summary) =
                if let Some(known) = known.get(name).filter(|(stamp, _)| unchanged(stamp)) {
                    known.clone()
                } else {
                    let read = self.directory.read_stamped(name, MANIFEST_LIMIT);
                    let (bytes, stamp) = read.map_err(reason)?;
                    (stamp, Summary::parse(name, &bytes)?)
                };
            let presence = self.presence(&summary.file, summary.stored.size);
            Ok((stamp, (summary, presence)))
        }))
    }

    /// The newest backup that is good, whose snapshot is there in its full size, and that began at
    /// this time or before: what one that began then is compared with. A backup of a clock that was
    /// ahead would be the newest for years. The order is that of the ids.
    ///
    /// # Errors
    /// [`Error::Store`] where the directory cannot be read.
    pub fn newest_good(&self, until: Timestamp) -> Result<Option<Manifest>, Error> {
        let mut names = self.manifest_names()?;
        names.sort_unstable();
        let newest_first = names.iter().rev();
        let mut readable = newest_first.filter_map(|name| self.manifest(name).ok());
        Ok(readable.find(|backup| {
            backup.is_good()
                && backup.started <= until
                && self.presence(&backup.file, backup.stored.size).is_ok()
        }))
    }

    /// The manifest of this backup as it is now.
    ///
    /// # Errors
    /// Why it cannot be read, in a sentence.
    pub(super) fn manifest(self, name: &str) -> Result<Manifest, String> {
        Manifest::parse(name, &self.bytes(name)?)
    }

    fn bytes(self, name: &str) -> Result<Vec<u8>, String> {
        self.directory.read(name, MANIFEST_LIMIT).map_err(reason)
    }

    /// Whether the snapshot is there in its full size.
    pub(super) fn presence(self, file: &str, says: u64) -> Result<(), String> {
        let stamp = self.directory.stamp(file);
        let stamp = stamp.map_err(|error| format!("its snapshot is lost: {}", reason(error)))?;
        if stamp.size == says {
            Ok(())
        } else {
            let has = stamp.size;
            Err(format!("its snapshot has {has} bytes instead of {says}"))
        }
    }

    /// Tells what is there from what is lost. One that is removed just now goes manifest first, and is
    /// neither.
    fn present_of<B>(
        self,
        looked: Vec<Found<Looked<B>>>,
        place: impl Fn(&B) -> (Timestamp, &BackupId),
    ) -> Listing<B> {
        let (mut read, mut lost) = (Vec::with_capacity(looked.len()), Vec::new());
        for (name, result) in looked {
            let result = match result {
                Ok((backup, Ok(()))) => Ok(backup),
                _ if !self.directory.contains(&name) => continue,
                Ok((backup, Err(why))) => {
                    lost.push(backup);
                    Err(why)
                }
                Err(why) => Err(why),
            };
            read.push((name, result));
        }
        lost.sort_by(|a, b| place(b).cmp(&place(a)));
        Listing {
            lost,
            ..self.listing(read, place)
        }
    }

    fn manifest_names(self) -> Result<Vec<String>, Error> {
        let is_manifest = |name: &String| BackupId::in_name(name, "etcd-", ".json").is_some();
        let names = self.directory.names()?.into_iter();
        Ok(names.filter(is_manifest).collect())
    }

    /// What the manifest says orders them, never a file's date; the id decides where a clock was
    /// set back.
    fn listing<B>(
        self,
        read: Vec<Found<B>>,
        place: impl Fn(&B) -> (Timestamp, &BackupId),
    ) -> Listing<B> {
        let mut listing = Listing {
            backups: Vec::with_capacity(read.len()),
            unreadable: Vec::new(),
            lost: Vec::new(),
        };
        for (name, result) in read {
            match result {
                Ok(backup) => listing.backups.push(backup),
                Err(why) => listing
                    .unreadable
                    .push((self.directory.path().join(name), why)),
            }
        }
        listing.backups.sort_by(|a, b| place(b).cmp(&place(a)));
        listing.unreadable.sort();
        listing
    }
}

/// Reads these files, several at a time.
fn read_all<T: Send>(
    names: &[String],
    read: impl Fn(&str) -> Result<T, String> + Sync,
) -> Vec<Found<T>> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let most = processors.min(THREADS);
    let threads = (names.len() / WORTH_A_THREAD).clamp(1, most);
    let share = names.len().div_ceil(threads).max(1);
    let of_share = |share: &[String]| {
        let results = share.iter().map(|name| (name.clone(), read(name)));
        results.collect::<Vec<_>>()
    };
    let mut shares = names.chunks(share);
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|share| (share, scope.spawn(|| of_share(share))))
            .collect();
        let mut all = of_share(own);
        for (share, other) in others {
            // a thread that died leaves its share to this one
            all.extend(other.join().unwrap_or_else(|_| of_share(share)));
        }
        all
    })
}

/// The system's reason, where the object is named elsewhere.
fn reason(error: store::Error) -> String {
    match error {
        store::Error::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
