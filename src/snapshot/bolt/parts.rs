//! Parts of a database that has been walked before, for one that is made of it: its buckets, the
//! entries of one of them, and where its last tree ends.

use super::elements::{Elements, Entry, UNBOUNDED};
use super::loader::RightEdge;
use super::walk::{MAX_DEPTH, Walk, empty_branch, too_deep, wrong_type};
use super::{BRANCH, Damage, Database, LEAF, u64_at};

/// A bucket, as a leaf holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: Vec<u8>,
    /// Its header, with the whole bucket where that is small.
    pub header: Vec<u8>,
}

impl Bucket {
    /// The page that its tree begins at; `None` where the bucket lies in its header.
    #[must_use]
    pub fn root(&self) -> Option<u64> {
        Some(u64_at(&self.header, 0)).filter(|root| *root != 0)
    }

    /// Its sequence number, which etcd does not use.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        u64_at(&self.header, 8)
    }
}

impl From<Entry<'_>> for Bucket {
    fn from(entry: Entry<'_>) -> Self {
        Bucket {
            name: entry.key.to_vec(),
            header: entry.value.to_vec(),
        }
    }
}

/// Is shown an entry: its key, its value, and whether that is a bucket.
pub type ShowEntry<'a> = dyn FnMut(&[u8], &[u8], bool) -> Result<(), Damage> + 'a;

impl Database<'_> {
    /// The number of the last transaction.
    #[must_use]
    pub fn txid(&self) -> u64 {
        self.meta.txid
    }

    /// The top-level buckets, in the order of their names.
    ///
    /// # Errors
    /// [`Damage`] where the file has changed since it was walked.
    pub fn buckets(&self) -> Result<Vec<Bucket>, Damage> {
        Walk::new(self)?.buckets()
    }

    /// Shows every entry of a bucket, in order.
    ///
    /// # Errors
    /// [`Damage`] where the file has changed since it was walked, or what `show` returns.
    pub fn entries(&self, bucket: &Bucket, show: &mut ShowEntry<'_>) -> Result<(), Damage> {
        let mut show = |entry: Entry<'_>| show(entry.key, entry.value, entry.is_bucket);
        Walk::new(self)?.entries_of(bucket, &mut show)
    }

    /// The branches on the way to the last leaf of the tree at page `root`; a leaf that is all there
    /// is of a tree counts as the only child of a branch, an empty one as nothing.
    ///
    /// # Errors
    /// [`Damage`] where the file has changed since it was walked.
    pub fn right_edge(&self, root: u64) -> Result<RightEdge, Damage> {
        let mut edge = RightEdge::default();
        let (mut id, mut bytes) = (root, Vec::new());
        for _ in 0..=MAX_DEPTH {
            let page = self.read_page(id, &mut bytes)?;
            let mut elements = Elements::new(page, &bytes, UNBOUNDED);
            match page.flags {
                LEAF => {
                    if let Some(first) = elements.entry()?
                        && edge.branches.is_empty()
                    {
                        edge.branches.push(vec![(first.key.to_vec(), root)]);
                    }
                    return Ok(edge);
                }
                BRANCH => {}
                _ => return Err(wrong_type(page)),
            }
            let mut children = Vec::new();
            while let Some(child) = elements.child()? {
                children.push((child.key.to_vec(), child.page));
            }
            (_, id) = *children.last().ok_or_else(|| empty_branch(page))?;
            edge.branches.push(children);
        }
        Err(too_deep(id))
    }
}
