//! The elements of a page: keys, and the values or children that belong to them.
//!
//! bbolt packs them in order behind the table that names them (`node.go`). A file that lets two of
//! them share bytes could make a reader work through the same bytes again and again, so the order
//! is held here, with that of the keys.

use std::ops::Range;

use super::{Damage, ELEMENT, LEAF, PAGE_HEADER, Page, u16_at, u32_at, u64_at};

pub(super) const BUCKET_FLAG: u32 = 0x01;
const MAX_KEY: usize = 32_768;

/// The keys that a subtree may hold: at least `from`, below `to`.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) from: &'a [u8],
    pub(super) to: Option<&'a [u8]>,
}

/// Any key.
pub(super) const UNBOUNDED: Bounds<'static> = Bounds {
    from: &[],
    to: None,
};

/// One entry of a leaf.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// Whether the value is a bucket.
    pub(super) is_bucket: bool,
}

/// One child of a branch.
#[derive(Clone, Copy)]
pub(super) struct Child<'a> {
    /// The least key that the child may hold.
    pub(super) key: &'a [u8],
    pub(super) page: u64,
}

/// Reads the elements of one page in their order, and holds them to it.
pub(super) struct Elements<'a> {
    page: Page,
    bytes: &'a [u8],
    bounds: Bounds<'a>,
    index: usize,
    /// Where the bytes that no element has taken yet begin.
    unused: usize,
    last: Option<&'a [u8]>,
}

impl<'a> Elements<'a> {
    pub(super) fn new(page: Page, bytes: &'a [u8], bounds: Bounds<'a>) -> Self {
        Elements {
            page,
            bytes,
            bounds,
            index: 0,
            unused: PAGE_HEADER + page.count * ELEMENT,
            last: None,
        }
    }

    /// The next entry, on a leaf.
    pub(super) fn entry(&mut self) -> Result<Option<Entry<'a>>, Damage> {
        let Some((at, head)) = self.head()? else {
            return Ok(None);
        };
        let start = at.saturating_add(u32_at(head, 4) as usize);
        let (key, end) = self.take(start, u32_at(head, 8))?;
        let (value, end) = self.take(end, u32_at(head, 12))?;
        if key.is_empty() {
            return Err(self.wrong_key("is empty"));
        }
        self.advance(key, start..end)?;
        Ok(Some(Entry {
            key,
            value,
            is_bucket: u32_at(head, 0) & BUCKET_FLAG != 0,
        }))
    }

    /// The next child, on a branch.
    pub(super) fn child(&mut self) -> Result<Option<Child<'a>>, Damage> {
        let Some((at, head)) = self.head()? else {
            return Ok(None);
        };
        let start = at.saturating_add(u32_at(head, 0) as usize);
        let (key, end) = self.take(start, u32_at(head, 4))?;
        self.advance(key, start..end)?;
        Ok(Some(Child {
            key,
            page: u64_at(head, 8),
        }))
    }

    /// Where the next element's head lies, and the head.
    fn head(&self) -> Result<Option<(usize, &'a [u8])>, Damage> {
        if self.index == self.page.count {
            return Ok(None);
        }
        let at = PAGE_HEADER + self.index * ELEMENT;
        let head = self.bytes.get(at..at + ELEMENT);
        head.map(|head| Some((at, head)))
            .ok_or_else(|| self.overrun())
    }

    /// The `size` bytes from `start` on, and where they end.
    fn take(&self, start: usize, size: u32) -> Result<(&'a [u8], usize), Damage> {
        let end = start.saturating_add(size as usize);
        let taken = self.bytes.get(start..end).ok_or_else(|| self.overrun())?;
        Ok((taken, end))
    }

    /// Goes on to the next element, if this one, which fills `range`, keeps the order.
    fn advance(&mut self, key: &'a [u8], range: Range<usize>) -> Result<(), Damage> {
        if range.start < self.unused {
            let message = format!("its element {} lies over another", self.index);
            return Err(Damage::Page(self.page.id, message));
        }
        if key.len() > MAX_KEY {
            return Err(self.wrong_key("is longer than the format allows"));
        }
        if self.last.is_some_and(|last| key <= last) {
            return Err(self.wrong_key("is not above the one before it"));
        }
        if key < self.bounds.from {
            return Err(self.wrong_key("is below what the parent page promises"));
        }
        if self.bounds.to.is_some_and(|to| key >= to) {
            return Err(self.wrong_key("is not below the parent page's next key"));
        }
        (self.last, self.unused) = (Some(key), range.end);
        self.index += 1;
        Ok(())
    }

    fn wrong_key(&self, what: &str) -> Damage {
        let message = format!("the key of element {} {what}", self.index);
        Damage::Page(self.page.id, message)
    }

    fn overrun(&self) -> Damage {
        let message = format!("its element {} reaches beyond the page", self.index);
        Damage::Page(self.page.id, message)
    }
}

/// The image of a leaf page that lies inside a bucket's value.
pub(super) fn inline_page(bytes: &[u8]) -> Option<Page> {
    let head = bytes.get(..PAGE_HEADER)?;
    let page = Page {
        id: u64_at(head, 0),
        flags: u16_at(head, 8),
        count: usize::from(u16_at(head, 10)),
        pages: 0,
    };
    (page.flags == LEAF).then_some(page)
}
