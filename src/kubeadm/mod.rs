//! What a kubeadm host says about its etcd, and about what runs it: the manifests of static pods and the
//! files of the kubelet → typed facts.
//!
//! `etcd.yaml` describes the member that runs on this host, `kube-apiserver.yaml` the way to an etcd
//! that runs elsewhere. Both may have been edited by hand: further containers, arguments in another
//! form, images from anywhere. What is not there is `None` or empty, never guessed; what is there and
//! cannot be right is an error that names the field.
//!
//! Pure: bytes in, facts out. No file is read, no host is asked, and no input makes it panic, hang,
//! or take memory beyond a small multiple of the [`LARGEST`] manifest.

mod api_server;
mod argument;
mod container;
mod etcd_pod;
mod expansion;
mod image;
mod kubelet;
mod launch;
mod pod;
#[cfg(test)]
mod tests;

use crate::line;

pub use api_server::ApiServerPod;
pub use container::Mounted;
pub use etcd_pod::{EtcdPod, Peer};
pub use image::{Image, NotAnImage, Version};
pub use kubelet::{Flags, socket_of_config};
pub use launch::{Launch, StaticPod};

/// A larger file is no manifest of a pod; the ones that kubeadm writes have 2 to 4 kB.
pub const LARGEST: usize = 1 << 20;

/// Why a file tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than [`LARGEST`].
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// Not text.
    #[error("it is not UTF-8 text (line {line})")]
    NotUtf8 {
        /// The line of the first wrong byte, counted from 1.
        line: usize,
    },
    /// Not YAML, more YAML than a pod has, or not of a pod's shape.
    #[error("line {line}, column {column}: {message}")]
    Yaml {
        /// The line, counted from 1.
        line: u64,
        /// The column, counted from 1.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// Another object than a pod.
    #[error("it is not the manifest of a pod: its kind is {kind}")]
    NotAPod {
        /// What it says that it is.
        kind: String,
    },
    /// A pod of something else.
    #[error("no container of the pod runs {wanted}: there are {}", listed(found))]
    NoContainer {
        /// The program that was looked for.
        wanted: &'static str,
        /// The names of its containers.
        found: Vec<String>,
    },
    /// A field that cannot be right.
    #[error("{field}: {message}")]
    Field {
        /// Its path in the manifest.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Text of a manifest for one line of a message.
fn shown(text: &str) -> String {
    line::shown(text, 200)
}
