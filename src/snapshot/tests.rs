//! What is read from a database against a plain etcd: histories of puts, deletions and compactions
//! whose hashes are computed by etcd's own rules, and entries that etcd never writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;

use super::bolt::specimen::{self, Buckets, Layout};
use super::{CompactedDeletion, Facts, Inspection, head};
use proptest::prelude::*;

fn no_scratch() -> io::Result<File> {
    Err(io::Error::other("no scratch file expected"))
}

fn inspect(buckets: &Buckets) -> Result<(Inspection, File, u64), String> {
    let bytes = Layout::ETCD.build(buckets);
    let (file, length) = (specimen::file(&bytes), bytes.len() as u64);
    match Inspection::walk(&file, length, &no_scratch) {
        Ok(inspection) => Ok((inspection, file, length)),
        Err(damage) => Err(damage.to_string()),
    }
}

fn facts(buckets: &Buckets) -> Result<Facts, String> {
    inspect(buckets).map(|(inspection, _, _)| inspection.facts)
}

/// When something was written.
type Rev = (u64, u64);

fn revision((main, sub): Rev, is_deletion: bool) -> Vec<u8> {
    let mark: &[u8] = if is_deletion { b"t" } else { b"" };
    [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes(), mark].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7F {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

/// A `mvccpb.KeyValue`: key, created, modified, version, value.
fn key_value(key: &[u8], [created, modified, version]: [u64; 3], value: &[u8]) -> Vec<u8> {
    let mut bytes = [&[0x0A][..], &varint(key.len() as u64), key].concat();
    for (tag, number) in [(0x10, created), (0x18, modified), (0x20, version)] {
        if number != 0 {
            bytes.push(tag);
            bytes.extend(varint(number));
        }
    }
    if !value.is_empty() {
        bytes.push(0x2A);
        bytes.extend(varint(value.len() as u64));
        bytes.extend(value);
    }
    bytes
}

/// One entry of the `key` bucket.
#[derive(Debug, Clone)]
struct Entry {
    at: Rev,
    is_deletion: bool,
    stored: Vec<u8>,
}

/// An etcd that remembers everything: `server/storage/mvcc/kvstore_txn.go` and `key_index.go`.
#[derive(Debug, Clone)]
struct Store {
    current: u64,
    entries: Vec<Entry>,
    /// Of each key its generations: each from a creation to a deletion, the last one open.
    index: BTreeMap<Vec<u8>, Vec<Vec<Rev>>>,
}

impl Store {
    /// Runs transactions; each puts or deletes keys, and takes a revision if that changes anything.
    fn run(transactions: &[BTreeMap<u8, bool>]) -> Self {
        let mut store = Store {
            current: 1,
            entries: Vec::new(),
            index: BTreeMap::new(),
        };
        for transaction in transactions {
            let main = store.current + 1;
            let mut sub = 0;
            for (number, is_deletion) in transaction {
                let key = format!("/registry/kind{}/{number}", number % 2).into_bytes();
                if store.write(&key, (main, sub), *is_deletion) {
                    sub += 1;
                }
            }
            store.current += u64::from(sub > 0);
        }
        store
    }

    fn write(&mut self, key: &[u8], at: Rev, is_deletion: bool) -> bool {
        let generations = self
            .index
            .entry(key.to_vec())
            .or_insert_with(|| vec![vec![]]);
        let Some(open) = generations.last_mut() else {
            return false;
        };
        if is_deletion && open.is_empty() {
            return false;
        }
        open.push(at);
        let stored = if is_deletion {
            key_value(key, [0; 3], b"")
        } else {
            key_value(key, [open[0].0, at.0, open.len() as u64], b"content")
        };
        if is_deletion {
            generations.push(vec![]);
        }
        self.entries.push(Entry {
            at,
            is_deletion,
            stored,
        });
        true
    }

    /// `keyIndex.doCompact`: what a compaction at `at` leaves of each key, and whether that is the
    /// deletion that ends a generation.
    fn available(&self, at: u64, rule: CompactedDeletion) -> BTreeMap<Rev, bool> {
        let mut available = BTreeMap::new();
        for generations in self.index.values() {
            let ends_at_or_after = |generation: &&Vec<Rev>| {
                generation.last().is_none_or(|(main, _)| match rule {
                    CompactedDeletion::Skipped => *main >= at,
                    CompactedDeletion::Counted => *main > at,
                })
            };
            let (last, ended) = generations.split_last().unwrap();
            let generation = ended.iter().find(ends_at_or_after).unwrap_or(last);
            if let Some(place) = generation.iter().rposition(|(main, _)| *main <= at) {
                let is_end = place + 1 == generation.len() && !std::ptr::eq(generation, last);
                available.insert(generation[place], is_end);
            }
        }
        available
    }

    /// `treeIndex.Keep`.
    fn keep(&self, at: u64, rule: CompactedDeletion) -> BTreeSet<Rev> {
        let available = self.available(at, rule).into_iter();
        available
            .filter(|(_, is_end)| !is_end)
            .map(|(at, _)| at)
            .collect()
    }

    /// The entries on disk after the first `share` percent of what a compaction is to remove is
    /// gone.
    fn compacted(&self, at: u64, rule: CompactedDeletion, share: usize) -> Vec<Entry> {
        let kept = self.available(at, rule);
        let goes = |entry: &&Entry| entry.at.0 <= at && !kept.contains_key(&entry.at);
        let all = self.entries.iter().filter(goes).count();
        let gone: BTreeSet<Rev> = self
            .entries
            .iter()
            .filter(goes)
            .take((all * share).div_ceil(100))
            .map(|entry| entry.at)
            .collect();
        let left = self
            .entries
            .iter()
            .filter(|entry| !gone.contains(&entry.at));
        left.cloned().collect()
    }

    /// `kvHasher` over the entries on disk, at the newest revision.
    fn hash(&self, on_disk: &[Entry], compacted: u64, rule: CompactedDeletion) -> u32 {
        let keep = self.keep(self.current, rule);
        let mut hashed = b"key".to_vec();
        for entry in on_disk {
            if entry.at.0 <= compacted && !keep.is_empty() && !keep.contains(&entry.at) {
                continue;
            }
            let is_boundary = entry.is_deletion && entry.at.0 == compacted;
            if is_boundary && rule == CompactedDeletion::Skipped {
                continue;
            }
            hashed.extend(revision(entry.at, entry.is_deletion));
            hashed.extend(&entry.stored);
        }
        crc32c::crc32c(&hashed)
    }

    fn live(&self) -> usize {
        let lives =
            |generations: &&Vec<Vec<Rev>>| generations.last().is_some_and(|open| !open.is_empty());
        self.index.values().filter(lives).count()
    }
}

fn database(entries: &[Entry], compacted: u64) -> Buckets {
    let key = entries
        .iter()
        .map(|entry| (revision(entry.at, entry.is_deletion), entry.stored.clone()))
        .collect();
    let mut meta = BTreeMap::from([(b"consistent_index".to_vec(), 77u64.to_be_bytes().to_vec())]);
    if compacted > 0 {
        meta.insert(
            b"scheduledCompactRev".to_vec(),
            revision((compacted, 0), false),
        );
    }
    let lease = BTreeMap::from([(vec![1; 8], vec![2; 10])]);
    Buckets::from([
        (b"key".to_vec(), key),
        (b"meta".to_vec(), meta),
        (b"lease".to_vec(), lease),
    ])
}

/// What `snapshot status` hashes.
fn plain_hash(buckets: &Buckets) -> u32 {
    let mut bytes = Vec::new();
    for (name, entries) in buckets {
        bytes.extend(name);
        for (key, value) in entries {
            bytes.extend(key);
            bytes.extend(value);
        }
    }
    crc32c::crc32c(&bytes)
}

const RULES: [CompactedDeletion; 2] = [CompactedDeletion::Skipped, CompactedDeletion::Counted];

fn histories() -> impl Strategy<Value = Store> {
    // few keys, so that they are written, deleted and written again
    let transaction = prop::collection::btree_map(0u8..5, any::<bool>(), 1..3);
    prop::collection::vec(transaction, 0..25).prop_map(|transactions| Store::run(&transactions))
}

/// A revision of the store, and how far a compaction there has come.
fn compactions() -> impl Strategy<Value = (u64, usize)> {
    (
        any::<u64>(),
        prop_oneof![Just(0usize), Just(100), 1usize..100],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_facts_are_those_of_the_history(store in histories(), (at, share) in compactions()) {
        let compacted = at % (store.current + 1);
        let on_disk = store.compacted(compacted, CompactedDeletion::Skipped, share);
        let buckets = database(&on_disk, compacted);
        let (inspection, file, length) = inspect(&buckets).unwrap();
        let facts = inspection.facts;
        let newest = on_disk.last().map(|entry| entry.at.0);
        prop_assert_eq!(facts.hash, plain_hash(&buckets));
        prop_assert_eq!(facts.revision, newest.unwrap_or(0));
        let newest = newest.unwrap_or(0).max(compacted);
        prop_assert_eq!(head(&file, length).map(|head| head.revision), Some(newest));
        prop_assert_eq!(facts.kv_hash.revision, newest);
        prop_assert_eq!(facts.total_key, store.live() as u64);
        let entries: usize = buckets.values().map(BTreeMap::len).sum();
        prop_assert_eq!(facts.total_entries, entries as u64);
        prop_assert_eq!((facts.compact_revision, facts.consistent_index), (compacted, 77));
        let rule = CompactedDeletion::Skipped;
        prop_assert_eq!(facts.kv_hash.hash, store.hash(&on_disk, compacted, rule));
    }

    #[test]
    fn the_kv_hash_is_that_of_a_member_with_the_same_entries(store in histories(), (at, share) in compactions(), rule in prop::sample::select(&RULES)) {
        let compacted = at % (store.current + 1);
        let on_disk = store.compacted(compacted, rule, share);
        let (inspection, file, length) = inspect(&database(&on_disk, compacted)).unwrap();
        let ours = inspection.kv_hash(&file, length, compacted, rule).unwrap();
        prop_assert_eq!(ours.hash, store.hash(&on_disk, compacted, rule));
    }

    #[test]
    fn a_member_that_compacts_later_still_agrees_with_the_file(
        store in histories(),
        first in compactions(),
        later in any::<u64>(),
        rules in [prop::sample::select(&RULES), prop::sample::select(&RULES)],
    ) {
        prop_assume!(store.live() > 0);
        let compacted = first.0 % (store.current + 1);
        let in_file = store.compacted(compacted, rules[0], first.1);
        let (inspection, file, length) = inspect(&database(&in_file, compacted)).unwrap();
        let later = compacted + later % (store.current - compacted + 1);
        let on_disk = store.compacted(later, rules[1], 100);
        let ours = inspection.kv_hash(&file, length, later, rules[1]).unwrap();
        prop_assert_eq!(ours.hash, store.hash(&on_disk, later, rules[1]));
    }

    #[test]
    fn no_entry_makes_the_inspection_panic(
        name in prop::sample::select(vec!["key", "meta", "members", "cluster"]),
        known in prop::sample::select(vec!["consistent_index", "scheduledCompactRev", "storageVersion", "clusterVersion"]),
        key in prop::collection::vec(any::<u8>(), 1..20),
        main in any::<u64>(),
        is_deletion in any::<bool>(),
        value in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        for key in [known.as_bytes().to_vec(), key, revision((main, 0), is_deletion)] {
            let entries = BTreeMap::from([(key, value.clone())]);
            let _ = facts(&Buckets::from([(name.as_bytes().to_vec(), entries)]));
        }
    }
}

/// The damage in a bucket of these entries.
fn damage(bucket: &str, entries: &[(Vec<u8>, Vec<u8>)]) -> String {
    let entries = entries.iter().cloned().collect();
    match facts(&Buckets::from([(bucket.as_bytes().to_vec(), entries)])) {
        Ok(_) => "nothing".into(),
        Err(damage) => damage,
    }
}

#[test]
fn an_entry_that_etcd_never_writes_is_named() {
    let good = key_value(b"k", [2, 7, 3], b"v");
    let at = |main: u64| revision((main, 0), false);
    assert_eq!(damage("key", &[(at(7), good.clone())]), "nothing");

    let not_a_revision = "bucket \"key\": a key is not a revision";
    let mut slash = at(7);
    slash[8] = b'/';
    let mut mark = revision((7, 0), true);
    mark[17] = b'x';
    for key in [
        slash,
        mark,
        at(7)[..16].to_vec(),
        [&at(7)[..], b"tt"].concat(),
    ] {
        assert_eq!(damage("key", &[(key, good.clone())]), not_a_revision);
    }
    let of_7 = |what: &str| format!("bucket \"key\": the entry of revision 7 {what}");
    assert_eq!(
        damage("key", &[(at(7), good[..4].to_vec())]),
        of_7("does not decode")
    );
    assert_eq!(
        damage("key", &[(at(7), key_value(b"k", [2, 8, 3], b"v"))]),
        of_7("says that it is of revision 8")
    );
    for [created, version] in [[8, 1], [2, 0]] {
        assert_eq!(
            damage(
                "key",
                &[(at(7), key_value(b"k", [created, 7, version], b"v"))]
            ),
            of_7("was changed before it was created")
        );
    }
    let (index, compaction) = (b"consistent_index".to_vec(), b"finishedCompactRev".to_vec());
    assert_eq!(
        damage("meta", &[(index, vec![0; 7])]),
        "bucket \"meta\": consistent_index is not 8 bytes"
    );
    assert_eq!(
        damage("meta", &[(compaction, b"7".to_vec())]),
        "bucket \"meta\": a compaction is not a revision"
    );
    assert_eq!(
        damage("members", &[(b"1".to_vec(), b"{}".to_vec())]),
        "bucket \"members\": a member does not decode"
    );
    let member = |number: u32| (number.to_be_bytes().to_vec(), br#"{"id":1}"#.to_vec());
    let members: Vec<_> = (0..1001).map(member).collect();
    assert_eq!(
        damage("members", &members),
        "bucket \"members\": there are too many members to be a cluster"
    );
}

#[test]
fn the_empty_entry_of_a_revision_bump_counts_as_a_key_like_in_etcdutl() {
    let store = Store::run(&[BTreeMap::from([(1, false)]), BTreeMap::from([(2, false)])]);
    let mut buckets = database(&store.entries, 0);
    let key = buckets.get_mut(&b"key"[..]).unwrap();
    key.insert(revision((1_000_000_002, 0), false), Vec::new());
    let (inspection, _, _) = inspect(&buckets).unwrap();
    let facts = inspection.facts;
    assert_eq!((facts.revision, facts.total_key), (1_000_000_002, 3));
    // and no client ever sees it
    assert_eq!(inspection.served_keys, 2);
}

#[test]
fn an_empty_store_has_facts_too() {
    let facts_of = |buckets: Buckets| facts(&buckets).unwrap();
    let empty = facts_of(Buckets::from([(b"key".to_vec(), BTreeMap::new())]));
    assert_eq!(
        (empty.revision, empty.total_key, empty.total_entries),
        (0, 0, 0)
    );
    assert_eq!(empty.kv_hash.hash, crc32c::crc32c(b"key"));
    assert_eq!(facts_of(Buckets::new()).kv_hash, empty.kv_hash);
    // even where it claims to be compacted
    let compacted = facts_of(database(&[], 5));
    assert_eq!(compacted.kv_hash.hash, empty.kv_hash.hash);
}

#[test]
#[ignore = "writes the files that the fuzzing of tests/fuzz begins with"]
fn write_the_seeds_of_the_fuzzer() {
    use std::io::Write as _;

    let transaction = |round: u8| {
        let keys = (0..3).map(|key| (key, (round + key) % 4 == 3));
        keys.collect::<BTreeMap<u8, bool>>()
    };
    let store = Store::run(&(0..4).map(transaction).collect::<Vec<_>>());
    let compacted = store.compacted(3, CompactedDeletion::Skipped, 50);
    let mut buckets = database(&compacted, 3);
    let member = br#"{"id":1,"peerURLs":["http://a"],"name":"m"}"#.to_vec();
    buckets.insert(
        b"members".to_vec(),
        BTreeMap::from([(b"1".to_vec(), member)]),
    );
    buckets.insert(
        b"cluster".to_vec(),
        BTreeMap::from([(b"clusterVersion".to_vec(), b"3.5.0".to_vec())]),
    );
    let empty = database(&[], 0);
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fuzz/corpus/snapshot_file"
    );
    let small = Layout {
        page_size: 512,
        ..Layout::ETCD
    };
    for (name, layout, buckets) in [
        ("whole", small, &buckets),
        ("empty", small, &empty),
        (
            "listed",
            Layout {
                lists_free: true,
                ..small
            },
            &empty,
        ),
        (
            "deep",
            Layout {
                fanout: 2,
                inlines: false,
                ..small
            },
            &buckets,
        ),
        (
            "big-pages",
            Layout {
                page_size: 1024,
                ..small
            },
            &buckets,
        ),
    ] {
        let mut file = File::create(format!("{folder}/seed-{name}")).unwrap();
        file.write_all(&layout.build(buckets)).unwrap();
    }
}
