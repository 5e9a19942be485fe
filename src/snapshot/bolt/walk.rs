//! The walk that meets every reachable page and entry of a database.
//!
//! It proves as it goes: each page carries its own number and a fitting type, is referenced once
//! (its overflow included) and lies below the high-water mark; keys ascend and stay inside the
//! bounds that the parent promised.

use super::elements::{Bounds, Child, Elements, Entry, UNBOUNDED, inline_page};
use super::parts::Bucket;
use super::{BRANCH, Damage, Database, FREELIST, LEAF, NO_FREELIST, PAGE_HEADER, Page, u64_at};

const BUCKET_HEADER: usize = 16;
/// A tree of this depth would hold more pages than a `u64` can number.
pub(super) const MAX_DEPTH: usize = 32;

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
        let mut walk = Walk::new(self)?;
        if self.meta.freelist != NO_FREELIST {
            walk.freelist()?;
        }
        walk.root(visitor)
    }

    /// Shows the entries of a top-level bucket's last leaf, found on the path to it alone: a quick
    /// look that proves nothing.
    ///
    /// # Errors
    /// [`Damage`] in one of the pages on that path.
    pub fn last_entries(
        &self,
        bucket: &[u8],
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Damage> {
        let mut header = None;
        self.leaf(self.meta.root, Some(bucket), &mut |entry| {
            if entry.key == bucket {
                header = Some(entry.value.to_vec());
            }
            Ok(())
        })?;
        let mut show = |entry: Entry<'_>| {
            show(entry.key, entry.value);
            Ok(())
        };
        let root = header
            .as_deref()
            .and_then(|header| header.get(..8))
            .map_or(0, |head| u64_at(head, 0));
        if root != 0 {
            self.leaf(root, None, &mut show)?;
        } else if let Some(inline) = header
            .as_deref()
            .and_then(|header| header.get(BUCKET_HEADER..))
            && let Some(page) = inline_page(inline)
        {
            entries(page, inline, UNBOUNDED, &mut show)?;
        }
        Ok(())
    }

    /// Shows the entries of one leaf below page `id`: that where `key` belongs, or the last.
    fn leaf(&self, mut id: u64, key: Option<&[u8]>, show: &mut Show<'_>) -> Result<(), Damage> {
        let mut bytes = Vec::new();
        for _ in 0..=MAX_DEPTH {
            let page = self.read_page(id, &mut bytes)?;
            match page.flags {
                LEAF => return entries(page, &bytes, UNBOUNDED, show),
                BRANCH => {}
                _ => return Err(wrong_type(page)),
            }
            let mut elements = Elements::new(page, &bytes, UNBOUNDED);
            let mut chosen = None;
            while let Some(child) = elements.child()? {
                if chosen.is_none() || key.is_none_or(|key| child.key <= key) {
                    chosen = Some(child.page);
                }
            }
            id = chosen.ok_or_else(|| empty_branch(page))?;
        }
        Err(too_deep(id))
    }
}

/// A page to visit, and what its parent knows of it.
#[derive(Clone, Copy)]
struct Node<'a> {
    id: u64,
    bounds: Bounds<'a>,
    /// Levels that may still lie below it.
    depth: usize,
    /// What has been read already, from the page on; may be nothing, or end within the page.
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

/// Bytes that are read at once where children lie close together.
const RUN: u64 = 256 << 10;

/// How many pages to read at once from the first of these children on: none where too few of them
/// lie there to be worth it. The pages between them are most often their overflow.
fn run(children: &[Child<'_>], page_size: u64) -> u64 {
    let pages = RUN / page_size;
    let first = children.first().map_or(0, |child| child.page);
    let is_near = |child: &&Child<'_>| {
        let distance = child.page.checked_sub(first);
        distance.is_some_and(|distance| distance < pages)
    };
    let near = children.iter().take_while(is_near).count() as u64;
    if near > 1 && near * 8 >= pages {
        pages
    } else {
        0
    }
}

/// One walk over a database.
pub(super) struct Walk<'d, 'f> {
    database: &'d Database<'f>,
    seen: PageSet,
    /// The buffer that every leaf page is read into.
    leaf: Vec<u8>,
}

impl<'d, 'f> Walk<'d, 'f> {
    /// One that has met the two metas.
    pub(super) fn new(database: &'d Database<'f>) -> Result<Self, Damage> {
        let mut seen = PageSet::new(database.meta.high_water);
        seen.insert(0, 2)?;
        Ok(Walk {
            database,
            seen,
            leaf: Vec::new(),
        })
    }

    /// Every bucket, `meta` first.
    fn root(&mut self, visitor: &mut dyn Visitor) -> Result<(), Damage> {
        let mut buckets = self.buckets()?;
        // a stable sort: the rest stays in order
        buckets.sort_by_key(|bucket| bucket.name != b"meta");
        for bucket in buckets {
            visitor.bucket(&bucket.name)?;
            self.bucket(&bucket, MAX_DEPTH, Some(visitor))?;
        }
        Ok(())
    }

    /// The entries of the root bucket.
    pub(super) fn buckets(&mut self) -> Result<Vec<Bucket>, Damage> {
        let mut buckets = Vec::new();
        let root = self.database.meta.root;
        self.tree(Node::root(root), &mut |entry| {
            if !entry.is_bucket {
                return Err(Damage::Page(
                    root,
                    "the root holds an entry that is not a bucket".into(),
                ));
            }
            buckets.push(Bucket::from(entry));
            Ok(())
        })?;
        Ok(buckets)
    }

    /// One bucket's entries; buckets inside it are proven but, as in `snapshot status`, not shown.
    fn bucket(
        &mut self,
        bucket: &Bucket,
        depth: usize,
        mut visitor: Option<&mut dyn Visitor>,
    ) -> Result<(), Damage> {
        if depth == 0 {
            return Err(broken(bucket, "buckets are nested too deeply"));
        }
        let mut nested = Vec::new();
        let mut show = |entry: Entry<'_>| {
            let mut value = entry.value;
            if entry.is_bucket {
                nested.push(Bucket::from(entry));
                value = &[];
            }
            match visitor.as_deref_mut() {
                Some(visitor) => visitor.entry(entry.key, value),
                None => Ok(()),
            }
        };
        self.entries_of(bucket, &mut show)?;
        for bucket in nested {
            self.bucket(&bucket, depth - 1, None)?;
        }
        Ok(())
    }

    /// The entries of a bucket, which lie in its header or in a tree.
    pub(super) fn entries_of(
        &mut self,
        bucket: &Bucket,
        show: &mut Show<'_>,
    ) -> Result<(), Damage> {
        let (root, inline) = bucket
            .header
            .split_at_checked(BUCKET_HEADER)
            .map(|(head, inline)| (u64_at(head, 0), inline))
            .ok_or_else(|| broken(bucket, "its header is too short"))?;
        if root != 0 {
            return self.tree(Node::root(root), show);
        }
        let page =
            inline_page(inline).ok_or_else(|| broken(bucket, "its inline page is not a leaf"))?;
        entries(page, inline, UNBOUNDED, show)
    }

    /// The subtree below a page.
    fn tree(&mut self, node: Node<'_>, show: &mut Show<'_>) -> Result<(), Damage> {
        let Node { id, depth, .. } = node;
        let mut buffer = std::mem::take(&mut self.leaf);
        let read = match node.bytes {
            [] => None,
            bytes => Some((self.database.header(id, bytes)?, bytes)),
        };
        let size = u64::from(self.database.page_size());
        let whole = read.and_then(|(page, bytes): (Page, &[u8])| {
            let length = usize::try_from(page.pages.checked_mul(size)?).ok()?;
            Some((page, bytes.get(..length)?))
        });
        let (page, bytes) = match whole {
            Some(whole) => whole,
            None => (self.database.read_page(id, &mut buffer)?, &buffer[..]),
        };
        self.seen.insert(id, page.pages)?;
        match page.flags {
            LEAF if page.count == 0 && depth < MAX_DEPTH => {
                return Err(Damage::Page(id, "is an empty leaf".into()));
            }
            LEAF => entries(page, bytes, node.bounds, show)?,
            BRANCH if depth == 0 => return Err(too_deep(id)),
            BRANCH => return self.branch(page, Node { bytes, ..node }, show),
            _ => return Err(wrong_type(page)),
        }
        self.leaf = buffer;
        Ok(())
    }

    /// A branch page's children, each held to the bounds that its neighbours' keys give.
    fn branch(&mut self, page: Page, node: Node<'_>, show: &mut Show<'_>) -> Result<(), Damage> {
        let mut elements = Elements::new(page, node.bytes, node.bounds);
        let mut children = Vec::new();
        while let Some(child) = elements.child()? {
            children.push(child);
        }
        if children.is_empty() {
            return Err(empty_branch(page));
        }
        let size = self.database.page_size() as usize;
        let (mut first, mut ahead) = (0, Vec::new());
        for (index, Child { key, page: id }) in children.iter().enumerate() {
            let mut place = id
                .checked_sub(first)
                .and_then(|pages| usize::try_from(pages).ok());
            if place.is_none_or(|place| place >= ahead.len() / size) {
                (first, place) = (*id, Some(0));
                let pages = run(&children[index..], size as u64);
                self.database.read_run(first, pages, &mut ahead)?;
            }
            let at = place.unwrap_or(0) * size;
            let to = children.get(index + 1).map(|next| next.key);
            let child = Node {
                id: *id,
                bounds: Bounds {
                    from: key,
                    to: to.or(node.bounds.to),
                },
                depth: node.depth - 1,
                bytes: ahead.get(at..).unwrap_or_default(),
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

/// Is shown each entry of a tree.
type Show<'a> = dyn FnMut(Entry<'_>) -> Result<(), Damage> + 'a;

/// Shows each entry of a leaf page.
fn entries(
    page: Page,
    bytes: &[u8],
    bounds: Bounds<'_>,
    show: &mut Show<'_>,
) -> Result<(), Damage> {
    let mut elements = Elements::new(page, bytes, bounds);
    while let Some(entry) = elements.entry()? {
        show(entry)?;
    }
    Ok(())
}

fn broken(bucket: &Bucket, message: &str) -> Damage {
    Damage::Entry {
        bucket: String::from_utf8_lossy(&bucket.name).into_owned(),
        message: message.into(),
    }
}

pub(super) fn wrong_type(page: Page) -> Damage {
    let message = format!("is neither a branch nor a leaf (flags {:#x})", page.flags);
    Damage::Page(page.id, message)
}

pub(super) fn empty_branch(page: Page) -> Damage {
    Damage::Page(page.id, "is an empty branch".into())
}

pub(super) fn too_deep(id: u64) -> Damage {
    Damage::Page(id, "lies too deep for a tree of this format".into())
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
        let beyond = |page| Damage::Page(page, "lies beyond the high-water mark".into());
        if first >= self.pages || count > self.pages - first {
            return Err(beyond(first.max(self.pages)));
        }
        for page in first..first + count {
            let place = usize::try_from(page / 64).ok();
            let word = place.and_then(|place| self.bits.get_mut(place));
            let word = word.ok_or_else(|| beyond(page))?;
            let bit = 1 << (page % 64);
            if *word & bit != 0 {
                return Err(Damage::Page(page, "is referenced twice".into()));
            }
            *word |= bit;
        }
        Ok(())
    }
}
