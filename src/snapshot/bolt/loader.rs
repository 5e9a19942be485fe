//! Pages, trees and buckets as bbolt writes them, from the bottom up: entries come in order, one
//! page of each level is in memory, and every page is written once.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use super::elements::BUCKET_FLAG;
use super::{
    BRANCH, Database, ELEMENT, LEAF, MAGIC, META, META_SIZE, NO_FREELIST, PAGE_HEADER, VERSION,
    fnv1a, u32_at,
};

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;
/// Elements of a page at most: the count has 16 bits, and bbolt keeps the highest for itself.
const MAX_ELEMENTS: usize = 0xFFFE;
/// A branch is not split below this, so that none is left with one child.
const MIN_CHILDREN: usize = 3;

/// Writes pages, each behind the one before it.
#[derive(Debug)]
pub struct Pages<'f> {
    out: BufWriter<&'f File>,
    page_size: u32,
    next: u64,
}

impl<'f> Pages<'f> {
    /// For a file of its own: behind its two meta pages.
    ///
    /// # Errors
    /// The system's.
    pub fn new(file: &'f File, page_size: u32) -> io::Result<Self> {
        Self::from_page(file, page_size, 2)
    }

    /// For a copy of a database, in `file`: behind its last page.
    ///
    /// # Errors
    /// The system's.
    pub fn behind(database: &Database<'_>, file: &'f File) -> io::Result<Self> {
        Self::from_page(file, database.page_size(), database.meta.high_water)
    }

    fn from_page(file: &'f File, page_size: u32, next: u64) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, file);
        out.seek(SeekFrom::Start(next * u64::from(page_size)))?;
        Ok(Pages {
            out,
            page_size,
            next,
        })
    }

    /// Bytes of the database so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.next * u64::from(self.page_size)
    }

    /// Writes a page, with as much overflow as it needs.
    fn append(&mut self, flags: u16, node: &Node) -> io::Result<u64> {
        let (id, page_size) = (self.next, u64::from(self.page_size));
        let length = (PAGE_HEADER + node.size()) as u64;
        let pages = length.div_ceil(page_size);
        let head = header(id, flags, node.heads.len(), narrow(pages - 1)?)?;
        self.out.write_all(&head)?;
        node.write(&mut self.out)?;
        io::copy(
            &mut io::repeat(0).take(pages * page_size - length),
            &mut self.out,
        )?;
        self.next += pages;
        Ok(id)
    }

    /// Makes the root bucket, whose tree begins at page `root`, that of the database. Both metas say
    /// the same, as those of a snapshot do; no list of free pages is kept, as etcd has it. `txid`
    /// is the last one that the file has seen.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(mut self, root: u64, txid: u64) -> io::Result<u64> {
        self.out.flush()?;
        let size = self.size();
        let file = *self.out.get_ref();
        file.set_len(size)?;
        let first = txid.checked_add(1).filter(|first| *first < u64::MAX);
        let first = first.unwrap_or(1);
        for txid in [first, first + 1] {
            let number = txid % 2;
            let mut page = header(number, META, 0, 0)?.to_vec();
            for word in [MAGIC, VERSION, self.page_size, 0] {
                page.extend(word.to_le_bytes());
            }
            for word in [root, 0, NO_FREELIST, self.next, txid] {
                page.extend(word.to_le_bytes());
            }
            page.extend(fnv1a(&page[PAGE_HEADER..]).to_le_bytes());
            debug_assert_eq!(page.len(), PAGE_HEADER + META_SIZE);
            page.resize(self.page_size as usize, 0);
            file.write_all_at(&page, number * u64::from(self.page_size))?;
        }
        Ok(size)
    }
}

/// A tree in the making.
#[derive(Debug, Default)]
pub struct Tree {
    leaf: Node,
    /// The branch that is being filled on each level, the lowest first.
    branches: Vec<Node>,
    has_buckets: bool,
}

impl Tree {
    /// Goes on where a tree of the database ends: the right edge's branches are taken over, all else
    /// stays where it is.
    ///
    /// # Errors
    /// The system's.
    pub fn resume(pages: &mut Pages<'_>, edge: &RightEdge) -> io::Result<Self> {
        let mut tree = Tree::default();
        let height = edge.branches.len();
        tree.branches.resize_with(height, Node::default);
        for (depth, children) in edge.branches.iter().enumerate() {
            let level = height - 1 - depth;
            // the last child is written anew, but for the leaf
            let kept = children.len() - usize::from(level > 0);
            for (key, page) in &children[..kept] {
                tree.child(pages, level, key, *page)?;
            }
        }
        Ok(tree)
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// The system's.
    pub fn push(&mut self, pages: &mut Pages<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.element(pages, 0, key, value)
    }

    /// Takes the next bucket, by its header.
    ///
    /// # Errors
    /// The system's.
    pub fn push_bucket(
        &mut self,
        pages: &mut Pages<'_>,
        name: &[u8],
        header: &[u8],
    ) -> io::Result<()> {
        self.has_buckets = true;
        self.element(pages, BUCKET_FLAG, name, header)
    }

    fn element(
        &mut self,
        pages: &mut Pages<'_>,
        flags: u32,
        key: &[u8],
        value: &[u8],
    ) -> io::Result<()> {
        let size = ELEMENT + key.len() + value.len();
        let is_full =
            self.leaf.size() + size > room(pages) || self.leaf.heads.len() == MAX_ELEMENTS;
        if is_full && !self.leaf.heads.is_empty() {
            self.flush(pages)?;
        }
        let kind = Kind::Entry {
            flags,
            value: value.len(),
        };
        self.leaf.push(kind, key, value);
        Ok(())
    }

    /// Writes the leaf.
    fn flush(&mut self, pages: &mut Pages<'_>) -> io::Result<()> {
        let leaf = std::mem::take(&mut self.leaf);
        let id = pages.append(LEAF, &leaf)?;
        self.child(pages, 0, leaf.first_key(), id)?;
        self.leaf = leaf.emptied();
        Ok(())
    }

    /// Takes the next child of the branch on this level.
    fn child(
        &mut self,
        pages: &mut Pages<'_>,
        level: usize,
        key: &[u8],
        page: u64,
    ) -> io::Result<()> {
        if level == self.branches.len() {
            self.branches.push(Node::default());
        }
        let mut branch = std::mem::take(&mut self.branches[level]);
        let is_full = branch.size() + ELEMENT + key.len() > room(pages);
        if is_full && branch.heads.len() >= MIN_CHILDREN {
            let last = branch.pop();
            let id = pages.append(BRANCH, &branch)?;
            self.child(pages, level + 1, branch.first_key(), id)?;
            branch = branch.emptied();
            if let Some((key, page)) = last {
                branch.push(Kind::Child(page), &key, &[]);
            }
        }
        branch.push(Kind::Child(page), key, &[]);
        self.branches[level] = branch;
        Ok(())
    }

    /// Writes what is left, and returns the root's page.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(mut self, pages: &mut Pages<'_>) -> io::Result<u64> {
        if self.branches.is_empty() {
            return pages.append(LEAF, &self.leaf);
        }
        if !self.leaf.heads.is_empty() {
            self.flush(pages)?;
        }
        let mut level = 0;
        loop {
            let branch = std::mem::take(&mut self.branches[level]);
            let id = pages.append(BRANCH, &branch)?;
            level += 1;
            if level == self.branches.len() {
                return Ok(id);
            }
            self.child(pages, level, branch.first_key(), id)?;
        }
    }

    /// Writes what is left of a bucket, and returns its header: with everything in it where that is
    /// little, as bbolt does (`Bucket.inlineable`).
    ///
    /// # Errors
    /// The system's.
    pub fn finish_bucket(self, pages: &mut Pages<'_>, sequence: u64) -> io::Result<Vec<u8>> {
        let size = PAGE_HEADER + self.leaf.size();
        let is_small = size <= pages.page_size as usize / 4;
        let mut bucket = Vec::new();
        if is_small && self.branches.is_empty() && !self.has_buckets {
            bucket.extend(0u64.to_le_bytes());
            bucket.extend(sequence.to_le_bytes());
            bucket.extend(header(0, LEAF, self.leaf.heads.len(), 0)?);
            self.leaf.write(&mut bucket)?;
        } else {
            bucket.extend(self.finish(pages)?.to_le_bytes());
            bucket.extend(sequence.to_le_bytes());
        }
        Ok(bucket)
    }
}

/// The branches on the way to a tree's last leaf, the root first, each with its children: their
/// first keys and pages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RightEdge {
    pub(super) branches: Vec<Vec<(Vec<u8>, u64)>>,
}

/// Bytes of elements that a page is filled with: what etcd asks bbolt for where keys are appended.
fn room(pages: &Pages<'_>) -> usize {
    pages.page_size as usize * 9 / 10 - PAGE_HEADER
}

/// The elements of one page.
#[derive(Debug, Default)]
struct Node {
    heads: Vec<Head>,
    /// Keys and values, packed.
    data: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    start: usize,
    key: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Entry { flags: u32, value: usize },
    Child(u64),
}

impl Node {
    fn size(&self) -> usize {
        self.heads.len() * ELEMENT + self.data.len()
    }

    fn push(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        let (start, length) = (self.data.len(), key.len());
        self.heads.push(Head {
            start,
            key: length,
            kind,
        });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    /// Takes the last child off.
    fn pop(&mut self) -> Option<(Vec<u8>, u64)> {
        let Head { start, kind, .. } = self.heads.pop()?;
        let key = self.data.split_off(start);
        match kind {
            Kind::Child(page) => Some((key, page)),
            Kind::Entry { .. } => None,
        }
    }

    fn first_key(&self) -> &[u8] {
        let end = self.heads.first().map_or(0, |head| head.key);
        &self.data[..end]
    }

    /// Itself without elements: its memory is used again.
    fn emptied(mut self) -> Self {
        self.heads.clear();
        self.data.clear();
        self
    }

    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let count = self.heads.len();
        for (index, head) in self.heads.iter().enumerate() {
            let place = narrow((count - index) * ELEMENT + head.start)?;
            let key = narrow(head.key)?;
            let words = match head.kind {
                Kind::Entry { flags, value } => [flags, place, key, narrow(value)?],
                Kind::Child(page) => {
                    let [low, high] = halves(page);
                    [place, key, low, high]
                }
            };
            for word in words {
                out.write_all(&word.to_le_bytes())?;
            }
        }
        out.write_all(&self.data)
    }
}

fn header(id: u64, flags: u16, count: usize, overflow: u32) -> io::Result<[u8; PAGE_HEADER]> {
    let count = u16::try_from(count).map_err(|_| too_large())?;
    let mut header = [0; PAGE_HEADER];
    header[..8].copy_from_slice(&id.to_le_bytes());
    header[8..10].copy_from_slice(&flags.to_le_bytes());
    header[10..12].copy_from_slice(&count.to_le_bytes());
    header[12..].copy_from_slice(&overflow.to_le_bytes());
    Ok(header)
}

/// The low and the high 32 bits.
fn halves(number: u64) -> [u32; 2] {
    let bytes = number.to_le_bytes();
    [u32_at(&bytes, 0), u32_at(&bytes, 4)]
}

/// A number in the 32 bits that the format has for it.
fn narrow<T: TryInto<u32>>(number: T) -> io::Result<u32> {
    number.try_into().map_err(|_| too_large())
}

fn too_large() -> io::Error {
    io::Error::other("a page would be larger than the format allows")
}
