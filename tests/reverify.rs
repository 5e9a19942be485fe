//! Bit rot is found, named and counted, and a backup that is whole again is good again.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hypercloud_etcd::config;
use hypercloud_etcd::jobs::reverify::{self, Came, Terms};
use serde_json::{Value, json};

use super::support::backup::text;
use super::support::command::Host;
use super::support::fake::{Fake, Script};
use super::support::history::History;
use super::support::kept::golden;

/// A host with two good backups, oldest first.
fn two_backups() -> (Host, [Value; 2]) {
    let host = Host::new();
    let fake = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    host.configure(&[fake.endpoint()]);
    let backups = [host.backup(), host.backup()];
    (host, backups)
}

/// Flips a byte; twice, and it is as it was.
fn flip(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path);
    let file = file.expect("a snapshot");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 9_000).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], 9_000).expect("a byte");
}

fn manifest(host: &Host, backup: &Value) -> Value {
    let path = host.snapshot_of(backup).with_extension("json");
    serde_json::from_slice(&fs::read(path).expect("a manifest")).expect("JSON")
}

#[test]
fn bit_rot_is_named_and_counted_until_the_backup_is_whole_again() {
    let (host, [older, newer]) = two_backups();
    host.run(&["verify", "--all"]).expect_success();
    let proven = manifest(&host, &newer)["lastVerified"].clone();
    assert_eq!(
        (&proven["result"], &proven["problems"]),
        (&json!("passed"), &json!([]))
    );
    let status = |code| host.run(&["status", "--json"]).expect_code(code).json();
    let good = status(0);
    assert_eq!(
        (&good["verified"], &good["failedAgain"]),
        (&json!(2), &json!([]))
    );
    // the newest is proven first
    assert_eq!(good["allProvenSince"], proven["at"]);

    flip(&host.snapshot_of(&newer));
    let id = text(&newer, "id");
    let found = host.run(&["verify", "--all"]).expect_code(65).stdout;
    assert!(
        found.contains(&format!("{id}  FAILED: the file's SHA-256 is ")),
        "{found}"
    );
    let bad = status(1);
    assert_eq!(
        (&bad["verified"], &bad["failedAgain"]),
        (&json!(1), &json!([id]))
    );
    assert_eq!(bad["newestVerified"]["id"], older["id"]);
    let problem = bad["problems"].to_string();
    assert!(
        problem.contains(&format!(
            "1 backup no longer stands up to its proof: {id} (the file's SHA-256"
        )),
        "{problem}"
    );
    let listed = host.run(&["list"]).expect_success().stdout;
    assert!(
        listed.lines().nth(1).unwrap().contains("FAILED AGAIN"),
        "{listed}"
    );
    host.run(&["accept", id]).expect_code(65);

    flip(&host.snapshot_of(&newer));
    host.run(&["verify", id]).expect_success();
    assert_eq!(status(0)["newestVerified"]["id"], newer["id"]);
}

#[test]
fn a_proof_needs_no_lock_and_a_result_that_cannot_be_written_down_is_said_once() {
    let (host, backups) = two_backups();
    let lock = fs::File::options()
        .write(true)
        .open(host.backups.join(".lock"));
    let lock = lock.expect("a lock");
    lock.try_lock().expect("nobody else has it");
    let output = host.run(&["verify", "--all"]).expect_success();
    assert_eq!(
        output.stderr.matches("is not written down").count(),
        1,
        "{output}"
    );
    assert_eq!(manifest(&host, &backups[0])["lastVerified"], Value::Null);
}

#[test]
fn a_lock_that_is_let_go_in_time_is_waited_for() {
    let (host, backups) = two_backups();
    flip(&host.snapshot_of(&backups[0]));
    let lock = fs::File::options()
        .write(true)
        .open(host.backups.join(".lock"));
    let lock = lock.expect("a lock");
    lock.try_lock().expect("nobody else has it");
    let mut running = host.start(&["verify", text(&backups[0], "id")]);
    // it has read the file long before this, and waits for nothing but the lock
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.ended().is_none(), "it waits");
    lock.unlock().expect("the lock");
    let output = running.output(Duration::from_mins(1)).expect_code(65);
    assert!(!output.stderr.contains("is not written down"), "{output}");
    let found = manifest(&host, &backups[0])["lastVerified"]["result"].clone();
    assert_eq!(found, json!("failed"));
}

#[test]
fn the_oldest_proof_is_renewed_first_and_one_from_the_future_is_none() {
    let host = Host::new();
    let history = History::new();
    let lay = |day: u32, proven: Option<&str>| {
        let started = format!("2026-03-{day:02}T06:00:00Z");
        history.lay_as(&host.backups, &started, |manifest| {
            if let Some(at) = proven {
                let proof = json!({"at": at, "result": "passed", "problems": []});
                manifest["lastVerified"] = proof;
            }
        })
    };
    let recent = lay(1, Some("2026-03-20T00:00:00Z"));
    let never = lay(2, None);
    let long_ago = lay(3, Some("2026-03-10T00:00:00Z"));
    let ahead = lay(4, Some("2099-01-01T00:00:00Z"));
    let since_it_began = lay(5, Some("2026-03-21T00:30:00Z"));
    host.configure(&["https://127.0.0.1:1".into()]);
    let config = config::load(&host.config).expect("a configuration");
    let time = |text: &str| text.parse().expect("a time");
    let due = reverify::due(
        &config,
        time("2026-03-21T00:00:00Z"),
        time("2026-03-21T01:00:00Z"),
    );
    let ids: Vec<String> = due
        .expect("backups")
        .ids
        .iter()
        .map(ToString::to_string)
        .collect();
    // one that was never proven again was proven when it was made
    assert_eq!(ids, [never, ahead, long_ago, recent]);
    assert!(!ids.contains(&since_it_began));
}

#[test]
fn a_backup_in_a_directory_that_is_another_one_by_now_is_not_lost() {
    let (host, backups) = two_backups();
    let config = config::load(&host.config).expect("a configuration");
    let now = text(&backups[1], "finished").parse().expect("a time");
    let due = reverify::due(&config, jiff::Timestamp::MAX, now).expect("backups");
    let terms = Terms {
        place: Some(due.place),
        ..Terms::default()
    };
    let prove = || reverify::prove_again(&config, &due.ids[0], &terms, now).expect("an answer");
    assert!(matches!(prove(), Came::Proven(_)));
    let away = host.directory().join("away");
    fs::rename(&host.backups, &away).expect("another name");
    assert!(matches!(prove(), Came::Elsewhere(_)), "it cannot be opened");
    fs::create_dir(&host.backups).expect("a directory");
    assert!(matches!(prove(), Came::Elsewhere(_)), "it is another one");
    let empty = reverify::due(&config, jiff::Timestamp::MAX, now).expect("none");
    assert!(empty.is_deserted && empty.place != due.place);
    fs::remove_dir(&host.backups).expect("an empty directory");
    fs::rename(&away, &host.backups).expect("its name");
    assert!(matches!(prove(), Came::Proven(_)), "it is back");
}

#[test]
fn kill_nine_while_a_result_is_written_down_leaves_a_whole_manifest() {
    let (host, backups) = two_backups();
    let whole = host.run(&["verify", "--all"]).expect_success().took;
    for kill in 0..30 {
        let mut running = host.start(&["verify", "--all"]);
        let began = Instant::now();
        // around the end, where the manifests are written
        let until = whole * (40 + kill * 2) / 100;
        while began.elapsed() < until && running.ended().is_none() {
            std::hint::spin_loop();
        }
        running.kill();
        let listed = host.run(&["list", "--json"]).expect_success();
        assert!(!listed.stderr.contains("is left out"), "{listed}");
        for backup in &backups {
            let mut now = manifest(&host, backup);
            now.as_object_mut()
                .expect("an object")
                .remove("lastVerified");
            assert_eq!(&now, backup);
        }
    }
    // the lock went with its holder
    host.run(&["verify", "--all"]).expect_success();
}
