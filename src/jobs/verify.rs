//! Proves a stored backup again: the bytes against the manifest, the trailer, every page, and the
//! copies of the CA.

use std::fs::File;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::catalog::{Catalog, Manifest, Outcome, Proof, Step};
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

/// Proves one backup of the catalog; a file that cannot be read counts against it.
///
/// # Errors
/// Where this process cannot do the work, not where the backup is bad.
pub fn verify(config: &Config, manifest: &Manifest) -> Result<Verdict, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let mut verdict = Verdict {
        name: manifest.id.to_string(),
        verified: false,
        problems: Vec::new(),
        size: 0,
    };
    match Catalog::of(&directory).data(manifest) {
        Ok(file) => {
            let (digests, inspection) = read(&file, Path::new(&manifest.file))?;
            verdict.size = digests.length;
            verdict.problems = against_manifest(manifest, &digests, inspection);
            snapshot::release_cache(&file);
        }
        Err(error) => verdict.problems.push(Error::from(error).in_a_line()),
    }
    verdict
        .problems
        .extend(super::pki::prove(manifest, &directory));
    verdict.verified = verdict.problems.is_empty();
    Ok(verdict)
}

/// Everything that does not fit; the first difference hides no other.
fn against_manifest(
    manifest: &Manifest,
    digests: &Digests,
    inspection: Result<Inspection, snapshot::Damage>,
) -> Vec<String> {
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
    match inspection {
        Ok(inspection) if inspection.facts != manifest.facts => {
            problems.push("the database says something else than the manifest".into());
        }
        Ok(_) => {}
        Err(damage) => problems.push(damage.to_string()),
    }
    if !manifest.verified {
        let doubts = manifest
            .verification
            .iter()
            .filter(|step| step.result != Outcome::Passed);
        problems.push(doubts.fold("it was never proven".to_owned(), |text, step| {
            format!("{text}: {}", step.detail)
        }));
    }
    problems
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

/// Checking must work where nothing can be written beside the file.
pub(super) fn scratch() -> io::Result<File> {
    let directory = Directory::open(&std::env::temp_dir()).map_err(io::Error::other)?;
    super::scratch_in(&directory)
}
