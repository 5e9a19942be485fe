//! What the bytes of a snapshot are: received, hashed, walked and understood.
//!
//! Nothing here reaches the network or looks at a clock, and no file makes it panic.

pub mod bolt;
mod census;
mod facts;
mod inspection;
mod kv_hash;
mod mvcc;
mod spool;
#[cfg(test)]
mod tests;
mod trailer;

pub use bolt::Damage;
pub use facts::{Facts, Member, TypeCount};
pub use inspection::Inspection;
pub use kv_hash::{CompactedDeletion, KvHash};
pub use spool::{Spool, digest, release_cache};
pub use trailer::{Digests, Mismatch, Sha256};

use std::fs::File;

/// The revision of the newest entry, by a quick look that proves nothing; `None` where the file
/// does not even stand up to that.
#[must_use]
pub fn newest_revision(file: &File, length: u64) -> Option<u64> {
    let database = bolt::Database::open(file, length - length % 512).ok()?;
    let key = database.last_key(kv_hash::BUCKET).ok()??;
    mvcc::Revision::parse(&key).map(|revision| revision.main)
}
