//! What a disk may do, and what becomes of it: no half backup, and no file but our own is touched.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::{DEADLINE, Host, Output, binary, run};
use crate::support::fake::{Fake, Script};
use crate::support::history::{History, whole};
use crate::support::kept::{Kept, golden, large, told};
use crate::support::mount::Mount;
use crate::support::poll_until;

/// A host whose backups lie in `backups`.
fn host_with(backups: &str) -> Host {
    let mut host = Host::new();
    host.backups = host.directory().join(backups);
    host
}

fn id(output: &Output) -> String {
    output.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_snapshot_that_would_not_fit_is_refused_with_the_numbers() {
    let host = host_with("mount");
    let mount = Mount::tmpfs(&host.backups, "8m");
    let file = golden("3.5.30");
    let size = file.len() as u64;
    let server = Fake::start(&host.pki, &file, Script::Faithful);
    host.configure(&[server.endpoint()]);
    host.reserve("1TiB");
    told(host.run(&["backup"]), 73);
    let free = mount.free();

    host.reserve(&format!("{}B", free - size + 1));
    let output = told(host.run(&["backup"]), 73);
    for number in [size, free, free - size + 1] {
        let number = number.to_string();
        assert!(output.stderr.contains(&number), "{number}: {output}");
    }
    assert!(
        output.stderr.contains(host.backups.to_str().unwrap()),
        "{output}"
    );
    assert_eq!(
        (host.files(), mount.free()),
        (vec![".lock".to_owned()], free)
    );
    // what a check goes by is the size that the member tells, which knows of no digest
    host.reserve(&format!("{}B", free - size + 4096));
    let output = host.run(&["check"]).expect_code(73);
    assert!(output.stdout.contains("does not fit"), "{output}");

    host.reserve(&format!("{}B", free - size));
    host.run(&["backup"]).expect_success();
    // not even the reserve is needed to fail where the disk itself is too small
    mount.fill();
    host.reserve("0");
    told(host.run(&["backup"]), 73);
    host.run(&["verify", "--all"]).expect_success();
}

#[test]
fn a_backup_that_does_not_fit_costs_only_what_the_policy_removes_anyway() {
    let host = host_with("mount");
    let mount = Mount::tmpfs(&host.backups, "8m");
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    let history = History::new();
    let lay = |hour| {
        let started = format!("2026-03-01T{hour:02}:00:00Z");
        history.lay_as(&host.backups, &started, |manifest| {
            manifest["stored"]["size"] = serde_json::json!(1 << 20);
        })
    };
    let ids: Vec<String> = (0..6).map(lay).collect();
    host.configure(&[server.endpoint()]);
    // what makes the directory itself: the lock
    host.run(&["prune"]).expect_success();
    let free = mount.free();
    let policy = |keep_last: u32, min_verified: u32, reserve: u64| {
        let more = format!(
            "[retention]\nkeep_last = {keep_last}\nkeep_daily = 0\nkeep_weekly = 0\nmin_verified = {min_verified}"
        );
        host.configure_as(&[server.endpoint()], &host.pki.client, &more);
        host.reserve(&reserve.to_string());
    };
    for (why, keep_last, min_verified, reserve) in [
        ("the policy keeps all", 7, 1, free),
        ("six must be there without the new one", 6, 6, free),
        ("what would go is not enough", 5, 1, free + (2 << 20)),
    ] {
        policy(keep_last, min_verified, reserve);
        let output = told(host.run(&["backup"]), 73);
        assert!(
            output.stderr.contains("no backup that the policy keeps"),
            "{output}"
        );
        assert_eq!(whole(&host.backups), ids, "{why}");
        host.run(&["check"]).expect_code(73);
    }
    // one of the two that the policy lets go is enough before; the other goes after
    policy(5, 5, free);
    host.run(&["check"]).expect_success();
    let output = host.run(&["backup", "--json"]).expect_success();
    assert!(output.stderr.contains("to make room"), "{output}");
    assert_eq!(output.stderr.matches("to make room").count(), 1, "{output}");
    assert_eq!(whole(&host.backups), [&ids[2..], &[id(&output)]].concat());
}

#[test]
fn backups_that_cannot_be_verified_for_days_do_not_fill_the_disk_for_good() {
    let host = host_with("mount");
    let mount = Mount::tmpfs(&host.backups, "8m");
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    let history = History::new();
    let lay = |hour, verified: bool| {
        let started = format!("2026-03-01T{hour:02}:00:00Z");
        history.lay_as(&host.backups, &started, |manifest| {
            manifest["stored"]["size"] = serde_json::json!(1 << 20);
            manifest["verified"] = serde_json::json!(verified);
        })
    };
    let good = lay(0, true);
    let failed: Vec<String> = (1..6).map(|hour| lay(hour, false)).collect();
    let policy = "[retention]\nkeep_last = 24\nmin_verified = 2";
    host.configure_as(&[server.endpoint()], &host.pki.client, policy);
    host.run(&["prune"]).expect_success();
    assert_eq!(whole(&host.backups).len(), 6, "nobody needs the room yet");
    // room for it only where three of the five are gone; the newest stay to be looked at
    host.reserve(&(mount.free() + (5 << 19)).to_string());
    let output = host.run(&["backup", "--json"]).expect_success();
    assert_eq!(output.stderr.matches("to make room").count(), 3, "{output}");
    assert_eq!(
        whole(&host.backups),
        [&[good], &failed[3..], &[id(&output)]].concat()
    );
}

/// A server that takes seconds for a large snapshot.
fn slow(host: &Host) -> Fake {
    let pause = Duration::from_millis(250);
    Fake::start(
        &host.pki,
        large(),
        Script::Trickle {
            blob: 32_768,
            pause,
        },
    )
}

#[test]
fn a_disk_that_fills_up_while_a_backup_runs_costs_that_backup_alone() {
    let host = host_with("mount");
    let mount = Mount::tmpfs(&host.backups, "8m");
    let mut kept = Kept::on(host);
    let server = slow(&kept.host);
    kept.host.configure(&[server.endpoint()]);
    kept.host.reserve("0");
    let free = mount.free();
    let running = kept.host.start(&["backup"]);
    // this file system keeps what was reserved, so it is the manifest that finds no room
    let size = large().len() as u64;
    poll_until("the space is reserved", DEADLINE, || {
        mount.free() + size <= free
    });
    mount.fill();
    let output = told(running.output(DEADLINE), 73);
    assert!(output.stderr.contains("No space left"), "{output}");
    assert_filler_alone_is_new(&mut kept, &mount);
}

#[test]
fn a_disk_that_cannot_reserve_and_fills_up_costs_that_backup_alone() {
    let image = TempDir::new().unwrap();
    let host = host_with("mount");
    let mount = Mount::ext2(&host.backups, &image.path().join("image"), 8 << 20);
    fs::remove_dir(host.backups.join("lost+found")).unwrap();
    let mut kept = Kept::on(host);
    let server = slow(&kept.host);
    kept.host.configure(&[server.endpoint()]);
    kept.host.reserve("0");
    let running = kept.host.start(&["backup"]);
    // the room is looked at with the first blob; seconds lie between that and this one
    poll_until("blobs arrive", DEADLINE, || {
        server.asked().sent > 12 * 32_768
    });
    mount.fill();
    let output = told(running.output(DEADLINE), 73);
    assert!(output.stderr.contains("No space left"), "{output}");
    assert_filler_alone_is_new(&mut kept, &mount);
}

fn assert_filler_alone_is_new(kept: &mut Kept, mount: &Mount) {
    fs::remove_file(mount.point.join("filler")).unwrap();
    kept.assert_untouched("a full disk");
    kept.assert_still_proven();
    kept.host.run(&["backup"]).expect_success();
    kept.assert_still_proven();
}

#[test]
fn a_read_only_disk_is_told_and_can_still_be_read() {
    let host = host_with("mount");
    let mount = Mount::tmpfs(&host.backups, "80m");
    let kept = Kept::on(host);
    mount.remount("ro");
    let output = told(kept.host.run(&["backup"]), 73);
    assert!(output.stderr.contains("mounted read-only"), "{output}");
    // the unit sees a directory that was made after its start so
    assert!(
        output.stderr.contains("systemctl restart hypercloud-etcd"),
        "{output}"
    );
    let output = kept.host.run(&["check"]).expect_code(73);
    assert!(output.stdout.contains("mounted read-only"), "{output}");
    kept.host.run(&["list"]).expect_success();
    kept.host.run(&["show", "latest"]).expect_success();
    kept.assert_still_proven();
    kept.assert_untouched("read-only");
}

/// Makes something that is no directory of ours at this path.
type Make = fn(&Path);

#[test]
fn a_directory_that_is_none_is_named_with_its_remedy() {
    let cases: [(&str, Make, &str); 5] = [
        ("nothing", |_| {}, "install -d -m 0700"),
        (
            "a file",
            |path| drop(File::create(path).unwrap()),
            "is a file",
        ),
        (
            "a dangling link",
            |path| symlink("/nowhere/at/all", path).unwrap(),
            "points to",
        ),
        (
            "a link to itself",
            |path| symlink(path, path).unwrap(),
            "points to",
        ),
        (
            "below a file",
            |path| {
                fs::remove_dir(path.parent().unwrap()).unwrap();
                File::create(path.parent().unwrap()).unwrap();
            },
            "is a file",
        ),
    ];
    let server_of = |host: &Host| Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    for (what, make, hint) in cases {
        let host = host_with("parent/backups");
        fs::create_dir(host.directory().join("parent")).unwrap();
        make(&host.backups);
        let server = server_of(&host);
        host.configure(&[server.endpoint()]);
        for command in [
            &["backup"][..],
            &["list"],
            &["status"],
            &["verify", "--all"],
        ] {
            let output = told(host.run(command), 73);
            let path = host.backups.to_str().unwrap();
            assert!(output.stderr.contains(path), "{what}: {output}");
            let told = output
                .stderr
                .lines()
                .find(|line| line.starts_with(" hint: "));
            assert!(
                told.is_some_and(|line| line.contains(hint)),
                "{what}: {output}"
            );
        }
        assert_eq!(server.asked().snapshot, 0, "{what}");
        let output = host.run(&["check"]).expect_code(73);
        assert!(output.stdout.contains(hint), "{what}: {output}");
    }
}

#[test]
fn a_check_finds_what_stands_where_the_lock_has_to_be() {
    let host = Host::new();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    host.configure(&[server.endpoint()]);
    let lock = host.backups.join(".lock");
    let said = |command: &str| {
        let output = host.run(&[command]).expect_code(73);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(".lock"), "{command}: {output}");
    };
    let makes: [Make; 2] = [
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("/nowhere/at/all", path).unwrap(),
    ];
    host.run(&["check"]).expect_success();
    assert!(!lock.exists(), "a check makes nothing");
    for make in makes {
        make(&lock);
        said("check");
        said("backup");
        fs::remove_dir(&lock)
            .or_else(|_| fs::remove_file(&lock))
            .unwrap();
    }
    host.run(&["backup"]).expect_success();
    host.run(&["check"]).expect_success();
}

#[test]
fn a_directory_that_is_replaced_while_a_backup_runs_gets_none_that_nobody_would_find() {
    let host = Host::new();
    let fake = slow(&host);
    host.configure(&[fake.endpoint()]);
    let (backups, away) = (
        host.directory().join("backups"),
        host.directory().join("away"),
    );
    let replace: [&dyn Fn() -> Option<Mount>; 2] = [
        &|| {
            fs::rename(&backups, &away).unwrap();
            fs::create_dir(&backups).unwrap();
            None
        },
        &|| Some(Mount::tmpfs(&backups, "1m")),
    ];
    for replace in replace {
        let _ = fs::remove_dir_all(&away);
        let running = host.start(&["backup"]);
        poll_until("the backup to begin", DEADLINE, || {
            backups.join(".lock").exists()
        });
        let _mount = replace();
        let output = told(running.output(DEADLINE), 73);
        assert!(
            output.stderr.contains("it is another directory than"),
            "{output}"
        );
        for directory in [&backups, &away] {
            let names = fs::read_dir(directory).into_iter().flatten();
            let names = names.map(|entry| entry.unwrap().file_name());
            assert!(names.into_iter().all(|name| name == ".lock"));
        }
    }
}

#[test]
fn a_link_to_a_directory_elsewhere_is_followed() {
    let elsewhere = TempDir::new().unwrap();
    let host = host_with("link");
    symlink(elsewhere.path(), &host.backups).unwrap();
    let kept = Kept::on(host);
    kept.assert_still_proven();
    let link = fs::symlink_metadata(&kept.host.backups).unwrap();
    assert!(link.file_type().is_symlink());
    // the backup, its manifest, the copies of the CA and the lock
    let mut names: Vec<_> = fs::read_dir(elsewhere.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let ends = [".lock", ".db", ".json", "pki"];
    assert_eq!(names.len(), ends.len(), "{names:?}");
    for (name, end) in names.iter().zip(ends) {
        assert!(name.ends_with(end), "{names:?}");
    }
}

#[test]
fn backups_lie_on_another_file_system_than_everything_else() {
    let host = host_with("mount");
    let mount = Mount::tmpfs(&host.backups, "80m");
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    host.configure(&[server.endpoint()]);
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_ne!(device(&mount.point), device(host.directory()));
    let output = run(host.command(&["backup", "--json"]).current_dir("/proc"));
    let file = output.expect_success().json()["file"]
        .as_str()
        .unwrap()
        .to_owned();
    let stored = fs::metadata(host.backups.join(file)).unwrap();
    assert_eq!(stored.dev(), device(&mount.point));
    assert_eq!(stored.mode() & 0o777, 0o600);
    host.run(&["verify", "--all"]).expect_success();
}

#[test]
fn a_lock_that_is_not_ours_is_left_alone() {
    let makes: [(&str, Make); 3] = [
        ("a link", |path| {
            symlink(path.parent().unwrap().join("../precious"), path).unwrap();
        }),
        ("a dangling link", |path| symlink("/nowhere", path).unwrap()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
    ];
    for (what, make) in makes {
        let kept = Kept::new();
        let precious = kept.host.directory().join("precious");
        fs::write(&precious, "do not lose").unwrap();
        let lock = kept.host.backups.join(".lock");
        fs::remove_file(&lock).unwrap();
        make(&lock);
        let output = told(kept.host.run(&["backup"]), 73);
        assert!(output.stderr.contains(".lock"), "{what}: {output}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "do not lose");
        kept.assert_untouched(what);
        kept.assert_still_proven();
    }
}

#[test]
fn a_user_without_access_is_told_so() {
    let kept = Kept::new();
    // a binary that everybody can reach, and everything but the backups
    let program = kept.host.directory().join("hypercloud-etcd");
    // by a command of its own, for nobody runs a file that a copy of this process has open for writing
    run(Command::new("cp").args([&binary(), &program])).expect_success();
    let server = Fake::start(&kept.host.pki, &golden("3.5.30"), Script::Faithful);
    kept.host.configure(&[server.endpoint()]);
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(kept.host.directory(), 0o755);
    let nobody = |args: &[&str]| {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        run(Command::new("setpriv")
            .args(user)
            .arg(&program)
            .args(args)
            .arg("--config")
            .arg(&kept.host.config))
    };
    // nothing of it can be read
    for command in [&["backup"][..], &["list"], &["status"], &["verify"]] {
        let output = told(nobody(command), 77);
        assert!(
            output.stderr.contains(kept.host.backups.to_str().unwrap()),
            "{output}"
        );
    }
    // it can be read, and not written
    open(&kept.host.backups, 0o755);
    told(nobody(&["backup"]), 77);
    nobody(&["list"]).expect_success();
    // it could be written, but the key cannot be read
    open(&kept.host.backups, 0o777);
    fs::remove_file(kept.host.backups.join(".lock")).unwrap();
    let output = told(nobody(&["backup"]), 77);
    let key = kept.host.pki.client.key.to_str().unwrap();
    assert!(output.stderr.contains(key), "{output}");
    let output = nobody(&["check", "--offline"]).expect_code(77);
    assert!(output.stdout.contains(key), "{output}");
    // neither can the configuration
    open(&kept.host.config, 0o600);
    let output = told(nobody(&["backup"]), 77);
    assert!(output.stderr.contains("no permission to read"), "{output}");
    open(&kept.host.backups, 0o700);
    kept.assert_untouched("a user without access");
    kept.assert_still_proven();
}

/// Gives a file or a directory away.
fn give(path: &Path, user: u32) {
    std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
}

#[test]
fn a_check_by_root_sees_what_the_unit_would_not_be_let_into() {
    const DAEMON: u32 = 1;
    let kept = Kept::new();
    let host = &kept.host;
    let check = |code| host.run(&["check", "--offline"]).expect_code(code);
    check(0);
    // root itself passes over owner and mode, and the unit does not
    for mode in [0o700, 0o755] {
        give(&host.backups, DAEMON);
        fs::set_permissions(&host.backups, fs::Permissions::from_mode(mode)).unwrap();
        let output = check(77);
        let dir = host.backups.display();
        for told in [
            "FAILED   backup.dir",
            &format!("chown root:root {dir} && chmod 700 {dir}"),
        ] {
            assert!(output.stdout.contains(told), "{mode:o}: {output}");
        }
    }
    // what everybody may do root may do, too
    fs::set_permissions(&host.backups, fs::Permissions::from_mode(0o777)).unwrap();
    check(0);
    give(&host.backups, 0);
    fs::set_permissions(&host.backups, fs::Permissions::from_mode(0o500)).unwrap();
    check(77);
    fs::set_permissions(&host.backups, fs::Permissions::from_mode(0o700)).unwrap();
    check(0);
    for (file, key) in [
        (&host.pki.client.key, "etcd.key_file"),
        (&host.pki.etcd_ca().cert, "etcd.ca_file"),
        (&host.config, "config"),
    ] {
        let mode = fs::metadata(file).unwrap().permissions();
        give(file, DAEMON);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        let output = check(77);
        assert!(
            output.stdout.contains(&format!("FAILED   {key}: "))
                && output.stdout.contains(file.to_str().unwrap()),
            "{output}"
        );
        give(file, 0);
        fs::set_permissions(file, mode).unwrap();
    }
    check(0);
    kept.assert_untouched("a check");
}

/// Ids of all backups, newest first.
fn listed(host: &Host) -> Vec<String> {
    let manifests = host.run(&["list", "--json"]).expect_success().json();
    let id = |manifest: &Value| manifest["id"].as_str().unwrap().to_owned();
    manifests.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn backups_of_one_second_are_both_kept() {
    let kept = Kept::new();
    let server = Fake::start(&kept.host.pki, &golden("3.5.30"), Script::Faithful);
    let runs: Vec<Output> = (0..6).map(|_| kept.backup(&[&server], "")).collect();
    let mut ids: Vec<String> = runs
        .into_iter()
        .map(|output| id(&output.expect_success()))
        .collect();
    ids.reverse();
    let listed = listed(&kept.host);
    assert_eq!((&listed[..6], listed.len()), (&ids[..], 7));
    kept.assert_still_there("six more");
    kept.assert_still_proven();
}

#[test]
fn a_clock_that_was_set_back_overwrites_nothing() {
    let host = Host::new();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    let all = "[retention]\nkeep_last = 1000";
    host.configure_as(&[server.endpoint()], &host.pki.client, all);
    let first = id(&host.run(&["backup", "--json"]).expect_success());
    let names = |id: &str| [format!("etcd-{id}.db"), format!("etcd-{id}.json")];
    let [data, manifest] = names(&first).map(|name| host.backups.join(name));
    let text = fs::read_to_string(&manifest).unwrap();
    // what a clock ten minutes ahead has left: every second of the minutes to come is taken
    let now = Timestamp::now();
    let mut taken = vec![first.clone()];
    for second in 0..600 {
        let id = (now + Duration::from_secs(second))
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string();
        let [to_data, to_manifest] = names(&id).map(|name| host.backups.join(name));
        if id != first {
            fs::hard_link(&data, to_data).unwrap();
            fs::write(to_manifest, text.replace(&first, &id)).unwrap();
            taken.push(id);
        }
    }
    let next = id(&host.run(&["backup", "--json"]).expect_success());
    assert!(taken.iter().all(|id| *id < next), "{next}");
    assert_eq!(listed(&host).len(), taken.len() + 1);
    host.run(&["verify", &next]).expect_success();
    host.run(&["verify", &first]).expect_success();
}

#[test]
fn a_leftover_that_cannot_be_removed_is_told_and_stops_no_backup() {
    let kept = Kept::new();
    for name in [
        ".hypercloud-etcd-1-0.draft",
        ".etcd-20200101T000000Z.publishing",
    ] {
        // no file of that name can be removed
        let in_the_way = kept.host.backups.join(name);
        fs::create_dir(&in_the_way).unwrap();
        let server = Fake::start(&kept.host.pki, &golden("3.5.30"), Script::Faithful);
        let output = kept.backup(&[&server], "").expect_success();
        assert!(output.stderr.contains(name), "{output}");
        fs::remove_dir(&in_the_way).unwrap();
    }
    kept.assert_still_there("two more");
    kept.assert_still_proven();
}

#[test]
fn files_of_others_survive_everything() {
    let mut kept = Kept::new();
    for name in [
        "etcd-manual.db",
        "etcd-20200101T000000Z.db",
        "etcd-20200102T000000Z.db.part",
        "etcd-20200103T000000Z.db.zst",
        "snapshot.db",
        "notes.txt",
        ".hidden",
        ".hypercloud-etcd-notes",
        "etcd-20201399T000000Z.json",
        ".etcd-backup.publishing",
    ] {
        kept.put(name, name.as_bytes());
    }
    fs::create_dir(kept.host.backups.join("old")).unwrap();
    fs::write(kept.host.backups.join("old/etcd-20200101T000000Z.db"), "x").unwrap();
    let server = Fake::start(&kept.host.pki, &golden("3.5.30"), Script::CutAt(40_000));
    told(kept.backup(&[&server], ""), 69);
    server.change(|behaviour| behaviour.script = Script::Faithful);
    kept.backup(&[&server], "").expect_success();
    kept.backup(&[&server], "").expect_success();
    kept.assert_still_there("two backups and a failure");
    assert!(
        kept.host
            .backups
            .join("old/etcd-20200101T000000Z.db")
            .exists()
    );
    // and none of them is taken for a backup
    assert_eq!(listed(&kept.host).len(), 3);
    kept.assert_still_proven();
}

#[test]
fn a_disk_that_is_not_mounted_gets_no_backup_where_a_mount_is_required() {
    // the mount point of the disk: a directory of the root file system
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let is_on_root = |path: &&str| device(Path::new(path)) == device(Path::new("/"));
    let place = ["/tmp", "/var/tmp", "/"].into_iter().find(is_on_root);
    let point = TempDir::with_prefix_in("hce-mount-", place.unwrap()).unwrap();
    let mut host = Host::new();
    host.backups = point.path().to_owned();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    host.configure(&[server.endpoint()]);
    let advice = host.run(&["check", "--offline"]).expect_success();
    assert!(
        advice.stdout.contains("set backup.require_mount = true"),
        "{advice}"
    );

    let text = fs::read_to_string(&host.config).unwrap();
    let text = text.replace("[backup]", "[backup]\nrequire_mount = true");
    fs::write(&host.config, text).unwrap();
    let output = host.run(&["backup"]).expect_code(73);
    assert!(
        output.stderr.contains("it is on the root file system"),
        "{output}"
    );
    assert!(output.stderr.contains("hint: Mount the disk"), "{output}");
    assert!(host.files().is_empty(), "{:?}", host.files());
    let check = host.run(&["check"]).expect_code(73);
    assert!(
        check.stdout.contains("FAILED   backup.require_mount"),
        "{check}"
    );

    let mount = Mount::tmpfs(&host.backups, "80m");
    host.run(&["backup"]).expect_success();
    let check = host.run(&["check"]).expect_success();
    assert!(!check.stdout.contains("require_mount"), "{check}");
    drop(mount);
    assert!(host.files().is_empty(), "{:?}", host.files());
}
