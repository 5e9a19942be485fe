//! What each bucket of a database holds, in figures that tell a database from any other: checked
//! again once it has been written anew.

use std::collections::BTreeMap;

use super::bolt::{Damage, Database, Visitor};

/// The CRC-32C and the length of a bucket's name, keys and values in their order, and how many
/// entries it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// CRC-32C.
    pub crc: u32,
    /// Bytes that it covers.
    pub length: usize,
    /// Entries.
    pub entries: u64,
}

impl Sum {
    /// That of a bucket without entries.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        Sum {
            crc: crc32c::crc32c(name),
            length: name.len(),
            entries: 0,
        }
    }

    /// Takes the next entry.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, key);
        self.crc = crc32c::crc32c_append(self.crc, value);
        self.length += key.len() + value.len();
        self.entries += 1;
    }
}

/// The sum of each bucket, by name.
pub type Sums = BTreeMap<Vec<u8>, Sum>;

/// The hash of a whole database, as `etcdutl snapshot status` gives it: CRC-32C over its buckets in
/// the order of their names.
#[must_use]
pub fn status_hash(sums: &Sums) -> u32 {
    sums.values().fold(0, |hash, sum| {
        crc32c::crc32c_combine(hash, sum.crc, sum.length)
    })
}

/// Walks a database, proves its structure, and sums up its buckets.
///
/// # Errors
/// The first [`Damage`] that is met.
pub fn sums(database: &Database<'_>) -> Result<Sums, Damage> {
    let mut summing = Summing::default();
    database.walk(&mut summing)?;
    Ok(summing.finish())
}

/// Sums up the buckets of a walk.
#[derive(Debug, Default)]
pub(super) struct Summing {
    done: Sums,
    open: Option<(Vec<u8>, Sum)>,
}

impl Summing {
    /// The name of the bucket that the walk is in.
    pub(super) fn name(&self) -> &[u8] {
        self.open.as_ref().map_or(&[], |(name, _)| name)
    }

    pub(super) fn finish(mut self) -> Sums {
        self.done.extend(self.open);
        self.done
    }
}

impl Visitor for Summing {
    fn bucket(&mut self, name: &[u8]) -> Result<(), Damage> {
        let next = (name.to_vec(), Sum::of(name));
        self.done.extend(self.open.replace(next));
        Ok(())
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        if let Some((_, sum)) = &mut self.open {
            sum.add(key, value);
        }
        Ok(())
    }
}
