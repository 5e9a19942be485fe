//! The walk that meets every reachable page and entry of a database.
//!
//! It proves as it goes: each page carries its own number and a fitting type, is referenced once
//! (its overflow included) and lies below the high-water mark; keys ascend and stay inside the
//! bounds that the parent promised.

use super::{
    BRANCH, Damage, Database, ELEMENT, FREELIST, LEAF, NO_FREELIST, PAGE_HEADER, Page, u16_at,
    u32_at, u64_at,
};

const BUCKET_HEADER: usize = 16;
const BUCKET_FLAG: u32 = 0x01;
const MAX_KEY: usize = 32_768;
/// A tree of this depth would hold more pages than a `u64` can number.
const MAX_DEPTH: usize = 32;

/// Receives every bucket and its entries in key order; of the buckets `meta` comes first, because
/// what it says of compactions is needed to judge the others.
pub trait Visitor {
    /// A bucket begins.
    ///
    /// # Errors
    /// Whatever the visitor holds against it; it ends the walk.
    fn bucket(&mut self, name: &[u8]) -> Result<(), Damage>;
    /// An entry of the bucket that began last.
    ///
    /// # Errors
    /// Whatever the visitor holds against it; it ends the walk.
    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage>;
}

impl Database<'_> {
    /// Walks every reachable page and shows each bucket and entry to `visitor`.
    ///
    /// # Errors
    /// The first [`Damage`] that is met, in a page or by the visitor.
    pub fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Damage> {
        let mut walk = Walk {
            database: self,
            seen: PageSet::new(self.meta.high_water),
            leaf: Vec::new(),
        };
        walk.seen.insert(0, 1)?;
        walk.seen.insert(1, 1)?;
        if self.meta.freelist != NO_FREELIST {
            walk.freelist()?;
        }
        walk.root(visitor)
    }

    /// The last key of a top-level bucket, found by the right-most path alone: a quick look that
    /// proves nothing.
    ///
    /// # Errors
    /// [`Damage`] in one of the pages on that path.
    pub fn last_key(&self, bucket: &[u8]) -> Result<Option<Vec<u8>>, Damage> {
        let mut header = None;
        self.last_leaf(self.meta.root, &mut |name, value| {
            if name == bucket {
                header = Some(value.to_vec());
            }
        })?;
        let mut last = None;
        let root = header
            .as_deref()
            .and_then(|header| header.get(..8))
            .map_or(0, |head| u64_at(head, 0));
        if root != 0 {
            self.last_leaf(root, &mut |key, _| last = Some(key.to_vec()))?;
        } else if let Some(inline) = header
            .as_deref()
            .and_then(|header| header.get(BUCKET_HEADER..))
            && let Some(page) = inline_page(inline)
        {
            leaf_entries(page, inline, UNBOUNDED, &mut |key, _, _| {
                last = Some(key.to_vec());
                Ok(())
            })?;
        }
        Ok(last)
    }

    /// Shows the entries of the right-most leaf below page `id`.
    fn last_leaf(&self, mut id: u64, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Damage> {
        let mut bytes = Vec::new();
        for _ in 0..=MAX_DEPTH {
            let page = self.read_page(id, &mut bytes)?;
            if page.flags == LEAF {
                return leaf_entries(page, &bytes, UNBOUNDED, &mut |key, value, _| {
                    show(key, value);
                    Ok(())
                });
            }
            let last = page
                .count
                .checked_sub(1)
                .map(|index| PAGE_HEADER + index * ELEMENT);
            let head = last.and_then(|at| bytes.get(at..at + ELEMENT));
            id = head
                .map(|head| u64_at(head, 8))
                .ok_or_else(|| overrun(page, 0))?;
        }
        Err(Damage::Page(
            id,
            "lies too deep for a tree of this format".into(),
        ))
    }
}

/// The keys that a subtree may hold: at least `from`, below `to`.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    from: &'a [u8],
    to: Option<&'a [u8]>,
}

const UNBOUNDED: Bounds<'static> = Bounds {
    from: &[],
    to: None,
};

/// A page to visit, and what its parent knows of it.
#[derive(Clone, Copy)]
struct Node<'a> {
    id: u64,
    bounds: Bounds<'a>,
    /// Levels that may still lie below it.
    depth: usize,
    /// The page's bytes where they have been read already, else nothing.
    bytes: &'a [u8],
}

impl Node<'_> {
    fn root(id: u64) -> Self {
        Node {
            id,
            bounds: UNBOUNDED,
            depth: MAX_DEPTH,
            bytes: &[],
        }
    }
}

/// Pages that are read at once where they follow one another.
const RUN: u64 = 32;

/// One walk over a database.
struct Walk<'d, 'f> {
    database: &'d Database<'f>,
    seen: PageSet,
    /// The buffer that every leaf page is read into.
    leaf: Vec<u8>,
}

impl Walk<'_, '_> {
    /// The root bucket: its entries are the buckets.
    fn root(&mut self, visitor: &mut dyn Visitor) -> Result<(), Damage> {
        let mut buckets: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let root = self.database.meta.root;
        self.tree(Node::root(root), &mut |name, value, is_bucket| {
            if !is_bucket {
                return Err(Damage::Page(
                    root,
                    "the root holds an entry that is not a bucket".into(),
                ));
            }
            buckets.push((name.to_vec(), value.to_vec()));
            Ok(())
        })?;
        // a stable sort: the rest stays in order
        buckets.sort_by_key(|(name, _)| name != b"meta");
        for (name, header) in buckets {
            visitor.bucket(&name)?;
            self.bucket(&name, &header, MAX_DEPTH, Some(visitor))?;
        }
        Ok(())
    }

    /// One bucket's entries; buckets inside it are proven but, as in `snapshot status`, not shown.
    fn bucket(
        &mut self,
        name: &[u8],
        header: &[u8],
        depth: usize,
        mut visitor: Option<&mut dyn Visitor>,
    ) -> Result<(), Damage> {
        let broken = |message: &str| Damage::Entry {
            bucket: String::from_utf8_lossy(name).into_owned(),
            message: message.into(),
        };
        if depth == 0 {
            return Err(broken("buckets are nested too deeply"));
        }
        let (root, inline) = header
            .split_at_checked(BUCKET_HEADER)
            .map(|(head, inline)| (u64_at(head, 0), inline))
            .ok_or_else(|| broken("its header is too short"))?;
        let mut nested: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut show = |key: &[u8], value: &[u8], is_bucket: bool| {
            if is_bucket {
                nested.push((key.to_vec(), value.to_vec()));
            }
            match visitor.as_deref_mut() {
                Some(visitor) => visitor.entry(key, if is_bucket { &[] } else { value }),
                None => Ok(()),
            }
        };
        if root == 0 {
            let page =
                inline_page(inline).ok_or_else(|| broken("its inline page is not a leaf"))?;
            leaf_entries(page, inline, UNBOUNDED, &mut show)?;
        } else {
            self.tree(Node::root(root), &mut show)?;
        }
        for (name, header) in nested {
            self.bucket(&name, &header, depth - 1, None)?;
        }
        Ok(())
    }

    /// The subtree below a page.
    fn tree(&mut self, node: Node<'_>, show: &mut Show<'_>) -> Result<(), Damage> {
        let Node { id, depth, .. } = node;
        let mut buffer = std::mem::take(&mut self.leaf);
        let read = match node.bytes {
            [] => None,
            bytes => Some((self.database.header(id, bytes)?, bytes)),
        };
        let (page, bytes) = match read {
            Some((page, bytes)) if page.pages == 1 => (page, bytes),
            _ => (self.database.read_page(id, &mut buffer)?, &buffer[..]),
        };
        self.seen.insert(id, page.pages)?;
        match page.flags {
            LEAF if page.count == 0 && depth < MAX_DEPTH => {
                return Err(Damage::Page(id, "is an empty leaf".into()));
            }
            LEAF => leaf_entries(page, bytes, node.bounds, show)?,
            BRANCH if depth == 0 => {
                let message = "lies too deep for a tree of this format";
                return Err(Damage::Page(id, message.into()));
            }
            BRANCH => return self.branch(page, Node { bytes, ..node }, show),
            flags => {
                let message = format!("is neither a branch nor a leaf (flags {flags:#x})");
                return Err(Damage::Page(id, message));
            }
        }
        self.leaf = buffer;
        Ok(())
    }

    /// A branch page's children, each held to the bounds that its neighbours' keys give.
    fn branch(&mut self, page: Page, node: Node<'_>, show: &mut Show<'_>) -> Result<(), Damage> {
        let children = Children {
            page,
            bytes: node.bytes,
        };
        if page.count == 0 {
            return Err(Damage::Page(page.id, "is an empty branch".into()));
        }
        let mut order = Order::new(node.bounds);
        // the pages from `run.0` on that have been read ahead
        let (mut run, mut ahead) = (0..0, Vec::new());
        for index in 0..page.count {
            let (key, id) = children.get(index)?;
            order.next(page, index, key)?;
            if !run.contains(&id) {
                run = id..id.saturating_add(children.run(index));
                self.database.read_run(id, run.end - id, &mut ahead)?;
            }
            let size = self.database.page_size() as usize;
            let at = usize::try_from(id - run.start)
                .unwrap_or(usize::MAX)
                .saturating_mul(size);
            let to = if index + 1 < page.count {
                Some(children.get(index + 1)?.0)
            } else {
                node.bounds.to
            };
            let child = Node {
                id,
                bounds: Bounds { from: key, to },
                depth: node.depth - 1,
                bytes: ahead.get(at..at.saturating_add(size)).unwrap_or_default(),
            };
            self.tree(child, show)?;
        }
        Ok(())
    }

    /// A persisted list of free pages: each below the high-water mark, none also in use.
    fn freelist(&mut self) -> Result<(), Damage> {
        let id = self.database.meta.freelist;
        let mut bytes = Vec::new();
        let page = self.database.read_page(id, &mut bytes)?;
        if page.flags != FREELIST {
            return Err(Damage::Page(
                id,
                format!("is not the list of free pages (flags {:#x})", page.flags),
            ));
        }
        self.seen.insert(id, page.pages)?;
        let (mut ids, mut left) = (bytes[PAGE_HEADER..].chunks_exact(8), page.count as u64);
        if page.count == 0xFFFF {
            left = ids.next().map_or(0, |count| u64_at(count, 0));
        }
        while left > 0 {
            let free = ids
                .next()
                .ok_or_else(|| Damage::Page(id, "its list of free pages is cut".into()))?;
            self.seen.insert(u64_at(free, 0), 1)?;
            left -= 1;
        }
        Ok(())
    }
}

/// The elements of a branch page.
struct Children<'a> {
    page: Page,
    bytes: &'a [u8],
}

impl<'a> Children<'a> {
    /// A child's smallest key and its page.
    fn get(&self, index: usize) -> Result<(&'a [u8], u64), Damage> {
        let at = PAGE_HEADER + index * ELEMENT;
        let head = self.bytes.get(at..at + ELEMENT);
        let head = head.ok_or_else(|| overrun(self.page, index))?;
        let key = (at, u32_at(head, 0), u32_at(head, 4));
        Ok((slice(self.page, self.bytes, index, key)?, u64_at(head, 8)))
    }

    /// How many children from this one on lie on pages that follow one another.
    fn run(&self, index: usize) -> u64 {
        let Ok((_, first)) = self.get(index) else {
            return 1;
        };
        let follows = |step: &u64| {
            let next = usize::try_from(*step)
                .ok()
                .and_then(|step| self.get(index + step).ok());
            next.is_some_and(|(_, id)| Some(id) == first.checked_add(*step))
        };
        let left = (self.page.count - index) as u64;
        1 + (1..left.min(RUN)).take_while(follows).count() as u64
    }
}

/// Is shown each entry of a tree: key, value, and whether the value is a bucket.
type Show<'a> = dyn FnMut(&[u8], &[u8], bool) -> Result<(), Damage> + 'a;

/// Shows each entry of a leaf page.
fn leaf_entries(
    page: Page,
    bytes: &[u8],
    bounds: Bounds<'_>,
    show: &mut Show<'_>,
) -> Result<(), Damage> {
    let mut order = Order::new(bounds);
    for index in 0..page.count {
        let at = PAGE_HEADER + index * ELEMENT;
        let head = bytes
            .get(at..at + ELEMENT)
            .ok_or_else(|| overrun(page, index))?;
        let (pos, key_size, value_size) = (u32_at(head, 4), u32_at(head, 8), u32_at(head, 12));
        let key = slice(page, bytes, index, (at, pos, key_size))?;
        let value_pos = pos
            .checked_add(key_size)
            .ok_or_else(|| overrun(page, index))?;
        let value = slice(page, bytes, index, (at, value_pos, value_size))?;
        order.next(page, index, key)?;
        show(key, value, u32_at(head, 0) & BUCKET_FLAG != 0)?;
    }
    Ok(())
}

/// The `size` bytes that begin `pos` after the element at `at`.
fn slice(
    page: Page,
    bytes: &[u8],
    index: usize,
    (at, pos, size): (usize, u32, u32),
) -> Result<&[u8], Damage> {
    let start = at.checked_add(pos as usize);
    start
        .and_then(|start| Some(start..start.checked_add(size as usize)?))
        .and_then(|range| bytes.get(range))
        .ok_or_else(|| overrun(page, index))
}

fn overrun(page: Page, index: usize) -> Damage {
    Damage::Page(
        page.id,
        format!("its element {index} reaches beyond the page"),
    )
}

/// Holds the keys of one page to the order that the format promises.
struct Order<'a> {
    bounds: Bounds<'a>,
    last: Option<&'a [u8]>,
}

impl<'a> Order<'a> {
    fn new(bounds: Bounds<'a>) -> Self {
        Order { bounds, last: None }
    }

    fn next(&mut self, page: Page, index: usize, key: &'a [u8]) -> Result<(), Damage> {
        let wrong = |what: &str| {
            Err(Damage::Page(
                page.id,
                format!("the key of element {index} {what}"),
            ))
        };
        if key.len() > MAX_KEY || (key.is_empty() && page.flags != BRANCH) {
            return wrong("has a length that the format does not allow");
        }
        if self.last.is_some_and(|last| key <= last) {
            return wrong("is not above the one before it");
        }
        if key < self.bounds.from {
            return wrong("is below what the parent page promises");
        }
        if self.bounds.to.is_some_and(|to| key >= to) {
            return wrong("is not below the parent page's next key");
        }
        self.last = Some(key);
        Ok(())
    }
}

/// The pages met so far, a bit each.
struct PageSet {
    bits: Vec<u64>,
    pages: u64,
}

impl PageSet {
    /// For `pages` pages, which the caller knows to be in the file.
    fn new(pages: u64) -> Self {
        PageSet {
            bits: vec![0; usize::try_from(pages.div_ceil(64)).unwrap_or(0)],
            pages,
        }
    }

    /// Marks `count` pages from `first` on; a page met twice is damage.
    fn insert(&mut self, first: u64, count: u64) -> Result<(), Damage> {
        for page in first..first.saturating_add(count) {
            let word = usize::try_from(page / 64)
                .ok()
                .and_then(|at| self.bits.get_mut(at));
            let (Some(word), true) = (word, page < self.pages) else {
                return Err(Damage::Page(page, "lies beyond the high-water mark".into()));
            };
            let bit = 1 << (page % 64);
            if *word & bit != 0 {
                return Err(Damage::Page(page, "is referenced twice".into()));
            }
            *word |= bit;
        }
        Ok(())
    }
}

/// The image of a leaf page that lies inside a bucket's value.
fn inline_page(bytes: &[u8]) -> Option<Page> {
    let head = bytes.get(..PAGE_HEADER)?;
    let page = Page {
        id: u64_at(head, 0),
        flags: u16_at(head, 8),
        count: usize::from(u16_at(head, 10)),
        pages: 0,
    };
    (page.flags == LEAF).then_some(page)
}
