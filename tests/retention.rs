//! What stays and what goes: on the command line, after a backup, and where others lose their data.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::backup::text;
use crate::support::command::{Host, Output, run};
use crate::support::fake::{Fake, LiveHash, Script};
use crate::support::history::{History, foreign, lay_foreign, whole};
use crate::support::kept::golden;

mod properties;
mod week;

/// What all backups of these tests look like.
fn history() -> &'static History {
    static HISTORY: OnceLock<History> = OnceLock::new();
    HISTORY.get_or_init(History::new)
}

/// A host whose etcd works, with this policy.
fn host(policy: &str) -> (Host, Fake) {
    let host = Host::new();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    configure(&host, &server, policy);
    (host, server)
}

fn configure(host: &Host, server: &Fake, policy: &str) {
    let more = format!("[retention]\n{policy}\n");
    host.configure_as(&[server.endpoint()], &host.pki.client, &more);
}

/// Ten days of daily backups, the oldest first.
fn ten_days(host: &Host) -> Vec<String> {
    let day = |day| history().lay(&host.backups, &format!("2026-03-{day:02}T06:00:00Z"));
    (1..=10).map(day).collect()
}

fn fates(output: &Output) -> Vec<(String, bool, bool)> {
    let json = output.json();
    let backups = json["backups"].as_array().unwrap().iter();
    let flag = |backup: &Value, key: &str| backup[key].as_bool().unwrap();
    backups
        .map(|b| {
            (
                text(b, "id").to_owned(),
                flag(b, "keep"),
                flag(b, "removed"),
            )
        })
        .collect()
}

#[test]
fn a_dry_run_tells_what_a_prune_then_does_and_changes_nothing() {
    let (host, _server) = host("keep_last = 2\nkeep_daily = 4\nkeep_weekly = 0\nmin_verified = 1");
    let ids = ten_days(&host);
    let foreign_files = lay_foreign(&host.backups);
    let dry = host.run(&["prune", "--dry-run", "--json"]).expect_success();
    assert_eq!(whole(&host.backups), ids);
    assert!(!host.backups.join(".lock").exists(), "nothing is written");
    let table = host.run(&["prune", "--dry-run"]).expect_success();
    for said in [
        "ID",
        "REASON",
        "keep_last 2/2, keep_daily 2/4",
        "no rule keeps it",
    ] {
        assert!(table.stdout.contains(said), "{said}: {table}");
    }
    assert!(
        table
            .stdout
            .ends_with("4 backups (40 B) would stay, 6 backups (60 B) would be removed\n"),
        "{table}"
    );
    let keep: Vec<bool> = fates(&dry).iter().map(|fate| fate.1).collect();
    assert_eq!(keep, [[true; 4].as_slice(), &[false; 6]].concat());

    let done = host.run(&["prune", "--json"]).expect_success();
    let expected: Vec<_> = fates(&dry)
        .into_iter()
        .map(|(id, keep, removed)| {
            assert!(!removed, "{dry}");
            (id, keep, !keep)
        })
        .collect();
    assert_eq!(fates(&done), expected);
    assert_eq!(whole(&host.backups), ids[6..]);
    assert_eq!(foreign(&host.backups), foreign_files);
    let again = host.run(&["prune"]).expect_success();
    assert!(
        again.stdout.ends_with("0 backups (0 B) removed\n"),
        "{again}"
    );
    let notes = host
        .files()
        .into_iter()
        .filter(|name| name.ends_with("Z.removing") || name.ends_with("Z.removed"));
    assert_eq!(notes.count(), 0);
}

#[test]
fn a_prune_of_an_empty_directory_does_nothing() {
    let (host, _server) = host("");
    for args in [&["prune", "--dry-run"][..], &["prune"]] {
        let output = host.run(args).expect_success();
        assert!(output.stdout.starts_with("0 backups (0 B)"), "{output}");
    }
}

#[test]
fn a_backup_prunes_after_it_is_there_and_prints_its_manifest_only() {
    let (host, _server) = host("keep_last = 3\nkeep_daily = 0\nkeep_weekly = 0");
    let ids = ten_days(&host);
    let output = host.run(&["backup", "--json"]).expect_success();
    let made = text(&output.json(), "id").to_owned();
    assert_eq!(whole(&host.backups), [&ids[8..], &[made]].concat());
    assert!(
        output
            .stderr
            .contains(&format!("removed backup {}", ids[0])),
        "{output}"
    );
    host.run(&["unpin", "latest"]).expect_success();
}

#[test]
fn a_pinned_backup_stays_until_it_is_unpinned() {
    let (host, _server) = host("keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let ids = ten_days(&host);
    host.run(&["pin", &ids[2]]).expect_success();
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), [&ids[2..3], &ids[9..]].concat());
    host.run(&["unpin", &ids[2]]).expect_success();
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), ids[9..]);
}

// where comparable tools lose data, or stop

#[test]
fn a_limit_below_the_size_of_the_newest_backup_deletes_no_last_backup() {
    let (host, _server) = host("max_total_size = \"1KiB\"\nmin_verified = 2");
    let ids = ten_days(&host);
    let output = host.run(&["backup", "--json"]).expect_success();
    assert!(output.json()["size"].as_u64().unwrap() > 1024);
    let made = text(&output.json(), "id").to_owned();
    assert_eq!(whole(&host.backups), [&ids[9..], &[made]].concat());
}

#[test]
fn nothing_is_pruned_before_a_backup_nor_after_one_that_failed() {
    let policy = "keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1";
    let (host, server) = host(policy);
    let ids = ten_days(&host);
    server.change(|member| member.script = Script::CutAt(4096));
    let failed = host.run(&["backup"]);
    assert_ne!(failed.code, Some(0), "{failed}");
    assert_eq!(whole(&host.backups), ids);
    // one that is kept and not verified is no success either
    server.change(|member| {
        member.script = Script::Faithful;
        member.hash_kv = LiveHash::Answer {
            hash: 1,
            compact_revision: 24,
            hash_revision: 38,
        };
    });
    host.run(&["backup"]).expect_code(65);
    assert_eq!(whole(&host.backups).len(), ids.len() + 1);
    server.change(|member| member.hash_kv = LiveHash::default());
    host.run(&["backup"]).expect_success();
    // a newer verified one makes the failed one superfluous
    let rest = whole(&host.backups);
    assert_eq!(rest.len(), 1, "{rest:?}");
    host.run(&["verify", &rest[0]]).expect_success();
}

#[test]
fn no_prefix_no_directory_and_no_link_makes_a_file_ours() {
    let (host, _server) = host("keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    ten_days(&host);
    let foreign_files = lay_foreign(&host.backups);
    let elsewhere = host.directory().join("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    // hostile or mistaken manifests: another's file, a way out, a link, and one that is cut off
    for (id, file) in [
        ("20260101T000000Z", "../elsewhere"),
        ("20260102T000000Z", "etcd-20200101T000000Z.db"),
        ("20260103T000000Z", "/etc/passwd"),
    ] {
        let mut manifest = host
            .run(&["show", "latest", "--json"])
            .expect_success()
            .json();
        manifest["id"] = json!(id);
        manifest["file"] = json!(file);
        fs::write(
            host.backups.join(format!("etcd-{id}.json")),
            manifest.to_string(),
        )
        .unwrap();
    }
    history().lay(&host.backups, "2026-01-04T00:00:00Z");
    let linked = host.backups.join("etcd-20260104T000000Z.db");
    fs::remove_file(&linked).unwrap();
    symlink(&elsewhere, &linked).unwrap();
    fs::write(
        host.backups.join("etcd-20260105T000000Z.json"),
        "{\"format\": 1",
    )
    .unwrap();
    let before: BTreeSet<String> = host.files().into_iter().collect();

    let output = host.run(&["prune"]).expect_success();
    assert_eq!(output.stderr.matches("left alone").count(), 6, "{output}");
    let gone: Vec<String> = before
        .difference(&host.files().into_iter().collect())
        .cloned()
        .collect();
    assert_eq!(gone.len(), 18, "{gone:?}");
    assert!(
        gone.iter().all(|name| name.starts_with("etcd-202603")),
        "{gone:?}"
    );
    assert_eq!(foreign(&host.backups), foreign_files);
    assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
}

#[test]
fn a_file_that_was_touched_or_copied_is_as_old_as_its_manifest_says() {
    let (host, _server) = host("keep_last = 3\nkeep_daily = 0\nkeep_weekly = 0");
    let ids = ten_days(&host);
    // the oldest backups have the youngest files
    for (age, id) in ids.iter().rev().enumerate() {
        for suffix in ["db", "json"] {
            let file = host.backups.join(format!("etcd-{id}.{suffix}"));
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_hours(age as u64);
            fs::File::options()
                .append(true)
                .open(file)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
    }
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), ids[7..]);
}

#[test]
fn a_host_that_was_renamed_still_prunes_what_it_made_before() {
    let (host, _server) = host("keep_last = 3\nkeep_daily = 0\nkeep_weekly = 0");
    let mut ids = Vec::new();
    for day in 1..=6 {
        let started = format!("2026-03-{day:02}T06:00:00Z");
        ids.push(history().lay_as(&host.backups, &started, |manifest| {
            manifest["source"]["endpoint"] = json!(format!("https://node-{day}:2379"));
            manifest["source"]["memberId"] = json!(format!("{day:x}"));
            manifest["toolVersion"] = json!(format!("0.0.{day}"));
        }));
    }
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), ids[3..]);
}

#[test]
fn a_typo_in_the_policy_prunes_nothing_and_is_told() {
    let (host, server) = host("");
    let ids = ten_days(&host);
    for typo in [
        "keep_dayly = 7",
        "keep_daily = \"7d\"",
        "min_verified = 0",
        "keep_last = -1",
    ] {
        configure(&host, &server, typo);
        host.run(&["prune"]).expect_code(78);
        host.run(&["backup"]).expect_code(78);
        assert_eq!(whole(&host.backups), ids, "{typo}");
    }
    // a policy that keeps nothing is legal, and costs nothing below the floor
    let nothing = "keep_last = 0\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 4";
    configure(&host, &server, nothing);
    let output = host.run(&["check", "--offline"]);
    assert!(output.stdout.contains("no rule keeps anything"), "{output}");
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), ids[6..]);
}

#[test]
fn records_of_failed_backups_do_not_stay_for_ever() {
    let (host, _server) = host("keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let mut ids = Vec::new();
    for hour in 0..8 {
        let started = format!("2026-03-01T{hour:02}:00:00Z");
        ids.push(history().lay_as(&host.backups, &started, |manifest| {
            manifest["verified"] = json!(hour % 2 == 0);
        }));
    }
    host.run(&["prune"]).expect_success();
    // 7 and 5 failed and have fewer than two verified ones after them
    assert_eq!(whole(&host.backups), ids[4..]);
}

/// A file that nothing can remove; it can again once the value is gone.
struct Immovable(PathBuf);

impl Immovable {
    fn new(file: PathBuf) -> Self {
        run(Command::new("mount").arg("--bind").args([&file, &file])).expect_success();
        Self(file)
    }
}

impl Drop for Immovable {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_delete_that_fails_stops_no_backup_leaves_no_half_and_is_tried_again() {
    let (host, _server) = host("keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let ids = ten_days(&host);
    for suffix in ["db", "json"] {
        history().lay(&host.backups, "2026-03-01T06:00:00Z");
        let stuck = Immovable::new(host.backups.join(format!("etcd-{}.{suffix}", ids[0])));
        let output = host.run(&["backup", "--json"]).expect_success();
        for said in ["could not be removed", &ids[0], "tried again"] {
            assert!(output.stderr.contains(said), "{suffix}: {output}");
        }
        let rest = whole(&host.backups);
        assert_eq!((rest.len(), &rest[0]), (3, &ids[0]), "{suffix}");
        let table = host.run(&["prune"]);
        assert_ne!(table.code, Some(0), "{table}");
        assert!(table.stdout.contains("STAYS"), "{table}");
        drop(stuck);
        host.run(&["prune"]).expect_success();
        assert_eq!(whole(&host.backups).len(), 2, "{suffix}");
    }
}

// the CA

fn homes(host: &Host) -> BTreeSet<String> {
    let entries = fs::read_dir(host.backups.join("pki")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn fingerprint(manifest: &Value) -> String {
    text(&manifest["pki"], "fingerprint").to_owned()
}

/// Puts another CA in the place of the host's.
fn put_ca(host: &Host, cert: &Path, key: &Path) {
    let own = host.pki.cluster_ca();
    fs::copy(cert, &own.cert).unwrap();
    fs::copy(key, &own.key).unwrap();
}

#[test]
fn copies_of_a_ca_go_with_the_last_backup_that_names_them_and_never_the_hosts_own() {
    let (host, server) = host("keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let first = fingerprint(&host.backup());
    let (new, old) = (host.pki.foreign_ca(), host.pki.cluster_ca());
    let kept = host.directory().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::copy(&old.cert, kept.join("ca.crt")).unwrap();
    fs::copy(&old.key, kept.join("ca.key")).unwrap();
    put_ca(&host, &new.cert, &new.key);
    let second = fingerprint(&host.backup());
    assert_eq!(
        homes(&host),
        BTreeSet::from([first.clone(), second.clone()])
    );

    // the last backup that names the first CA goes; what somebody laid beside its copies stays
    fs::write(host.backups.join("pki").join(&first).join("note"), "mine").unwrap();
    host.backup();
    assert_eq!(
        homes(&host),
        BTreeSet::from([first.clone(), second.clone()])
    );
    let left: Vec<_> = fs::read_dir(host.backups.join("pki").join(&first))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1);
    fs::remove_file(host.backups.join("pki").join(&first).join("note")).unwrap();
    fs::remove_dir(host.backups.join("pki").join(&first)).unwrap();

    // back to the first CA, by hand: its copies are the host's own, whoever names them
    put_ca(&host, &kept.join("ca.crt"), &kept.join("ca.key"));
    host.backup();
    host.backup();
    assert_eq!(homes(&host), BTreeSet::from([first.clone()]));
    put_ca(&host, &new.cert, &new.key);
    host.backup();
    host.run(&["prune"]).expect_success();
    put_ca(&host, &kept.join("ca.crt"), &kept.join("ca.key"));
    configure(
        &host,
        &server,
        "keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1",
    );
    host.run(&["prune"]).expect_success();
    assert_eq!(homes(&host), BTreeSet::from([first, second]));
}

#[test]
fn a_manifest_that_cannot_be_read_keeps_every_copy_of_a_ca() {
    let (host, _server) = host("keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let first = fingerprint(&host.backup());
    let new = host.pki.foreign_ca();
    put_ca(&host, &new.cert, &new.key);
    let unreadable = host.backups.join("etcd-20260101T000000Z.json");
    fs::write(&unreadable, "{").unwrap();
    host.backup();
    assert!(homes(&host).contains(&first));
    // and what was put off is made up for
    fs::remove_file(unreadable).unwrap();
    host.run(&["prune"]).expect_success();
    assert!(!homes(&host).contains(&first));
}
