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
fn hosts_of_one_cluster_that_share_a_directory_count_together_and_each_prunes_all() {
    let (host, _server) = host("keep_last = 3\nkeep_daily = 0\nkeep_weekly = 0");
    let mut ids = Vec::new();
    for hour in 0..6 {
        let started = format!("2026-03-01T{hour:02}:00:00Z");
        ids.push(history().lay_as(&host.backups, &started, |manifest| {
            let node = hour % 2;
            manifest["source"]["endpoint"] = json!(format!("https://node-{node}:2379"));
            manifest["source"]["memberId"] = json!(format!("{node:x}"));
        }));
    }
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), ids[3..]);
}

#[test]
fn each_host_of_a_cluster_prunes_what_it_has_made_and_nothing_on_another() {
    let policy = "keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1";
    let hosts = [host(policy), host(policy)];
    let laid = hosts.each_ref().map(|(host, _)| ten_days(host));
    for turn in 0..hosts.len() {
        // one that has had its turn keeps the newest it had, and the one that it has made
        let (host, _) = &hosts[turn];
        host.run(&["backup"]).expect_success();
        for (other, ((host, _), laid)) in hosts.iter().zip(&laid).enumerate() {
            let left = whole(&host.backups);
            if other <= turn {
                assert_eq!((left.len(), &left[0]), (2, &laid[9]), "host {other}");
            } else {
                assert_eq!(&left, laid, "host {other}");
            }
        }
    }
    // by hand, too, a host is pruned without the others
    fs::remove_dir_all(&hosts[0].0.backups).unwrap();
    let (host, _) = &hosts[1];
    let fates = fates(&host.run(&["prune", "--json"]).expect_success());
    assert!(
        fates.iter().all(|(_, keep, removed)| *keep && !removed),
        "{fates:?}"
    );
}

#[test]
fn backups_of_another_cluster_in_the_directory_count_for_nothing_and_are_not_removed() {
    let (host, _server) = host(
        "keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1\nmax_total_size = \"1KiB\"",
    );
    let ids = ten_days(&host);
    let foreign: Vec<String> = (1..=9)
        .map(|day| {
            let started = format!("2026-03-{day:02}T18:00:00Z");
            history().lay_as(&host.backups, &started, |manifest| {
                manifest["source"]["clusterId"] = json!("beef");
                manifest["verified"] = json!(day % 3 != 0);
                manifest["stored"]["size"] = json!(1000);
            })
        })
        .collect();
    let told = host.run(&["prune"]).expect_success();
    assert_eq!(
        told.stdout.matches("of another cluster, beef").count(),
        9,
        "{told}"
    );
    let mut expected = [&foreign[..], &ids[8..]].concat();
    expected.sort();
    assert_eq!(whole(&host.backups), expected);
}

#[test]
fn bit_rot_is_never_pruned_away_however_many_good_ones_follow() {
    let (host, _server) = host(
        "keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1\nmax_total_size = \"1KiB\"",
    );
    let ids = ten_days(&host);
    // ten bytes are no snapshot any more
    host.run(&["verify", &ids[2]]).expect_code(65);
    for command in [["prune"], ["backup"], ["backup"]] {
        host.run(&command).expect_success();
        let left = whole(&host.backups);
        assert_eq!((left.len(), &left[0]), (2, &ids[2]), "{command:?}");
    }
    let table = host.run(&["prune", "--dry-run"]).expect_success();
    assert!(
        table
            .stdout
            .contains("no longer stands up to its proof; verify it again, or remove it by hand"),
        "{table}"
    );
    let status = host.run(&["status", "--json"]).expect_code(1).json();
    assert_eq!(status["failedAgain"], json!([ids[2]]), "{status:#}");
    for suffix in ["json", "db"] {
        fs::remove_file(host.backups.join(format!("etcd-{}.{suffix}", ids[2]))).unwrap();
    }
    host.run(&["status"]).expect_success();
}

#[test]
fn a_directory_that_is_a_link_or_has_backups_below_it_is_pruned_itself_and_no_other() {
    let (mut host, server) = host("");
    let real = host.backups.clone();
    let below = real.join("node-2");
    fs::create_dir(&below).unwrap();
    let others: Vec<String> = (1..=5)
        .map(|day| history().lay(&below, &format!("2026-03-{day:02}T06:00:00Z")))
        .collect();
    host.backups = host.directory().join("link");
    symlink(&real, &host.backups).unwrap();
    let policy = "keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1";
    configure(&host, &server, policy);
    let ids = ten_days(&host);
    host.run(&["prune"]).expect_success();
    assert_eq!(
        (whole(&real), whole(&below)),
        (ids[8..].to_vec(), others.clone())
    );
    // and where the sub-directory is the one that is configured, it is that one
    host.backups = below.clone();
    configure(&host, &server, policy);
    host.run(&["prune"]).expect_success();
    assert_eq!(
        (whole(&real), whole(&below)),
        (ids[8..].to_vec(), others[3..].to_vec())
    );
}

#[test]
fn manifests_that_somebody_else_removed_cost_no_snapshot_and_no_backup() {
    let (host, _server) = host("keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let ids = ten_days(&host);
    // as a cleaner of old small files does
    for id in &ids {
        fs::remove_file(host.backups.join(format!("etcd-{id}.json"))).unwrap();
    }
    for _ in 0..3 {
        host.run(&["backup"]).expect_success();
    }
    for id in &ids {
        let data = fs::read(host.backups.join(format!("etcd-{id}.db"))).unwrap();
        assert_eq!(data, b"dddddddddd", "{id}");
    }
    let listed = host.run(&["list", "--json"]).expect_success().json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

/// A suspect backup that nobody has decided on.
fn lay_suspect(host: &Host, started: &str) -> String {
    history().lay_as(&host.backups, started, |manifest| {
        manifest["suspicions"] = json!(["keys are gone"]);
    })
}

#[test]
fn a_held_backup_freezes_what_would_go_until_somebody_decides() {
    let (host, _server) = host("keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let ids = ten_days(&host);
    let held = [
        lay_suspect(&host, "2026-03-10T07:00:00Z"),
        lay_suspect(&host, "2026-03-10T08:00:00Z"),
    ];
    let all = [&ids[..], &held].concat();
    let told = host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), all);
    assert!(
        told.stdout.contains(&format!(
            "nothing is removed until backup {} is accepted",
            held[1]
        )),
        "{told}"
    );
    // nor is room made
    host.reserve("900TiB");
    let full = host.run(&["backup"]).expect_code(73);
    assert!(
        full.stderr
            .contains(&format!("hypercloud-etcd accept {}", held[1])),
        "{full}"
    );
    assert_eq!(whole(&host.backups), all);
    // its snapshot gone, it holds all the same, and is not told to count for nothing
    let data = host.backups.join(format!("etcd-{}.db", held[0]));
    fs::remove_file(&data).unwrap();
    let told = host.run(&["prune"]).expect_success();
    assert!(
        told.stderr
            .contains("it is suspect, and nothing is removed until"),
        "{told}"
    );
    assert!(!told.stderr.contains("counts for nothing"), "{told}");
    let listed = host.run(&["list"]).expect_success().stdout;
    assert!(listed.contains("LOST, SUSPECT, holds pruning"), "{listed}");
    fs::write(&data, b"dddddddddd").unwrap();

    let pinned = host.run(&["pin", "latest"]).expect_success().stdout;
    for said in ["is pinned", "is accepted", "1 earlier backup stays suspect"] {
        assert!(pinned.contains(said), "{pinned}");
    }
    let told = host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), held[1..], "{told}");
}

#[test]
fn a_damaged_manifest_of_an_earlier_suspect_backup_keeps_nobody_from_accepting_a_later_one() {
    let (host, _server) = host("");
    ten_days(&host);
    let damaged = lay_suspect(&host, "2026-03-10T07:00:00Z");
    let other = lay_suspect(&host, "2026-03-10T08:00:00Z");
    let newest = lay_suspect(&host, "2026-03-10T09:00:00Z");
    let path = host.backups.join(format!("etcd-{damaged}.json"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"trigger\"", "\"tricker\"")).unwrap();
    let told = host.run(&["accept", "latest"]).expect_success();
    assert!(
        told.stderr
            .contains(&format!("backup {damaged} goes on holding")),
        "{told}"
    );
    for said in [&newest, &other] {
        assert!(told.stdout.contains(said.as_str()), "{told}");
    }
}

#[test]
fn a_clock_that_was_ahead_for_one_backup_is_told_and_is_no_measure_for_those_after_it() {
    let (host, _server) = host("");
    let id = history().lay_as(&host.backups, "2099-01-01T00:00:00Z", |manifest| {
        manifest["revision"] = json!(1_000_000_000);
    });
    let made = host.backup();
    assert_eq!(made["suspicions"], json!([]), "{made:#}");
    let status = host.run(&["status", "--json"]).expect_code(1).json();
    assert_eq!(status["newestVerified"]["id"], made["id"]);
    let problems = status["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let told = text(&json!({"problem": problems[0]}), "problem").to_owned();
    assert!(
        told.contains(&format!("remove etcd-{id}.json and then etcd-{id}.db")),
        "{told}"
    );
}

#[test]
fn status_tells_what_the_daemon_remembers_until_it_is_over() {
    let (host, _server) = host("keep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    ten_days(&host);
    let made = text(&host.backup(), "id").to_owned();
    assert_eq!(whole(&host.backups), [made]);
    let state = host.directory().join("state");
    fs::create_dir(&state).unwrap();
    let lasts = |error: &str, last: &str| json!({"since": "2026-03-01T00:00:00Z", "last": last, "error": error});
    let remember = |dir: &Path| {
        let remembered = json!({
            "format": 1, "settled": null, "open": null, "backups": dir,
            "failing": lasts("etcd is down", "2099-01-01T00:00:00Z"),
            "pruning": lasts("it is stuck", "2026-03-01T00:00:00Z"),
        });
        fs::write(state.join("state.json"), remembered.to_string()).unwrap();
    };
    remember(&host.backups);
    let problems = || host.run(&["status", "--json"]).json()["problems"].clone();
    let failing = "backups fail since 2026-03-01T00:00:00Z: etcd is down";
    // nothing is left to remove, whoever has done it
    assert_eq!(problems(), json!([failing]));
    history().lay(&host.backups, "2026-03-01T06:00:00Z");
    let stuck = "pruning fails since 2026-03-01T00:00:00Z: it is stuck";
    assert_eq!(problems(), json!([failing, stuck]));
    host.run(&["prune"]).expect_success();
    assert_eq!(problems(), json!([failing]));
    // a daemon of another directory says nothing about this one, and nor does one that is none
    remember(Path::new("/elsewhere"));
    assert_eq!(problems(), json!([]));
    fs::write(state.join("state.json"), "{").unwrap();
    host.run(&["status"]).expect_success();
    assert!(state.join("state.json").exists(), "a look changes nothing");
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

#[test]
fn a_new_cluster_id_that_somebody_accepted_goes_on_with_the_old_one_and_no_other() {
    let (host, server) = host("keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1");
    let ids = ten_days(&host);
    let lay = |started: &str, cluster: &str, is_suspect: bool| {
        history().lay_as(&host.backups, started, |manifest| {
            manifest["source"]["clusterId"] = json!(cluster);
            if is_suspect {
                manifest["suspicions"] = json!(["the cluster's id is another one"]);
            }
        })
    };
    let old = text(
        &host.run(&["show", "latest", "--json"]).json()["source"],
        "clusterId",
    )
    .to_owned();
    let rebuilt = lay("2026-03-11T06:00:00Z", "beef", true);
    let accepted = host
        .run(&["accept", "latest", "--json"])
        .expect_success()
        .json();
    assert_eq!(accepted["succeeds"], json!([old]));
    // somebody lays a backup of a third cluster beside them, and ours looks suspect because of it
    let third = lay("2026-03-12T06:00:00Z", "cafe", false);
    let own = lay("2026-03-12T07:00:00Z", "beef", true);
    let accepted = host
        .run(&["accept", &own, "--json"])
        .expect_success()
        .json();
    assert_eq!(accepted["succeeds"], json!([old]));
    configure(
        &host,
        &server,
        "keep_last = 3\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = 1",
    );
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups), [ids[9].clone(), rebuilt, third, own]);
}
