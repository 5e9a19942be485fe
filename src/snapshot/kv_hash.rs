//! The hash that etcd's `HashKV` answers, computed from a file.
//!
//! The rules are those of `server/storage/mvcc/hash.go`: CRC-32C over the bucket's name and each
//! entry up to a revision; of the entries at or before the compacted revision only those count
//! that a finished compaction keeps, which is the newest of each living key.

use serde::{Deserialize, Serialize};

use super::bolt::{Damage, Database, Visitor};
use super::census::Superseded;
use super::mvcc::Revision;

/// The name of the bucket that the hash covers.
pub(super) const BUCKET: &[u8] = b"key";

/// The hash of the keys at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KvHash {
    /// CRC-32C of the entries that count.
    pub hash: u32,
    /// The newest revision that is hashed.
    pub revision: u64,
    /// The compaction that the hash takes as done.
    pub compact_revision: u64,
}

/// How an etcd release treats a deletion at exactly the compacted revision. It matters only in a
/// store without a single living key; elsewhere both rules give the same hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompactedDeletion {
    /// etcd 3.4.34, 3.5.16, 3.6 and later: it never counts.
    Skipped,
    /// Earlier releases: it counts where no key lives.
    Counted,
}

impl CompactedDeletion {
    /// The rule that a member of this version follows (`3.5.30`; any unknown form counts as new).
    #[must_use]
    pub fn in_version(version: &str) -> Self {
        let mut numbers = version.split('.').map(|part| {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part[..digits].parse().unwrap_or(u64::MAX)
        });
        let mut next = || numbers.next().unwrap_or(u64::MAX);
        match (next(), next(), next()) {
            (3, 4, ..34) | (3, 5, ..16) | (3, ..4, _) | (..3, _, _) => CompactedDeletion::Counted,
            _ => CompactedDeletion::Skipped,
        }
    }
}

/// Hashes the entries that remain when the store is compacted to `compact_revision`.
pub(super) fn compute(
    database: &Database<'_>,
    superseded: &Superseded,
    compact_revision: u64,
    rule: CompactedDeletion,
) -> Result<u32, Damage> {
    let mut pass = Pass {
        superseded,
        compact_revision,
        rule,
        // also the hash of a store that has no such bucket
        hash: crc32c::crc32c(BUCKET),
        ordinal: 0,
        is_key_bucket: false,
    };
    database.walk(&mut pass)?;
    Ok(pass.hash)
}

struct Pass<'s> {
    superseded: &'s Superseded,
    compact_revision: u64,
    rule: CompactedDeletion,
    hash: u32,
    ordinal: u32,
    is_key_bucket: bool,
}

impl Pass<'_> {
    /// Whether the entry is gone once the compaction is done.
    fn is_compacted(&self, revision: Revision) -> bool {
        if revision.main > self.compact_revision {
            return false;
        }
        if self.superseded.any_live() {
            return self.superseded.contains(self.ordinal);
        }
        let is_boundary = revision.is_deletion && revision.main == self.compact_revision;
        is_boundary && self.rule == CompactedDeletion::Skipped
    }
}

impl Visitor for Pass<'_> {
    fn bucket(&mut self, name: &[u8]) -> Result<(), Damage> {
        self.is_key_bucket = name == BUCKET;
        Ok(())
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        if !self.is_key_bucket {
            return Ok(());
        }
        // the first walk has refused every key that is not a revision
        if Revision::parse(key).is_some_and(|revision| !self.is_compacted(revision)) {
            self.hash = crc32c::crc32c_append(self.hash, key);
            self.hash = crc32c::crc32c_append(self.hash, value);
        }
        self.ordinal = self.ordinal.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_for_a_deletion_at_the_compacted_revision_follows_the_release() {
        let counted = ["3.3.10", "3.4.23", "3.4.33", "3.5.1", "3.5.15"];
        let skipped = [
            "3.4.34",
            "3.5.16",
            "3.5.30",
            "3.6.0",
            "3.6.0-rc.1",
            "4.0.0",
            "",
            "unknown",
        ];
        for version in counted {
            assert_eq!(
                CompactedDeletion::in_version(version),
                CompactedDeletion::Counted,
                "{version}"
            );
        }
        for version in skipped {
            assert_eq!(
                CompactedDeletion::in_version(version),
                CompactedDeletion::Skipped,
                "{version}"
            );
        }
    }
}
