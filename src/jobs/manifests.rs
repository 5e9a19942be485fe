//! The manifests of the static pods on this host, read from the directory of Kubernetes.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::kubeadm::{self, ApiServerPod, EtcdPod};
use crate::store;

/// The directory on a host that kubeadm has set up.
pub const KUBERNETES_DIR: &str = "/etc/kubernetes";

/// Where the manifest of the etcd member is, below the directory of Kubernetes.
#[must_use]
pub fn etcd_path(kubernetes: &Path) -> PathBuf {
    kubernetes.join("manifests/etcd.yaml")
}

/// Where the manifest of the API server is, below the directory of Kubernetes.
#[must_use]
pub fn api_server_path(kubernetes: &Path) -> PathBuf {
    kubernetes.join("manifests/kube-apiserver.yaml")
}

/// The etcd member of this host; `None` where there is no manifest of it.
///
/// # Errors
/// [`Error::Read`] and [`Error::Manifest`].
pub fn etcd(kubernetes: &Path) -> Result<Option<EtcdPod>, Error> {
    read(etcd_path(kubernetes), EtcdPod::parse)
}

/// The API server of this host; `None` where there is no manifest of it.
///
/// # Errors
/// [`Error::Read`] and [`Error::Manifest`].
pub fn api_server(kubernetes: &Path) -> Result<Option<ApiServerPod>, Error> {
    read(api_server_path(kubernetes), ApiServerPod::parse)
}

/// The node that a member runs on, by its manifest: kubeadm names the member after the node.
#[must_use]
pub fn node(etcd: &EtcdPod) -> Option<&str> {
    etcd.node.as_deref().or(etcd.name.as_deref())
}

/// The node that a host of this name is: kubeadm names it after the host, in small letters.
#[must_use]
pub fn node_of_host(name: &str) -> String {
    name.to_lowercase()
}

/// What a manifest says; `None` where there is none.
///
/// # Errors
/// [`Error::Read`] and [`Error::Manifest`].
pub(super) fn read<T>(
    path: PathBuf,
    parse: impl Fn(&[u8]) -> Result<T, kubeadm::Error>,
) -> Result<Option<T>, Error> {
    match bytes(&path) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => parse(&bytes)
            .map(Some)
            .map_err(|source| Error::Manifest { path, source }),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// The beginning of a file, as far as it can be used; `None` where there is none.
pub(super) fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = kubeadm::LARGEST as u64 + 1;
    match store::open_file(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
