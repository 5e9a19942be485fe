//! Real etcd servers of several versions, each on ports and in a directory of its own, with client certificates
//! required, as kubeadm starts them.
//!
//! `tests/install.sh` unpacks the versions below `HCE_ETCD_DIR`. A server is killed, by its own process id, when its
//! value is dropped, and by the kernel when the test process dies in any other way.

mod client;
mod cluster;
mod fill;
mod version;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::command::{Output, run};
use super::pki::{Pair, Pki};
use super::wait_for;

pub(crate) use client::{Access, Entry, HashKv};
pub(crate) use cluster::{BIND_RACES, Cluster, free_ports};
pub(crate) use fill::{Filled, Objects, WriteLoad};
pub(crate) use version::{Version, versions};

/// How long a server may take until it answers.
pub(crate) const READY: Duration = Duration::from_mins(1);

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

impl Options {
    /// Members that bear a busy machine: no follower stands for election because a heartbeat is late by seconds.
    pub(crate) fn steady() -> Self {
        Self {
            arguments: ["--heartbeat-interval=500", "--election-timeout=5000"]
                .map(String::from)
                .to_vec(),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) client: u16,
    pub(crate) peer: u16,
    pub(crate) metrics: u16,
}

/// Why a server did not come up.
enum Failure {
    /// Somebody took one of its ports in between.
    PortTaken,
    Other(String),
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
    /// How long the log was when it was started last.
    logged: usize,
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

    /// Where its peers reach it.
    pub(crate) fn peer_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.peer)
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
        self.come_back();
    }

    /// Waits until it answers; starts it anew while somebody else has one of its ports.
    fn come_back(&mut self) {
        let what = format!("{} has its ports again", self.name);
        wait_for(&what, READY, || match self.await_ready() {
            Ok(()) => Some(()),
            Err(Failure::PortTaken) => {
                self.spawn();
                None
            }
            Err(Failure::Other(why)) => panic!("{}: {why}", self.name),
        });
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

    fn spawn(&mut self) {
        self.logged = self.log().len();
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
        let log = log.get(self.logged..).unwrap_or(&log);
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

/// Whether `/health` on the metrics port says that the member has a leader and answers.
pub(crate) fn healthy(port: u16) -> bool {
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
pub(crate) fn spawn_for_the_process(command: Command) -> Child {
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
