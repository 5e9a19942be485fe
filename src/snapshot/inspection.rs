//! One walk over a database that proves its structure and gathers its [`Facts`].

use std::fs::File;
use std::io;

use super::bolt::{Damage, Database, Metas, Visitor};
use super::census::{Census, Superseded};
use super::facts::{Facts, Member, TypeCount};
use super::kv_hash::{self, CompactedDeletion, KvHash};
use super::mvcc::{self, KeyValue, Revision};
use super::object_type::ObjectTypes;
use super::sums::{Sum, Summing, Sums, status_hash};
use super::trailer;

/// Members that are read; etcd itself advises seven.
const MAX_MEMBERS: usize = 1000;
/// A database whose every reachable page and entry has been walked and found good.
#[derive(Debug)]
pub struct Inspection {
    /// What the database says.
    pub facts: Facts,
    /// Living keys that etcd shows its clients: all but the nameless one that a restore with a
    /// revision bump leaves behind.
    pub served_keys: u64,
    /// What each bucket holds.
    pub(super) sums: Sums,
    superseded: Superseded,
    metas: Metas,
    /// What is wrong with the meta page that was not used.
    pub(super) harm: Option<String>,
}

impl Inspection {
    /// Walks the database in `file`, a snapshot or a copied data file of `length` bytes. `scratch`
    /// makes an unnamed file, which a database of very many entries needs.
    ///
    /// # Errors
    /// The first [`Damage`] that is met.
    pub fn walk(
        file: &File,
        length: u64,
        scratch: &dyn Fn() -> io::Result<File>,
    ) -> Result<Self, Damage> {
        Self::walk_by((file, length), Metas::Both, scratch)
    }

    /// The same, where as many meta pages have to be good. Those of a snapshot with its trailer all
    /// have to be, whatever is asked for.
    pub(super) fn walk_by(
        (file, length): (&File, u64),
        metas: Metas,
        scratch: &dyn Fn() -> io::Result<File>,
    ) -> Result<Self, Damage> {
        let metas = if trailer::is_present(length) {
            Metas::Both
        } else {
            metas
        };
        let database = Database::open_by(file, database_length(length), metas)?;
        let mut survey = Survey::new(scratch);
        database.walk(&mut survey)?;
        let compacted_entries = survey.compacted_entries;
        let mut inspection = survey.finish(&database)?;
        if inspection.superseded.any_below(compacted_entries) {
            // history that a compaction has yet to remove does not count
            let compact_revision = inspection.facts.compact_revision;
            let rule = CompactedDeletion::Skipped;
            inspection.facts.kv_hash = inspection.kv_hash(file, length, compact_revision, rule)?;
        }
        Ok(inspection)
    }

    /// The hash that a member answers at this file's revision when it has compacted to
    /// `compact_revision`: a member that compacted after the snapshot still agrees with the file.
    ///
    /// # Errors
    /// [`Damage`] where the file can no longer be read.
    pub fn kv_hash(
        &self,
        file: &File,
        length: u64,
        compact_revision: u64,
        rule: CompactedDeletion,
    ) -> Result<KvHash, Damage> {
        let database = self.database(file, database_length(length))?;
        let hash = kv_hash::compute(&database, &self.superseded, compact_revision, rule)?;
        Ok(KvHash {
            hash,
            revision: self.facts.kv_hash.revision,
            compact_revision,
        })
    }

    /// The same database, to be read once more.
    pub(super) fn database<'f>(&self, file: &'f File, length: u64) -> Result<Database<'f>, Damage> {
        Database::open_by(file, length, self.metas)
    }
}

/// The bytes before the trailer, if there is one.
fn database_length(file_length: u64) -> u64 {
    if trailer::is_present(file_length) {
        file_length - trailer::LENGTH as u64
    } else {
        file_length
    }
}

/// What a bucket is to the survey.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bucket {
    Key,
    Meta,
    Members,
    Cluster,
    Other,
}

/// Gathers the facts during the walk.
struct Survey<'s> {
    /// Each bucket apart, because `meta` is walked first.
    sums: Summing,
    bucket: Bucket,
    census: Census<'s>,
    types: ObjectTypes,
    revision: u64,
    compact_revision: u64,
    /// Entries at or before the compacted revision.
    compacted_entries: u32,
    consistent_index: u64,
    storage_version: String,
    cluster_version: String,
    members: Vec<Member>,
}

impl<'s> Survey<'s> {
    fn new(scratch: &'s dyn Fn() -> io::Result<File>) -> Self {
        Survey {
            sums: Summing::default(),
            bucket: Bucket::Other,
            census: Census::new(scratch),
            types: ObjectTypes::default(),
            revision: 0,
            compact_revision: 0,
            compacted_entries: 0,
            consistent_index: 0,
            storage_version: String::new(),
            cluster_version: String::new(),
            members: Vec::new(),
        }
    }

    /// An entry of the `key` bucket: a revision, and what was written at it.
    fn key_value(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        let revision =
            Revision::parse(key).ok_or_else(|| self.broken("a key is not a revision"))?;
        let at = |what: &str| format!("the entry of revision {} {what}", revision.main);
        let stored = KeyValue::decode(value).ok_or_else(|| self.broken(&at("does not decode")))?;
        // a restore with a revision bump leaves one entry that holds nothing
        if !value.is_empty() && !revision.is_deletion {
            if stored.mod_revision != revision.main {
                return Err(self.broken(&at(&format!(
                    "says that it is of revision {}",
                    stored.mod_revision
                ))));
            }
            if stored.create_revision > stored.mod_revision || stored.version == 0 {
                return Err(self.broken(&at("was changed before it was created")));
            }
        }
        self.revision = revision.main;
        if revision.main <= self.compact_revision {
            self.compacted_entries = self.compacted_entries.saturating_add(1);
        }
        let kind = self.types.number(stored.key);
        self.census
            .add(
                stored.key,
                key.len() + value.len(),
                kind,
                revision.is_deletion,
            )
            .map_err(Damage::Read)
    }

    fn meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        match key {
            b"consistent_index" => {
                let index = value
                    .first_chunk()
                    .ok_or_else(|| self.broken("consistent_index is not 8 bytes"))?;
                self.consistent_index = u64::from_be_bytes(*index);
            }
            _ if mvcc::COMPACTIONS.contains(&key) => {
                let compacted = Revision::parse(value)
                    .ok_or_else(|| self.broken("a compaction is not a revision"))?;
                self.compact_revision = self.compact_revision.max(compacted.main);
            }
            b"storageVersion" => self.storage_version = version_text(value),
            _ => {}
        }
        Ok(())
    }

    fn member(&mut self, value: &[u8]) -> Result<(), Damage> {
        if self.members.len() == MAX_MEMBERS {
            return Err(self.broken("there are too many members to be a cluster"));
        }
        let member = Member::parse(value).ok_or_else(|| self.broken("a member does not decode"))?;
        self.members.push(member);
        Ok(())
    }

    fn broken(&self, message: &str) -> Damage {
        Damage::Entry {
            bucket: String::from_utf8_lossy(self.sums.name()).into_owned(),
            message: message.into(),
        }
    }

    fn finish(self, database: &Database<'_>) -> Result<Inspection, Damage> {
        let sums = self.sums.finish();
        let kv_hash = KvHash {
            hash: sums
                .get(kv_hash::BUCKET)
                .copied()
                .unwrap_or_else(|| Sum::of(kv_hash::BUCKET))
                .crc,
            // a compaction can remove the newest entry, where that is a deletion
            revision: self.revision.max(self.compact_revision),
            compact_revision: self.compact_revision,
        };
        let census = self.census.finish().map_err(Damage::Read)?;
        let facts = Facts {
            hash: status_hash(&sums),
            revision: self.revision,
            total_key: census.by_kind.values().map(|tally| tally.keys).sum(),
            total_size: database.size(),
            version: self.storage_version,
            total_entries: sums.values().map(|sum| sum.entries).sum(),
            page_size: database.page_size(),
            compact_revision: self.compact_revision,
            consistent_index: self.consistent_index,
            cluster_version: self.cluster_version,
            kv_hash,
            members: self.members,
            types: census
                .by_kind
                .iter()
                .map(|(kind, tally)| {
                    (
                        self.types.name(*kind),
                        TypeCount {
                            keys: tally.keys,
                            bytes: tally.bytes,
                        },
                    )
                })
                .collect(),
        };
        Ok(Inspection {
            served_keys: facts.total_key.saturating_sub(u64::from(census.nameless)),
            facts,
            sums,
            superseded: census.superseded,
            // what was good has to stay so
            metas: database.harm().map_or(Metas::Both, |_| Metas::Either),
            harm: database.harm().map(ToString::to_string),
        })
    }
}

impl Visitor for Survey<'_> {
    fn bucket(&mut self, name: &[u8]) -> Result<(), Damage> {
        self.bucket = match name {
            kv_hash::BUCKET => Bucket::Key,
            b"meta" => Bucket::Meta,
            b"members" => Bucket::Members,
            b"cluster" => Bucket::Cluster,
            _ => Bucket::Other,
        };
        self.sums.bucket(name)
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        self.sums.entry(key, value)?;
        match self.bucket {
            Bucket::Key => self.key_value(key, value),
            Bucket::Meta => self.meta(key, value),
            Bucket::Members => self.member(value),
            Bucket::Cluster if key == b"clusterVersion" => {
                self.cluster_version = version_text(value);
                Ok(())
            }
            Bucket::Cluster | Bucket::Other => Ok(()),
        }
    }
}

/// A version (`3.6.0`) if these bytes are one; like etcdutl, nothing otherwise.
fn version_text(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let is_version = numbers.split('.').count() == 3
        && numbers.split('.').all(|part| part.parse::<u64>().is_ok());
    if is_version && text.len() < 64 {
        text.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_is_a_version() {
        assert_eq!(version_text(b"3.6.0"), "3.6.0");
        assert_eq!(version_text(b"3.6.0-rc.1"), "3.6.0-rc.1");
        for other in [&b""[..], b"3.6", b"three", b"3.6.x", b"\xff\xfe"] {
            assert_eq!(version_text(other), "");
        }
    }
}
