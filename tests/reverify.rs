//! Bit rot is found, named and counted, and a backup that is whole again is good again.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::support::backup::text;
use super::support::command::Host;
use super::support::fake::{Fake, Script};
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
