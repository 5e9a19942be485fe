//! What a restore changes in a database, and what the result has to hold.
//!
//! The changes are those of `etcdutl snapshot restore` (etcd `etcdutl/snapshot/v3_snapshot.go`):
//! the members are the new ones, the applied index is that of the new log, and, if so asked, the
//! revision is raised and all before it counts as compacted. Every other bucket stays as it is.

use std::collections::BTreeMap;

use super::wal::TERM;
use super::wire::go_json;
use super::{Error, Recipe, Version};
use crate::snapshot::bolt::{Bucket, Database};
use crate::snapshot::{Facts, Sum, Sums, Verified};

/// An entry: key and value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// Bytes of a bucket that is rewritten in memory: a hundred times what any etcd keeps there.
const SMALL: usize = 1 << 20;

/// What becomes of a bucket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has these entries and no others.
    Replace(Vec<Entry>),
    /// It has one more, behind all others.
    Append(Entry),
}

/// What becomes of a database. A bucket without a change stays as it is.
#[derive(Debug)]
pub(super) struct Contents {
    /// The buckets of the snapshot, by name.
    pub(super) buckets: BTreeMap<Vec<u8>, Bucket>,
    pub(super) changes: BTreeMap<Vec<u8>, Change>,
    /// What the result has to hold.
    pub(super) sums: Sums,
    /// The revision that the store is then at.
    pub(super) revision: u64,
}

impl Contents {
    /// Those of `source` as `recipe` wants them.
    pub(super) fn plan(source: &Verified, recipe: &Recipe) -> Result<Self, Error> {
        let revision = check(source.facts(), recipe)?;
        let database = source.database().map_err(Error::Source)?;
        let buckets = database.buckets().map_err(Error::Source)?;
        let named = buckets.into_iter().map(|each| (each.name.clone(), each));
        let buckets: BTreeMap<_, _> = named.collect();
        let find = |name: &[u8]| buckets.get(name);
        find(b"key").ok_or(Error::NotEtcd("key"))?;
        let meta = find(b"meta").ok_or(Error::NotEtcd("meta"))?;

        let mut meta: BTreeMap<_, _> = small(&database, meta)?.into_iter().collect();
        let index = recipe.membership.members().len() as u64;
        let number = |number: u64| number.to_be_bytes().to_vec();
        meta.insert(b"consistent_index".to_vec(), number(index));
        meta.insert(b"term".to_vec(), number(TERM));
        let mut changes = BTreeMap::new();
        if recipe.bump.is_some_and(|bump| bump > 0) {
            let key = [&revision.to_be_bytes()[..], b"_", &0u64.to_be_bytes()].concat();
            meta.insert(b"scheduledCompactRev".to_vec(), key.clone());
            changes.insert(b"key".to_vec(), Change::Append((key, Vec::new())));
        }
        let mut replace = |name: &[u8], entries| {
            changes.insert(name.to_vec(), Change::Replace(entries));
        };
        replace(b"meta", meta.into_iter().collect());
        replace(b"members", members(recipe)?);
        replace(b"members_removed", Vec::new());
        if find(b"cluster").is_none() {
            replace(b"cluster", Vec::new());
        }
        if recipe.clear_alarms && find(b"alarm").is_some() {
            replace(b"alarm", Vec::new());
        }
        let sums = expected(source.sums(), &changes);
        Ok(Contents {
            buckets,
            changes,
            sums,
            revision,
        })
    }
}

/// Whether the etcd in question can start from it; the revision that it then starts at.
pub(super) fn check(facts: &Facts, recipe: &Recipe) -> Result<u64, Error> {
    recipe.membership.member(&recipe.name)?;
    if let Some(target) = recipe.etcd {
        let versions = [
            ("storage version", &facts.version),
            // 3.4 and 3.5 do not look at it, and understand what later ones wrote by luck
            ("cluster version", &facts.cluster_version),
        ];
        for (what, found) in versions {
            if Version::parse(found).is_some_and(|found| found > target) {
                let found = found.clone();
                return Err(Error::Newer {
                    what,
                    found,
                    target,
                });
            }
        }
    }
    // a compaction can remove the newest entry; the store is at that revision all the same
    let revision = facts.revision.max(facts.compact_revision);
    let bump = recipe.bump.unwrap_or(0);
    let bumped = revision.checked_add(bump);
    bumped
        .filter(|bumped| *bumped < i64::MAX as u64)
        .ok_or(Error::Bump { revision, bump })
}

/// All entries of a bucket that is small in every etcd.
fn small(database: &Database<'_>, bucket: &Bucket) -> Result<Vec<Entry>, Error> {
    let (mut entries, mut size, mut is_nested) = (Vec::new(), 0, false);
    database
        .entries(bucket, &mut |key, value, is_bucket| {
            is_nested |= is_bucket;
            size += key.len() + value.len();
            if size <= SMALL {
                entries.push((key.to_vec(), value.to_vec()));
            }
            Ok(())
        })
        .map_err(Error::Source)?;
    let name = || String::from_utf8_lossy(&bucket.name).into_owned();
    if is_nested {
        return Err(Error::Nested(name()));
    }
    if size > SMALL {
        return Err(Error::Oversized(name()));
    }
    Ok(entries)
}

/// The `members` bucket: each member by its id in hex, in the order of these texts.
fn members(recipe: &Recipe) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for member in recipe.membership.members() {
        let json = go_json(&member.stored()).map_err(Error::Json)?;
        entries.push((member.id.to_string().into_bytes(), json.into_bytes()));
    }
    entries.sort();
    Ok(entries)
}

fn expected(source: &Sums, changes: &BTreeMap<Vec<u8>, Change>) -> Sums {
    let mut sums = source.clone();
    for (name, change) in changes {
        let sum = sums.entry(name.clone()).or_insert_with(|| Sum::of(name));
        match change {
            Change::Replace(entries) => {
                *sum = Sum::of(name);
                for (key, value) in entries {
                    sum.add(key, value);
                }
            }
            Change::Append((key, value)) => sum.add(key, value),
        }
    }
    sums
}
