//! Which entries of the `key` bucket are the newest of a key that lives, in bounded memory.
//!
//! A database of any size may hold any number of keys, so the keys cannot all be remembered. Each
//! entry leaves a record of 24 bytes that identifies its key; records are split by that identity
//! into partitions, kept in memory while they are few and in an unnamed file beyond that, and each
//! partition is settled on its own. Before records leave memory, those of one key are settled among
//! themselves, so that a key with a long history does not fill its partition alone. What stays in
//! memory for each entry is one bit.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::FileExt;

/// One for each value of a key's six highest bits.
const PARTITIONS: usize = 1 << 6;
/// Records that a partition keeps before it writes them out: 64 × 2,048 × 24 bytes are 3 MiB.
const CHUNK: usize = 2048;
const RECORD: usize = 24;

/// One entry of the `key` bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    /// A keyed hash of the key, which nobody can aim at.
    key: u64,
    /// A second, independent one: the two together make a collision too unlikely to happen.
    check: u32,
    /// The entry's place in the bucket.
    ordinal: u32,
    /// Bytes of key and value as etcd stores them.
    bytes: u32,
    /// The kind of object, and in the highest bit whether the entry is a deletion.
    kind: u32,
}

const DELETION: u32 = 1 << 31;

impl Record {
    fn is_of_same_key(&self, other: &Record) -> bool {
        (self.key, self.check) == (other.key, other.check)
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&self.key.to_le_bytes());
        for (at, word) in [self.check, self.ordinal, self.bytes, self.kind]
            .iter()
            .enumerate()
        {
            bytes[8 + at * 4..][..4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD]) -> Self {
        let [k0, k1, k2, k3, k4, k5, k6, k7, rest @ ..] = *bytes;
        let word =
            |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        Record {
            key: u64::from_le_bytes([k0, k1, k2, k3, k4, k5, k6, k7]),
            check: word(0),
            ordinal: word(4),
            bytes: word(8),
            kind: word(12),
        }
    }
}

/// Keys of one kind that live, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) keys: u64,
    pub(super) bytes: u64,
}

/// Gathers the entries.
pub(super) struct Census<'s> {
    scratch: &'s dyn Fn() -> io::Result<File>,
    identity: RandomState,
    partitions: Vec<Partition>,
    spill: Option<(File, u64)>,
    entries: u32,
    superseded: Superseded,
    nameless: bool,
}

#[derive(Default)]
struct Partition {
    recent: Vec<Record>,
    /// Where in the spill file earlier records lie, and how many.
    chunks: Vec<(u64, usize)>,
}

/// What the census found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) by_kind: BTreeMap<u32, Tally>,
    /// Whether the key without a name lives. No client can write it or see it: a restore with a
    /// revision bump leaves it, and it counts among the keys of its kind as it does in etcdutl.
    pub(super) nameless: bool,
    pub(super) superseded: Superseded,
}

/// The entries that a later entry of the same key, or a deletion, has made history; deletions too.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    bits: Vec<u64>,
    live: bool,
}

impl Superseded {
    /// Whether the entry at this place of the bucket is history.
    pub(super) fn contains(&self, ordinal: u32) -> bool {
        let word = self.bits.get(ordinal as usize / 64).copied().unwrap_or(0);
        word & (1 << (ordinal % 64)) != 0
    }

    /// Whether any of the first `count` entries is history.
    pub(super) fn any_below(&self, count: u32) -> bool {
        let (words, rest) = (count as usize / 64, count % 64);
        self.bits.iter().take(words).any(|word| *word != 0)
            || self
                .bits
                .get(words)
                .is_some_and(|word| word & ((1 << rest) - 1) != 0)
    }

    fn insert(&mut self, ordinal: u32) {
        let word = ordinal as usize / 64;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (ordinal % 64);
    }

    /// Whether any key lives at all.
    pub(super) fn any_live(&self) -> bool {
        self.live
    }
}

impl<'s> Census<'s> {
    /// `scratch` makes an unnamed file, if the entries are too many for memory.
    pub(super) fn new(scratch: &'s dyn Fn() -> io::Result<File>) -> Self {
        let partitions = std::iter::repeat_with(Partition::default)
            .take(PARTITIONS)
            .collect();
        Census {
            scratch,
            identity: RandomState::new(),
            partitions,
            spill: None,
            entries: 0,
            superseded: Superseded::default(),
            nameless: false,
        }
    }

    /// Notes the next entry of the bucket.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        bytes: usize,
        kind: u32,
        is_deletion: bool,
    ) -> io::Result<()> {
        let record = Record {
            key: self.identity.hash_one(key),
            check: crc32c::crc32c(key),
            ordinal: self.entries,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            kind: kind | if is_deletion { DELETION } else { 0 },
        };
        self.entries = self
            .entries
            .checked_add(1)
            .ok_or_else(|| io::Error::other("more than 2^32 entries"))?;
        if key.is_empty() {
            self.nameless = !is_deletion;
        }
        // the high bits choose the partition, all bits the place within it
        let place = usize::from((record.key >> 58) as u8);
        self.partitions[place].recent.push(record);
        if self.partitions[place].recent.len() == CHUNK {
            self.settle_recent(place);
            // as long as that makes room, nothing has to leave
            if self.partitions[place].recent.len() > CHUNK / 2 {
                self.write_out(place)?;
            }
        }
        Ok(())
    }

    /// Leaves only the newest record of each key in a partition's memory.
    fn settle_recent(&mut self, place: usize) {
        let recent = &mut self.partitions[place].recent;
        recent.sort_unstable();
        let mut newest = Vec::with_capacity(CHUNK);
        for of_one_key in recent.chunk_by(Record::is_of_same_key) {
            if let Some((last, earlier)) = of_one_key.split_last() {
                newest.push(*last);
                for record in earlier {
                    self.superseded.insert(record.ordinal);
                }
            }
        }
        *recent = newest;
    }

    fn write_out(&mut self, place: usize) -> io::Result<()> {
        let (file, end) = match &mut self.spill {
            Some(spill) => spill,
            empty => empty.insert(((self.scratch)()?, 0)),
        };
        let partition = &mut self.partitions[place];
        let bytes: Vec<u8> = partition
            .recent
            .iter()
            .flat_map(|record| record.to_bytes())
            .collect();
        file.write_all_at(&bytes, *end)?;
        partition.chunks.push((*end, partition.recent.len()));
        partition.recent.clear();
        *end += bytes.len() as u64;
        Ok(())
    }

    /// Settles every partition.
    pub(super) fn finish(mut self) -> io::Result<Outcome> {
        let mut outcome = Outcome {
            by_kind: BTreeMap::new(),
            nameless: self.nameless,
            superseded: std::mem::take(&mut self.superseded),
        };
        for partition in std::mem::take(&mut self.partitions) {
            let spilled: usize = partition.chunks.iter().map(|(_, count)| count).sum();
            let mut records = Vec::with_capacity(spilled + partition.recent.len());
            for chunk in &partition.chunks {
                self.read_back(*chunk, &mut records)?;
            }
            records.extend(partition.recent);
            records.sort_unstable();
            settle(&records, &mut outcome);
        }
        Ok(outcome)
    }

    fn read_back(
        &self,
        (offset, count): (u64, usize),
        records: &mut Vec<Record>,
    ) -> io::Result<()> {
        let Some((file, _)) = &self.spill else {
            return Ok(());
        };
        let mut bytes = vec![0; count * RECORD];
        file.read_exact_at(&mut bytes, offset)?;
        records.extend(bytes.as_chunks::<RECORD>().0.iter().map(Record::from_bytes));
        Ok(())
    }
}

/// Of records sorted by key and place, the last of each key lives unless it is a deletion.
fn settle(records: &[Record], outcome: &mut Outcome) {
    for of_one_key in records.chunk_by(Record::is_of_same_key) {
        let Some((last, earlier)) = of_one_key.split_last() else {
            continue;
        };
        let is_deleted = last.kind & DELETION != 0;
        for record in earlier.iter().chain(is_deleted.then_some(last)) {
            outcome.superseded.insert(record.ordinal);
        }
        if !is_deleted {
            outcome.superseded.live = true;
            let tally = outcome.by_kind.entry(last.kind).or_default();
            tally.keys += 1;
            tally.bytes += u64::from(last.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn no_scratch() -> io::Result<File> {
        Err(io::Error::other("no scratch file expected"))
    }

    fn scratch() -> io::Result<File> {
        tempfile::tempfile()
    }

    proptest! {
        #[test]
        fn the_census_agrees_with_a_plain_map(history in prop::collection::vec((0u8..20, any::<bool>()), 0..300)) {
            let mut census = Census::new(&no_scratch);
            let mut plain: HashMap<u8, (usize, bool)> = HashMap::new();
            for (ordinal, (key, is_deletion)) in history.iter().enumerate() {
                census.add(&[*key], 10, u32::from(*key % 3), *is_deletion).unwrap();
                plain.insert(*key, (ordinal, *is_deletion));
            }
            let outcome = census.finish().unwrap();
            let live: Vec<usize> = plain.values().filter(|(_, gone)| !gone).map(|(ordinal, _)| *ordinal).collect();
            prop_assert_eq!(outcome.by_kind.values().map(|tally| tally.keys).sum::<u64>(), live.len() as u64);
            prop_assert_eq!(outcome.superseded.any_live(), !live.is_empty());
            let mut any = false;
            for ordinal in 0..history.len() {
                let place = u32::try_from(ordinal).unwrap();
                prop_assert_eq!(outcome.superseded.any_below(place), any);
                let is_superseded = outcome.superseded.contains(place);
                prop_assert_eq!(is_superseded, !live.contains(&ordinal));
                any |= is_superseded;
            }
        }
    }

    #[test]
    fn entries_beyond_memory_are_counted_from_the_scratch_file() {
        let mut census = Census::new(&scratch);
        for round in 0..3u32 {
            for key in 0..200_000u32 {
                census
                    .add(&key.to_le_bytes(), 1, 0, round == 2 && key % 2 == 0)
                    .unwrap();
            }
        }
        assert!(census.spill.is_some());
        let outcome = census.finish().unwrap();
        assert_eq!(
            outcome.by_kind[&0],
            Tally {
                keys: 100_000,
                bytes: 100_000
            }
        );
        assert!(outcome.superseded.contains(400_000) && !outcome.superseded.contains(400_001));
    }

    #[test]
    fn the_key_without_a_name_counts_and_is_told_apart() {
        let mut census = Census::new(&no_scratch);
        census.add(b"key", 1, 0, false).unwrap();
        for _ in 0..2 {
            census.add(b"", 1, 0, false).unwrap();
        }
        let outcome = census.finish().unwrap();
        assert_eq!((outcome.by_kind[&0].keys, outcome.nameless), (2, true));

        let mut census = Census::new(&no_scratch);
        census.add(b"", 1, 0, false).unwrap();
        census.add(b"", 1, 0, true).unwrap();
        assert!(!census.finish().unwrap().nameless);
    }

    #[test]
    fn a_key_with_a_long_history_takes_no_room() {
        let mut census = Census::new(&no_scratch);
        for _ in 0..100_000 {
            census.add(b"hot", 1, 0, false).unwrap();
            census.add(b"gone", 1, 0, true).unwrap();
        }
        let held: usize = census.partitions.iter().map(|each| each.recent.len()).sum();
        assert!(held <= 2 * CHUNK, "{held} records");
        let outcome = census.finish().unwrap();
        assert_eq!(outcome.by_kind[&0], Tally { keys: 1, bytes: 1 });
        let superseded = |ordinal| outcome.superseded.contains(ordinal);
        assert!(superseded(0) && superseded(199_996) && superseded(199_999));
        assert!(!superseded(199_998));
    }
}
