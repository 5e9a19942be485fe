//! What keeps a file from being kept, or a copy from being trusted.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use crate::{certificate, store};

/// One thing that is wrong with the files or their copies; the text is whole, with its cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file is not what its name says, or a key not what its certificate says.
    #[error(transparent)]
    Content(#[from] certificate::Error),
    /// Without the CA certificate the copies have no place.
    #[error("no file of pki.files can be kept, because the CA certificate {} cannot be used", path.display())]
    NoCa {
        /// The file that should hold it.
        path: PathBuf,
    },
    /// The backup directory refuses.
    #[error("{}", in_a_line(.0))]
    Store(#[from] store::Error),
    /// The file differs from every copy that its name has room for.
    #[error("{} was not kept: there are too many different copies of it", path.display())]
    Crowded {
        /// The first of the copies.
        path: PathBuf,
    },
    /// A copy is not what the manifest says.
    #[error("the copy {} was changed: {what}", path.display())]
    Changed {
        /// The copy.
        path: PathBuf,
        /// In what it differs; never its content.
        what: String,
    },
}

impl Error {
    /// What to do about it, as a full sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { cause, .. } if cause.kind() == io::ErrorKind::NotFound => Some(
                "Correct the path in pki.files; on a host without a cluster CA write files = []."
                    .to_owned(),
            ),
            Self::Read { path, .. } => Some(format!(
                "Run as root, or see what it is and who may read it with: ls -l {}",
                path.display()
            )),
            Self::Content(error) => error.hint(),
            Self::NoCa { .. } => Some(
                "The CA certificate is the file called ca.crt or else the first of pki.files."
                    .to_owned(),
            ),
            Self::Store(
                store::Error::Read { path, .. }
                | store::Error::Write { path, .. }
                | store::Error::Exists { path },
            )
            | Self::Crowded { path } => {
                Some(format!("See what is there with: ls -l {}", path.display()))
            }
            Self::Store(_) | Self::Changed { .. } => None,
        }
    }
}

fn in_a_line(error: &store::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
