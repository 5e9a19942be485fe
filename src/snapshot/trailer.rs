//! The SHA-256 that etcd appends to a snapshot, and the hashing that finds it.
//!
//! A snapshot stream ends in 32 raw bytes: the digest of everything before them (etcd
//! `server/etcdserver/api/v3rpc/maintenance.go`). A database is a whole number of pages and so of
//! 512 bytes: a file has a trailer when its length leaves 32 over.

use sha2::Digest as _;

use crate::sha256::Sha256;

/// Bytes that etcd appends to the database.
pub(super) const LENGTH: usize = 32;

/// Whether a file of this many bytes carries a trailer.
#[must_use]
pub(super) fn is_present(length: u64) -> bool {
    length % 512 == LENGTH as u64
}

/// What one pass over a file's bytes tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Bytes in the file.
    pub length: u64,
    /// The digest of all of them.
    pub whole: Sha256,
    /// The digest of all but the last 32.
    pub before_trailer: Sha256,
    /// The last 32 bytes (zeroes where the file is shorter).
    pub trailer: Sha256,
}

impl Digests {
    /// Whether the file carries a trailer that is the digest of what precedes it.
    ///
    /// # Errors
    /// [`Mismatch`], with both digests or the odd length.
    pub fn check(&self) -> Result<(), Mismatch> {
        if !is_present(self.length) {
            return Err(Mismatch::Absent {
                length: self.length,
            });
        }
        if self.before_trailer != self.trailer {
            return Err(Mismatch::Different {
                appended: self.trailer,
                computed: self.before_trailer,
            });
        }
        Ok(())
    }
}

/// Why a trailer does not prove its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// No trailer: cut, or copied from a data directory.
    #[error(
        "the file has no SHA-256 trailer: {length} bytes are not those of a database and a digest of 32 behind it"
    )]
    Absent {
        /// Bytes in the file.
        length: u64,
    },
    /// The bytes are not those that etcd sent.
    #[error("etcd appended the SHA-256 {appended}, the bytes before it have {computed}")]
    Different {
        /// What the trailer says.
        appended: Sha256,
        /// What the bytes say.
        computed: Sha256,
    },
}

/// Hashes bytes as they pass, always holding back the last 32.
#[derive(Debug, Clone, Default)]
pub(super) struct Hasher {
    sha: sha2::Sha256,
    tail: Vec<u8>,
    length: u64,
}

impl Hasher {
    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let keep = bytes.len().min(LENGTH);
        let (settled, last) = bytes.split_at(bytes.len() - keep);
        let overflow = (self.tail.len() + keep).saturating_sub(LENGTH);
        self.sha.update(&self.tail[..overflow]);
        self.tail.drain(..overflow);
        self.sha.update(settled);
        self.tail.extend_from_slice(last);
    }

    /// The digests of all bytes taken.
    #[must_use]
    pub(super) fn finish(mut self) -> Digests {
        let mut trailer = [0; 32];
        trailer[..self.tail.len()].copy_from_slice(&self.tail);
        let before_trailer = Sha256::from(self.sha.clone());
        self.sha.update(&self.tail);
        Digests {
            length: self.length,
            whole: Sha256::from(self.sha),
            before_trailer,
            trailer: Sha256::from(trailer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_of_any_length_hash_like_the_whole(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..20)) {
            let mut hasher = Hasher::default();
            for piece in &pieces {
                hasher.update(piece);
            }
            let whole = pieces.concat();
            let digests = hasher.finish();
            prop_assert_eq!(digests.length, whole.len() as u64);
            prop_assert_eq!(digests.whole, Sha256::of(&whole));
            prop_assert_eq!(digests.before_trailer, Sha256::of(&whole[..whole.len().saturating_sub(32)]));
        }
    }

    #[test]
    fn a_trailer_proves_its_file_and_no_other() {
        let mut file = vec![7; 1024];
        let digest = Sha256::of(&file);
        file.extend_from_slice(digest.as_bytes());
        let digests = |bytes: &[u8]| {
            let mut hasher = Hasher::default();
            hasher.update(bytes);
            hasher.finish()
        };
        assert_eq!(digests(&file).check(), Ok(()));
        assert_eq!(
            digests(&file[..1024]).check(),
            Err(Mismatch::Absent { length: 1024 })
        );
        file[5] ^= 1;
        assert!(matches!(
            digests(&file).check(),
            Err(Mismatch::Different { .. })
        ));
    }
}
