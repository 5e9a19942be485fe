//! Builds databases for the tests, page by page, as bbolt's `node.go` and `bucket.go` lay them out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;

use super::{BRANCH, ELEMENT, FREELIST, LEAF, MAGIC, META, NO_FREELIST, PAGE_HEADER, VERSION};

/// The content of a database: its buckets and their entries.
pub(crate) type Buckets = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// How a database is laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Bytes per page.
    pub(crate) page_size: usize,
    /// Elements per page at most: small numbers make deep trees.
    pub(crate) fanout: usize,
    /// Whether small buckets lie inside the root's leaf, as bbolt puts them.
    pub(crate) inlines: bool,
    /// Whether the list of free pages is written, which etcd turns off.
    pub(crate) lists_free: bool,
}

impl Layout {
    /// What etcd does on most hosts.
    pub(crate) const ETCD: Layout = Layout {
        page_size: 4096,
        fanout: 1000,
        inlines: true,
        lists_free: false,
    };

    /// A database of exactly these buckets.
    pub(crate) fn build(self, buckets: &Buckets) -> Vec<u8> {
        let mut pages = Pages::new(self);
        let root: Vec<Element> = buckets
            .iter()
            .map(|(name, entries)| {
                let entries: Vec<Element> = entries
                    .iter()
                    .map(|(key, value)| Element::entry(key, value))
                    .collect();
                Element::bucket(name, &pages.bucket(&entries))
            })
            .collect();
        let root = pages.tree(root);
        pages.finish(root)
    }
}

/// An element of a leaf: an entry or a bucket.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) flags: u32,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Element {
    pub(super) fn entry(key: &[u8], value: &[u8]) -> Self {
        let (key, value) = (key.to_vec(), value.to_vec());
        Element {
            flags: 0,
            key,
            value,
        }
    }

    pub(super) fn bucket(name: &[u8], header: &[u8]) -> Self {
        Element {
            flags: 1,
            ..Element::entry(name, header)
        }
    }

    fn size(&self) -> usize {
        ELEMENT + self.key.len() + self.value.len()
    }
}

/// The pages written so far.
pub(super) struct Pages {
    layout: Layout,
    bytes: Vec<u8>,
    freelist: u64,
}

impl Pages {
    /// Two metas to be, and a free page full of rubbish; the list of free pages follows if there
    /// is one.
    pub(super) fn new(layout: Layout) -> Self {
        let mut bytes = vec![0; 2 * layout.page_size];
        bytes.resize(3 * layout.page_size, 0xAA);
        let mut pages = Pages {
            layout,
            bytes,
            freelist: NO_FREELIST,
        };
        if layout.lists_free {
            let list = 2u64.to_le_bytes();
            pages.freelist = pages.push(FREELIST, 1, &list);
        }
        pages
    }

    /// The number of the next page.
    pub(super) fn next(&self) -> u64 {
        (self.bytes.len() / self.layout.page_size) as u64
    }

    /// Writes a page, with as much overflow as its content needs.
    pub(super) fn push(&mut self, flags: u16, count: usize, content: &[u8]) -> u64 {
        let id = self.next();
        let pages = (PAGE_HEADER + content.len()).div_ceil(self.layout.page_size);
        self.bytes
            .extend(header(id, flags, count, u32::try_from(pages - 1).unwrap()));
        self.bytes.extend(content);
        let end = (usize::try_from(id).unwrap() + pages) * self.layout.page_size;
        self.bytes.resize(end, 0);
        id
    }

    /// Writes a tree and returns its root's page.
    pub(super) fn tree(&mut self, elements: Vec<Element>) -> u64 {
        if elements.is_empty() {
            return self.push(LEAF, 0, &[]);
        }
        let mut leaves: Vec<Vec<Element>> = Vec::new();
        let mut room = 0;
        for element in elements {
            let size = element.size();
            match leaves.last_mut() {
                Some(leaf) if leaf.len() < self.layout.fanout && size <= room => {
                    room -= size;
                    leaf.push(element);
                }
                _ => {
                    room = (self.layout.page_size - PAGE_HEADER).saturating_sub(size);
                    leaves.push(vec![element]);
                }
            }
        }
        let mut level: Vec<(Vec<u8>, u64)> = leaves
            .into_iter()
            .map(|leaf| {
                let first = leaf[0].key.clone();
                (first, self.push(LEAF, leaf.len(), &leaf_content(&leaf)))
            })
            .collect();
        while level.len() > 1 {
            level = level
                .chunks(self.layout.fanout.max(2))
                .map(|children| {
                    let id = self.push(BRANCH, children.len(), &branch_content(children));
                    (children[0].0.clone(), id)
                })
                .collect();
        }
        level[0].1
    }

    /// Writes a bucket, unless it is to lie inline, and returns its header.
    pub(super) fn bucket(&mut self, elements: &[Element]) -> Vec<u8> {
        let size: usize = PAGE_HEADER + elements.iter().map(Element::size).sum::<usize>();
        if self.layout.inlines && size <= self.layout.page_size / 4 {
            return inline(elements);
        }
        let root = self.tree(elements.to_vec());
        bucket_header(root)
    }

    /// The whole file: the pages, and two metas as a snapshot has them.
    pub(super) fn finish(mut self, root: u64) -> Vec<u8> {
        let high_water = self.next();
        for (number, txid) in [(0, 7u64), (1, 6)] {
            let page_size = u32::try_from(self.layout.page_size).unwrap();
            let mut page = header(number, META, 0, 0).to_vec();
            for word in [MAGIC, VERSION, page_size, 0] {
                page.extend(word.to_le_bytes());
            }
            for word in [root, 0, self.freelist, high_water, txid] {
                page.extend(word.to_le_bytes());
            }
            page.extend([0; 8]);
            let start = usize::try_from(number).unwrap() * self.layout.page_size;
            self.bytes[start..start + page.len()].copy_from_slice(&page);
        }
        seal_metas(&mut self.bytes, self.layout.page_size);
        self.bytes
    }
}

/// Makes the checksums of both metas right.
pub(super) fn seal_metas(bytes: &mut [u8], page_size: usize) {
    for meta in [PAGE_HEADER, page_size + PAGE_HEADER] {
        let checksum = super::fnv1a(&bytes[meta..meta + 56]);
        bytes[meta + 56..meta + 64].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The header of a bucket that has pages of its own.
pub(super) fn bucket_header(root: u64) -> Vec<u8> {
    let mut header = root.to_le_bytes().to_vec();
    header.extend([0; 8]);
    header
}

/// The header of a bucket that lies inside it.
pub(super) fn inline(elements: &[Element]) -> Vec<u8> {
    let mut value = bucket_header(0);
    value.extend(header(0, LEAF, elements.len(), 0));
    value.extend(leaf_content(elements));
    value
}

pub(super) fn header(id: u64, flags: u16, count: usize, overflow: u32) -> [u8; PAGE_HEADER] {
    let mut header = [0; PAGE_HEADER];
    header[..8].copy_from_slice(&id.to_le_bytes());
    header[8..10].copy_from_slice(&flags.to_le_bytes());
    header[10..12].copy_from_slice(&u16::try_from(count).unwrap().to_le_bytes());
    header[12..].copy_from_slice(&overflow.to_le_bytes());
    header
}

pub(super) fn leaf_content(elements: &[Element]) -> Vec<u8> {
    let mut data: Vec<u8> = Vec::new();
    let mut table: Vec<u8> = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let pos = (elements.len() - index) * ELEMENT + data.len();
        for word in [pos, element.key.len(), element.value.len()] {
            if table.len().is_multiple_of(ELEMENT) {
                table.extend(element.flags.to_le_bytes());
            }
            table.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        data.extend(&element.key);
        data.extend(&element.value);
    }
    table.extend(data);
    table
}

pub(super) fn branch_content(children: &[(Vec<u8>, u64)]) -> Vec<u8> {
    let mut data: Vec<u8> = Vec::new();
    let mut table: Vec<u8> = Vec::new();
    for (index, (key, page)) in children.iter().enumerate() {
        let pos = (children.len() - index) * ELEMENT + data.len();
        table.extend(u32::try_from(pos).unwrap().to_le_bytes());
        table.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
        table.extend(page.to_le_bytes());
        data.extend(key);
    }
    table.extend(data);
    table
}

/// The bytes as a file.
pub(crate) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}
