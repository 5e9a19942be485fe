//! What the bytes of a snapshot are: received, hashed, walked and understood.
//!
//! Nothing here reaches the network or looks at a clock, and no file makes it panic.

pub mod bolt;
mod census;
mod facts;
mod inspection;
mod kv_hash;
mod mvcc;
mod object_type;
mod spool;
mod sums;
#[cfg(test)]
mod tests;
mod trailer;
mod verified;
mod wrapping;

pub use bolt::Damage;
pub use facts::{Facts, Member, TypeCount};
pub use inspection::Inspection;
pub use kv_hash::{CompactedDeletion, KvHash};
pub use spool::{Spool, digest, release_cache};
pub use sums::{Sum, Sums, status_hash, sums};
pub use trailer::{Digests, Mismatch};
pub use verified::{Trailer, Unproven, Verified, examine};
pub use wrapping::Wrapping;

pub use crate::sha256::Sha256;

use std::fs::File;

/// Where a store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Its revision. A compaction can remove the newest entry, where that is a deletion; the store
    /// is then at the revision that it was compacted to.
    pub revision: u64,
    /// The revision that history was compacted to; 0 where it never was.
    pub compact_revision: u64,
}

/// The head of a database, by a quick look that proves nothing; `None` where the file does not even
/// stand up to that.
#[must_use]
pub fn head(file: &File, length: u64) -> Option<Head> {
    let database = bolt::Database::open(file, length - length % 512).ok()?;
    let mut head = Head::default();
    let main = |bytes: &[u8]| mvcc::Revision::parse(bytes).map_or(0, |revision| revision.main);
    // the bucket of a dozen short entries has no second leaf
    database
        .last_entries(b"meta", &mut |key, value| {
            if mvcc::COMPACTIONS.contains(&key) {
                head.compact_revision = head.compact_revision.max(main(value));
            }
        })
        .ok()?;
    head.revision = head.compact_revision;
    database
        .last_entries(kv_hash::BUCKET, &mut |key, _| {
            head.revision = head.revision.max(main(key));
        })
        .ok()?;
    Some(head)
}
