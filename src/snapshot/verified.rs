//! A database that has been proven, as a type: what takes only this cannot be given anything else.

use std::fs::File;
use std::io;
use std::thread;

use super::bolt::{Damage, Database, Metas};
use super::sums::Sums;
use super::trailer::{Digests, Mismatch};
use super::{Facts, Inspection, Sha256};

/// A file whose database has been proven: the SHA-256 that etcd appended, every page, every entry.
/// Only the proof makes one.
#[derive(Debug)]
pub struct Verified {
    file: File,
    sha256: Sha256,
    inspection: Inspection,
}

/// What is asked of the SHA-256 that etcd appends to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer {
    /// It must be there and fit.
    Required,
    /// It is not looked at: a database copied from a data directory has none. Such a one may have been
    /// left by a crash, and one of its two meta pages be damaged, which bbolt lives with.
    Waived,
}

/// Why a file is not proven.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// Its bytes are not those that etcd sent.
    #[error(transparent)]
    Trailer(Mismatch),
    /// Its database is damaged, or the file cannot be read.
    #[error(transparent)]
    Database(#[from] Damage),
}

impl Verified {
    /// Proves a file. The bytes are hashed while the pages are walked; of two wrongs the trailer's is
    /// told, for it explains the other. `scratch` makes an unnamed file, which a database of very
    /// many entries needs.
    ///
    /// # Errors
    /// [`Unproven`], with what is wrong.
    pub fn prove(
        file: File,
        trailer: Trailer,
        scratch: &dyn Fn() -> io::Result<File>,
    ) -> Result<Self, Unproven> {
        let metas = match trailer {
            Trailer::Required => Metas::Both,
            Trailer::Waived => Metas::Either,
        };
        let (digests, inspection) = examine_by(&file, metas, scratch).map_err(Damage::Read)?;
        if trailer == Trailer::Required {
            digests.check().map_err(Unproven::Trailer)?;
        }
        Ok(Verified {
            sha256: digests.whole,
            file,
            inspection: inspection?,
        })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of the database: those up to its high-water mark, without a trailer.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.facts().total_size
    }

    /// The digest of the whole file, a trailer included.
    #[must_use]
    pub fn file_sha256(&self) -> Sha256 {
        self.sha256
    }

    /// What the database says.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.inspection.facts
    }

    /// What each of its buckets holds.
    #[must_use]
    pub fn sums(&self) -> &Sums {
        &self.inspection.sums
    }

    /// What is wrong with one of the two meta pages, where the other was good enough.
    #[must_use]
    pub fn harm(&self) -> Option<&str> {
        self.inspection.harm.as_deref()
    }

    /// The whole proof.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// The database, to be read once more.
    ///
    /// # Errors
    /// [`Damage`] where the file has changed since it was proven.
    pub fn database(&self) -> Result<Database<'_>, Damage> {
        self.inspection.database(&self.file, self.length())
    }
}

/// Hashes and walks a file, both at once; what is wrong with the database stands beside the digests.
///
/// # Errors
/// The system's, where the file cannot be read.
pub fn examine(
    file: &File,
    scratch: &dyn Fn() -> io::Result<File>,
) -> io::Result<(Digests, Result<Inspection, Damage>)> {
    examine_by(file, Metas::Both, scratch)
}

fn examine_by(
    file: &File,
    metas: Metas,
    scratch: &dyn Fn() -> io::Result<File>,
) -> io::Result<(Digests, Result<Inspection, Damage>)> {
    let length = file.metadata()?.len();
    let (digests, inspection) = thread::scope(|scope| {
        let hashing = scope.spawn(|| super::digest(file));
        let inspection = Inspection::walk_by((file, length), metas, scratch);
        (hashing.join(), inspection)
    });
    let digests = digests.unwrap_or_else(|_| Err(io::Error::other("the hashing thread has ended")));
    match inspection {
        Err(Damage::Read(source)) => Err(source),
        inspection => Ok((digests?, inspection)),
    }
}
