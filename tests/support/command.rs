//! Runs commands with a deadline, and the real binary on a host made of temporary directories.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::POLL;
use super::pki::{Pair, Pki};

/// How long a command of a test may take, unless the test says otherwise.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

/// What a command that has ended left behind.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Output {
    /// Itself, if it ended with this exit code; panics with everything it said otherwise.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "expected exit code {code}, got {self}"
        );
        self
    }

    /// Itself, if it ended well.
    #[track_caller]
    pub(crate) fn expect_success(self) -> Self {
        self.expect_code(0)
    }

    /// Panics if it tells a secret.
    #[track_caller]
    pub(crate) fn assert_silent_on(&self, secret: &str) {
        let tells = |text: &str| text.contains(secret);
        assert!(
            !tells(&self.stdout) && !tells(&self.stderr),
            "a secret was told: {self}"
        );
    }

    /// Its standard output, which is one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("stdout is not one JSON document ({error}): {self}"),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            stdout,
            stderr,
            took,
        } = self;
        write!(
            f,
            "exit code {code:?} after {took:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---"
        )
    }
}

/// A command that runs; killed, by its own process id, when dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    started: Instant,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a command with its output captured and its input closed.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// The same, with something to read.
    pub(crate) fn start_with(command: &mut Command, input: Stdio) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self {
            name,
            child,
            started: Instant::now(),
            stdout,
            stderr,
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// `kill -9`: what a power failure looks like to a process.
    pub(crate) fn kill(mut self) -> Output {
        self.child.kill().expect("a child that can be killed");
        self.output(DEADLINE)
    }

    /// Waits for its end; kills it and panics, with what it said, when `deadline` has passed.
    pub(crate) fn output(mut self, deadline: Duration) -> Output {
        while self.ended().is_none() {
            if self.started.elapsed() > deadline {
                self.child.kill().expect("a child that can be killed");
                let output = self.collected();
                panic!("{} had not ended after {deadline:?}: {output}", self.name);
            }
            thread::sleep(POLL);
        }
        self.collected()
    }

    fn collected(&mut self) -> Output {
        let status = self.child.wait().expect("the end of a child");
        let took = self.started.elapsed();
        let read = |thread: Option<JoinHandle<String>>| {
            thread.map_or_else(String::new, |t| t.join().expect("a reader"))
        };
        Output {
            code: status.code(),
            stdout: read(self.stdout.take()),
            stderr: read(self.stderr.take()),
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // both fail only if it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("output of a child");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a command to its end, within [`DEADLINE`].
pub(crate) fn run(command: &mut Command) -> Output {
    Running::start(command).output(DEADLINE)
}

/// The binary that is being proven.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = option_env!("CARGO_BIN_EXE_hypercloud-etcd") {
        return PathBuf::from(path);
    }
    // an example lies in `examples` beside it
    let own = std::env::current_exe().expect("the path of this program");
    own.ancestors()
        .nth(2)
        .expect("a directory above")
        .join("hypercloud-etcd")
}

/// A control-plane node in a temporary directory: its PKI, a configuration, and a place for backups.
pub(crate) struct Host {
    directory: PathBuf,
    /// `pki/`: what `/etc/kubernetes/pki` is on a real one.
    pub(crate) pki: Pki,
    /// `config.toml`
    pub(crate) config: PathBuf,
    /// `backups/`: what `/mnt/backup` is on a real one; mode 0700.
    pub(crate) backups: PathBuf,
    /// Held so that the directory ends with the value.
    temporary: Option<TempDir>,
}

impl Host {
    /// A host in a directory that ends with it; call [`Host::configure`] once its endpoints are known.
    pub(crate) fn new() -> Self {
        let temporary = TempDir::with_prefix("hce-host-").expect("a temporary directory");
        let mut host = Self::at(temporary.path());
        host.temporary = Some(temporary);
        host
    }

    /// A host in a directory that stays.
    pub(crate) fn at(directory: &Path) -> Self {
        let backups = directory.join("backups");
        fs::create_dir_all(&backups).expect("the backup directory");
        fs::set_permissions(
            &backups,
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )
        .expect("mode 0700");
        let pki = Pki::at(&directory.join("pki"));
        Self {
            directory: directory.to_owned(),
            pki,
            config: directory.join("config.toml"),
            backups,
            temporary: None,
        }
    }

    /// The directory that everything of this host is in.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes the configuration for these endpoints, with the host's own client certificate.
    pub(crate) fn configure(&self, endpoints: &[String]) {
        self.configure_as(endpoints, &self.pki.client, "");
    }

    /// Writes the configuration for these endpoints and this client certificate. `more` is added at the end of the
    /// `[etcd]` table, and may open further tables.
    pub(crate) fn configure_as(&self, endpoints: &[String], client: &Pair, more: &str) {
        let text = format!(
            "schedule = \"0 * * * *\"\n\n\
             [backup]\ndir = {backups}\nreserve = \"64MiB\"\nreverify = \"off\"\n\n\
             [pki]\nfiles = [{ca}, {ca_key}]\n\n\
             [etcd]\nendpoints = {endpoints:?}\nca_file = {etcd_ca}\ncert_file = {cert}\nkey_file = {key}\n\
             {more}\n",
            backups = quoted(&self.backups),
            ca = quoted(&self.pki.cluster_ca().cert),
            ca_key = quoted(&self.pki.cluster_ca().key),
            etcd_ca = quoted(&self.pki.etcd_ca().cert),
            cert = quoted(&client.cert),
            key = quoted(&client.key),
        );
        fs::write(&self.config, text).expect("the configuration");
    }

    /// Sets `backup.reserve` in the configuration that was written.
    pub(crate) fn reserve(&self, reserve: &str) {
        let text = fs::read_to_string(&self.config).expect("the configuration");
        let is_reserve = |line: &&str| line.starts_with("reserve = ");
        let line = text.lines().find(is_reserve).expect("a reserve");
        let text = text.replace(line, &format!("reserve = \"{reserve}\""));
        fs::write(&self.config, text).expect("the configuration");
    }

    /// The real binary with these arguments and this host's `--config`.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).arg("--config").arg(&self.config);
        // not what a daemon on this machine remembers
        command.env("STATE_DIRECTORY", self.directory.join("state"));
        command
    }

    /// Runs the real binary to its end, within [`DEADLINE`]; panics if it tells any of the host's private keys.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        let output = run(&mut self.command(args));
        for pair in [&self.pki.client, self.pki.etcd_ca(), self.pki.cluster_ca()] {
            let key = fs::read_to_string(&pair.key).unwrap_or_default();
            key.lines()
                .filter(|line| !line.starts_with("-----"))
                .for_each(|line| output.assert_silent_on(line));
        }
        output
    }

    /// Starts the real binary, for a test that interrupts it.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: &[S]) -> Running {
        Running::start(&mut self.command(args))
    }

    /// The names of all files in the backup directory, sorted; dot files too.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.backups).expect("the backup directory");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        // the copies of the CA have a test of their own
        names.retain(|name| name != "pki");
        names.sort();
        names
    }
}

/// A path as a TOML string; TOML escapes as JSON does.
fn quoted(path: &Path) -> String {
    serde_json::json!(path).to_string()
}
