//! Removes copies that no backup names any more.

use std::collections::HashSet;
use std::path::PathBuf;

use super::{Copies, DIRECTORY, Settings, collect};
use crate::sha256::Sha256;
use crate::store::{Directory, Error};

/// What came of removing copies.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// The copies that are gone.
    pub removed: Vec<PathBuf>,
    /// Those that could not be removed.
    pub stuck: Vec<Error>,
    /// Whether another time should be waited for, since nothing tells which CA this host has now.
    pub is_postponed: bool,
}

/// Removes the copies that only backups that are `gone` have named, each by its name, and the
/// directories that are empty then. The CA that this host has now stays, and so does every copy while
/// it cannot be told which that is. The caller holds the lock.
#[must_use]
pub fn forget<'c>(
    gone: &[Copies],
    named: impl IntoIterator<Item = &'c Copies>,
    settings: &Settings,
    directory: &Directory,
) -> Forgotten {
    let mut forgotten = Forgotten::default();
    let named: HashSet<(Sha256, &str)> = named.into_iter().flat_map(files).collect();
    let mut unnamed: Vec<(Sha256, &str)> = gone.iter().flat_map(files).collect();
    unnamed.retain(|copy| !named.contains(copy));
    unnamed.sort_by_key(|(fingerprint, name)| (fingerprint.to_string(), *name));
    unnamed.dedup();
    // nearly always there is none, and then no file of the host is read
    if unnamed.is_empty() {
        return forgotten;
    }
    let current = collect(settings).fingerprint;
    if current.is_none() && !settings.files.is_empty() {
        forgotten.is_postponed = true;
        return forgotten;
    }
    let Ok(pki) = directory.subdirectory(DIRECTORY) else {
        return forgotten;
    };
    for copies in unnamed.chunk_by(|one, next| one.0 == next.0) {
        let Some((fingerprint, _)) = copies.first().filter(|(ca, _)| Some(*ca) != current) else {
            continue;
        };
        let own = copies.iter().map(|(_, name)| *name);
        if let Err(error) = remove(&pki, &fingerprint.to_string(), own, &mut forgotten) {
            forgotten.stuck.push(error);
        }
    }
    forgotten
}

impl Copies {
    /// Whether each of them is among those that are `named`.
    pub fn are_named<'c>(&self, named: impl IntoIterator<Item = &'c Copies>) -> bool {
        let mut own: HashSet<(Sha256, &str)> = files(self).collect();
        for (fingerprint, name) in named.into_iter().flat_map(files) {
            own.retain(|copy| *copy != (fingerprint, name));
            if own.is_empty() {
                break;
            }
        }
        own.is_empty()
    }
}

fn files(copies: &Copies) -> impl Iterator<Item = (Sha256, &str)> {
    let names = copies.files.iter().map(|file| file.name.as_str());
    names.map(|name| (copies.fingerprint, name))
}

fn remove<'n>(
    pki: &Directory,
    home: &str,
    names: impl Iterator<Item = &'n str>,
    forgotten: &mut Forgotten,
) -> Result<(), Error> {
    // one that is not there, or no directory, holds no copy of ours
    let Ok(copies) = pki.subdirectory(home) else {
        return Ok(());
    };
    for name in names.filter(|name| copies.contains(name)) {
        copies.remove(name)?;
        forgotten.removed.push(copies.path().join(name));
    }
    pki.remove_empty(home).map(drop)
}
