//! Real etcd servers of several versions, each on ports and in a directory of its own, with client certificates
//! required, as kubeadm starts them.
//!
//! `tests/install.sh` unpacks the versions below `HCE_ETCD_DIR`. A server is killed, by its own process id, when its
//! value is dropped, and by the kernel when the test process dies in any other way.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::command::{Output, run};
use super::pki::{Pair, Pki};
use super::{poll_until, wait_for};

/// How long a server may take until it answers.
const READY: Duration = Duration::from_secs(60);
/// How long one job of a client may take, filling gigabytes included.
const JOB: Duration = Duration::from_secs(900);
/// How often a start is tried again when a port was taken in between.
const BIND_RACES: usize = 5;

/// An etcd that `tests/install.sh` provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.4.23, of Debian 12; has no etcdutl.
    V3_4,
    /// 3.5.1, the oldest 3.5 that can be had.
    V3_5_1,
    /// The newest 3.5 of Debian.
    V3_5,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::V3_4, Self::V3_5_1, Self::V3_5];

    /// The version that `name` stands for: `3.4`, `3.5.1` or `3.5`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.label() == name)
    }

    /// The name of its directory.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::V3_4 => "3.4",
            Self::V3_5_1 => "3.5.1",
            Self::V3_5 => "3.5",
        }
    }

    /// The path of its `etcd`, `etcdctl` or `etcdutl`.
    pub(crate) fn binary(self, name: &str) -> PathBuf {
        let directory = std::env::var_os("HCE_ETCD_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/etcd"),
            |directory| Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
        );
        directory.join(self.label()).join(name)
    }

    /// What `etcd --version` says, for example `3.5.30`.
    pub(crate) fn exact(self) -> String {
        let said = run(Command::new(self.binary("etcd")).arg("--version"))
            .expect_success()
            .stdout;
        let version = said
            .lines()
            .find_map(|line| line.strip_prefix("etcd Version: "));
        version
            .unwrap_or_else(|| panic!("etcd --version says {said}"))
            .trim()
            .to_owned()
    }

    /// Runs its etcdutl, or, of 3.4, its etcdctl: both know `snapshot status` and `snapshot restore`.
    pub(crate) fn etcdutl(self, args: &[&str]) -> Output {
        let tool = if self == Self::V3_4 {
            "etcdctl"
        } else {
            "etcdutl"
        };
        run(Command::new(self.binary(tool))
            .env("ETCDCTL_API", "3")
            .args(args))
    }

    /// What `snapshot status -w json` says about a file.
    pub(crate) fn snapshot_status(self, file: &Path) -> serde_json::Value {
        self.etcdutl(&["snapshot", "status", path(file), "-w", "json"])
            .expect_success()
            .json()
    }

    /// Restores a file with etcd's own tool into a new data directory, as the only member.
    pub(crate) fn snapshot_restore(self, file: &Path, data_dir: &Path) -> Output {
        self.etcdutl(&[
            "snapshot",
            "restore",
            path(file),
            "--data-dir",
            path(data_dir),
        ])
    }
}

/// The versions that are there. One that is missing is a failure where `HCE_REQUIRE` names `etcd`.
pub(crate) fn versions() -> Vec<Version> {
    let required = std::env::var("HCE_REQUIRE")
        .is_ok_and(|names| names.split(',').any(|name| name.trim() == "etcd"));
    let (there, missing): (Vec<_>, Vec<_>) = Version::ALL
        .into_iter()
        .partition(|version| version.binary("etcd").exists());
    for version in missing {
        let at = version.binary("etcd");
        assert!(
            !required,
            "etcd {} is not at {}: run tests/install.sh",
            version.label(),
            at.display()
        );
        eprintln!(
            "skipped: there is no etcd {}; tests/install.sh provides it",
            version.label()
        );
    }
    there
}

/// What is unusual about a server; the default is what kubeadm starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Another server certificate than the PKI's.
    pub(crate) server: Option<Pair>,
    /// A data directory that is there already, for example a restored one; the server does not remove it.
    pub(crate) data_dir: Option<PathBuf>,
    /// No TLS towards clients.
    pub(crate) plain_http: bool,
    /// Further arguments.
    pub(crate) arguments: Vec<String>,
}

/// The state of the whole key space at a revision, as a member reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashKv {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    /// What was compacted away; -1 if nothing was.
    pub(crate) compact_revision: i64,
}

/// One key as it is at some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
    metrics: u16,
}

/// Why a server did not come up.
enum Failure {
    /// Somebody took one of its ports in between.
    PortTaken,
    Other(String),
}

/// How to reach one member with the health check's certificate.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    endpoint: String,
    tls: Option<(PathBuf, Pair)>,
    login: Option<(String, String)>,
}

impl Access {
    /// Runs a job with a client; the client may be cloned.
    pub(crate) fn with_client<T>(&self, job: impl AsyncFnOnce(Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let work = async { job(self.connect().await).await };
            tokio::time::timeout(JOB, work)
                .await
                .expect("a job within its deadline")
        })
    }

    async fn connect(&self) -> Client {
        let mut options = ConnectOptions::new().with_connect_timeout(Duration::from_secs(10));
        if let Some((ca, client)) = &self.tls {
            let read = |file: &Path| fs::read(file).expect("a PKI file");
            options = options.with_tls(
                TlsOptions::new()
                    .ca_certificate(Certificate::from_pem(read(ca)))
                    .identity(Identity::from_pem(read(&client.cert), read(&client.key)))
                    .timeout(Duration::from_secs(10)),
            );
        }
        if let Some((user, password)) = &self.login {
            options = options.with_user(user, password);
        }
        Client::connect([&self.endpoint], Some(options))
            .await
            .expect("a client")
    }
}

/// A running server.
pub(crate) struct Etcd {
    version: Version,
    name: String,
    ports: Ports,
    /// Everything but the ports, to start it again.
    command: Vec<String>,
    ca: PathBuf,
    client: Pair,
    plain_http: bool,
    login: Mutex<Option<(String, String)>>,
    data_dir: PathBuf,
    log: PathBuf,
    process: Option<Child>,
    /// Held so that the directory ends with the value.
    temporary: TempDir,
}

impl Etcd {
    /// A server with the certificates of `pki`, empty and ready.
    pub(crate) fn start(version: Version, pki: &Pki) -> Self {
        Self::start_with(version, pki, &Options::default())
    }

    /// A server that is unusual in some way, ready.
    pub(crate) fn start_with(version: Version, pki: &Pki, options: &Options) -> Self {
        Cluster::start_with(version, 1, pki, options)
            .members
            .remove(0)
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.plain_http { "http" } else { "https" };
        format!("{scheme}://127.0.0.1:{}", self.ports.client)
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Its name in the member list.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Everything it logged.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |log| String::from_utf8_lossy(&log).into_owned(),
        )
    }

    /// Stops it at once; its data stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // both fail only if it has ended already
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again after [`Etcd::stop`], on the same ports and data.
    pub(crate) fn restart(&mut self) {
        self.spawn();
        if let Err(Failure::Other(why)) = self.await_ready() {
            panic!("{why}");
        }
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Etcd::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a running server");
        kill_process(Pid::from_child(process), signal).expect("a signal to the server");
    }

    /// Runs etcdctl of the same version against it, with the health check's certificate.
    pub(crate) fn etcdctl(&self, args: &[&str]) -> Output {
        let mut command = Command::new(self.version.binary("etcdctl"));
        command
            .env("ETCDCTL_API", "3")
            .arg("--endpoints")
            .arg(self.endpoint())
            .args(args);
        if !self.plain_http {
            command
                .arg("--cacert")
                .arg(&self.ca)
                .arg("--cert")
                .arg(&self.client.cert)
                .arg("--key")
                .arg(&self.client.key);
        }
        if let Some((user, password)) = self.login.lock().expect("the login").clone() {
            command.arg("--user").arg(format!("{user}:{password}"));
        }
        run(&mut command)
    }

    /// Saves a snapshot with etcdctl.
    pub(crate) fn snapshot_save(&self, file: &Path) {
        self.etcdctl(&["snapshot", "save", path(file)])
            .expect_success();
    }

    /// Runs a job with a client of this member; the client may be cloned.
    pub(crate) fn with_client<T>(&self, job: impl AsyncFnOnce(Client) -> T) -> T {
        self.access().with_client(job)
    }

    /// What a client needs, for another thread.
    pub(crate) fn access(&self) -> Access {
        Access {
            endpoint: self.endpoint(),
            tls: (!self.plain_http).then(|| (self.ca.clone(), self.client.clone())),
            login: self.login.lock().expect("the login").clone(),
        }
    }

    /// Puts one key; returns the new revision.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> i64 {
        self.with_client(async |mut client| {
            let done = client.put(key, value, None).await.expect("a put");
            done.header().expect("a header").revision()
        })
    }

    /// Deletes one key; returns the new revision.
    pub(crate) fn delete(&self, key: &str) -> i64 {
        self.with_client(async |mut client| {
            let done = client.delete(key, None).await.expect("a delete");
            done.header().expect("a header").revision()
        })
    }

    /// Puts one key that ends with a lease of its own; returns the lease.
    pub(crate) fn put_leased(&self, key: &str, value: &[u8], ttl: Duration) -> i64 {
        let ttl = i64::try_from(ttl.as_secs()).expect("a lease time");
        self.with_client(async |mut client| {
            let lease = client.lease_grant(ttl, None).await.expect("a lease").id();
            let options = etcd_client::PutOptions::new().with_lease(lease);
            client.put(key, value, Some(options)).await.expect("a put");
            lease
        })
    }

    /// Compacts everything before `revision` away and waits until it is gone.
    pub(crate) fn compact(&self, revision: i64) {
        self.with_client(async |mut client| {
            let physical = etcd_client::CompactionOptions::new().with_physical();
            client
                .compact(revision, Some(physical))
                .await
                .expect("a compaction");
        });
    }

    /// The revision it is at.
    pub(crate) fn revision(&self) -> i64 {
        self.with_client(async |mut client| {
            let got = client.get("\0", None).await.expect("a get");
            got.header().expect("a header").revision()
        })
    }

    /// Its own hash over all keys up to `revision`; 0: the newest.
    pub(crate) fn hash_kv(&self, revision: i64) -> HashKv {
        self.with_client(async |mut client| {
            let hashed = client.hash_kv(revision).await.expect("a hash");
            let at = if revision == 0 {
                hashed.header().expect("a header").revision()
            } else {
                revision
            };
            HashKv {
                hash: hashed.hash(),
                revision: at,
                compact_revision: hashed.compact_version(),
            }
        })
    }

    /// Every key there was at `revision` (0: now), in key order.
    pub(crate) fn entries(&self, revision: i64) -> Vec<Entry> {
        self.with_client(async |mut client| {
            let mut entries: Vec<Entry> = Vec::new();
            let mut from = vec![0];
            loop {
                // small enough for the client's limit on one message
                let page = etcd_client::GetOptions::new()
                    .with_from_key()
                    .with_limit(100)
                    .with_revision(revision);
                let got = client.get(from, Some(page)).await.expect("a range");
                entries.extend(got.kvs().iter().map(Entry::from));
                if !got.more() {
                    return entries;
                }
                from = entries
                    .last()
                    .map_or_else(Vec::new, |last| [&last.key[..], &[0]].concat());
            }
        })
    }

    /// Turns auth on: user `root` with this password, who may do everything. Its own helpers log in from then on.
    pub(crate) fn enable_auth(&self, password: &str) {
        self.with_client(async |mut client| {
            client
                .user_add("root", password, None)
                .await
                .expect("a user");
            client.role_add("root").await.expect("a role");
            client
                .user_grant_role("root", "root")
                .await
                .expect("a grant");
            client.auth_enable().await.expect("auth");
        });
        *self.login.lock().expect("the login") = Some(("root".to_owned(), password.to_owned()));
    }

    fn spawn(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log file");
        // the kernel ends it if this process is killed before it can do so
        let reaper = Path::new("/usr/bin/setpriv");
        let etcd = self.version.binary("etcd");
        let mut command = if reaper.exists() {
            let mut command = Command::new(reaper);
            command.args(["--pdeathsig", "KILL", "--"]).arg(etcd);
            command
        } else {
            Command::new(etcd)
        };
        command.args(&self.command).stdin(Stdio::null());
        command
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        self.process = Some(spawn_for_the_process(command));
    }

    fn await_ready(&mut self) -> Result<(), Failure> {
        let metrics = self.ports.metrics;
        let name = format!("etcd {} answers", self.version.label());
        wait_for(&name, READY, || {
            let ended = self
                .process
                .as_mut()
                .is_none_or(|process| process.try_wait().is_ok_and(|ended| ended.is_some()));
            if ended {
                return Some(Err(self.why_it_ended()));
            }
            healthy(metrics).then_some(Ok(()))
        })
    }

    fn why_it_ended(&self) -> Failure {
        let log = self.log();
        if log.contains("address already in use") {
            return Failure::PortTaken;
        }
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        Failure::Other(format!(
            "etcd {} ended instead of starting:\n{end}",
            self.version.label()
        ))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}

impl From<&etcd_client::KeyValue> for Entry {
    fn from(kv: &etcd_client::KeyValue) -> Self {
        Self {
            key: kv.key().to_vec(),
            value: kv.value().to_vec(),
            create_revision: kv.create_revision(),
            mod_revision: kv.mod_revision(),
            version: kv.version(),
            lease: kv.lease(),
        }
    }
}

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
    /// A cluster of `size` voting members, ready.
    pub(crate) fn start(version: Version, size: usize, pki: &Pki) -> Self {
        Self::start_with(version, size, pki, &Options::default())
    }

    fn start_with(version: Version, size: usize, pki: &Pki, options: &Options) -> Self {
        let layout = || Layout {
            version,
            ca: pki.etcd_ca().cert.clone(),
            server: options.server.clone().unwrap_or_else(|| pki.server.clone()),
            peer: pki.peer.clone(),
            client: pki.client.clone(),
            options: options.clone(),
        };
        for _ in 0..BIND_RACES {
            match Self::try_start(layout(), size) {
                Ok(cluster) => return cluster,
                Err(Failure::PortTaken) => {}
                Err(Failure::Other(why)) => panic!("{why}"),
            }
        }
        panic!("{BIND_RACES} times in a row a port was taken in between");
    }

    fn try_start(layout: Layout, size: usize) -> Result<Self, Failure> {
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

    /// Adds a member that does not vote, and waits until it has caught up; it is the last of [`Cluster::members`].
    pub(crate) fn add_learner(&mut self) -> &Etcd {
        let ports = free_ports(1)[0];
        let index = self.members.len();
        let url = format!("https://127.0.0.1:{}", ports.peer);
        self.members[0].with_client(async |mut client| {
            let learner = etcd_client::MemberAddOptions::new().with_is_learner();
            client
                .member_add([url], Some(learner))
                .await
                .expect("a new member");
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
        let started = learner.await_ready();
        assert!(
            started.is_ok(),
            "the learner did not start: {}",
            learner.log()
        );
        poll_until("the learner has caught up", READY, || {
            learner.hash_revision() >= revision
        });
        self.members.push(learner);
        &self.members[index]
    }
}

impl Etcd {
    /// The newest revision it has, also where it may not answer reads because it is a learner.
    fn hash_revision(&self) -> i64 {
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

/// Ports that were free a moment ago; all held at once, so that they differ.
fn free_ports(members: usize) -> Vec<Ports> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
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

/// Whether `/health` on the metrics port says that the member has a leader and answers.
fn healthy(port: u16) -> bool {
    let ask = || -> io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(r#""health":"true""#))
}

/// Starts a child from a thread that never ends: the kernel's "kill it when its parent dies" means the thread.
fn spawn_for_the_process(command: Command) -> Child {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // nobody waits for the reply of a test that panicked
                let _ = reply.send(command.spawn());
            }
        });
        requests
    });
    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).expect("the spawning thread");
    answer
        .recv()
        .expect("the spawning thread")
        .expect("etcd could not be started")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
