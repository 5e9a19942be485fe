//! The commands that look at backups, or pin one: what they find, and their exit codes.

use std::os::unix::fs::FileExt as _;

use serde_json::{Value, json};

use crate::support::backup::text;
use crate::support::command::Host;
use crate::support::etcd::{Etcd, versions};

/// Three backups, a key apart; oldest first.
fn three_backups() -> Option<(Host, Vec<Value>)> {
    let version = *versions().last()?;
    let host = Host::new();
    let etcd = Etcd::start(version, &host.pki);
    host.configure(&[etcd.endpoint()]);
    let backups = (0..3)
        .map(|number| {
            etcd.put("/registry/pods/default/a", format!("{number}").as_bytes());
            host.backup()
        })
        .collect();
    Some((host, backups))
}

#[test]
fn each_selector_names_the_backup_it_says() {
    let Some((host, backups)) = three_backups() else {
        return;
    };
    let [oldest, middle, newest] = &backups[..] else {
        panic!("three backups")
    };
    let listed = host.run(&["list", "--json"]).expect_success().json();
    assert_eq!(listed, json!([newest, middle, oldest]));
    let table = host.run(&["list"]).expect_success().stdout;
    for backup in &backups {
        assert!(table.contains(text(backup, "id")), "{table}");
    }

    let before = |backup: &Value| backup["revision"].as_u64().unwrap();
    for (selector, backup) in [
        ("latest".to_owned(), newest),
        ("latest~1".to_owned(), middle),
        ("latest~2".to_owned(), oldest),
        (text(middle, "id").to_owned(), middle),
        (text(oldest, "id")[..16].to_owned(), oldest),
        (format!("@{}", text(middle, "started")), middle),
        ("@2200-01-01T00:00:00Z".to_owned(), newest),
        (format!("r{}", before(middle)), middle),
        (format!("r{}", before(newest) - 1), middle),
        ("r999999999".to_owned(), newest),
    ] {
        let shown = host.run(&["show", &selector, "--json"]).expect_success();
        assert_eq!(&shown.json(), backup, "{selector}");
        host.run(&["show", &selector]).expect_success();
    }
    for (selector, backup) in [("latest~1", middle), (text(oldest, "id"), oldest)] {
        let proven = host.run(&["verify", selector]).expect_success().stdout;
        assert!(proven.starts_with(text(backup, "id")), "{proven}");
    }
    for (selector, said) in [
        ("latest~3", "among 3"),
        ("20000101T000000Z", "among 3"),
        ("@2000-01-01T00:00:00Z", "among 3"),
        ("r1", "among 3"),
        ("2", "fits 3 backups"),
        ("newest", "names no backup"),
    ] {
        let refused = host.run(&["show", selector]).expect_code(64);
        assert!(refused.stderr.contains(said), "{selector}: {refused}");
    }
}

#[test]
fn a_pin_stands_in_the_manifest_until_it_is_taken_away() {
    let Some((host, mut backups)) = three_backups() else {
        return;
    };
    let snapshot = std::fs::read(host.snapshot_of(&backups[1])).unwrap();
    for (command, pinned) in [("pin", true), ("pin", true), ("unpin", false)] {
        let answer = host.run(&[command, "latest~1", "--json"]).expect_success();
        backups[1]["pinned"] = pinned.into();
        assert_eq!(answer.json(), backups[1]);
        let listed = host.run(&["list", "--json"]).expect_success().json();
        assert_eq!(listed, json!([backups[2], backups[1], backups[0]]));
        let table = host.run(&["list"]).expect_success().stdout;
        assert_eq!(table.contains("pinned"), pinned, "{table}");
    }
    assert_eq!(
        std::fs::read(host.snapshot_of(&backups[1])).unwrap(),
        snapshot
    );
    host.run(&["verify", "--all"]).expect_success();
    host.run(&["pin", "latest~3"]).expect_code(64);
    let told = host.run(&["unpin", "latest"]).expect_success();
    assert!(told.stdout.contains(text(&backups[2], "id")), "{told}");
}

#[test]
fn a_directory_without_a_backup_is_listed_and_not_ok() {
    let host = Host::new();
    host.configure(&["https://127.0.0.1:1".to_owned()]);
    host.run(&["list"]).expect_success();
    assert_eq!(
        host.run(&["list", "--json"]).expect_success().json(),
        json!([])
    );
    let status = host.run(&["status"]).expect_code(1);
    assert!(
        status.stdout.contains("there is no verified backup"),
        "{status}"
    );
    host.run(&["show", "latest"]).expect_code(64);
    host.run(&["verify", "latest"]).expect_code(64);
    let all = host.run(&["verify", "--all"]).expect_code(65);
    assert!(all.stdout.contains("there is no backup"), "{all}");
}

#[test]
fn a_changed_byte_a_missing_file_and_a_lost_end_are_found_by_verify_and_one_hides_no_other() {
    let Some((host, backups)) = three_backups() else {
        return;
    };
    host.run(&["verify", "--all"]).expect_success();
    host.run(&["status"]).expect_success();
    let files: Vec<_> = backups.iter().map(|b| host.snapshot_of(b)).collect();

    let file = std::fs::File::options()
        .write(true)
        .open(&files[0])
        .unwrap();
    file.write_all_at(b"?", 9_000).unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(&files[1])
        .unwrap();
    file.set_len(backups[1]["size"].as_u64().unwrap() - 4_096)
        .unwrap();

    host.run(&["verify"]).expect_success();
    host.run(&["verify", "latest~1"]).expect_code(65);
    host.run(&["verify", "latest~2"]).expect_code(65);
    let path = files[1].to_str().unwrap();
    host.run(&["verify", "--file", path]).expect_code(65);
    let all = host
        .run(&["verify", "--all", "--json"])
        .expect_code(65)
        .json();
    let verdicts: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["verified"])
        .collect();
    assert_eq!(verdicts, [true, false, false], "{all:#}");

    std::fs::remove_file(&files[2]).unwrap();
    let missing = host.run(&["verify"]).expect_code(65);
    assert!(
        missing.stdout.contains(text(&backups[2], "file")),
        "{missing}"
    );
}

#[test]
fn a_backup_whose_snapshot_is_lost_or_cut_is_none_to_status() {
    let Some((host, backups)) = three_backups() else {
        return;
    };
    let status = |code| host.run(&["status", "--json"]).expect_code(code).json();
    assert_eq!(status(0)["verified"], 3);
    std::fs::remove_file(host.snapshot_of(&backups[2])).unwrap();
    let cut = std::fs::File::options()
        .write(true)
        .open(host.snapshot_of(&backups[1]));
    cut.unwrap().set_len(4096).unwrap();
    let status = status(1);
    assert_eq!(status["verified"], 1, "{status:#}");
    assert_eq!(status["newestVerified"]["id"], backups[0]["id"]);
    let listed = host.run(&["list", "--json"]).expect_success();
    assert!(!listed.stderr.contains("left out"), "{listed}");
    let listed = listed.json();
    let lost = |place: usize| listed[place]["lost"].to_string();
    assert!(
        lost(0).contains("is lost") && lost(1).contains("4096 bytes"),
        "{listed:#}"
    );
    assert_eq!(listed[2], backups[0]);
    let table = host.run(&["list"]).expect_success().stdout;
    let marks: Vec<bool> = table
        .lines()
        .skip(1)
        .map(|line| line.ends_with("LOST"))
        .collect();
    assert_eq!(marks, [true, true, false], "{table}");
    let problems = status["problems"].to_string();
    for problem in ["its snapshot is lost", "its snapshot has 4096 bytes"] {
        assert!(problems.contains(problem), "{problems}");
    }
    let id = text(&backups[2], "id");
    let shown = host.run(&["show", id]).expect_success().stdout;
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("LOST") && line.contains("is lost")),
        "{shown}"
    );
    let shown = host.run(&["show", id, "--json"]).expect_success().json();
    assert!(shown["lost"].to_string().contains("is lost"), "{shown:#}");
    let whole = host.run(&["show", text(&backups[0], "id"), "--json"]);
    assert_eq!(whole.expect_success().json(), backups[0]);
}

#[test]
fn a_backup_whose_manifest_says_nothing_is_told_from_one_that_never_was() {
    let Some((host, backups)) = three_backups() else {
        return;
    };
    let id = text(&backups[2], "id");
    let manifest = host.backups.join(format!("etcd-{id}.json"));
    std::fs::write(&manifest, "").unwrap();
    for command in [&["show", id][..], &["verify", id], &["pin", id]] {
        let said = host.run(command).expect_code(74).stderr;
        for word in [
            &*manifest.to_string_lossy(),
            "cannot be used",
            "restore --file",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    host.run(&["show", "19990101T000000Z"]).expect_code(64);
    // the newest of those that can be told
    let newest = host
        .run(&["show", "latest", "--json"])
        .expect_success()
        .json();
    assert_eq!(newest["id"], backups[1]["id"]);
    let status = host.run(&["status", "--json"]).expect_code(1).json();
    let problems = status["problems"].to_string();
    assert!(problems.contains("or move it away"), "{problems}");
    std::fs::remove_file(manifest).unwrap();
    host.run(&["status"]).expect_success();
}
