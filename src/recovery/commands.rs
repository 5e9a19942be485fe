//! Commands that people are told, as they are to be typed where files are not at their usual places.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
