//! The daemon, as systemd would run it: its notify socket is read here, its signals are sent from here.

use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use hypercloud_etcd::config;
use hypercloud_etcd::daemon::{self, Setup};
use hypercloud_etcd::report::state::StateFile;
use hypercloud_etcd::report::systemd::Systemd;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::command::{Host, Output, Running};
use super::support::etcd::{Etcd, Version, versions};
use super::support::fake::{Fake, Script};
use super::support::history::History;
use super::support::{poll_until, wait_for};

/// How long anything may take that is not bound to the clock on the wall.
const SOON: Duration = Duration::from_mins(2);
/// A schedule whose ticks no test meets.
const YEARLY: &str = "0 0 1 1 *";
/// A small database that etcd made.
const SNAPSHOT: &[u8] = include_bytes!("golden/snapshots/3.5.30.db");

/// A host on which the daemon can be run.
struct Node {
    host: Host,
    socket: UnixDatagram,
}

/// The running daemon, and all that it told systemd.
struct Daemon<'n> {
    node: &'n Node,
    running: Running,
    heard: Vec<String>,
    /// How much of it the test has taken note of.
    noted: usize,
}

impl Node {
    fn new(endpoints: &[String], schedule: &str) -> Self {
        Self::of(Host::new(), endpoints, schedule)
    }

    fn of(host: Host, endpoints: &[String], schedule: &str) -> Self {
        let socket = UnixDatagram::bind(host.directory().join("notify")).expect("a socket");
        socket
            .set_nonblocking(true)
            .expect("a socket that does not wait");
        host.configure(endpoints);
        let node = Self { host, socket };
        node.edit("0 * * * *", schedule);
        node
    }

    /// Replaces a text in the configuration.
    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.host.config).expect("the configuration");
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(&self.host.config, text.replace(from, to)).expect("the configuration");
    }

    fn state_file(&self) -> PathBuf {
        self.host.directory().join("state/state.json")
    }

    /// Lets the daemon believe that it last ran years ago.
    fn missed_a_run(&self) {
        fs::create_dir_all(self.state_file().with_file_name("")).expect("a directory");
        let state = json!({"format": 1, "settled": "2020-01-01T00:00:00Z"});
        fs::write(self.state_file(), state.to_string()).expect("a state");
    }

    fn state(&self) -> Value {
        let text = fs::read_to_string(self.state_file()).expect("a state");
        serde_json::from_str(&text).expect("JSON")
    }

    fn command(&self) -> Command {
        let mut command = self.host.command(&["daemon"]);
        command
            .env("NOTIFY_SOCKET", self.host.directory().join("notify"))
            .env("STATE_DIRECTORY", self.state_file().with_file_name(""))
            .env("WATCHDOG_USEC", "600000")
            .env_remove("WATCHDOG_PID")
            .env_remove("JOURNAL_STREAM");
        command
    }

    /// Starts it and waits until it is ready.
    fn start(&self) -> Daemon<'_> {
        let mut daemon = Daemon {
            node: self,
            running: Running::start(&mut self.command()),
            heard: Vec::new(),
            noted: 0,
        };
        daemon.hear("READY=1");
        assert_eq!(daemon.noted, 1, "READY comes first: {:?}", daemon.heard);
        daemon
    }

    /// The manifests in the backup directory.
    fn manifests(&self) -> Vec<Value> {
        let names = self.host.files();
        let json = names.iter().filter(|name| {
            name.starts_with("etcd-")
                && name
                    .rsplit_once('.')
                    .is_some_and(|(_, ending)| ending == "json")
        });
        json.map(|name| {
            let text = fs::read_to_string(self.host.backups.join(name)).expect("a manifest");
            serde_json::from_str(&text).expect("JSON")
        })
        .collect()
    }
}

impl Daemon<'_> {
    /// Reads what it has told since.
    fn listen(&mut self) {
        let mut buffer = [0; 8192];
        loop {
            match self.node.socket.recv(&mut buffer) {
                Ok(length) => self
                    .heard
                    .push(String::from_utf8_lossy(&buffer[..length]).into_owned()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until it tells this, after what was heard last, and answers the whole message.
    fn hear(&mut self, what: &str) -> String {
        let place = wait_for(what, SOON, || {
            self.listen();
            let mut new = self.heard[self.noted..].iter();
            new.position(|message| message.contains(what))
        });
        self.noted += place + 1;
        self.heard[self.noted - 1].clone()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.running.pid().try_into().expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("a signal");
    }

    /// Waits for a backup beyond this many.
    fn backup(&mut self, after: usize) -> Value {
        wait_for("a backup", SOON, || {
            self.listen();
            let mut made = self.node.manifests();
            (made.len() > after).then(|| made.pop().expect("the newest"))
        })
    }

    /// Ends it as systemd does.
    fn stop(mut self) -> (Output, Vec<String>) {
        self.signal(Signal::TERM);
        poll_until("the end", SOON, || {
            self.listen();
            self.running.ended().is_some()
        });
        self.listen();
        (self.running.output(SOON).expect_success(), self.heard)
    }
}

fn newest() -> Version {
    *versions().last().expect("an etcd")
}

/// A host with a real etcd.
fn with_etcd(schedule: &str) -> (Etcd, Node) {
    let host = Host::new();
    let etcd = Etcd::start(newest(), &host.pki);
    let node = Node::of(host, &[etcd.endpoint()], schedule);
    (etcd, node)
}

/// A host with a server that sends a snapshot as told.
fn with_fake(script: Script) -> (Fake, Node) {
    let host = Host::new();
    let fake = Fake::start(&host.pki, SNAPSHOT, script);
    let node = Node::of(host, &[fake.endpoint()], YEARLY);
    (fake, node)
}

/// Ever on its way: at this pace it would take minutes.
fn endless() -> Script {
    Script::Trickle {
        blob: 32,
        pause: Duration::from_millis(100),
    }
}

#[test]
fn a_missed_run_is_made_up_for_once_and_told_in_the_right_order() {
    let (_etcd, node) = with_etcd(YEARLY);
    node.missed_a_run();
    let mut daemon = node.start();
    let manifest = daemon.backup(0);
    assert_eq!(
        (&manifest["trigger"], &manifest["verified"]),
        (&json!("catch-up"), &json!(true))
    );
    let story = daemon.hear("STATUS=newest verified backup");
    assert!(story.starts_with("WATCHDOG=1\n"), "{story}");
    assert!(
        story.contains("% free") && story.contains(", next "),
        "{story}"
    );
    let (output, heard) = daemon.stop();
    assert!(
        heard[0].starts_with("READY=1\nSTATUS=no verified backup yet, next "),
        "{heard:?}"
    );
    assert!(
        heard
            .iter()
            .any(|message| message.contains("STATUS=backup running")),
        "{heard:?}"
    );
    assert!(
        heard.last().unwrap().starts_with("STOPPING=1\n"),
        "{heard:?}"
    );
    let id = manifest["id"].as_str().unwrap();
    let event = format!("backup {id} is verified: ");
    assert!(output.stderr.contains(&event), "{output}");
    assert!(
        !output.stderr.contains("message_id"),
        "fields are for the journal: {output}"
    );
    let state = node.state();
    assert_eq!(state["runs"][0]["outcome"], "verified");
    assert_eq!(
        (&state["runs"][0]["backup"], &state["open"]),
        (&manifest["id"], &Value::Null)
    );

    // and not again, here or after a restart
    let mut again = node.start();
    assert!(
        again.heard[0].contains("STATUS=newest verified backup"),
        "{:?}",
        again.heard
    );
    for _ in 0..3 {
        again.hear("WATCHDOG=1");
    }
    again.stop();
    assert_eq!(node.manifests().len(), 1);
}

#[test]
fn every_minute_means_on_the_minute_and_idle_costs_next_to_nothing() {
    let (_etcd, node) = with_etcd("* * * * *");
    let mut daemon = node.start();
    let mut made = 0;
    wait_for("two ticks", Duration::from_mins(3), || {
        daemon.listen();
        made = node.manifests().len();
        // a third may have been made where the machine let this test wait
        (made >= 2).then_some(())
    });
    daemon.hear("STATUS=newest verified backup");
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.running.pid())).unwrap();
    let kilobytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    };
    let (resident, own) = (kilobytes("VmRSS:"), kilobytes("RssAnon:"));
    eprintln!("idle after two backups: {resident} kB resident, {own} kB of them not the binary's");
    assert!(own < 12_000, "{own} kB");
    daemon.stop();
    let manifests = node.manifests();
    for manifest in &manifests {
        assert_eq!(manifest["trigger"], "schedule");
    }
    let state = node.state();
    let runs = state["runs"].as_array().unwrap();
    let planned = |run: &Value| run["planned"].as_str().unwrap().to_owned();
    // the newest is the first
    let [.., second, first] = &runs[..] else {
        panic!("{state:#}")
    };
    for run in [first, second] {
        assert!(planned(run).ends_with(":00Z"), "{run}");
        assert_eq!(run["outcome"], "verified");
    }
    assert!(planned(first) < planned(second));
}

#[test]
fn a_bad_configuration_is_refused_on_reload_and_the_old_one_goes_on() {
    let (_etcd, node) = with_etcd(YEARLY);
    let mut daemon = node.start();
    node.edit(YEARLY, "61 * * * *");
    daemon.signal(Signal::HUP);
    let reloading = daemon.hear("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let refused = daemon.hear("CONFIGURATION REFUSED");
    assert!(
        refused.starts_with("READY=1\n") && refused.contains("61"),
        "{refused}"
    );
    let check = node.host.run(&["daemon", "--check-config"]).expect_code(78);
    assert!(check.stderr.contains("61"), "{check}");
    // it goes on being told, and the old schedule with it
    let story = daemon.hear("WATCHDOG=1");
    assert!(
        story.contains("next 2") && story.contains("REFUSED"),
        "{story}"
    );

    node.edit("61 * * * *", "* * * * *");
    node.host
        .run(&["daemon", "--check-config"])
        .expect_success();
    daemon.signal(Signal::HUP);
    daemon.hear("RELOADING=1");
    let ready = daemon.hear("READY=1");
    assert!(!ready.contains("REFUSED"), "{ready}");
    let (output, _) = daemon.stop();
    assert!(
        output
            .stderr
            .contains("configuration refused, the old one goes on"),
        "{output}"
    );
    assert!(
        output.stderr.contains("is in force: schedule * * * * *"),
        "{output}"
    );
}

#[test]
fn a_bad_configuration_at_start_ends_with_78_and_every_problem() {
    let node = Node::new(&["https://127.0.0.1:1".into()], "61 * * * *");
    node.edit("reserve = \"64MiB\"", "reserv = \"64MiB\"");
    let output = Running::start(&mut node.command())
        .output(SOON)
        .expect_code(78);
    assert!(
        output.stderr.contains("61") && output.stderr.contains("`reserve`"),
        "{output}"
    );
    let heard = node
        .socket
        .recv(&mut [0; 64])
        .expect_err("nothing was told");
    assert_eq!(heard.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_stop_that_a_backup_would_outlast_leaves_nothing_and_is_made_up_for() {
    let (fake, node) = with_fake(endless());
    node.missed_a_run();
    let mut daemon = node.start();
    daemon.hear("B/s, ");
    let (output, heard) = daemon.stop();
    assert!(
        heard
            .iter()
            .any(|message| message.starts_with("STOPPING=1")),
        "{heard:?}"
    );
    assert!(output.stderr.contains("nothing of it was kept"), "{output}");
    assert_eq!(node.host.files(), [".lock"]);

    fake.change(|behaviour| behaviour.script = Script::Faithful);
    let mut daemon = node.start();
    daemon.backup(0);
    let (output, _) = daemon.stop();
    assert!(
        output.stderr.contains("was cut off in attempt 1"),
        "{output}"
    );
}

#[test]
fn a_stop_waits_for_a_backup_that_is_nearly_done() {
    let (_fake, node) = with_fake(Script::Trickle {
        blob: SNAPSHOT.len() / 40,
        pause: Duration::from_millis(150),
    });
    node.missed_a_run();
    let mut daemon = node.start();
    daemon.hear("B/s, ");
    daemon.signal(Signal::TERM);
    daemon.hear("EXTEND_TIMEOUT_USEC=");
    poll_until("the end", SOON, || daemon.running.ended().is_some());
    daemon.running.output(SOON).expect_success();
    assert_eq!(node.manifests().len(), 1);
    assert_eq!(node.state()["runs"][0]["outcome"], "verified");
}

#[test]
fn kill_9_in_mid_backup_leaves_nothing_and_is_made_up_for() {
    let (fake, node) = with_fake(endless());
    node.missed_a_run();
    let mut daemon = node.start();
    daemon.hear("B/s, ");
    daemon.running.kill();
    assert_eq!(node.host.files(), [".lock"]);
    assert_eq!(node.state()["open"]["attempts"], 1);

    fake.change(|behaviour| behaviour.script = Script::Faithful);
    let mut daemon = node.start();
    daemon.backup(0);
    let (output, _) = daemon.stop();
    assert!(
        output.stderr.contains("was cut off in attempt 1"),
        "{output}"
    );
    assert_eq!(node.state()["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn etcd_that_is_down_is_a_failing_backup_and_ends_when_it_is_back() {
    let (mut etcd, node) = with_etcd(YEARLY);
    etcd.stop();
    node.missed_a_run();
    let mut daemon = node.start();
    let failing = daemon.hear("STATUS=FAILING since ");
    assert!(
        failing.contains(&etcd.endpoint()) && failing.contains("attempt 2 at "),
        "{failing}"
    );
    assert!(
        failing.starts_with("WATCHDOG=1\n"),
        "the scheduler moves: {failing}"
    );
    assert_eq!(node.state()["open"]["attempts"], 1);
    etcd.restart();
    daemon.backup(0);
    daemon.hear("STATUS=newest verified backup");
    let (output, _) = daemon.stop();
    assert!(
        output
            .stderr
            .contains("attempt 1 of the backup planned for"),
        "{output}"
    );
    assert_eq!(node.state()["failing"], Value::Null);
    let runs = node.state()["runs"].clone();
    assert_eq!(
        (runs.as_array().unwrap().len(), &runs[0]["outcome"]),
        (1, &json!("verified"))
    );
}

/// Lets the daemon believe that it last proved the stored backups again years ago.
fn missed_a_round(node: &Node) {
    node.edit("reverify = \"off\"", "reverify = \"0 3 * * 0\"");
    fs::create_dir_all(node.state_file().with_file_name("")).expect("a directory");
    let state = json!({
        "format": 1,
        "settled": "2020-01-01T00:00:00Z",
        "reverify": {"settled": "2020-01-01T00:00:00Z"},
    });
    fs::write(node.state_file(), state.to_string()).expect("a state");
}

#[test]
fn bit_rot_is_found_by_the_daemon_after_a_backup_that_is_due() {
    let (_etcd, node) = with_etcd(YEARLY);
    let rotten = node.host.backup();
    let file = node.host.snapshot_of(&rotten);
    let size = fs::metadata(&file).unwrap().len();
    let file = fs::File::options().write(true).open(file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"?", size / 2).unwrap();
    missed_a_round(&node);
    let mut daemon = node.start();
    let story = daemon.hear("no longer stands up to its proof");
    assert!(story.contains(rotten["id"].as_str().unwrap()), "{story}");
    let (output, heard) = daemon.stop();
    let id = rotten["id"].as_str().unwrap();
    let event = format!("backup {id} no longer stands up to its proof: the file's SHA-256 is ");
    assert!(output.stderr.contains(&event), "{output}");
    let backup = heard
        .iter()
        .position(|said| said.contains("backup running"));
    let proof = heard
        .iter()
        .position(|said| said.contains("proving stored backups again"));
    assert!(backup < proof || proof.is_none(), "{heard:?}");
    let manifests = node.manifests();
    let [old, new] = &manifests[..] else {
        panic!("{manifests:?}")
    };
    assert_eq!(old["lastVerified"]["result"], "failed");
    assert!(
        new["started"].as_str() <= old["lastVerified"]["at"].as_str(),
        "the backup goes first"
    );
    node.host.run(&["status"]).expect_code(1);
}

#[test]
fn a_round_is_told_remembered_and_not_repeated_after_a_restart() {
    let (_etcd, node) = with_etcd(YEARLY);
    node.host.backup();
    node.host.backup();
    missed_a_round(&node);
    let mut daemon = node.start();
    let is_over = || {
        let state = node.state();
        let done = state["reverify"]["settled"].as_str()? > "2021";
        (done && state["reverify"]["began"].is_null()).then_some(())
    };
    wait_for("the end of the round", SOON, || {
        daemon.listen();
        is_over()
    });
    let (output, _) = daemon.stop();
    assert!(output.stderr.contains("all is as it was"), "{output}");
    let proven = |backup: &Value| backup["lastVerified"]["result"] == "passed";
    // a backup was due, too, and went first
    let manifests = node.manifests();
    assert_eq!(manifests.len(), 3);
    assert!(manifests.iter().all(proven), "{manifests:#?}");
    let mut again = node.start();
    for _ in 0..3 {
        again.hear("WATCHDOG=1");
    }
    let (output, _) = again.stop();
    assert!(!output.stderr.contains("all is as it was"), "{output}");
}

#[test]
fn a_round_begins_when_the_clock_says_so() {
    let (_etcd, node) = with_etcd(YEARLY);
    let backup = node.host.backup();
    node.edit("reverify = \"off\"", "reverify = \"0 3 * * 0\"");
    // a Saturday, and later than the backup, whatever the clock on the wall says
    let clock = SetClock::at("2200-01-04T12:00:00Z");
    let mut is_sunday = false;
    let manifest = || node.manifests().remove(0);
    on_a_set_clock(&node, &|| clock.now(), || {
        if !is_sunday {
            assert_eq!(manifest()["lastVerified"], Value::Null);
            // it has begun on Saturday, and several beats have passed
            if node.state_file().exists() && clock.stands_for(Duration::from_millis(700)) {
                clock.set("2200-01-05T03:00:01Z");
                is_sunday = true;
            }
        }
        let at = manifest()["lastVerified"]["at"].clone();
        at.is_string().then_some(())
    });
    assert_eq!(manifest()["id"], backup["id"]);
    let at = manifest()["lastVerified"]["at"].clone();
    assert!(at.as_str().unwrap().starts_with("2200-01-05T03:0"), "{at}");
}

#[test]
fn a_lock_that_another_job_holds_is_waited_for() {
    let (_etcd, node) = with_etcd(YEARLY);
    node.missed_a_run();
    let lock = fs::File::create(node.host.backups.join(".lock")).unwrap();
    lock.try_lock().expect("nobody else has it");
    let mut daemon = node.start();
    wait_for("the first try", SOON, || {
        daemon.listen();
        let text = fs::read_to_string(node.state_file()).ok()?;
        text.contains("\"attempts\": 0").then_some(())
    });
    assert!(node.manifests().is_empty());
    drop(lock);
    daemon.backup(0);
    let (output, _) = daemon.stop();
    assert_eq!(
        output
            .stderr
            .matches(" waits: another job holds the lock")
            .count(),
        1,
        "{output}"
    );
    assert!(!output.stderr.contains("failed"), "{output}");
}

#[test]
fn a_certificate_renewed_on_disk_is_used_by_the_next_attempt() {
    let host = Host::new();
    let etcd = Etcd::start(newest(), &host.pki);
    let node = Node::of(host, &[etcd.endpoint()], YEARLY);
    let expired = node.host.pki.expired_client();
    node.host.configure_as(&[etcd.endpoint()], &expired, "");
    node.edit("0 * * * *", YEARLY);
    node.missed_a_run();
    let mut daemon = node.start();
    daemon.hear("STATUS=FAILING");
    fs::copy(&node.host.pki.client.cert, &expired.cert).expect("a new certificate");
    fs::copy(&node.host.pki.client.key, &expired.key).expect("a new key");
    daemon.backup(0);
    daemon.stop();
}

#[test]
fn a_full_disk_is_a_failing_backup_until_there_is_room() {
    let (_etcd, node) = with_etcd(YEARLY);
    node.edit("64MiB", "900000TiB");
    node.missed_a_run();
    let mut daemon = node.start();
    let failing = daemon.hear("STATUS=FAILING");
    assert!(failing.contains("does not fit"), "{failing}");
    node.edit("900000TiB", "64MiB");
    daemon.signal(Signal::HUP);
    daemon.backup(0);
    daemon.hear("STATUS=newest verified backup");
    // thousands of runs were missed, and one is made up for
    for _ in 0..3 {
        daemon.hear("WATCHDOG=1");
    }
    daemon.stop();
    assert_eq!(node.manifests().len(), 1);
}

#[test]
fn a_prune_that_fails_is_in_the_status_and_the_memory_and_costs_no_backup() {
    // of the cluster that the backups of long ago are of
    let (_fake, node) = with_fake(Script::Faithful);
    node.edit(
        "[etcd]",
        "[retention]\nkeep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1\n[anomaly]\nenabled = false\n[etcd]",
    );
    let history = History::new();
    let ids = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
        .map(|started| history.lay(&node.host.backups, started));
    // nothing can be given the name of what is there already and is no file
    let in_the_way = node.host.backups.join(format!(".etcd-{}.removing", ids[0]));
    fs::create_dir(&in_the_way).unwrap();
    node.missed_a_run();
    let mut daemon = node.start();
    let status = daemon.hear("pruning fails since");
    assert!(status.contains("STATUS=newest verified backup"), "{status}");
    let (output, _) = daemon.stop();
    assert!(
        output
            .stderr
            .contains(&format!("removed backup {}", ids[1])),
        "{output}"
    );
    let left: Vec<Value> = node.manifests();
    assert_eq!((left.len(), &left[0]["id"]), (2, &json!(ids[0])));
    let why = node.state()["pruning"]["error"].to_string();
    assert!(why.contains(&ids[0]), "{why}");

    // the next time it works, and the trouble is over
    fs::remove_dir(&in_the_way).unwrap();
    let mut state = node.state();
    state["settled"] = json!("2020-01-01T00:00:00Z");
    fs::write(node.state_file(), state.to_string()).unwrap();
    let mut daemon = node.start();
    poll_until("only the newest is left", SOON, || {
        daemon.listen();
        node.state()["pruning"].is_null()
    });
    daemon.stop();
    assert_eq!(node.manifests().len(), 1);
}

#[test]
fn a_broken_memory_is_set_aside_and_the_newest_backup_remembered_instead() {
    let (_etcd, node) = with_etcd(YEARLY);
    node.host.run(&["backup"]).expect_success();
    fs::create_dir_all(node.state_file().with_file_name("")).unwrap();
    fs::write(node.state_file(), "{\"format\": 1, \"settled\"").unwrap();
    let mut daemon = node.start();
    for _ in 0..3 {
        daemon.hear("WATCHDOG=1");
    }
    let (output, _) = daemon.stop();
    assert!(output.stderr.contains("state.json.broken"), "{output}");
    assert!(
        node.state_file()
            .with_file_name("state.json.broken")
            .exists()
    );
    assert_eq!(
        node.manifests().len(),
        1,
        "the backup that is there was due"
    );
}

/// A clock that the test sets, and that goes on from there: what the daemon puts off for a few seconds, such as a run
/// while a command of another test holds the lock, being a copy of this process for a moment, is not put off for ever.
struct SetClock(Cell<(Timestamp, Instant)>);

impl SetClock {
    fn at(time: &str) -> Self {
        Self(Cell::new((ts(time), Instant::now())))
    }

    fn set(&self, time: &str) {
        self.0.set((ts(time), Instant::now()));
    }

    fn now(&self) -> Timestamp {
        let (time, since) = self.0.get();
        time + since.elapsed()
    }

    /// Whether it was set so long ago.
    fn stands_for(&self, time: Duration) -> bool {
        self.0.get().1.elapsed() > time
    }
}

/// Runs the daemon in this process, on a clock that the test sets, until `look` finds something.
fn on_a_set_clock<T>(
    node: &Node,
    clock: &dyn Fn() -> Timestamp,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let setup = Setup {
        config: config::load(&node.host.config).expect("a configuration"),
        host: "cp-1".into(),
        state: StateFile::in_directory(&node.state_file().with_file_name("")),
        systemd: Systemd::with_watchdog(Duration::from_millis(300)),
        clock,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            found = tokio::time::timeout(SOON, looking) => found.expect("in time"),
            ended = daemon::run(setup) => panic!("it ended: {ended:?}"),
        }
    })
}

#[test]
fn a_clock_that_jumps_is_noticed_and_neither_repeats_nor_stops_the_schedule() {
    let (_etcd, node) = with_etcd("0 * * * *");
    let clock = SetClock::at("2026-11-22T13:50:00Z");
    // the hour of each backup, and why it was made
    let made = || -> Vec<String> {
        let mut manifests = node.manifests();
        manifests.sort_by_key(|manifest| manifest["started"].as_str().unwrap().to_owned());
        let told = |manifest: &Value| {
            let id = manifest["id"].as_str().unwrap();
            format!("{} {}", &id[..11], manifest["trigger"])
        };
        manifests.iter().map(told).collect()
    };
    let settled = |tick: &str| {
        let text = fs::read_to_string(node.state_file()).unwrap_or_default();
        text.contains(&format!("\"settled\": \"{tick}"))
    };
    let beats = || clock.stands_for(Duration::from_millis(500));
    let mut step = 0;
    on_a_set_clock(&node, &|| clock.now(), || {
        // what must not happen is given several beats to happen
        let done = match step {
            0 => node.state_file().exists() && beats() && made().is_empty(),
            1 => settled("2026-11-22T14:00:00Z"),
            2 | 3 => beats(),
            4 => settled("2026-11-24T09:00:00Z"),
            5 => settled("2026-11-20T08:30"),
            6 => settled("2026-11-20T09:00:00Z"),
            _ => return Some(()),
        };
        if done {
            match step {
                0 => clock.set("2026-11-22T14:00:00Z"),
                // set back a little: 14:00 comes a second time
                1 => clock.set("2026-11-22T13:40:00Z"),
                2 => clock.set("2026-11-22T14:00:30Z"),
                // set forward by two days: one run is made up for
                3 => clock.set("2026-11-24T09:20:00Z"),
                // set back by four days: the schedule starts over
                4 => clock.set("2026-11-20T08:30:00Z"),
                5 => clock.set("2026-11-20T09:00:01Z"),
                _ => {}
            }
            step += 1;
        }
        None
    });
    assert_eq!(
        made(),
        [
            "20261120T09 \"schedule\"",
            "20261122T14 \"schedule\"",
            "20261124T09 \"catch-up\"",
        ]
    );
}

#[test]
fn a_tick_during_a_run_is_skipped_and_remembered_with_its_reason() {
    let (fake, node) = with_fake(Script::Silence { after: 4096 });
    node.edit(YEARLY, "0 * * * *");
    let clock = SetClock::at("2026-11-22T14:00:00Z");
    fs::create_dir_all(node.state_file().with_file_name("")).unwrap();
    let before = json!({"format": 1, "settled": "2026-11-22T13:00:00Z"});
    fs::write(node.state_file(), before.to_string()).unwrap();
    node.edit("[etcd]\n", "[etcd]\nstall_timeout = \"3s\"\n");
    on_a_set_clock(&node, &|| clock.now(), || {
        // two ticks pass while the first run hangs; the member is given up, then answers again
        if fake.asked().sent >= 4096 && clock.now() < ts("2026-11-22T16:00:00Z") {
            clock.set("2026-11-22T16:00:10Z");
        }
        let text = fs::read_to_string(node.state_file()).ok()?;
        text.contains("skipped").then_some(())
    });
    let runs = node.state()["runs"].clone();
    let told = |run: &Value| (run["planned"].clone(), run["outcome"].clone());
    assert_eq!(
        told(&runs[0]),
        (json!("2026-11-22T16:00:00Z"), json!("skipped"))
    );
    assert_eq!(
        told(&runs[1]),
        (json!("2026-11-22T14:00:00Z"), json!("failed"))
    );
    assert_eq!(
        runs[0]["error"],
        "the run planned for 2026-11-22T14:00:00Z was still under way"
    );
}

fn ts(text: &str) -> Timestamp {
    text.parse().expect("a time")
}
