//! Servers that form one cluster; a server alone is a cluster of one.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use tempfile::TempDir;

use super::super::pki::{Pair, Pki};
use super::super::{poll_until, wait_for};
use super::{Etcd, Failure, Options, Ports, READY, Version, path};

/// How often a start is tried again when a port was taken in between.
pub(crate) const BIND_RACES: usize = 5;

/// The members of one cluster.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Etcd>,
    layout: Layout,
}

/// What every member of a cluster has in common.
struct Layout {
    version: Version,
    ca: PathBuf,
    server: Pair,
    peer: Pair,
    client: Pair,
    options: Options,
}

impl Cluster {
    /// A cluster of `size` voting members, ready, whose leader stays one as long as it runs.
    pub(crate) fn start(version: Version, size: usize, pki: &Pki) -> Self {
        Self::start_with(version, size, pki, &Options::steady())
    }

    pub(super) fn start_with(version: Version, size: usize, pki: &Pki, options: &Options) -> Self {
        Self::start_prepared(version, size, pki, options, &|_, _| {})
    }

    /// Members whose data directories are made by `prepare` before they start: it is given the members and what
    /// `--initial-cluster` is to say of them.
    pub(crate) fn start_prepared(
        version: Version,
        size: usize,
        pki: &Pki,
        options: &Options,
        prepare: &dyn Fn(&[Etcd], &str),
    ) -> Self {
        let layout = || Layout {
            version,
            ca: pki.etcd_ca().cert.clone(),
            server: options.server.clone().unwrap_or_else(|| pki.server.clone()),
            peer: pki.peer.clone(),
            client: pki.client.clone(),
            options: options.clone(),
        };
        for _ in 0..BIND_RACES {
            match Self::try_start(layout(), size, prepare) {
                Ok(cluster) => return cluster,
                Err(Failure::PortTaken) => {}
                Err(Failure::Other(why)) => panic!("{why}"),
            }
        }
        panic!("{BIND_RACES} times in a row a port was taken in between");
    }

    fn try_start(
        layout: Layout,
        size: usize,
        prepare: &dyn Fn(&[Etcd], &str),
    ) -> Result<Self, Failure> {
        let ports = free_ports(size);
        let peers: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(index, ports)| initial(index, *ports))
            .collect();
        let peers = peers.join(",");
        let mut members: Vec<Etcd> = ports
            .iter()
            .enumerate()
            .map(|(index, ports)| layout.member(index, *ports, &peers, "new"))
            .collect();
        prepare(&members, &peers);
        for member in &mut members {
            member.spawn();
        }
        for member in &mut members {
            member.await_ready()?;
        }
        Ok(Self { members, layout })
    }

    /// The endpoints of all members, in the order of [`Cluster::members`].
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Etcd::endpoint).collect()
    }

    /// Starts all members again after they were stopped.
    pub(crate) fn restart(&mut self) {
        for member in &mut self.members {
            member.spawn();
        }
        for member in &mut self.members {
            member.come_back();
        }
    }

    /// The index of the leader in [`Cluster::members`].
    pub(crate) fn leader(&self) -> usize {
        wait_for("the cluster has a leader", READY, || {
            self.members.iter().position(|member| {
                member.process.is_some()
                    && member.with_client(async |mut client| {
                        client.status().await.is_ok_and(|status| {
                            status.leader() != 0
                                && status
                                    .header()
                                    .is_some_and(|header| header.member_id() == status.leader())
                        })
                    })
            })
        })
    }

    /// Adds a member that never starts, and removes it again.
    pub(crate) fn add_and_remove_a_member(&self) {
        let url = format!("https://127.0.0.1:{}", free_ports(1)[0].peer);
        let added = wait_for("the cluster takes a new member", READY, || {
            let url = url.clone();
            self.members[0]
                .with_client(async |mut client| client.member_add([url], None).await.ok())
        });
        let id = added.member().expect("the new member").id();
        self.members[0].with_client(async |mut client| {
            client.member_remove(id).await.expect("a removal");
        });
    }

    /// Adds a member that does not vote, and waits until it has caught up; it is the last of [`Cluster::members`].
    pub(crate) fn add_learner(&mut self) -> &Etcd {
        let ports = free_ports(1)[0];
        let index = self.members.len();
        let url = format!("https://127.0.0.1:{}", ports.peer);
        // refused while the members have not yet known each other for five seconds
        wait_for("the cluster takes a new member", READY, || {
            let url = url.clone();
            self.members[0].with_client(async |mut client| {
                let learner = etcd_client::MemberAddOptions::new().with_is_learner();
                client.member_add([url], Some(learner)).await.ok()
            })
        });
        let all: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| initial(index, member.ports))
            .collect();
        let peers = format!("{},{}", all.join(","), initial(index, ports));
        let mut learner = self.layout.member(index, ports, &peers, "existing");
        learner.spawn();
        let revision = self.members[0].revision();
        learner.come_back();
        poll_until("the learner has caught up", READY, || {
            learner.newest_revision() >= revision
        });
        self.members.push(learner);
        &self.members[index]
    }
}

impl Etcd {
    /// The newest revision it has, also where it may not answer reads because it is a learner.
    fn newest_revision(&self) -> i64 {
        self.with_client(async |mut client| {
            client
                .status()
                .await
                .ok()
                .and_then(|status| status.header().map(etcd_client::ResponseHeader::revision))
        })
        .unwrap_or(0)
    }
}

impl Layout {
    fn member(&self, index: usize, ports: Ports, peers: &str, state: &str) -> Etcd {
        let temporary = TempDir::with_prefix("hce-etcd-").expect("a temporary directory");
        let data_dir = self
            .options
            .data_dir
            .clone()
            .unwrap_or_else(|| temporary.path().join("data"));
        let mut command = self.common_arguments(ports);
        let own = format!("https://127.0.0.1:{}", ports.peer);
        for (flag, value) in [
            ("name", name_of(index).as_str()),
            ("data-dir", path(&data_dir)),
            ("listen-peer-urls", &own),
            ("initial-advertise-peer-urls", &own),
            ("initial-cluster", peers),
            ("initial-cluster-state", state),
        ] {
            command.push(format!("--{flag}={value}"));
        }
        command.extend(self.options.arguments.iter().cloned());
        Etcd {
            version: self.version,
            name: name_of(index),
            ports,
            command,
            ca: self.ca.clone(),
            client: self.client.clone(),
            plain_http: self.options.plain_http,
            login: Mutex::new(None),
            log: temporary.path().join("etcd.log"),
            logged: 0,
            data_dir,
            process: None,
            temporary,
        }
    }

    fn common_arguments(&self, ports: Ports) -> Vec<String> {
        let scheme = if self.options.plain_http {
            "http"
        } else {
            "https"
        };
        let clients = format!("{scheme}://127.0.0.1:{}", ports.client);
        let metrics = format!("http://127.0.0.1:{}", ports.metrics);
        let mut arguments = vec![
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-metrics-urls={metrics}"),
            format!("--peer-cert-file={}", path(&self.peer.cert)),
            format!("--peer-key-file={}", path(&self.peer.key)),
            format!("--peer-trusted-ca-file={}", path(&self.ca)),
            "--peer-client-cert-auth".to_owned(),
            "--quota-backend-bytes=8589934592".to_owned(),
            // the data outlives no power failure, and need not
            "--unsafe-no-fsync".to_owned(),
        ];
        if !self.options.plain_http {
            arguments.extend([
                format!("--cert-file={}", path(&self.server.cert)),
                format!("--key-file={}", path(&self.server.key)),
                format!("--trusted-ca-file={}", path(&self.ca)),
                "--client-cert-auth".to_owned(),
            ]);
        }
        arguments
    }
}

fn name_of(index: usize) -> String {
    format!("control-plane-{}", index + 1)
}

fn initial(index: usize, ports: Ports) -> String {
    format!("{}=https://127.0.0.1:{}", name_of(index), ports.peer)
}

/// Ports that nobody else is given: each once, and below those that the kernel gives to outgoing connections, one of
/// which would keep a server from its port for as long as it lives. Two processes begin at different ones.
fn listen() -> TcpListener {
    const FIRST: usize = 10_000;
    const COUNT: usize = 22_000;
    static NEXT: LazyLock<AtomicUsize> =
        LazyLock::new(|| AtomicUsize::new(std::process::id() as usize * 499));
    let mut ports = (0..COUNT).map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT);
    ports
        .find_map(|port| {
            let port = u16::try_from(port).expect("a port");
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
        })
        .expect("a free port")
}

/// Ports that were free a moment ago; all held at once, so that they differ.
pub(crate) fn free_ports(members: usize) -> Vec<Ports> {
    let held: Vec<[TcpListener; 3]> = (0..members)
        .map(|_| [listen(), listen(), listen()])
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    held.iter()
        .map(|[client, peer, metrics]| Ports {
            client: port(client),
            peer: port(peer),
            metrics: port(metrics),
        })
        .collect()
}
