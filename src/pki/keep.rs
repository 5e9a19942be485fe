//! Makes the copies.

use std::io::Write as _;
use std::path::PathBuf;

use super::{Copies, DIRECTORY, Error, Found, LARGEST, Name, Settings, collect};
use crate::sha256::Sha256;
use crate::store::{self, Directory};

/// How many different files of one name a directory may hold.
const VARIANTS: u32 = 100;

/// What came of keeping the files.
#[derive(Debug, Default)]
pub struct Kept {
    /// The copies that are there now; `None` where there are none.
    pub copies: Option<Copies>,
    /// Those of them that were made now.
    pub made: Vec<PathBuf>,
    /// What was not kept, and why.
    pub problems: Vec<Error>,
}

/// Copies into a backup directory what is not there yet. One file's trouble stops no other. The
/// caller holds the lock.
#[must_use]
pub fn keep(settings: &Settings, directory: &Directory) -> Kept {
    let collected = collect(settings);
    let mut kept = Kept {
        problems: collected.problems,
        ..Kept::default()
    };
    let Some(fingerprint) = collected.fingerprint else {
        return kept;
    };
    let home = match make_home(directory, fingerprint) {
        Ok(home) => home,
        Err(error) => {
            kept.problems.push(error.into());
            return kept;
        }
    };
    let mut files = Vec::new();
    for file in &collected.files {
        match keep_one(&home, file, &mut kept.made) {
            Ok(name) => files.push(file.described(name)),
            Err(error) => kept.problems.push(error),
        }
    }
    kept.copies = (!files.is_empty()).then_some(Copies { fingerprint, files });
    kept
}

fn make_home(directory: &Directory, fingerprint: Sha256) -> Result<Directory, store::Error> {
    directory
        .make_subdirectory(DIRECTORY)?
        .make_subdirectory(&fingerprint.to_string())
}

/// The name of the file's copy: one that has the same bytes already, or the first free one.
fn keep_one(home: &Directory, file: &Found, made: &mut Vec<PathBuf>) -> Result<Name, Error> {
    for name in (1..=VARIANTS).map(|n| file.name.nth(n)) {
        let is_there = home.contains(&name);
        if is_there && home.read(&name, LARGEST)? != file.bytes {
            continue;
        }
        if !is_there {
            write(home, &name, &file.bytes)?;
            made.push(home.path().join(&name));
        }
        if let Ok(name) = Name::try_from(name) {
            return Ok(name);
        }
    }
    Err(Error::Crowded {
        path: home.path().join(file.name.as_str()),
    })
}

fn write(home: &Directory, name: &str, bytes: &[u8]) -> Result<(), store::Error> {
    let draft = home.draft()?;
    let written = draft.file()?.write_all(bytes);
    written.map_err(|source| store::Error::Write {
        path: home.path().join(name),
        source,
    })?;
    draft.publish(name)
}

/// Removes drafts that a crash has left among the copies. The caller holds the lock.
///
/// # Errors
/// Where the directory refuses; one that is not there, or not a directory, has no drafts.
pub fn remove_leftovers(directory: &Directory) -> Result<Vec<String>, store::Error> {
    let Ok(pki) = directory.subdirectory(DIRECTORY) else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    for name in pki.names()? {
        if Sha256::try_from(name.clone()).is_ok()
            && let Ok(home) = pki.subdirectory(&name)
        {
            removed.extend(home.remove_drafts()?);
        }
    }
    Ok(removed)
}
