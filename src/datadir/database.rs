//! The new member's database, in one of two layouts.
//!
//! A copy keeps every page of the snapshot where it is and appends what changes, as a transaction of
//! bbolt would: the bulk stays the bytes that the snapshot's SHA-256 has proven. A compact one is
//! written anew, densely, in order and without the pages that are free.

use std::fs::File;
use std::io;

use super::contents::{Change, Contents, Entry};
use super::{Error, Layout, Progress, Step, bulk};
use crate::snapshot::bolt::{Bucket, Damage, Database, Pages, Tree};
use crate::snapshot::{Verified, sums};

/// Writes the database of `contents` to `file`, which is empty; its bytes.
pub(super) fn write(
    source: &Verified,
    contents: &Contents,
    layout: Layout,
    file: &File,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, Failure> {
    let database = source.database().map_err(Failure::Source)?;
    let pages = match layout {
        Layout::Copy => {
            bulk::copy(source.file(), file, source.length(), progress)?;
            Pages::behind(&database, file)?
        }
        Layout::Compact => Pages::new(file, database.page_size())?,
    };
    let mut writer = Writer {
        database: &database,
        layout,
        pages,
        total: source.length(),
        progress,
    };
    let mut root = Tree::default();
    for name in contents.sums.keys() {
        let change = contents.changes.get(name);
        let header = match (change, contents.buckets.get(name)) {
            (Some(Change::Replace(entries)), _) => writer.replace(entries)?,
            (Some(Change::Append(entry)), Some(bucket)) => writer.append(bucket, entry)?,
            (_, Some(bucket)) => writer.keep(bucket)?,
            // a bucket that is new has been given its entries
            (_, None) => writer.replace(&[])?,
        };
        root.push_bucket(&mut writer.pages, name, &header)?;
    }
    let root = root.finish(&mut writer.pages)?;
    Ok(writer.pages.finish(root, database.txid())?)
}

/// Why a database was not written.
pub(super) enum Failure {
    /// The source.
    Source(Damage),
    /// The file.
    File(io::Error),
    /// A bucket with buckets in it.
    Nested(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::File(error)
    }
}

struct Writer<'w, 'd, 'f> {
    database: &'w Database<'d>,
    layout: Layout,
    pages: Pages<'f>,
    total: u64,
    progress: &'w mut dyn FnMut(Progress),
}

impl Writer<'_, '_, '_> {
    /// A bucket of these entries; its header.
    fn replace(&mut self, entries: &[Entry]) -> Result<Vec<u8>, Failure> {
        let mut tree = Tree::default();
        for (key, value) in entries {
            tree.push(&mut self.pages, key, value)?;
        }
        Ok(tree.finish_bucket(&mut self.pages, 0)?)
    }

    /// A bucket as it is.
    fn keep(&mut self, bucket: &Bucket) -> Result<Vec<u8>, Failure> {
        match self.layout {
            Layout::Copy => Ok(bucket.header.clone()),
            Layout::Compact => self.rewrite(bucket, None),
        }
    }

    /// A bucket with one more entry.
    fn append(&mut self, bucket: &Bucket, entry: &Entry) -> Result<Vec<u8>, Failure> {
        let (Layout::Copy, Some(root)) = (self.layout, bucket.root()) else {
            return self.rewrite(bucket, Some(entry));
        };
        let edge = self.database.right_edge(root).map_err(Failure::Source)?;
        let mut tree = Tree::resume(&mut self.pages, &edge)?;
        let (key, value) = entry;
        tree.push(&mut self.pages, key, value)?;
        Ok(tree.finish_bucket(&mut self.pages, bucket.sequence())?)
    }

    fn rewrite(&mut self, bucket: &Bucket, entry: Option<&Entry>) -> Result<Vec<u8>, Failure> {
        let mut tree = Tree::default();
        let mut failure = None;
        let Writer {
            pages,
            progress,
            total,
            ..
        } = self;
        let mut push = |key: &[u8], value: &[u8], is_bucket| {
            if is_bucket {
                let name = String::from_utf8_lossy(&bucket.name).into_owned();
                return Err(Failure::Nested(name));
            }
            let before = pages.size();
            tree.push(pages, key, value)?;
            if pages.size() / bulk::CHUNK != before / bulk::CHUNK {
                progress(Progress {
                    step: Step::Write,
                    done: pages.size().min(*total),
                    total: *total,
                });
            }
            Ok(())
        };
        let walked = self.database.entries(bucket, &mut |key, value, is_bucket| {
            push(key, value, is_bucket).map_err(|why| {
                failure = Some(why);
                // ends the walk; what it says is not seen
                Damage::Read(io::ErrorKind::Interrupted.into())
            })
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        walked.map_err(Failure::Source)?;
        if let Some((key, value)) = entry {
            tree.push(&mut self.pages, key, value)?;
        }
        Ok(tree.finish_bucket(&mut self.pages, bucket.sequence())?)
    }
}

/// Proves what has been written: each page, and that each bucket's sum is the one it must have.
pub(super) fn prove(contents: &Contents, file: &File, size: u64) -> Result<(), Error> {
    let found = Database::open(file, size).and_then(|database| sums(&database));
    let found = found.map_err(Error::Written)?;
    for (name, expected) in &contents.sums {
        let found = found.get(name);
        if found != Some(expected) {
            let name = String::from_utf8_lossy(name);
            return Err(Error::Differs(format!(
                "in the bucket \"{name}\" {expected:?} was written, {found:?} is there"
            )));
        }
    }
    if found.len() == contents.sums.len() {
        Ok(())
    } else {
        Err(Error::Differs("it has more buckets".into()))
    }
}
