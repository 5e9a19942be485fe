//! Commands that people are told, as they are to be typed where files are not at their usual places.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use crate::shell::quoted;

/// Where Kubernetes has its files unless it is told otherwise.
const KUBERNETES: &str = "/etc/kubernetes";

/// What is not where it usually is on this host, beside the files of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Elsewhere {
    /// The configuration's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// The kubelet's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet_dir: Option<PathBuf>,
}

/// The flags that name what is elsewhere on this host, each with a space before it.
pub(super) fn flags(kubernetes: &Path, elsewhere: &Elsewhere) -> String {
    let kubernetes =
        (kubernetes != Path::new(KUBERNETES)).then_some(("--kubernetes-dir", kubernetes));
    let kubelet = elsewhere.kubelet_dir.as_deref();
    let kubelet = kubelet.map(|kubelet| ("--kubelet-dir", kubelet));
    let config = elsewhere.config.as_deref();
    let config = config.map(|config| ("--config", config));
    let given = kubernetes.into_iter().chain(kubelet).chain(config);
    let words = given.flat_map(|(flag, path)| [flag.into(), quoted(&path.to_string_lossy())]);
    words.flat_map(|word| [" ".into(), word]).collect()
}

/// The options that all members of one cluster are given alike: its token, and how far the revision
/// moves.
#[must_use]
pub fn shared(token: Option<&str>, bump: Option<u64>) -> Vec<String> {
    let token = token.map(|token| format!("--initial-cluster-token {}", quoted(token)));
    let bump = bump.map(|by| match by {
        0 => "--bump-revision 0".to_owned(),
        by => format!("--bump-revision {by} --mark-compacted"),
    });
    token.into_iter().chain(bump).collect()
}

/// Makes sure that the members of one cluster are told alike. `missing`: those of the [`shared`]
/// options that this host has found by itself.
///
/// # Errors
/// [`Error::Apart`].
pub fn require_agreement(members: usize, missing: &[String]) -> Result<(), Error> {
    if members == 1 || missing.is_empty() {
        return Ok(());
    }
    Err(Error::Apart {
        members,
        missing: missing.join(" "),
    })
}

/// Takes manifests out of the kubelet's sight, as the other hosts are told.
pub(super) fn out_of_sight(kubernetes: Option<&Path>, files: &[&str]) -> String {
    let kubernetes = kubernetes.unwrap_or(Path::new(KUBERNETES));
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let from = |file: &&str| path(&kubernetes.join("manifests").join(file));
    let files: Vec<String> = files.iter().map(from).collect();
    format!("mv {} {}", files.join(" "), path(kubernetes))
}

/// Has the kubelet see a manifest again.
pub(super) fn back_in_sight(kubernetes: &Path, file: &str) -> String {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    format!(
        "mv {} {}",
        path(&kubernetes.join(file)),
        path(&kubernetes.join("manifests"))
    )
}
