//! The static pod of the API server: the way to an etcd that runs elsewhere.

use super::container::{Mounted, Program};
use super::{Error, pod};

/// What the manifest of the API server says about etcd, as kubeadm writes it to
/// `manifests/kube-apiserver.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServerPod {
    /// `--etcd-servers`: the client URLs of the members.
    pub etcd_servers: Vec<String>,
    /// `--etcd-cafile`: the CA of their certificates.
    pub etcd_ca_file: Option<Mounted>,
    /// `--etcd-certfile`: what the API server shows them.
    pub etcd_cert_file: Option<Mounted>,
    /// `--etcd-keyfile`
    pub etcd_key_file: Option<Mounted>,
}

impl ApiServerPod {
    /// Reads the manifest of a pod that runs kube-apiserver.
    ///
    /// # Errors
    /// [`Error`], also where a field that the API server needs cannot be right.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let pod = pod::read(bytes)?;
        let program = Program::find(&pod, "kube-apiserver")?;
        Ok(Self {
            etcd_servers: program.arguments.all("etcd-servers"),
            etcd_ca_file: program.path("etcd-cafile")?,
            etcd_cert_file: program.path("etcd-certfile")?,
            etcd_key_file: program.path("etcd-keyfile")?,
        })
    }

    /// Whether it names a member that does not run on its own host.
    #[must_use]
    pub fn is_etcd_elsewhere(&self) -> bool {
        let own = ["127.0.0.1", "localhost", "[::1]"];
        let is_own = |url: &String| {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            own.iter().any(|host| {
                rest.strip_prefix(host)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
            })
        };
        !self.etcd_servers.iter().all(is_own)
    }
}
