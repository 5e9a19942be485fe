//! Commands that people are told, as they are to be typed where files are not at their usual places.

use std::path::Path;

use crate::shell::quoted;

/// Where Kubernetes has its files unless it is told otherwise.
const KUBERNETES: &str = "/etc/kubernetes";

/// The flags that name what is elsewhere on this host, each with a space before it.
pub(super) fn flags(kubernetes: &Path, config: Option<&Path>) -> String {
    let kubernetes =
        (kubernetes != Path::new(KUBERNETES)).then_some(("--kubernetes-dir", kubernetes));
    let config = config.map(|config| ("--config", config));
    let given = kubernetes.into_iter().chain(config);
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
