//! The static pod of the etcd member on this host.

use super::argument::split;
use super::container::{Mounted, Program};
use super::{Error, Image, pod};

/// What the manifest of the etcd pod says, as kubeadm writes it to `manifests/etcd.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdPod {
    /// `metadata.name`: `etcd` in the manifest; the kubelet runs it as `etcd-<node>`.
    pub pod: String,
    /// `metadata.namespace`; `default` where it is absent.
    pub namespace: String,
    /// `spec.nodeName`, which only a manifest taken from the API server has.
    pub node: Option<String>,
    /// The name of the container that runs etcd.
    pub container: String,
    /// The image that it runs.
    pub image: Image,
    /// `--config-file`: etcd then reads everything from there, and ignores all other flags.
    pub config_file: Option<Mounted>,
    /// `--name`: the member's name, with kubeadm that of the node.
    pub name: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<Mounted>,
    /// `--wal-dir`, where it is not below the data directory.
    pub wal_dir: Option<Mounted>,
    /// `--listen-client-urls`
    pub listen_client_urls: Vec<String>,
    /// `--advertise-client-urls`
    pub advertise_client_urls: Vec<String>,
    /// `--listen-metrics-urls`: where `/health` answers without a certificate.
    pub listen_metrics_urls: Vec<String>,
    /// `--listen-peer-urls`
    pub listen_peer_urls: Vec<String>,
    /// `--initial-advertise-peer-urls`
    pub advertise_peer_urls: Vec<String>,
    /// `--initial-cluster`: one entry for each URL of each member.
    pub initial_cluster: Vec<Peer>,
    /// `--initial-cluster-state`: `new` or `existing`.
    pub initial_cluster_state: Option<String>,
    /// `--initial-cluster-token`
    pub initial_cluster_token: Option<String>,
    /// `--trusted-ca-file`: the CA by which etcd knows its clients.
    pub trusted_ca_file: Option<Mounted>,
    /// `--cert-file`: what etcd shows its clients.
    pub cert_file: Option<Mounted>,
    /// `--key-file`
    pub key_file: Option<Mounted>,
}

/// A member with one of its peer URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The member's name.
    pub name: String,
    /// The URL.
    pub url: String,
}

impl EtcdPod {
    /// Reads the manifest of a pod that runs etcd.
    ///
    /// # Errors
    /// [`Error`], also where a field that etcd or the kubelet needs cannot be right.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let pod = pod::read(bytes)?;
        let program = Program::find(&pod, "etcd")?;
        let text = |flag: &str| program.arguments.value_or_variable(flag).map(str::to_owned);
        let list = |flag: &str| text(flag).map_or_else(Vec::new, |list| split(&list));
        let metadata = pod.metadata.as_ref();
        let own = |name: Option<&String>, otherwise: &str| {
            name.cloned().unwrap_or_else(|| otherwise.to_owned())
        };
        Ok(Self {
            pod: own(metadata.and_then(|it| it.name.as_ref()), program.name()),
            namespace: own(metadata.and_then(|it| it.namespace.as_ref()), "default"),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            container: program.name().to_owned(),
            image: program.image()?,
            config_file: program.path("config-file")?,
            name: text("name"),
            data_dir: program.path("data-dir")?,
            wal_dir: program.path("wal-dir")?,
            listen_client_urls: list("listen-client-urls"),
            advertise_client_urls: list("advertise-client-urls"),
            listen_metrics_urls: list("listen-metrics-urls"),
            listen_peer_urls: list("listen-peer-urls"),
            advertise_peer_urls: list("initial-advertise-peer-urls"),
            initial_cluster: initial_cluster(&list("initial-cluster"), program.name())?,
            initial_cluster_state: text("initial-cluster-state"),
            initial_cluster_token: text("initial-cluster-token"),
            trusted_ca_file: program.path("trusted-ca-file")?,
            cert_file: program.path("cert-file")?,
            key_file: program.path("key-file")?,
        })
    }
}

fn initial_cluster(entries: &[String], container: &str) -> Result<Vec<Peer>, Error> {
    let peer = |entry: &String| match entry.split_once('=') {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => Ok(Peer {
            name: name.to_owned(),
            url: url.to_owned(),
        }),
        _ => Err(Error::Field {
            field: format!(
                "spec.containers[{}]: --initial-cluster",
                super::shown(container)
            ),
            message: format!("{} is no name=URL", super::shown(entry)),
        }),
    };
    entries.iter().map(peer).collect()
}
