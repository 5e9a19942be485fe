//! Where everything goes: all names are made from the data directory, the Kubernetes directory, and
//! the time at which the restore began.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DIRECTORY;

/// The paths of one restore in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Places {
    /// What the kubelet watches.
    pub manifests: PathBuf,
    /// Where manifests are meanwhile.
    pub parked: PathBuf,
    /// What etcd uses, and what is exchanged: its data directory, or `member` in that.
    pub live: PathBuf,
    /// Where the old data goes.
    pub aside: PathBuf,
    /// The data directory that is built.
    pub staging: PathBuf,
    /// What of it is put in place.
    pub fresh: PathBuf,
    /// Where the restored data goes on the way back.
    pub undone: PathBuf,
}

impl Places {
    /// The data directory is exchanged as a whole, with what is built beside it.
    #[must_use]
    pub fn beside(kubernetes: &Path, data_dir: &Path, id: &str) -> Self {
        let named = |what: &str| {
            let mut name: OsString = data_dir.as_os_str().to_owned();
            name.push(format!(".{what}-{id}"));
            PathBuf::from(name)
        };
        let staging = named("restore");
        Self::new(
            kubernetes,
            data_dir.into(),
            (named("before-restore"), named("rolled-back")),
            (staging.clone(), staging),
        )
    }

    /// `member` is exchanged inside the data directory, which cannot be moved itself.
    #[must_use]
    pub fn within(kubernetes: &Path, data_dir: &Path, id: &str) -> Self {
        let named = |what: &str| data_dir.join(format!("{what}-{id}"));
        let staging = named("restore");
        Self::new(
            kubernetes,
            data_dir.join("member"),
            (named("before-restore"), named("rolled-back")),
            (staging.clone(), staging.join("member")),
        )
    }

    fn new(
        kubernetes: &Path,
        live: PathBuf,
        (aside, undone): (PathBuf, PathBuf),
        (staging, fresh): (PathBuf, PathBuf),
    ) -> Self {
        Places {
            manifests: manifests(kubernetes),
            parked: kubernetes.join(DIRECTORY).join("manifests"),
            live,
            aside,
            staging,
            fresh,
            undone,
        }
    }

    /// The Kubernetes directory.
    #[must_use]
    pub fn kubernetes(&self) -> &Path {
        self.manifests.parent().unwrap_or(&self.manifests)
    }

    /// The data directory that etcd is started with.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        let is_whole = self.staging == self.fresh;
        let within = (!is_whole).then(|| self.live.parent()).flatten();
        within.unwrap_or(&self.live)
    }

    /// Whether these are the places of a restore of this id below this Kubernetes directory: a
    /// journal that says otherwise is not to be acted on.
    pub(super) fn are_of(&self, kubernetes: &Path, id: &str) -> bool {
        let above = self.live.parent();
        *self == Self::beside(kubernetes, &self.live, id)
            || above.is_some_and(|data_dir| *self == Self::within(kubernetes, data_dir, id))
    }
}

/// What the kubelet watches, below a Kubernetes directory.
pub(super) fn manifests(kubernetes: &Path) -> PathBuf {
    kubernetes.join("manifests")
}
