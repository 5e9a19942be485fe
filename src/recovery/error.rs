//! What can go wrong with the journal, or is refused because of what it says.

use std::io;
use std::path::PathBuf;

use super::Way;

/// Why a restore in place cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An earlier one is not over.
    #[error("the {way} that began at {id} is not finished")]
    Unfinished {
        /// When it began.
        id: String,
        /// In which direction it goes.
        way: Way,
    },
    /// There is none to go on with.
    #[error("there is no restore in place {}", path.display())]
    NoJournal {
        /// Where it would be remembered.
        path: PathBuf,
    },
    /// It is over already.
    #[error("the {way} that began at {id} is finished")]
    Finished {
        /// When it began.
        id: String,
        /// In which direction it went.
        way: Way,
    },
    /// The journal cannot be read or written.
    #[error("the journal {} cannot be used", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The journal says something that this version does not act on.
    #[error("the journal {} cannot be believed: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Unfinished { way: Way::Forward, .. } => {
                "Go on with: hypercloud-etcd restore --resume; or return to the old data with: hypercloud-etcd restore --rollback".into()
            }
            Error::Unfinished { way: Way::Back, .. } => {
                "Go on with: hypercloud-etcd restore --rollback".into()
            }
            Error::NoJournal { .. } => {
                "Name another Kubernetes directory with --kubernetes-dir, or begin one with: hypercloud-etcd restore SELECTOR --in-place".into()
            }
            Error::Finished { way: Way::Forward, .. } => {
                "To return to the data from before it: hypercloud-etcd restore --rollback".into()
            }
            Error::Finished { way: Way::Back, .. } => {
                "See the backups with: hypercloud-etcd list".into()
            }
            Error::Damaged { path, .. } => format!(
                "See what is where with: cat {}; its fields `places` and `steps` say what was moved.",
                path.display()
            ),
            Error::Journal { .. } => return None,
        })
    }
}
