//! Why nothing is rendered, and what to do about it.

use std::path::PathBuf;

use super::{Named, Unknown};
use crate::kubeadm::{NotAnImage, Version};
use crate::{line, schedule};

/// Why nothing is rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that the API server refuses.
    #[error("{} cannot be the {named}: {reason}", quoted(text))]
    Name {
        /// Of what.
        named: Named,
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// No registry.
    #[error("{} cannot be the registry: {reason}", quoted(text))]
    Registry {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// An image whose name cannot stand behind that of a registry.
    #[error("the image {image} cannot be named behind the registry {registry}")]
    Unmirrored {
        /// The registry.
        registry: String,
        /// The image.
        image: String,
    },
    /// No reference to an image.
    #[error("the image cannot be used")]
    Image(#[from] NotAnImage),
    /// Nothing says which image.
    #[error("which etcd image to run is not known")]
    NoImage(#[source] Unknown),
    /// An image with another etcd than is said.
    #[error("the image {image} does not hold etcd {given}")]
    Contradiction {
        /// The image.
        image: String,
        /// The version that was given beside it.
        given: Version,
    },
    /// A schedule or a time zone of the command line.
    #[error("the value of {option} cannot be used")]
    Schedule {
        /// Which option.
        option: &'static str,
        /// What is wrong with it.
        source: schedule::Error,
    },
    /// A name whose pods, and the files that are called after them, lose digits of the time.
    #[error(
        "{name} is too long: the files are called after the pods, and Kubernetes would cut the time off"
    )]
    LongName {
        /// The name.
        name: String,
        /// How long it may be.
        longest: usize,
    },
    /// No version of etcd.
    #[error("{} cannot be the version of etcd: {reason}", quoted(text))]
    Version {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An image with an etcd that is not supported.
    #[error("the image {image} holds an etcd that is not supported")]
    OldVersion {
        /// The image.
        image: String,
    },
    /// No volume.
    #[error("{} cannot be the volume: {reason}", quoted(text))]
    Volume {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path that a pod cannot have.
    #[error("{} cannot be mounted: {reason}", quoted(&path.display().to_string()))]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A password, which etcdctl would have to be given in the clear.
    #[error("etcdctl cannot be given the password of etcd.username")]
    Login,
    /// A configuration without endpoints.
    #[error("the configuration names no endpoint")]
    NoEndpoint,
    /// The YAML cannot be written: a bug.
    #[error("the objects cannot be written as YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Name {
                meant: Some(meant), ..
            }
            | Self::Registry {
                meant: Some(meant), ..
            } => {
                format!("Did you mean {meant}?")
            }
            Self::Name { named, .. } => named.hint().to_owned(),
            Self::Registry { .. } => "Write it as in: --registry 192.168.50.90:5000".to_owned(),
            Self::Unmirrored { registry, .. } => {
                format!("Name the whole image: --image {registry}/etcd:TAG")
            }
            Self::NoImage(Unknown::NoManifest(_)) => {
                "Name the directory with --kubernetes-dir, or the image, as in: --image registry.k8s.io/etcd:3.5.24-0".to_owned()
            }
            Self::NoImage(Unknown::Elsewhere(_)) => {
                "Name an image with the etcdctl of its version, as in: --image registry.k8s.io/etcd:3.5.24-0".to_owned()
            }
            Self::Image(_) => "Name the image, as in: --image registry.k8s.io/etcd:3.5.24-0".to_owned(),
            Self::OldVersion { .. } => {
                "Name one with etcd 3.3 or newer, as in: --image registry.k8s.io/etcd:3.5.24-0".to_owned()
            }
            Self::Contradiction { .. } => {
                "Leave out --etcd-version, or name the image that has it with --image.".to_owned()
            }
            Self::Schedule { source, .. } => source.hint(),
            Self::LongName { longest, .. } => format!("Give a --name of at most {longest} characters."),
            Self::Version { .. } => {
                "Write the tag of an etcd image, as in: --etcd-version 3.5.24-0".to_owned()
            }
            Self::Volume { .. } => {
                "Write it as in: --volume pvc:etcd-backups, or --volume hostpath:/srv/backup"
                    .to_owned()
            }
            Self::Path { .. } => {
                "Use a directory of its own for the backups, and one for the keys, such as \
                 /etc/kubernetes/pki/etcd."
                    .to_owned()
            }
            Self::Login => {
                "Render the CronJob that runs this program and reads password_file itself: --mode \
                 native --tool-image IMAGE"
                    .to_owned()
            }
            Self::NoEndpoint => "Set etcd.endpoints in the configuration.".to_owned(),
            Self::Yaml(_) => "Please report this, with the command line.".to_owned(),
        }
    }
}

/// A given text for one line of a message or a comment.
pub(super) fn quoted(text: &str) -> String {
    line::quoted(text, 200)
}
