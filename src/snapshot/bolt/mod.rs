//! bbolt database files: the two metas and the pages.
//!
//! Every offset and count is checked against the bytes that are there, so a file can neither make
//! the reader panic, nor loop, nor allocate more than the file holds. The format is that of bolt
//! and bbolt 1.3 to 1.5 (`page.go`, `meta.go`, `bucket.go`).

mod elements;
mod loader;
mod parts;
#[cfg(test)]
pub(crate) mod specimen;
#[cfg(test)]
mod tests;
mod walk;

pub use loader::{Pages, RightEdge, Tree};
pub use parts::{Bucket, ShowEntry};
pub use walk::Visitor;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is wrong with a database file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The file could not be read.
    #[error("the file could not be read: {0}")]
    Read(#[source] io::Error),
    /// Neither meta page is one of bbolt's.
    #[error("the file is not a bbolt database: neither of its two meta pages is valid")]
    NotBolt,
    /// Written on a big-endian host, whose pages only such hosts can read.
    #[error("the database was written on a big-endian host (s390x), which this build cannot read")]
    BigEndian,
    /// One of the two meta pages is damaged.
    #[error("meta page {0} is damaged: {1}")]
    Meta(u64, &'static str),
    /// The file ends before its high-water mark.
    #[error("the file is cut: the database has {expected} bytes, the file holds {found}")]
    Cut {
        /// Bytes that the meta page promises.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A page breaks a rule of the format.
    #[error("page {0}: {1}")]
    Page(u64, String),
    /// An entry is not what etcd writes.
    #[error("bucket \"{bucket}\": {message}")]
    Entry {
        /// The bucket's name.
        bucket: String,
        /// What was found.
        message: String,
    },
}

const PAGE_HEADER: usize = 16;
const ELEMENT: usize = 16;
const META_SIZE: usize = 64;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREELIST: u16 = 0x10;
const NO_FREELIST: u64 = u64::MAX;

/// One meta page's content.
#[derive(Debug, Clone, Copy)]
struct Meta {
    page_size: u32,
    root: u64,
    freelist: u64,
    high_water: u64,
    txid: u64,
}

impl Meta {
    /// Reads the meta structure that follows a page header (little-endian, FNV-1a checksum).
    fn read(bytes: &[u8]) -> Result<Meta, &'static str> {
        let bytes = bytes.get(..META_SIZE).ok_or("too short")?;
        if u32_at(bytes, 0) != MAGIC {
            return Err("wrong magic number");
        }
        if u32_at(bytes, 4) != VERSION {
            return Err("unknown format version");
        }
        if fnv1a(&bytes[..56]) != u64_at(bytes, 56) {
            return Err("wrong checksum");
        }
        Ok(Meta {
            page_size: u32_at(bytes, 8),
            root: u64_at(bytes, 16),
            freelist: u64_at(bytes, 32),
            high_water: u64_at(bytes, 40),
            txid: u64_at(bytes, 48),
        })
    }
}

/// How many of the two meta pages have to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metas {
    /// Both: etcd makes both anew for every snapshot.
    Both,
    /// One, as it is for bbolt itself: a crash can damage the other while it is written.
    Either,
}

/// A bbolt database inside a file, its metas read and found good.
#[derive(Debug)]
pub struct Database<'f> {
    file: &'f File,
    meta: Meta,
    /// What is wrong with the other one.
    harm: Option<Damage>,
}

impl<'f> Database<'f> {
    /// Opens the database in the first `length` bytes of `file`.
    ///
    /// # Errors
    /// [`Damage`] where a meta page is not valid, the two disagree, or the file is shorter than its
    /// high-water mark.
    pub fn open(file: &'f File, length: u64) -> Result<Self, Damage> {
        Self::open_by(file, length, Metas::Both)
    }

    /// The same, where as many `metas` have to be good.
    ///
    /// # Errors
    /// Those of [`Database::open`].
    pub fn open_by(file: &'f File, length: u64, metas: Metas) -> Result<Self, Damage> {
        let page_size = page_size(file, length)?;
        let [first, second] = [0, 1].map(|number| meta(file, number, page_size, length));
        let (meta, harm) = match (first, second) {
            (Ok(first), Ok(second)) if first.txid >= second.txid => (first, None),
            (Ok(_), Ok(second)) => (second, None),
            (Ok(meta), Err(harm @ Damage::Meta(..))) | (Err(harm @ Damage::Meta(..)), Ok(meta))
                if metas == Metas::Either =>
            {
                (meta, Some(harm))
            }
            (Err(damage), _) | (_, Err(damage)) => return Err(damage),
        };
        let expected = meta.high_water.checked_mul(u64::from(page_size));
        match expected {
            Some(expected) if expected <= length => Ok(Database { file, meta, harm }),
            _ => Err(Damage::Cut {
                expected: expected.unwrap_or(u64::MAX),
                found: length,
            }),
        }
    }

    /// What is wrong with the meta page that is not used; `None` where both are good.
    #[must_use]
    pub fn harm(&self) -> Option<&Damage> {
        self.harm.as_ref()
    }

    /// Bytes per page.
    #[must_use]
    pub fn page_size(&self) -> u32 {
        self.meta.page_size
    }

    /// Bytes up to the high-water mark: what `snapshot status` calls the total size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.meta.high_water * u64::from(self.meta.page_size)
    }

    /// Reads page `id` with its overflow into `buffer`.
    fn read_page(&self, id: u64, buffer: &mut Vec<u8>) -> Result<Page, Damage> {
        let page_size = u64::from(self.meta.page_size);
        if id >= self.meta.high_water {
            return Err(Damage::Page(
                id,
                format!(
                    "lies beyond the high-water mark, page {}",
                    self.meta.high_water
                ),
            ));
        }
        buffer.resize(self.meta.page_size as usize, 0);
        read_at(self.file, buffer, id * page_size, self.size())?;
        let page = self.header(id, buffer)?;
        if page.pages > 1 {
            // the file is at least this long, so the claim is backed by bytes
            let length = usize::try_from(page.pages * page_size)
                .map_err(|_| Damage::Page(id, "is larger than this machine can address".into()))?;
            buffer.resize(length, 0);
            let first = self.meta.page_size as usize;
            read_at(
                self.file,
                &mut buffer[first..],
                (id + 1) * page_size,
                self.size(),
            )?;
        }
        Ok(page)
    }

    /// Reads several pages that follow one another into `buffer`, to be looked at one by one.
    fn read_run(&self, first: u64, count: u64, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        let page_size = self.meta.page_size as usize;
        let end = first.saturating_add(count).min(self.meta.high_water);
        let pages = usize::try_from(end.saturating_sub(first)).unwrap_or(0);
        buffer.resize(pages * page_size, 0);
        if pages == 0 {
            // a page that is not there is told when it is read by itself
            return Ok(());
        }
        read_at(self.file, buffer, first * page_size as u64, self.size())
    }

    /// The header of page `id`, whose first bytes these are.
    fn header(&self, id: u64, bytes: &[u8]) -> Result<Page, Damage> {
        let page = Page {
            id: u64_at(bytes, 0),
            flags: u16_at(bytes, 8),
            count: usize::from(u16_at(bytes, 10)),
            pages: u64::from(u32_at(bytes, 12)) + 1,
        };
        if page.id != id {
            return Err(Damage::Page(id, format!("carries the number {}", page.id)));
        }
        if page.pages > self.meta.high_water.saturating_sub(id) {
            return Err(Damage::Page(
                id,
                format!("its {} pages reach beyond the high-water mark", page.pages),
            ));
        }
        Ok(page)
    }
}

/// A page's header.
#[derive(Debug, Clone, Copy)]
struct Page {
    id: u64,
    flags: u16,
    count: usize,
    /// The page and its overflow.
    pages: u64,
}

/// Reads a meta page of a database with pages of this size.
fn meta(file: &File, number: u64, page_size: u32, length: u64) -> Result<Meta, Damage> {
    let wrong = |why| Damage::Meta(number, why);
    let mut page = [0; PAGE_HEADER + META_SIZE];
    read_at(file, &mut page, number * u64::from(page_size), length)?;
    if u64_at(&page, 0) != number || u16_at(&page, 8) != META {
        return Err(wrong("its header is not that of a meta page"));
    }
    let meta = Meta::read(&page[PAGE_HEADER..]).map_err(wrong)?;
    if meta.page_size != page_size {
        return Err(wrong("the two meta pages name different page sizes"));
    }
    Ok(meta)
}

/// The page size that the file's first valid meta names; like bbolt, metas are looked for at every
/// page size there can be.
fn page_size(file: &File, length: u64) -> Result<u32, Damage> {
    let mut big_endian = false;
    for offset in std::iter::once(0).chain((0..15).map(|shift| 1024 << shift)) {
        let mut page = [0; PAGE_HEADER + META_SIZE];
        match read_at(file, &mut page, offset, length) {
            Ok(()) => {}
            Err(Damage::Cut { .. }) => break,
            Err(other) => return Err(other),
        }
        big_endian |= u32_at(&page, PAGE_HEADER) == MAGIC.swap_bytes();
        if let Ok(meta) = Meta::read(&page[PAGE_HEADER..]) {
            let size = meta.page_size;
            if size.is_power_of_two()
                && (512..=1 << 24).contains(&size)
                && (offset == 0 || offset == u64::from(size))
            {
                return Ok(size);
            }
        }
    }
    Err(if big_endian {
        Damage::BigEndian
    } else {
        Damage::NotBolt
    })
}

/// Reads exactly `buffer` at `offset`, within the first `length` bytes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64, length: u64) -> Result<(), Damage> {
    let end = offset.saturating_add(buffer.len() as u64);
    if end > length {
        return Err(Damage::Cut {
            expected: end,
            found: length,
        });
    }
    file.read_exact_at(buffer, offset).map_err(Damage::Read)
}

// The callers below have cut their slices to size; a short one reads as zero rather than panics.

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// FNV-1a, 64 bits: the checksum of a meta page.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
