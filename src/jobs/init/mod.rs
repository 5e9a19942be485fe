//! Writes the configuration of this host: what its Kubernetes says about etcd, put into the
//! installed default.
//!
//! An existing file is replaced only where it sets nothing, or where that is asked for; what was
//! there and is not the default is then kept beside it.

mod candidate;
mod endpoint;
mod search;

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{self, Value};
use crate::error::Error;
use crate::jobs::place::reason;
use crate::store::{self, Directory};

/// Of a configuration that is there already, no more than this is looked at.
const LARGEST: u64 = 1 << 20;
/// How many replaced configurations are kept; nobody has more by accident.
const MOST_KEPT: u32 = 100;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What: a key of the configuration, or a fact that no key holds.
    pub name: &'static str,
    /// What it is.
    pub value: Value,
    /// What says so: a flag in the manifest, or where the file is.
    pub from: &'static str,
}

/// Something that has to be set by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The key of the configuration.
    pub name: &'static str,
    /// What was looked for.
    pub message: String,
    /// What to do, in a full sentence.
    pub hint: String,
}

/// What there is in place of the configuration that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// Nothing.
    Nothing,
    /// The default, all of it or as the packages bring it: nobody has set anything.
    Untouched,
    /// It sets nothing either, but its words are somebody's.
    Comments(String),
    /// Exactly what would be written.
    Same,
    /// Something else, whose text this is.
    Other(String),
}

/// What is to be written, and why.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What is there now.
    pub existing: Existing,
    /// The manifest that tells of etcd.
    pub manifest: PathBuf,
    /// What was found.
    pub found: Vec<Found>,
    /// Without what no backup can be made; the file has the defaults there.
    pub missing: Vec<Missing>,
    /// What the operator should know: full sentences.
    pub notes: Vec<String>,
}

/// Finds out what the configuration at `path` has to say on the host whose `/etc/kubernetes` is
/// `kubernetes`. Changes nothing.
///
/// # Errors
/// [`Error::NoEtcd`] where nothing there knows of an etcd; a manifest or a configuration that cannot
/// be read.
pub fn plan(kubernetes: &Path, path: &Path) -> Result<Plan, Error> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })
    };
    let kubernetes = absolute(kubernetes)?;
    if kubernetes.to_str().is_none() {
        let message = format!(
            "{} is not UTF-8, as all text in the configuration is",
            kubernetes.display()
        );
        return Err(Error::Usage(message));
    }
    let search::Findings {
        manifest,
        values,
        found,
        missing,
        notes,
    } = search::host(&kubernetes)?;
    let text = config::filled_in(&values);
    // what would be refused later is not written now
    config::parse(path, &text).map_err(|problems| config::Error::Problems {
        path: path.into(),
        problems,
    })?;
    // where the path is a link, what it leads to is written
    let path = absolute(&path.canonicalize().unwrap_or_else(|_| path.into()))?;
    let defaults = [config::INSTALLED, config::PACKAGED].map(str::as_bytes);
    let existing = match read(&path)? {
        None => Existing::Nothing,
        Some(bytes) if bytes == text.as_bytes() => Existing::Same,
        Some(bytes) if defaults.contains(&bytes.as_slice()) => Existing::Untouched,
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if config::sets_nothing(&text) {
                Existing::Comments(text)
            } else {
                Existing::Other(text)
            }
        }
    };
    Ok(Plan {
        path,
        text,
        existing,
        manifest,
        found,
        missing,
        notes,
    })
}

impl Plan {
    /// Writes it, whole or not at all; where it took the place of something, under which name that
    /// is kept. Without `force` only what sets nothing is replaced.
    ///
    /// # Errors
    /// [`Error::Configured`], or what the system says; the file is then as it was.
    pub fn write(&self, force: bool) -> Result<Option<PathBuf>, Error> {
        let kept = match &self.existing {
            Existing::Same => return Ok(None),
            Existing::Nothing | Existing::Untouched => None,
            Existing::Comments(_) => Some(self.keep_existing()?),
            Existing::Other(_) if force => Some(self.keep_existing()?),
            Existing::Other(_) => {
                return Err(Error::Configured {
                    path: self.path.clone(),
                });
            }
        };
        match self.replace() {
            Ok(()) => Ok(kept),
            Err(source) => {
                if let Some(kept) = kept {
                    // it is still in its place; what failed is the news, not this
                    let _ = fs::remove_file(kept);
                }
                let path = self.path.clone();
                Err(Error::Create { path, source })
            }
        }
    }

    /// Gives what is there a second name that nothing has yet.
    fn keep_existing(&self) -> Result<PathBuf, Error> {
        let mut number = 1;
        loop {
            let mut kept = self.path.clone().into_os_string();
            kept.push(match number {
                1 => ".old".to_owned(),
                number => format!(".old-{number}"),
            });
            let kept = PathBuf::from(kept);
            match fs::hard_link(&self.path, &kept) {
                Ok(()) => return Ok(kept),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && number < MOST_KEPT =>
                {
                    number += 1;
                }
                Err(source) => return Err(Error::Create { path: kept, source }),
            }
        }
    }

    fn replace(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let name = self.path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidFilename)?;
        fs::create_dir_all(directory)?;
        let directory = Directory::open(directory).map_err(reason)?;
        let draft = directory.draft().map_err(reason)?;
        let mut file = draft.file().map_err(reason)?;
        file.write_all(self.text.as_bytes())?;
        let mut mode = 0o640;
        if let Ok(old) = fs::metadata(&self.path) {
            // only root may give a file away; anybody else who may write here owns what he writes
            let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
            // whom somebody has kept out stays out
            mode &= old.mode();
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        if self.existing == Existing::Nothing {
            draft.publish(name).map_err(reason)
        } else {
            draft.replace(name).map_err(reason)
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match store::read_file(path, LARGEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.into(),
            source,
        }),
    }
}

/// A text as one line, whatever it holds.
fn shown(text: impl Into<String>) -> String {
    Value::Text(text.into()).plain()
}
