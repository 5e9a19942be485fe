//! Where a data directory and its log are to be.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::Error;
use super::place::{Place, failed};
use super::staging::unfinished_part_of;

/// The places of a data directory and its log: each is empty, or not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub(super) data: Place,
    pub(super) log: Log,
}

/// Where the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Log {
    /// In the data directory, by this path in it.
    Inside(PathBuf),
    /// In a directory of its own.
    Apart(Place),
}

impl Site {
    /// Looks at the places; symbolic links to directories are followed.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::MountPoint`], [`Error::NotEmpty`], [`Error::LogPlace`],
    /// [`Error::UnfinishedLog`], or [`Error::Io`] where something cannot be looked at.
    pub fn look(data_dir: &Path, wal_dir: Option<&Path>) -> Result<Self, Error> {
        let data = Place::look(data_dir)?;
        let log = match wal_dir {
            Some(wal_dir) => Log::look(wal_dir, &data.path)?,
            None => Log::Inside("member/wal".into()),
        };
        Ok(Site { data, log })
    }

    /// The data directory, by its absolute path.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data.path
    }

    /// Makes sure that nothing would be put into the data directory of another etcd, running or not.
    ///
    /// # Errors
    /// [`Error::InData`].
    pub fn require_apart(&self) -> Result<(), Error> {
        self.data.require_apart()?;
        match &self.log {
            Log::Inside(_) => Ok(()),
            Log::Apart(place) => place.require_apart(),
        }
    }
}

impl Log {
    fn look(wal_dir: &Path, data_dir: &Path) -> Result<Self, Error> {
        let path = resolved(wal_dir)?;
        let refused = |why| Error::LogPlace {
            path: path.clone(),
            data_dir: data_dir.into(),
            why,
        };
        if path == data_dir {
            return Err(refused("is the data directory itself"));
        }
        if data_dir.starts_with(&path) {
            return Err(refused("has the data directory in it"));
        }
        if let Ok(inside) = path.strip_prefix(data_dir) {
            if inside == Path::new("member") || inside.starts_with("member/snap") {
                return Err(refused("is where the database goes"));
            }
            return Ok(Log::Inside(inside.into()));
        }
        match Place::look(wal_dir) {
            Ok(place) => Ok(Log::Apart(place)),
            Err(Error::NotEmpty { path }) => Err(match unfinished_part_of(&path) {
                Some(data_dir) => Error::UnfinishedLog { path, data_dir },
                None => Error::NotEmpty { path },
            }),
            Err(other) => Err(other),
        }
    }
}

/// The absolute path of what need not be there: without links as far as it is, and without `..`.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path).map_err(failed(path, "looked at"))?;
    for above in absolute.ancestors() {
        let mut resolved = match above.canonicalize() {
            Ok(resolved) => resolved,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(above, "looked at")(error)),
        };
        let rest = absolute.strip_prefix(above).unwrap_or(Path::new(""));
        for part in rest.components() {
            match part {
                Component::Normal(name) => resolved.push(name),
                Component::ParentDir => {
                    resolved.pop();
                }
                _ => {}
            }
        }
        return Ok(resolved);
    }
    Ok(absolute)
}
