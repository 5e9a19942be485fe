//! The YAML of a pod's manifest, read within limits.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{DuplicateKeyPolicy, Options};

use super::{Error, LARGEST, shown};

/// What is read of a pod; everything else in it is passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Pod {
    kind: Option<String>,
    pub(super) metadata: Option<Metadata>,
    pub(super) spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) node_name: Option<String>,
    pub(super) containers: Option<Vec<Container>>,
    pub(super) volumes: Option<Vec<Volume>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    #[serde(default)]
    pub(super) name: String,
    pub(super) image: Option<String>,
    pub(super) command: Option<Vec<String>>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<Variable>>,
    pub(super) volume_mounts: Option<Vec<VolumeMount>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// A secret, a field of the pod, or the like: only the kubelet knows its value.
    pub(super) value_from: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub(super) name: String,
    pub(super) mount_path: PathBuf,
    pub(super) sub_path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) host_path: Option<HostPath>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HostPath {
    pub(super) path: PathBuf,
}

const TOO_MUCH: &str = "it is larger or deeper than the manifest of a pod can be";

/// Reads the one pod that a manifest describes.
pub(super) fn read(bytes: &[u8]) -> Result<Pod, Error> {
    let text = text(bytes)?;
    let pod: Pod =
        serde_saphyr::from_str_with_options(text, limits()).map_err(|error| wrong(&error))?;
    match pod.kind.as_deref() {
        Some("Pod") => Ok(pod),
        kind => Err(Error::NotAPod {
            kind: kind.map_or_else(|| "missing".to_owned(), shown),
        }),
    }
}

/// The text of a file that is not too large.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.len() > LARGEST {
        return Err(Error::TooLarge);
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        Error::NotUtf8 { line }
    })
}

/// Far more than a pod needs, and far less than an alias can blow up.
pub(super) fn limits() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_nodes: 50_000,
            max_depth: 32,
            max_documents: 2,
            max_aliases: 100,
            max_anchors: 100,
            max_merge_keys: 100,
            max_recorded_anchor_events: 50_000,
            max_recorded_anchor_bytes: LARGEST,
            max_total_scalar_bytes: LARGEST,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 50_000,
            max_replay_stack_depth: 8,
        },
        // the kubelet reads a manifest by the rules of YAML 1.1 and takes the last of two equal keys
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    }
}

/// The reason of the YAML crate in a line, without its picture of the text, which may hold anything.
pub(super) fn wrong(error: &serde_saphyr::Error) -> Error {
    use serde_saphyr::Error as Reason;
    let (line, column) = error
        .location()
        .map_or((1, 1), |place| (place.line(), place.column()));
    let text = error.without_snippet().to_string();
    let message = match error.without_snippet() {
        Reason::MultipleDocuments { .. } => "it holds more than one document",
        Reason::AliasReplayLimitExceeded { .. } | Reason::AliasReplayStackDepthExceeded { .. } => {
            TOO_MUCH
        }
        // within an alias it is told as text only
        _ if text.starts_with("budget breached") => TOO_MUCH,
        _ => {
            let first = text.lines().next().unwrap_or_default();
            let place = format!(" at line {line}, column {column}");
            first.strip_suffix(&place).unwrap_or(first)
        }
    };
    Error::Yaml {
        line,
        column,
        message: shown(message),
    }
}
