//! A kubeadm control-plane node in a temporary directory: manifests as kubeadm writes them, a kubelet that runs them, a
//! real etcd with TLS, and stand-ins for the rest of the control plane, which do nothing but run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::{Host, Output, Running};
use super::etcd::{Access, BIND_RACES, Ports, READY, Version, free_ports, healthy};
use super::kubelet::Kubelet;
use super::runtime::Runtime;
use super::{poll_until, wait_for};

/// The pods beside etcd.
pub(crate) const CONTROL_PLANE: [&str; 3] = [
    "kube-apiserver.yaml",
    "kube-controller-manager.yaml",
    "kube-scheduler.yaml",
];

/// What `/var/lib/kubelet` is on a real node.
pub(crate) const KUBELET: &str = "kubelet";

/// A control-plane node.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) name: String,
    pub(crate) ports: Ports,
    /// The data directory on the host; the container has another path for it.
    pub(crate) data_dir: PathBuf,
    pub(crate) manifests: PathBuf,
    pub(crate) kubelet: Kubelet,
    /// Lists what a test puts there.
    pub(crate) runtime: Runtime,
}

impl Node {
    /// The only control-plane node of a cluster, with etcd ready.
    pub(crate) fn start(version: Version) -> Self {
        let node = Self::cluster(version, 1).remove(0);
        node.await_etcd();
        node
    }

    /// The same, on a data directory that was prepared.
    pub(crate) fn prepared(version: Version, prepare: &mut dyn FnMut(&Path)) -> Self {
        let node = Self::cluster_with(version, 1, prepare).remove(0);
        node.await_etcd();
        node
    }

    /// Nodes of one cluster, with one PKI, and etcd ready.
    pub(crate) fn cluster(version: Version, size: usize) -> Vec<Self> {
        Self::cluster_with(version, size, &mut |_| ())
    }

    fn cluster_with(version: Version, size: usize, prepare: &mut dyn FnMut(&Path)) -> Vec<Self> {
        for _ in 0..BIND_RACES {
            let nodes = Self::try_cluster(version, size, prepare);
            if nodes.iter().all(Self::has_its_ports) {
                return nodes;
            }
        }
        panic!("{BIND_RACES} times in a row a port was taken in between");
    }

    fn try_cluster(version: Version, size: usize, prepare: &mut dyn FnMut(&Path)) -> Vec<Self> {
        let ports = free_ports(size);
        let name = |index: usize| format!("control-plane-{}", index + 1);
        let peers: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(index, ports)| format!("{}=https://127.0.0.1:{}", name(index), ports.peer))
            .collect();
        let peers = peers.join(",");
        let mut nodes: Vec<Self> = Vec::new();
        for (index, ports) in ports.into_iter().enumerate() {
            let host = Host::new();
            if let Some(first) = nodes.first() {
                copy(first.host.pki.directory(), &host.directory().join("pki"));
            }
            fs::create_dir(host.directory().join("var")).expect("a directory of the node");
            prepare(&host.directory().join("var/etcd"));
            nodes.push(Self::on(host, version, (name(index), ports), &peers));
        }
        nodes
    }

    /// Waits until etcd answers; false where somebody else has one of its ports.
    fn has_its_ports(&self) -> bool {
        wait_for("etcd answers", READY, || {
            let log = self.kubelet.log("etcd.yaml");
            let is_taken = log.contains("address already in use");
            (is_taken || healthy(self.ports.metrics)).then_some(!is_taken)
        })
    }

    fn on(host: Host, version: Version, (name, ports): (String, Ports), peers: &str) -> Self {
        let directory = host.directory().to_owned();
        let (manifests, logs) = (directory.join("manifests"), directory.join("logs"));
        let data_dir = directory.join("var/etcd");
        for made in [&manifests, &logs, &directory.join(KUBELET)] {
            fs::create_dir(made).expect("a directory of the node");
        }
        let socket = directory.join("runtime.sock");
        let runtime = Runtime::at(&socket);
        serve_kubelet(&directory, &socket);
        let etcd = etcd_manifest(&host, (&name, ports), peers, (version, &data_dir));
        fs::write(manifests.join("etcd.yaml"), etcd).expect("a manifest");
        for pod in CONTROL_PLANE {
            let name = pod.trim_end_matches(".yaml");
            let program = directory.join(name);
            std::os::unix::fs::symlink("/bin/sleep", &program).expect("a program");
            let text = format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - command:\n    - {}\n    - 100000s\n    name: {name}\n",
                program.display()
            );
            fs::write(manifests.join(pod), text).expect("a manifest");
        }
        host.configure(&[format!("https://127.0.0.1:{}", ports.client)]);
        let kubelet = Kubelet::watch(&manifests, version, &logs);
        Self {
            host,
            name,
            ports,
            data_dir,
            manifests,
            kubelet,
            runtime,
        }
    }

    /// Tells the kubelet's files of another container runtime.
    pub(crate) fn use_runtime(&self, socket: &Path) {
        serve_kubelet(self.host.directory(), socket);
    }

    /// The name of a static pod of this node, as the container runtime knows it.
    pub(crate) fn pod(&self, name: &str) -> String {
        format!("{name}-{}", self.name)
    }

    /// Waits until etcd answers and has a leader.
    pub(crate) fn await_etcd(&self) {
        poll_until("etcd answers", READY, || healthy(self.ports.metrics));
    }

    /// Waits until everything runs that has a manifest.
    pub(crate) fn await_all(&self) {
        poll_until("every pod runs", READY, || {
            self.kubelet.running().len() == 4
        });
        self.await_etcd();
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn peer_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.peer)
    }

    pub(crate) fn access(&self) -> Access {
        let pki = &self.host.pki;
        let endpoint = format!("https://127.0.0.1:{}", self.ports.client);
        Access::to(endpoint, &pki.etcd_ca().cert, &pki.client)
    }

    /// Puts keys named after `what`, deletes one, and changes one.
    pub(crate) fn fill(&self, what: &str, count: usize) {
        self.access().with_client(async |mut client| {
            for number in 0..count {
                let key = format!("/registry/configmaps/{what}/{number:04}");
                client.put(key, what, None).await.expect("a put");
            }
            let first = format!("/registry/configmaps/{what}/0000");
            client.delete(first, None).await.expect("a delete");
            let changed = format!("/registry/configmaps/{what}/0001");
            client.put(changed, "changed", None).await.expect("a put");
        });
    }

    /// Every key with its value.
    pub(crate) fn keys(&self) -> BTreeMap<String, String> {
        self.access().with_client(async |mut client| {
            let all = etcd_client::GetOptions::new().with_from_key();
            let got = client.get("\0", Some(all)).await.expect("a range");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pairs = got
                .kvs()
                .iter()
                .map(|kv| (text(kv.key()), text(kv.value())));
            pairs.collect()
        })
    }

    /// The revision it is at.
    pub(crate) fn revision(&self) -> i64 {
        self.access().with_client(async |mut client| {
            let got = client.get("\0", None).await.expect("a get");
            got.header().expect("a header").revision()
        })
    }

    /// The member list's names.
    pub(crate) fn members(&self) -> Vec<String> {
        self.access().with_client(async |mut client| {
            let list = client.member_list().await.expect("the members");
            list.members()
                .iter()
                .map(|member| member.name().to_owned())
                .collect()
        })
    }

    /// `restore` with these arguments on this node.
    pub(crate) fn restore(&self, args: &[&str]) -> Output {
        self.host.run(&self.restore_args(args))
    }

    /// The same, for a test that interrupts it.
    pub(crate) fn start_restore(&self, args: &[&str]) -> Running {
        self.host.start(&self.restore_args(args))
    }

    fn restore_args(&self, args: &[&str]) -> Vec<String> {
        let directory = self.host.directory().to_str().expect("UTF-8");
        let kubelet = format!("{directory}/{KUBELET}");
        let own = ["--kubernetes-dir", directory, "--kubelet-dir", &kubelet];
        let words = ["restore"].iter().chain(args).chain(&own);
        words.map(|word| (*word).to_owned()).collect()
    }

    /// The journal of the last restore in place.
    pub(crate) fn journal(&self) -> Option<serde_json::Value> {
        let path = self
            .host
            .directory()
            .join("hypercloud-etcd-restore/journal.json");
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// A path that the journal names.
    #[track_caller]
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        let journal = wait_for("there is a journal", Duration::from_secs(30), || {
            self.journal()
        });
        journal["places"][name].as_str().expect("a path").into()
    }

    /// Asserts that all manifests are where the kubelet runs them, and none is left elsewhere.
    #[track_caller]
    pub(crate) fn assert_all_manifests_are_back(&self) {
        let mut names: Vec<String> = CONTROL_PLANE.map(String::from).to_vec();
        names.insert(0, "etcd.yaml".into());
        assert_eq!(names_in(&self.manifests), names);
        let parked = self
            .host
            .directory()
            .join("hypercloud-etcd-restore/manifests");
        assert_eq!(names_in(&parked), Vec::<String>::new());
    }
}

/// What kubeadm tells the kubelet of its container runtime.
fn serve_kubelet(directory: &Path, socket: &Path) {
    let text = format!(
        "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix://{} --pod-infra-container-image=registry.k8s.io/pause:3.9\"\n",
        socket.display()
    );
    fs::write(directory.join(KUBELET).join("kubeadm-flags.env"), text).expect("flags");
}

/// The names in a directory, sorted; none where it is not there.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

/// As kubeadm writes it; the data directory has another path in the container than on the host.
fn etcd_manifest(
    host: &Host,
    (name, ports): (&str, Ports),
    peers: &str,
    (version, data_dir): (Version, &Path),
) -> String {
    let pki = &host.pki;
    let client = format!("https://127.0.0.1:{}", ports.client);
    let peer = format!("https://127.0.0.1:{}", ports.peer);
    let path = |path: &Path| path.display().to_string();
    let flags: Vec<String> = [
        ("advertise-client-urls", client.clone()),
        ("cert-file", path(&pki.server.cert)),
        ("client-cert-auth", "true".into()),
        ("data-dir", "/var/lib/etcd".into()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", peers.into()),
        ("key-file", path(&pki.server.key)),
        ("listen-client-urls", client),
        (
            "listen-metrics-urls",
            format!("http://127.0.0.1:{}", ports.metrics),
        ),
        ("listen-peer-urls", peer),
        ("name", name.into()),
        ("peer-cert-file", path(&pki.peer.cert)),
        ("peer-client-cert-auth", "true".into()),
        ("peer-key-file", path(&pki.peer.key)),
        ("peer-trusted-ca-file", path(&pki.etcd_ca().cert)),
        ("trusted-ca-file", path(&pki.etcd_ca().cert)),
    ]
    .into_iter()
    .map(|(flag, value)| format!("    - --{flag}={value}\n"))
    .collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n  namespace: kube-system\nspec:\n  containers:\n  - command:\n    - etcd\n{flags}    image: registry.k8s.io/etcd:{image}-0\n    name: etcd\n    volumeMounts:\n    - mountPath: /var/lib/etcd\n      name: etcd-data\n  hostNetwork: true\n  volumes:\n  - hostPath:\n      path: {data_dir}\n      type: DirectoryOrCreate\n    name: etcd-data\n",
        flags = flags.concat(),
        image = version.exact(),
        data_dir = data_dir.display(),
    )
}
