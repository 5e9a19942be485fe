//! Proves a stored backup again: the bytes against the manifest, the trailer, every page, and the
//! copies of the CA.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::catalog::{self, Catalog, Manifest, Outcome, Proof, Step};
use crate::config::Config;
use crate::error::Error;
use crate::snapshot::{self, Digests, Facts, Inspection};
use crate::store::{self, Directory};

/// What came of proving one backup or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The backup's id, or the file's path.
    pub name: String,
    /// Whether every proof holds.
    pub verified: bool,
    /// What was found against it; empty where it is good.
    pub problems: Vec<String>,
    /// Bytes read.
    pub size: u64,
    /// Whether the snapshot is what it was; `None`: it could not be looked at.
    #[serde(skip)]
    pub snapshot: Option<Outcome>,
    /// The problems that were not there when the backup was made.
    #[serde(skip)]
    pub found: Vec<String>,
}

impl Verdict {
    /// A verdict on what cannot be proven at all.
    #[must_use]
    pub fn against(name: String, why: String) -> Self {
        Verdict {
            name,
            verified: false,
            problems: vec![why.clone()],
            size: 0,
            snapshot: Some(Outcome::Failed),
            found: vec![why],
        }
    }
}

/// What a snapshot file says, and what was proven of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The figures.
    #[serde(flatten)]
    pub facts: Facts,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: snapshot::Sha256,
    /// The proofs that need no member.
    pub verification: Vec<Step>,
}

/// Proves one backup of the catalog; a file that cannot be read counts against it. With
/// `go_on` it does not hurry, and asks that every few megabytes; `None`: the answer was no.
///
/// # Errors
/// Where this process cannot do the work, not where the backup is bad.
pub fn verify(
    config: &Config,
    manifest: &Manifest,
    go_on: Option<&dyn Fn() -> bool>,
) -> Result<Option<Verdict>, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let (mut found, mut size) = (Vec::new(), 0);
    let snapshot;
    match Catalog::of(&directory).data(manifest) {
        Ok(file) => {
            match read_while(&file, go_on) {
                Ok(None) => return Ok(None),
                Ok(Some((_, Err(snapshot::Damage::Read(source))))) => {
                    // the bytes were read just now: it is this process that lacks something
                    return Err(Error::Read {
                        path: manifest.file.clone().into(),
                        source,
                    });
                }
                Ok(Some((digests, inspection))) => {
                    size = digests.length;
                    let result;
                    (result, found) = against_manifest(manifest, &digests, inspection);
                    snapshot = Some(result);
                }
                // a sector that cannot be read has lost what was on it
                Err(error) => {
                    found.push(format!("{} cannot be read: {error}", manifest.file));
                    snapshot = Some(Outcome::Failed);
                }
            }
            snapshot::release_cache(&file);
        }
        Err(error) => {
            snapshot = is_lost(&error).then_some(Outcome::Failed);
            found.push(Error::from(error).in_a_line());
        }
    }
    found.extend(super::pki::prove(manifest, &directory));
    let doubt = manifest.doubt();
    let doubt = doubt.map(|why| format!("it was never proven: {why}"));
    let problems = found.iter().cloned().chain(doubt).collect();
    let mut verdict = Verdict {
        name: manifest.id.to_string(),
        verified: false,
        problems,
        size,
        snapshot,
        found,
    };
    verdict.verified = verdict.problems.is_empty();
    Ok(Some(verdict))
}

/// Whether there is no such file, rather than no way to it for this process.
fn is_lost(error: &catalog::Error) -> bool {
    match error {
        catalog::Error::Store(store::Error::Read { source, .. }) => {
            source.kind() == io::ErrorKind::NotFound || source.raw_os_error().is_none()
        }
        _ => false,
    }
}

/// Everything that does not fit; the first difference hides no other. A database that is, to the
/// byte, what was proven, but of which this version says something else, has not changed.
fn against_manifest(
    manifest: &Manifest,
    digests: &Digests,
    inspection: Result<Inspection, snapshot::Damage>,
) -> (Outcome, Vec<String>) {
    let mut problems = Vec::new();
    if digests.length != manifest.size {
        problems.push(format!(
            "the file has {} bytes, the manifest says {}",
            digests.length, manifest.size
        ));
    } else if digests.whole != manifest.sha256 {
        problems.push(format!(
            "the file's SHA-256 is {}, the manifest says {}",
            digests.whole, manifest.sha256
        ));
    }
    problems.extend(digests.check().err().map(|mismatch| mismatch.to_string()));
    let mut difference = None;
    match inspection {
        Ok(inspection) if inspection.facts != manifest.facts => {
            difference = Some("the database says something else than the manifest".to_owned());
        }
        Ok(_) => {}
        Err(damage) => problems.push(damage.to_string()),
    }
    let result = if problems.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed
    };
    problems.extend(difference);
    (result, problems)
}

/// Proves any snapshot file.
///
/// # Errors
/// [`Error::Unsound`] where its database is damaged, [`Error::Read`] where it cannot be read.
pub fn inspect(path: &Path) -> Result<Report, Error> {
    let failed = |source| Error::Read {
        path: path.into(),
        source,
    };
    let file = store::open_file(path).map_err(failed)?;
    let (digests, inspection) = read(&file, path)?;
    let inspection = inspection.map_err(|source| Error::Unsound {
        path: path.into(),
        source,
    })?;
    let (result, detail) = match digests.check() {
        Ok(()) => (
            Outcome::Passed,
            format!("SHA-256 {}, as etcd appended it", digests.trailer),
        ),
        // a database copied from a data directory has none; that is no damage
        Err(absent @ snapshot::Mismatch::Absent { .. }) => (Outcome::Skipped, absent.to_string()),
        Err(different) => (Outcome::Failed, different.to_string()),
    };
    let facts = inspection.facts;
    let entries = format!(
        "{} entries on pages of {} bytes",
        facts.total_entries, facts.page_size
    );
    Ok(Report {
        size: digests.length,
        sha256: digests.whole,
        verification: vec![
            Step {
                step: Proof::Trailer,
                result,
                detail,
            },
            Step {
                step: Proof::Structure,
                result: Outcome::Passed,
                detail: entries,
            },
        ],
        facts,
    })
}

/// Hashes and walks a file.
fn read(
    file: &File,
    path: &Path,
) -> Result<(Digests, Result<Inspection, snapshot::Damage>), Error> {
    snapshot::examine(file, &scratch).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })
}

/// The same, one after the other where it may be stopped. `None`: it was.
fn read_while(
    file: &File,
    go_on: Option<&dyn Fn() -> bool>,
) -> io::Result<Option<(Digests, Result<Inspection, snapshot::Damage>)>> {
    if go_on.is_none()
        && let Ok(examined) = snapshot::examine(file, &scratch)
    {
        return Ok(Some(examined));
    }
    // one after the other, too, to learn whether it is the file that cannot be read
    let go_on = go_on.unwrap_or(&|| true);
    let Some(digests) = snapshot::digest_while(file, go_on)? else {
        return Ok(None);
    };
    let inspection = Inspection::walk(file, digests.length, &scratch);
    Ok(Some((digests, inspection)))
}

/// Checking must work where nothing can be written beside the file.
pub(super) fn scratch() -> io::Result<File> {
    let directory = Directory::open(&std::env::temp_dir()).map_err(io::Error::other)?;
    super::scratch_in(&directory)
}
