//! A stand-in for the kubelet: it really runs whatever lies in a manifest directory, and really ends what does not lie
//! there any more.
//!
//! Of a pod it knows what the tests write: one container, its command, and volumes of the host, for whose paths it
//! puts those of the host. `etcd` is a real etcd; any other program is started as it is named.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::POLL;
use super::etcd::{Version, spawn_for_the_process};

/// How long a program may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);
/// How long a program that has ended by itself stays so.
const BACK_OFF: Duration = Duration::from_millis(300);

/// A kubelet that watches one directory; what it runs ends with it.
pub(crate) struct Kubelet {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    manifests: PathBuf,
    etcd: Version,
    /// It does nothing at all while this holds.
    is_asleep: AtomicBool,
    is_over: AtomicBool,
    /// Where the output of each program goes.
    logs: PathBuf,
    pods: Mutex<BTreeMap<String, Pod>>,
}

struct Pod {
    manifest: String,
    child: Option<Child>,
    ended: Option<Instant>,
}

impl Kubelet {
    /// Starts to watch a directory.
    pub(crate) fn watch(manifests: &Path, etcd: Version, logs: &Path) -> Self {
        let shared = Arc::new(Shared {
            manifests: manifests.to_owned(),
            etcd,
            is_asleep: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            logs: logs.to_owned(),
            pods: Mutex::default(),
        });
        let watcher = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !watcher.is_over.load(Ordering::SeqCst) {
                if !watcher.is_asleep.load(Ordering::SeqCst) {
                    watcher.sync();
                }
                thread::sleep(POLL);
            }
            watcher.end_all();
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// What `systemctl stop kubelet` does: pods go on, and nobody looks after them.
    pub(crate) fn sleep(&self) {
        self.shared.is_asleep.store(true, Ordering::SeqCst);
        // a look that was under way is over
        drop(self.shared.pods.lock().expect("the pods"));
    }

    /// It looks after its pods again.
    pub(crate) fn wake(&self) {
        self.shared.is_asleep.store(false, Ordering::SeqCst);
    }

    /// The pods that have a process, by the names of their manifests.
    pub(crate) fn running(&self) -> Vec<String> {
        let mut pods = self.shared.pods.lock().expect("the pods");
        let running = pods
            .iter_mut()
            .filter_map(|(name, pod)| pod.is_running().then(|| name.clone()));
        running.collect()
    }

    /// Kills the program of a pod.
    pub(crate) fn kill(&self, name: &str) {
        let mut pods = self.shared.pods.lock().expect("the pods");
        if let Some(child) = pods.get_mut(name).and_then(|pod| pod.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What the program of a pod has said.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.shared.logs.join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn sync(&self) {
        let mut pods = self.pods.lock().expect("the pods");
        let wanted = self.wanted();
        pods.retain(|name, pod| {
            let stays = wanted.get(name) == Some(&pod.manifest);
            if !stays {
                pod.end();
            }
            stays
        });
        for (name, manifest) in wanted {
            let pod = pods.entry(name.clone()).or_insert_with(|| Pod {
                manifest,
                child: None,
                ended: None,
            });
            let rests = pod.ended.is_some_and(|ended| ended.elapsed() < BACK_OFF);
            if !pod.is_running() && !rests {
                pod.child = Some(self.start(&name, &pod.manifest));
            }
        }
    }

    /// Every file that does not begin with a dot, whatever its name ends in.
    fn wanted(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(&self.manifests)
            .into_iter()
            .flatten()
            .flatten();
        let named = entries.map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        });
        named
            .filter(|(name, _)| !name.starts_with('.'))
            .filter_map(|(name, path)| Some((name, fs::read_to_string(path).ok()?)))
            .collect()
    }

    fn start(&self, name: &str, manifest: &str) -> Child {
        let mut words = command(manifest).into_iter();
        let program = words
            .next()
            .unwrap_or_else(|| panic!("{name} has no command"));
        let program = if program == "etcd" {
            self.etcd.binary("etcd")
        } else {
            PathBuf::from(program)
        };
        let mounts = mounts(manifest);
        let words = words.map(|word| on_host(&word, &mounts));
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.logs.join(format!("{name}.log")))
            .expect("a log file");
        // the kernel ends it if this process is killed before it can do so
        let reaper = Path::new("/usr/bin/setpriv");
        let mut command = if reaper.exists() {
            let mut command = Command::new(reaper);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(words).stdin(Stdio::null());
        command
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        spawn_for_the_process(command)
    }

    fn end_all(&self) {
        let mut pods = self.pods.lock().expect("the pods");
        pods.values_mut().for_each(Pod::end);
        pods.clear();
    }
}

impl Pod {
    fn is_running(&mut self) -> bool {
        let Some(child) = &mut self.child else {
            return false;
        };
        let is_running = child.try_wait().is_ok_and(|ended| ended.is_none());
        if !is_running {
            self.child = None;
            self.ended = Some(Instant::now());
        }
        is_running
    }

    /// Asks it to end, and after a while does not ask any more.
    fn end(&mut self) {
        let began = Instant::now();
        while self.is_running() {
            let Some(child) = &mut self.child else { return };
            if began.elapsed() > GRACE {
                let _ = child.kill();
            } else {
                // fails only if it has ended in between
                let _ = kill_process(Pid::from_child(child), Signal::TERM);
            }
            thread::sleep(POLL);
        }
    }
}

/// The words below `command:`.
fn command(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().map(str::trim);
    let lines = lines.skip_while(|line| *line != "- command:").skip(1);
    lines
        .map_while(|line| line.strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

/// The paths of the container and those of the host that are mounted there, in the order of the manifest.
fn mounts(manifest: &str) -> Vec<(String, String)> {
    let values = |key: &'static str| {
        let lines = manifest
            .lines()
            .map(|line| line.trim().trim_start_matches("- "));
        lines.filter_map(move |line| line.strip_prefix(key))
    };
    let inside = values("mountPath: ").map(str::to_owned);
    inside.zip(values("path: ").map(str::to_owned)).collect()
}

fn on_host(word: &str, mounts: &[(String, String)]) -> String {
    let Some((flag, path)) = word.split_once('=') else {
        return word.to_owned();
    };
    let rest = |inside: &str| path.strip_prefix(inside);
    let found = mounts
        .iter()
        .find_map(|(inside, host)| Some((host, rest(inside)?)));
    found.map_or_else(
        || word.to_owned(),
        |(host, rest)| format!("{flag}={host}{rest}"),
    )
}
