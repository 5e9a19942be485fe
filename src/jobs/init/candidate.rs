//! Files that may be there, and what is told of them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::shown;
use crate::error::Error;

/// A certificate and its key.
pub(super) type Pair = (PathBuf, PathBuf);

/// The pair of that name.
pub(super) fn in_directory(directory: &Path, stem: &str) -> Pair {
    (
        directory.join(format!("{stem}.crt")),
        directory.join(format!("{stem}.key")),
    )
}

/// A path as TOML text; those of a manifest are text, and the operator's own was checked.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn listed<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> String {
    let paths: Vec<String> = paths.map(|path| text(path)).collect();
    unique(paths.iter()).join(", ")
}

/// Each text once, where it stands first, as it is shown.
pub(super) fn unique<'t>(texts: impl Iterator<Item = &'t String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let first = texts.filter(|text| seen.insert(*text));
    first.map(|text| shown(text.as_str())).collect()
}

/// The first for which that is so.
pub(super) fn first<T>(
    candidates: Vec<T>,
    is_so: impl Fn(&T) -> Result<bool, Error>,
) -> Result<Option<T>, Error> {
    for candidate in candidates {
        if is_so(&candidate)? {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Whether there is a file. Where that cannot be seen, nothing is known, and another file would be
/// taken than root would take.
pub(super) fn is_file(path: &Path) -> Result<bool, Error> {
    match fs::metadata(path) {
        Ok(there) => Ok(there.is_file()),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => Err(Error::Read {
            path: path.into(),
            source,
        }),
        Err(_) => Ok(false),
    }
}
