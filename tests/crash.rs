//! A backup that is killed at any instant leaves whole backups or nothing, and the next one tidies up; one writer at a
//! time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::backup::text;
use crate::support::command::{DEADLINE, Host, Running};
use crate::support::etcd::{Etcd, versions};
use crate::support::fake::{Fake, Script};
use crate::support::history::History;
use crate::support::poll_until;

/// Kills spread over a whole run, and around its publishing.
const KILLS: u32 = 20;
/// How often all of that is tried where the machine let too few of the kills meet what they were meant for.
const ROUNDS: usize = 10;

/// Where in a run it is killed: when this much of it has passed, or so long after a file has appeared.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Share(u32),
    After(&'static str, u32),
}

/// What is not ours and looks much like it.
fn put_foreign_files(host: &Host) -> BTreeMap<String, Vec<u8>> {
    let files = [
        "notes.txt",
        "etcd-20200101T000000Z.db",
        "etcd-by-hand.db",
        "etcd-20200101.json",
        ".etcd-by-hand.publishing",
        ".hidden",
    ];
    for name in files {
        fs::write(host.backups.join(name), format!("this is {name}")).unwrap();
    }
    foreign_files(host)
}

fn foreign_files(host: &Host) -> BTreeMap<String, Vec<u8>> {
    let read = |name: &str| fs::read(host.backups.join(name)).ok();
    host.files()
        .into_iter()
        .filter_map(|name| read(&name).map(|bytes| (name, bytes)))
        .filter(|(_, bytes)| bytes.starts_with(b"this is "))
        .collect()
}

/// The ids of what lies there as `<prefix><id><suffix>`, foreign files aside.
fn ids(host: &Host, prefix: &str, suffix: &str) -> Vec<String> {
    let foreign = foreign_files(host);
    host.files()
        .iter()
        .filter(|name| !foreign.contains_key(*name))
        .filter_map(|name| name.strip_prefix(prefix)?.strip_suffix(suffix))
        .map(str::to_owned)
        .collect()
}

/// Starts a backup and kills it there; whether it was still running.
fn kill_at(host: &Host, instant: Moment, whole: Duration) -> bool {
    let mut running = host.start(&["backup"]);
    let started = Instant::now();
    let spin = |until: Duration, running: &mut Running| {
        let from = Instant::now();
        while from.elapsed() < until && running.ended().is_none() {
            std::hint::spin_loop();
        }
    };
    match instant {
        Moment::Share(percent) => spin(whole * percent / 100, &mut running),
        Moment::After(suffix, delay) => {
            let known = host.files().len();
            let appeared = |names: &[String]| {
                names.len() > known && names.iter().any(|name| name.ends_with(suffix))
            };
            while running.ended().is_none() && !appeared(&host.files()) {
                assert!(started.elapsed() < DEADLINE, "{suffix} never appeared");
            }
            spin(Duration::from_micros(u64::from(delay)), &mut running);
        }
    }
    let was_running = running.ended().is_none();
    running.kill();
    was_running
}

/// Every manifest stands up to its proof; data without one is announced by a note, or there is none.
fn assert_whole_or_nothing(host: &Host, killed: Moment) {
    let (manifests, data) = (ids(host, "etcd-", ".json"), ids(host, "etcd-", ".db"));
    let notes = ids(host, ".etcd-", ".publishing");
    for id in &manifests {
        assert!(data.contains(id), "{killed:?}: {:?}", host.files());
    }
    for id in &data {
        let announced = manifests.contains(id) || notes.contains(id);
        assert!(announced, "{killed:?}: {:?}", host.files());
        let file = host.backups.join(format!("etcd-{id}.db"));
        host.run(&["verify", "--file", file.to_str().unwrap()])
            .expect_success();
    }
    if !manifests.is_empty() {
        host.run(&["verify", "--all"]).expect_success();
    }
    let listed = host.run(&["list", "--json"]).expect_success();
    assert!(!listed.stderr.contains("is left out"), "{listed}");
    assert_eq!(listed.json().as_array().unwrap().len(), manifests.len());
}

#[test]
fn kill_nine_at_any_instant_leaves_whole_backups_or_nothing_and_the_next_run_tidies_up() {
    let Some(&version) = versions().last() else {
        return;
    };
    let host = Host::new();
    let etcd = Etcd::start(version, &host.pki);
    etcd.fill(100_000);
    host.configure(&[etcd.endpoint()]);
    let foreign = put_foreign_files(&host);
    // the first one is slow, and so is any that had to wait for the machine
    let took = (0..5).map(|_| host.run(&["backup"]).expect_success().took);
    let whole = took.min().unwrap();
    remove_backups(&host);

    let shares = (0..KILLS).map(|kill| Moment::Share(kill * 100 / KILLS));
    // the note lives for some milliseconds, so most of these meet the publishing itself
    let notes = (0..KILLS).map(|kill| Moment::After(".publishing", kill * 150));
    let data = (0..KILLS / 2).map(|kill| Moment::After(".db", kill * 100));
    let moments: Vec<Moment> = shares.chain(notes).chain(data).collect();
    let (mut killed, mut interrupted, mut tidied) = (0, 0, 0);
    for (count, &instant) in moments.iter().cycle().enumerate() {
        let is_proven = killed >= moments.len() / 2 && interrupted > 0 && tidied > 0;
        if count >= moments.len() && is_proven {
            break;
        }
        assert!(
            count < moments.len() * ROUNDS,
            "of {count} runs {killed} were killed, {interrupted} of them while they published, and {tidied} left data"
        );
        killed += usize::from(kill_at(&host, instant, whole));
        assert_whole_or_nothing(&host, instant);
        assert_eq!(foreign_files(&host), foreign, "{instant:?}");
        interrupted += usize::from(!ids(&host, ".etcd-", ".publishing").is_empty());

        // the next run goes through, and leaves nothing but whole backups
        let next = host.run(&["backup"]).expect_success();
        tidied += usize::from(next.stderr.contains("which an interrupted job had left"));
        assert!(
            ids(&host, ".", "").iter().all(|name| name == "lock"),
            "{:?}",
            host.files()
        );
        assert_eq!(ids(&host, "etcd-", ".json"), ids(&host, "etcd-", ".db"));
        assert_eq!(foreign_files(&host), foreign, "{instant:?}");
        remove_backups(&host);
    }
}

/// So that the proofs of the next round are about its own backups.
fn remove_backups(host: &Host) {
    for id in ids(host, "etcd-", ".json") {
        for suffix in ["json", "db"] {
            fs::remove_file(host.backups.join(format!("etcd-{id}.{suffix}"))).unwrap();
        }
    }
}

#[test]
fn a_draft_with_a_name_and_data_without_a_manifest_are_removed_by_the_next_run_only() {
    let host = Host::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots/3.5.30.db");
    let fake = Fake::start(&host.pki, &fs::read(golden).unwrap(), Script::Faithful);
    host.configure(&[fake.endpoint()]);
    let leftovers = [
        ".hypercloud-etcd-4711-0.draft",
        ".etcd-20200103T000000Z.publishing",
        "etcd-20200103T000000Z.db",
    ];
    for name in leftovers {
        fs::write(host.backups.join(name), name).unwrap();
    }
    // what only looks leaves everything as it is
    host.run(&["list"]).expect_success();
    host.run(&["status"]).expect_code(1);
    assert_eq!(host.files().len(), leftovers.len());
    let next = host.run(&["backup"]).expect_success();
    for name in leftovers {
        assert!(!host.backups.join(name).exists(), "{name}: {next}");
    }
    assert!(next.stderr.contains("etcd-20200103T000000Z.db"), "{next}");
}

#[test]
fn one_backup_at_a_time_and_the_lock_ends_with_its_holder() {
    let host = Host::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots/3.5.30.db");
    let trickle = Script::Trickle {
        blob: 32,
        pause: Duration::from_millis(100),
    };
    let fake = Fake::start(&host.pki, &fs::read(golden).unwrap(), trickle);
    host.configure(&[fake.endpoint()]);

    let first = host.start(&["backup"]);
    poll_until("the first run receives", DEADLINE, || fake.asked().sent > 0);
    let second = host.run(&["backup"]).expect_code(75);
    for said in [
        "another job holds the lock".to_owned(),
        format!("process {} (", first.pid()),
    ] {
        assert!(second.stderr.contains(&said), "{second}");
    }
    // who only looks waits for nobody
    host.run(&["list"]).expect_success();
    host.run(&["status"]).expect_code(1);
    host.run(&["check"]).expect_success();

    first.kill();
    fake.change(|behaviour| behaviour.script = Script::Faithful);
    let third = host.run(&["backup", "--json"]).expect_success().json();
    let id = text(&third, "id");
    assert_eq!(
        host.files(),
        [
            ".lock".to_owned(),
            format!("etcd-{id}.db"),
            format!("etcd-{id}.json")
        ]
    );
}

#[test]
fn kill_nine_in_mid_prune_leaves_whole_backups_and_the_next_prune_ends_it() {
    let host = Host::new();
    let more = "[retention]\nkeep_last = 3\nkeep_daily = 0\nkeep_weekly = 0";
    let nowhere = ["https://127.0.0.1:1".to_owned()];
    host.configure_as(&nowhere, &host.pki.client, more);
    let foreign = put_foreign_files(&host);
    let history = History::new();
    let (mut killed, mut cut) = (0, 0);
    for (count, kill) in (0..KILLS).cycle().enumerate() {
        let planned = usize::try_from(KILLS).unwrap();
        if count >= planned && killed >= planned / 4 && cut > 0 {
            break;
        }
        assert!(
            count < planned * ROUNDS,
            "of {count} prunes {killed} were killed, {cut} of them between a manifest and its data"
        );
        let hour = |hour| history.lay(&host.backups, &format!("2026-03-01T{hour:02}:00:00Z"));
        let laid: Vec<String> = (0..12).map(hour).collect();
        let mut running = host.start(&["prune"]);
        // so many are gone, and a part of the next
        let goal = laid.len() - 1 - usize::try_from(kill % 8).unwrap();
        while running.ended().is_none() && ids(&host, "etcd-", ".json").len() > goal {}
        let from = Instant::now();
        while from.elapsed() < Duration::from_micros(u64::from(kill) * 40) {
            std::hint::spin_loop();
        }
        killed += usize::from(running.ended().is_none());
        running.kill();

        let (manifests, data) = (ids(&host, "etcd-", ".json"), ids(&host, "etcd-", ".db"));
        let notes = ids(&host, ".etcd-", ".removing");
        assert!(
            manifests.iter().all(|id| data.contains(id)),
            "{:?}",
            host.files()
        );
        for id in data.iter().filter(|id| !manifests.contains(id)) {
            assert!(notes.contains(id), "{:?}", host.files());
            cut += 1;
        }
        assert!(
            laid[9..].iter().all(|id| manifests.contains(id)),
            "{:?}",
            host.files()
        );
        assert_eq!(foreign_files(&host), foreign);
        host.run(&["prune"]).expect_success();
        assert_eq!(ids(&host, "etcd-", ".json"), laid[9..]);
        assert_eq!(ids(&host, "etcd-", ".db"), laid[9..]);
        let rest = ids(&host, ".", "");
        assert!(rest.iter().all(|name| name == "lock"), "{:?}", host.files());
        assert_eq!(foreign_files(&host), foreign);
    }
}
