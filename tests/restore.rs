//! What is restored is what was backed up: every version of etcd starts from it, holds every key, lease and user, and
//! goes on; and it is what etcd's own tool makes of the same file.

mod refused;
mod runbook;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use etcd_client::{AlarmAction, AlarmType, WatchOptions};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::backup::{assert_proven, text};
use crate::support::command::{Host, run};
use crate::support::etcd::{Etcd, Options, Version, versions};
use crate::support::kept::golden_path;
use source::{Source, State, log_in, quick};

/// A member answers what the source held, and goes on: writes, restarts, defragments, writes.
fn holds_and_goes_on(source: &Source, etcd: &mut Etcd) {
    let what = format!("{} on {}", source.version.label(), etcd.version().label());
    let revision = source.revision();
    assert_eq!(etcd.revision(), revision, "{what}");
    assert!(
        State::of(etcd, 0) == source.state,
        "{what}: {:#?}",
        State::of(etcd, 0)
    );
    assert_eq!(etcd.hash_kv(revision), source.hash, "{what}");
    assert_eq!(etcd.put("/registry/after", b"1"), revision + 1, "{what}");
    etcd.stop();
    etcd.restart();
    assert_eq!(etcd.put("/registry/after", b"2"), revision + 2, "{what}");
    etcd.with_client(async |mut client| {
        client.defragment().await.expect("a defragmentation");
    });
    assert_eq!(etcd.put("/registry/after", b"3"), revision + 3, "{what}");
    let mut entries = etcd.entries(0);
    entries.retain(|entry| entry.key != b"/registry/after");
    assert!(entries == source.state.entries, "{what}: the keys differ");
    let listed = etcd.etcdctl(&["member", "list"]).expect_success().stdout;
    assert_eq!(listed.lines().count(), 1, "{what}: {listed}");
    assert!(listed.contains(&etcd.peer_url()), "{what}: {listed}");
}

/// A snapshot of one version starts under all of them; of four members and one that was removed, one is left.
fn starts_under_every_version(source: Version, more: &[&str]) {
    let Some(source) = Source::of(source) else {
        return;
    };
    thread::scope(|scope| {
        for version in versions() {
            scope.spawn(move || {
                let mut etcd = source.restored(version, more);
                holds_and_goes_on(source, &mut etcd);
            });
        }
    });
}

#[test]
fn every_version_starts_from_a_backup_of_3_4() {
    starts_under_every_version(Version::V3_4, &[]);
}

#[test]
fn every_version_starts_from_a_backup_of_3_5_1() {
    starts_under_every_version(Version::V3_5_1, &[]);
}

#[test]
fn every_version_starts_from_a_backup_of_3_5() {
    starts_under_every_version(Version::V3_5, &[]);
}

#[test]
fn every_version_starts_from_a_backup_that_was_compacted_on_the_way() {
    starts_under_every_version(Version::V3_5, &["--compact"]);
}

#[test]
fn three_members_that_are_restored_on_their_hosts_find_each_other() {
    for source in Source::all() {
        let token = ["--initial-cluster-token", "after the fire"];
        let cluster = source.restored_cluster(source.version, 3, &token);
        let leader = cluster.leader();
        assert!(State::of(&cluster.members[leader], 0) == source.state);
        for member in &cluster.members {
            assert_eq!(member.hash_kv(source.revision()), source.hash);
        }
        let put = cluster.members[leader].put("/registry/after", b"1");
        assert_eq!(put, source.revision() + 1);
        let listed = cluster.members[leader].etcdctl(&["member", "list"]);
        assert_eq!(listed.expect_success().stdout.lines().count(), 3);
    }
}

/// A reader or watcher from before is told that its revision is gone, and never that nothing has changed.
#[test]
fn a_bumped_store_is_ahead_of_all_that_was_and_old_revisions_are_compacted() {
    const BUMP: i64 = 1_000_000_000;
    for source in Source::all() {
        let by = BUMP.to_string();
        let mut etcd = source.restored(
            source.version,
            &["--bump-revision", &by, "--mark-compacted"],
        );
        let (old, new) = (source.revision(), source.revision() + BUMP);
        for _ in 0..2 {
            assert_eq!(etcd.revision(), new);
            assert!(etcd.entries(0) == source.state.entries);
            for revision in [old, old + 1, new - 1] {
                assert_compacted(&etcd, revision);
            }
            // as true after a restart
            etcd.stop();
            etcd.restart();
        }
        assert_eq!(etcd.put("/registry/after", b"1"), new + 1);
    }
}

/// Neither a read nor a watch gets anything at this revision.
fn assert_compacted(etcd: &Etcd, revision: i64) {
    let (read, watched) = etcd.with_client(async |mut client| {
        let at = etcd_client::GetOptions::new().with_revision(revision);
        let read = client.get("/registry/after", Some(at)).await;
        let from = WatchOptions::new()
            .with_start_revision(revision)
            .with_prefix();
        let mut watch = client
            .watch("/registry/", Some(from))
            .await
            .expect("a watch");
        let answer = loop {
            let answer = watch.message().await.expect("an answer").expect("no end");
            // the first one only says that the watch is there
            if !answer.created() || answer.canceled() {
                break answer;
            }
        };
        (read, (answer.canceled(), answer.compact_revision()))
    });
    let refused = read.expect_err("a read before the bump").to_string();
    assert!(
        refused.contains("required revision has been compacted"),
        "{refused}"
    );
    assert!(watched.0 && watched.1 > revision, "{watched:?}");
}

/// Restores a file with etcd's own tool and with ours, with the same options.
fn both(source: &Source, tool: Version, directory: &Path, more: &[&str]) -> [PathBuf; 2] {
    let peers = "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380,m3=https://10.0.0.3:2380";
    let targets = ["theirs", "ours"].map(|name| directory.join(name));
    let (file, [theirs, ours]) = (source.file(), &targets);
    let common = [
        "--name",
        "m2",
        "--initial-cluster",
        peers,
        "--initial-cluster-token",
        "one and the same",
        "--initial-advertise-peer-urls",
        "https://10.0.0.2:2380",
        "--data-dir",
    ];
    let arguments = |first: &[&str], target: &Path| {
        let arguments = [first, &common, &[target.to_str().unwrap()], more].concat();
        arguments.into_iter().map(String::from).collect::<Vec<_>>()
    };
    let theirs = arguments(&["snapshot", "restore", &file], theirs);
    tool.etcdutl(&theirs.iter().map(String::as_str).collect::<Vec<_>>())
        .expect_success();
    let ours = arguments(&["restore", "--file", &file], ours);
    source.host.run(&ours).expect_success();
    targets
}

/// Every file below a directory, by its path in it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_restored_is_what_etcdutl_restores() {
    let bump = ["--bump-revision", "5000", "--mark-compacted"];
    for source in Source::all() {
        for (tool, more) in [
            (Version::V3_5_1, &[][..]),
            (Version::V3_5, &[]),
            (Version::V3_5, &bump),
        ] {
            if !versions().contains(&tool) {
                continue;
            }
            let directory = TempDir::new().unwrap();
            let [theirs, ours] = both(source, tool, directory.path(), more);
            let what = format!("{} by {} {more:?}", source.version.label(), tool.label());
            assert_eq!(files(&ours), files(&theirs), "{what}");
            let database = Path::new("member/snap/db");
            for file in files(&theirs) {
                if file == database {
                    let status = |of: &Path| tool.snapshot_status(&of.join(database));
                    let (ours, theirs) = (status(&ours), status(&theirs));
                    for field in ["hash", "revision", "totalKey"] {
                        assert_eq!(ours[field], theirs[field], "{what}: {field}");
                    }
                } else {
                    let is_same = fs::read(ours.join(&file)).unwrap()
                        == fs::read(theirs.join(&file)).unwrap();
                    assert!(is_same, "{what}: {} differs", file.display());
                }
            }
        }
    }
}

/// How far the revision moves follows from the backups' own history, and the same for a copy of one of them.
#[test]
fn a_bump_is_reckoned_from_the_history_of_the_backups() {
    let Some(version) = versions().pop() else {
        return;
    };
    let host = Host::new();
    let etcd = Etcd::start_with(version, &host.pki, &quick());
    host.configure(&[etcd.endpoint()]);
    let backups: Vec<Value> = (0..3)
        .map(|number| {
            etcd.put("/registry/pods/default/a", format!("{number}").as_bytes());
            host.backup()
        })
        .collect();
    let copy = host.directory().join("copy.db");
    fs::copy(host.snapshot_of(&backups[0]), &copy).unwrap();
    let oldest = format!("@{}", text(&backups[0], "started"));
    for from in [&[oldest.as_str()][..], &["--file", copy.to_str().unwrap()]] {
        let directory = TempDir::new().unwrap();
        let target = directory.path().join("etcd");
        let options = [
            "--json",
            "--bump-revision",
            "auto",
            "--data-dir",
            target.to_str().unwrap(),
        ];
        let report = host.run(&[&["restore"], from, &options].concat());
        let report = report.expect_success().json();
        assert_eq!(report["backup"], backups[0]["id"], "{report:#}");
        // the floor on top of what was seen, rounded up
        assert_eq!(report["bump"]["by"], 1_001_000_000, "{report:#}");
        let revision = backups[0]["revision"].as_u64().unwrap();
        assert_eq!(report["revision"], revision + 1_001_000_000, "{report:#}");
        let reason = text(&report["bump"], "reason");
        for said in [": 2 to revision", "10 times the fastest rise"] {
            assert!(reason.contains(said), "{reason}");
        }
    }
}

/// A restore begins a new cluster; whoever watched it has seen its revisions all the same.
#[test]
fn a_second_restore_of_one_backup_goes_beyond_the_first() {
    let Some(version) = versions().pop() else {
        return;
    };
    let host = Host::new();
    let etcd = Etcd::start_with(version, &host.pki, &quick());
    etcd.put("/registry/pods/default/a", b"1");
    host.configure(&[etcd.endpoint()]);
    let id = text(&host.backup(), "id").to_owned();
    let restore = |name: &str| {
        let target = host.directory().join(name);
        let options = ["--json", "--bump-revision", "auto", "--allow-other-cluster"];
        let place = ["restore", &id, "--data-dir", target.to_str().unwrap()];
        let report = host.run(&[&place[..], &options].concat());
        (target, report.expect_success().json())
    };
    let (target, first) = restore("first");
    let options = Options {
        data_dir: Some(target),
        ..quick()
    };
    let came_back = Etcd::start_with(version, &host.pki, &options);
    let seen = came_back.put("/registry/pods/default/b", b"1");
    host.configure(&[came_back.endpoint()]);
    host.backup();
    let (_, second) = restore("second");
    let revision = second["revision"].as_i64().unwrap();
    assert!(revision >= seen + 1_000_000_000, "{first:#} {second:#}");
}

/// What was restored is a cluster like any other: its backups are proven, also where its revision was moved, and are
/// restored in turn. Those from before are of another cluster.
#[test]
fn a_store_that_came_back_is_backed_up_and_restored_again() {
    for version in versions() {
        let host = Host::new();
        let mut etcd = Etcd::start_with(version, &host.pki, &quick());
        for key in ["a", "b", "c"] {
            etcd.put(&format!("/registry/pods/default/{key}"), b"1");
        }
        etcd.delete("/registry/pods/default/b");
        for round in 0..2 {
            host.configure(&[etcd.endpoint()]);
            assert_proven(&host.backup());
            if round > 0 {
                // the cluster that came back is another one: somebody has to say that this is meant
                host.run(&["accept", "latest"]).expect_success();
            }
            let data_dir = host.directory().join(format!("restored-{round}"));
            let options = [
                "--bump-revision",
                "auto",
                "--data-dir",
                data_dir.to_str().unwrap(),
            ];
            host.run(&[&["restore", "latest"], &options[..]].concat())
                .expect_success();
            let options = Options {
                data_dir: Some(data_dir),
                ..quick()
            };
            etcd = Etcd::start_with(version, &host.pki, &options);
            etcd.put("/registry/pods/default/a", b"2");
        }
        host.configure(&[etcd.endpoint()]);
        let manifest = host.backup();
        assert_proven(&manifest);
        let pods = &manifest["types"]["/registry/pods"];
        assert_eq!(pods["keys"], 2, "{manifest:#}");
        let target = host.directory().join("again");
        let earlier = [
            "restore",
            "latest~2",
            "--data-dir",
            target.to_str().unwrap(),
        ];
        let refused = host.run(&earlier).expect_code(65);
        assert!(
            refused.stderr.contains("is of another cluster"),
            "{refused}"
        );
        host.run(&[&earlier[..], &["--allow-other-cluster"]].concat())
            .expect_success();
    }
}

/// An alarm of the old cluster stops every write to the new one; it stays only where nobody says otherwise.
#[test]
fn an_alarm_of_the_old_cluster_is_left_behind_on_demand() {
    for version in versions() {
        let host = Host::new();
        let etcd = Etcd::start_with(version, &host.pki, &quick());
        etcd.put("/registry/pods/default/a", b"1");
        etcd.with_client(async |mut client| {
            let (raise, full) = (AlarmAction::Activate, AlarmType::Nospace);
            client.alarm(raise, full, None).await.expect("an alarm");
        });
        let file = host.directory().join("snapshot.db");
        etcd.snapshot_save(&file);
        let directory = TempDir::new().unwrap();
        let restore = |name: &str, more: &[&str]| {
            let target = directory.path().join(name);
            let options = ["--json", "--data-dir", target.to_str().unwrap()];
            let file = ["restore", "--file", file.to_str().unwrap()];
            let report = host.run(&[&file[..], &options, more].concat());
            let warnings = report.expect_success().json()["warnings"].to_string();
            let database = target.join("member/snap/db");
            let shown = host.run(&["show", "--json", "--file", database.to_str().unwrap()]);
            (
                warnings,
                shown.expect_success().json()["totalEntries"].as_u64(),
            )
        };
        let (warnings, kept) = restore("kept", &[]);
        assert!(warnings.contains("alarm disarm"), "{warnings}");
        let (warnings, cleared) = restore("cleared", &["--clear-alarms"]);
        assert!(!warnings.contains("alarm disarm"), "{warnings}");
        assert_eq!(kept, cleared.map(|entries| entries + 1));
        let options = Options {
            data_dir: Some(directory.path().join("cleared")),
            ..quick()
        };
        let restored = Etcd::start_with(version, &host.pki, &options);
        restored.put("/registry/after", b"1");
    }
}

/// A build that is killed leaves nothing under its name; the next one removes what it left, and nothing else.
#[test]
fn what_a_killed_build_has_left_is_removed_by_the_next() {
    let host = Host::new();
    let directory = TempDir::new().unwrap();
    let target = directory.path().join("etcd");
    fs::create_dir(directory.path().join("etcd.restore-1")).unwrap();
    let names = || {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let file = golden_path("3.5.30");
    let arguments = [
        "restore",
        "--file",
        file.to_str().unwrap(),
        "--data-dir",
        target.to_str().unwrap(),
    ];
    // the log is longer than the process may make a file, which ends it at once, or is an error
    let limited = |script: &str| {
        let command = host.command(&arguments);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script, "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        run(&mut shell)
    };
    let killed = limited("ulimit -f 20000; exec \"$@\"");
    assert_eq!(killed.code, None, "{killed}");
    let left = names();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("etcd.hypercloud-etcd-"), "{left:?}");
    let database = directory.path().join(&left[0]).join("member/snap/db");
    assert!(database.exists());
    let failed = limited("trap '' XFSZ; ulimit -f 20000; exec \"$@\"").expect_code(74);
    let said = "was not made, and nothing was changed";
    assert!(failed.stderr.contains(said), "{failed}");
    assert_eq!(names(), ["etcd.restore-1"]);
    host.run(&arguments).expect_success();
    assert_eq!(names(), ["etcd", "etcd.restore-1"]);
}

/// The options of a runbook that was written for etcdutl, without the ones that have defaults.
#[test]
fn the_defaults_are_those_of_etcdutl_but_for_the_token() {
    let Some(source) = Source::of(Version::V3_5) else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let restore = |name: &str| {
        let target = directory.path().join(name);
        let arguments = [
            "restore",
            source.id(),
            "--json",
            "--data-dir",
            target.to_str().unwrap(),
        ];
        source.host.run(&arguments).expect_success().json()
    };
    let (first, second) = (restore("first"), restore("second"));
    assert_eq!(first["name"], "default");
    assert_eq!(first["initialCluster"], "default=http://localhost:2380");
    assert_eq!(first["revision"], source.manifest["revision"]);
    assert_eq!(first["totalKey"], source.manifest["totalKey"]);
    for field in ["initialClusterToken", "clusterId", "memberId"] {
        assert_ne!(first[field], second[field], "{field}");
    }
    let options = Options {
        data_dir: Some(directory.path().join("first")),
        ..quick()
    };
    let etcd = Etcd::start_with(Version::V3_5, &source.host.pki, &options);
    let listed = etcd.etcdctl(&["member", "list"]);
    let listed = listed.expect_success().stdout;
    assert!(listed.starts_with(text(&first, "memberId")), "{listed}");
}

/// A kubeadm host with this flag and that in the manifest of its etcd.
fn kubeadm_host(directory: &Path, flags: &[String]) -> PathBuf {
    let kubernetes = directory.join("kubernetes");
    fs::create_dir_all(kubernetes.join("manifests")).unwrap();
    let flags: Vec<String> = flags.iter().map(|flag| format!("    - {flag}\n")).collect();
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\nspec:\n  containers:\n  - name: etcd\n    \
         image: registry.k8s.io/etcd:3.5.21-0\n    command:\n    - etcd\n    - --data-dir=/var/lib/etcd\n{}    \
         volumeMounts:\n    - mountPath: /var/lib/etcd\n      name: data\n  volumes:\n  - hostPath:\n      \
         path: /var/lib/etcd\n    name: data\n",
        flags.concat()
    );
    fs::write(kubernetes.join("manifests/etcd.yaml"), manifest).unwrap();
    kubernetes
}

/// Where nobody says which member it is, the manifest and the snapshot do, if they agree.
#[test]
fn a_kubeadm_host_restores_its_own_member_unless_told_otherwise() {
    let host = Host::new();
    let file = golden_path("3.5.30");
    let shown = host.run(&["show", "--json", "--file", file.to_str().unwrap()]);
    let members = shown.expect_success().json()["members"].clone();
    let name = text(&members[0], "name");
    let url = members[0]["peerUrls"][0].as_str().unwrap();
    let restore = |flags: &[String], more: &[&str]| {
        let directory = TempDir::new().unwrap();
        let kubernetes = kubeadm_host(directory.path(), flags);
        let target = directory.path().join("etcd");
        let paths = [&file, &target, &kubernetes].map(|path| path.to_str().unwrap());
        let options = ["--file", "--data-dir", "--kubernetes-dir"];
        let mut arguments = vec!["restore", "--json"];
        for (option, path) in options.iter().zip(paths) {
            arguments.extend([*option, path]);
        }
        arguments.extend(more);
        host.run(&arguments).expect_success().json()
    };
    let flag = |name: &str, url: &str| {
        [
            format!("--name={name}"),
            format!("--initial-advertise-peer-urls={url}"),
        ]
    };
    let report = restore(&flag(name, url), &[]);
    assert_eq!(report["name"], name);
    assert_eq!(report["initialCluster"], format!("{name}={url}"));
    let from = text(&report, "memberFrom");
    assert!(from.ends_with("manifests/etcd.yaml"), "{report:#}");
    let next = report["next"].to_string();
    for said in ["chown -R --reference=/var/lib/etcd", "--in-place"] {
        assert!(next.contains(said), "{report:#}");
    }
    assert!(!next.contains("etcd:etcd"), "{report:#}");
    assert_eq!(report["takenIsFileDate"], true);

    for (flags, why) in [
        (flag("somebody", url), "the snapshot has no member somebody"),
        (flag(name, "https://192.0.2.1:2380"), "192.0.2.1:2380 there"),
    ] {
        let report = restore(&flags, &[]);
        assert_eq!(report["initialCluster"], "default=http://localhost:2380");
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains(why), "{report:#}");
        assert!(warnings.contains("--name and"), "{report:#}");
    }
    let report = restore(&flag(name, url), &["--name", "m9"]);
    assert_eq!(report["initialCluster"], "m9=http://localhost:2380");
    assert!(report["memberFrom"].is_null(), "{report:#}");
}

#[test]
fn a_wal_may_lie_elsewhere() {
    let Some(source) = Source::of(Version::V3_5) else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let (data, wal) = (directory.path().join("data"), directory.path().join("wal"));
    let arguments = [
        "restore",
        "latest",
        "--data-dir",
        data.to_str().unwrap(),
        "--wal-dir",
        wal.to_str().unwrap(),
    ];
    source.host.run(&arguments).expect_success();
    assert!(!data.join("member/wal").exists());
    let mut options = quick();
    options.data_dir = Some(data);
    options
        .arguments
        .push(format!("--wal-dir={}", wal.display()));
    let etcd = Etcd::start_with(Version::V3_5, &source.host.pki, &options);
    log_in(std::slice::from_ref(&etcd));
    assert_eq!(etcd.revision(), source.revision());
}
