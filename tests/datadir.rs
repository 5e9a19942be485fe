//! A restored data directory beside the one that etcd's own tool makes of the same file, and in the
//! hands of real servers.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use hypercloud_etcd::datadir::{self, Built, Error, Layout, Membership, Ownership, Recipe};
use hypercloud_etcd::snapshot::{Mismatch, Trailer, Unproven, Verified};
use rustix::fs::{FlockOperation, XattrFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::DEADLINE;
use crate::support::etcd::{Etcd, Options, Version, versions};
use crate::support::mount::Mount;
use crate::support::pki::Pki;
use crate::support::poll_until;

/// Three members; the first is the one that is restored.
const THREE: &str = "m1=http://127.0.0.1:23791,m2=http://127.0.0.1:23792,m2=http://127.0.0.1:23802,m3=https://m3.example:2380";
const ONE: &str = "m1=http://127.0.0.1:23791";

fn golden() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots");
    ["3.4.23.db", "3.5.1.db", "3.5.30.db"]
        .map(|name| directory.join(name))
        .to_vec()
}

fn verified(snapshot: &Path) -> Verified {
    let file = File::open(snapshot).unwrap();
    Verified::prove(file, Trailer::Required, &tempfile::tempfile).unwrap()
}

fn recipe(cluster: &str) -> Recipe {
    Recipe {
        membership: Membership::parse(cluster, "newtok").unwrap(),
        name: "m1".into(),
        etcd: None,
        bump: None,
        clear_alarms: false,
        layout: Layout::Copy,
        wal_dir: None,
        ownership: None,
    }
}

fn build(source: &Verified, recipe: &Recipe, target: &Path) -> Built {
    datadir::build(source, recipe, target, &mut |_| {}).unwrap()
}

/// Restores with etcdutl what [`recipe`] describes.
fn peer(version: Version, snapshot: &Path, cluster: &str, bump: bool, target: &Path) {
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (snapshot, data_dir) = (path(snapshot), format!("--data-dir={}", path(target)));
    let cluster = format!("--initial-cluster={cluster}");
    let mut arguments = vec![
        "snapshot",
        "restore",
        &snapshot,
        &data_dir,
        &cluster,
        "--name=m1",
        "--initial-cluster-token=newtok",
        "--initial-advertise-peer-urls=http://127.0.0.1:23791",
    ];
    if bump {
        arguments.extend(["--bump-revision=1000000000", "--mark-compacted"]);
    }
    version.etcdutl(&arguments).expect_success();
}

/// Every file below a directory, by its path.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn status(data_dir: &Path) -> Value {
    Version::V3_5.snapshot_status(&data_dir.join("member/snap/db"))
}

/// Both directories have the same files with the same bytes, and the databases say the same.
fn same(ours: &Path, theirs: &Path) {
    let inside = |directory: &Path| {
        let files = files(directory);
        let inside = files
            .iter()
            .map(|file| file.strip_prefix(directory).unwrap().to_owned());
        inside.collect::<Vec<_>>()
    };
    assert_eq!(inside(ours), inside(theirs));
    for file in inside(ours) {
        if file.ends_with("db") {
            continue;
        }
        let (mine, their) = (
            fs::read(ours.join(&file)).unwrap(),
            fs::read(theirs.join(&file)).unwrap(),
        );
        assert!(mine == their, "{} differs", file.display());
    }
    let (mine, their) = (status(ours), status(theirs));
    for figure in ["hash", "revision", "totalKey"] {
        assert_eq!(mine[figure], their[figure], "{figure}");
    }
}

#[test]
fn a_data_directory_is_the_one_that_etcdutl_makes() {
    for snapshot in golden() {
        let source = verified(&snapshot);
        for (version, cluster, bump) in [
            (Version::V3_5_1, ONE, false),
            (Version::V3_5_1, THREE, false),
            (Version::V3_5, THREE, false),
            (Version::V3_5, ONE, true),
        ] {
            let work = TempDir::new().unwrap();
            let theirs = work.path().join("theirs");
            peer(version, &snapshot, cluster, bump, &theirs);
            for layout in [Layout::Copy, Layout::Compact] {
                let ours = work.path().join(format!("{layout:?}"));
                let recipe = Recipe {
                    layout,
                    bump: bump.then_some(1_000_000_000),
                    ..recipe(cluster)
                };
                let built = build(&source, &recipe, &ours);
                same(&ours, &theirs);
                let status = status(&ours);
                assert_eq!(status["hash"], built.hash);
                assert_eq!(status["revision"], built.revision);
                assert_eq!(status["totalSize"], built.size);
            }
        }
    }
}

#[test]
fn every_etcd_starts_from_it_and_goes_on() {
    let pki = Pki::new();
    let snapshot = golden().remove(2);
    let source = verified(&snapshot);
    for version in versions() {
        for (layout, bump) in [(Layout::Copy, Some(1_000_000)), (Layout::Compact, None)] {
            let work = TempDir::new().unwrap();
            let recipe = Recipe {
                layout,
                bump,
                ..recipe(ONE)
            };
            let built = build(&source, &recipe, &work.path().join("data"));
            let options = Options {
                data_dir: Some(built.data_dir),
                ..Options::default()
            };
            let mut etcd = Etcd::start_with(version, &pki, &options);
            let revision = i64::try_from(built.revision).unwrap();
            assert_eq!(etcd.revision(), revision);
            let facts = source.facts();
            let keys = etcd.entries(0);
            assert_eq!(keys.len() as u64, facts.total_key);
            if bump.is_none() {
                let hash = etcd.hash_kv(0);
                assert_eq!(hash.hash, facts.kv_hash.hash, "{version:?}");
            }
            assert_eq!(etcd.put("after", b"the restore"), revision + 1);
            etcd.etcdctl(&["defrag"]).expect_success();
            etcd.stop();
            etcd.restart();
            assert_eq!(etcd.entries(0).len(), keys.len() + 1);
            let members = etcd.etcdctl(&["member", "list", "-w", "json"]).json();
            let members = members["members"].as_array().unwrap().clone();
            assert_eq!(members.len(), 1, "{members:?}");
            assert_eq!(members[0]["ID"].as_u64().unwrap(), built.member_id.0);
        }
    }
}

/// What a build is refused with; nothing but `there` may then be in the directory above.
fn refusal(recipe: &Recipe, target: &Path, there: &[&str]) -> Error {
    let source = verified(&golden()[0]);
    let error = datadir::build(&source, recipe, target, &mut |_| {}).unwrap_err();
    let above = target.parent().unwrap();
    let mut names: Vec<_> = fs::read_dir(above)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, there, "after: {error}");
    error
}

#[test]
fn what_is_in_the_way_is_named_and_not_touched() {
    let work = TempDir::new().unwrap();
    let target = work.path().join("etcd");
    let source = verified(&golden()[0]);
    let built = build(&source, &recipe(ONE), &target);
    assert_eq!(built.data_dir, target.canonicalize().unwrap());
    let error = refusal(&recipe(ONE), &target, &["etcd"]);
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");

    // the lock that bbolt takes
    assert!(!datadir::in_use(&target).unwrap());
    let database = File::open(target.join("member/snap/db")).unwrap();
    rustix::fs::flock(&database, FlockOperation::LockExclusive).unwrap();
    assert!(datadir::in_use(&target).unwrap());
    let error = refusal(&recipe(ONE), &target, &["etcd"]);
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(database);

    let file = work.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = refusal(&recipe(ONE), &file, &["etcd", "file"]);
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let missing = work.path().join("none/etcd");
    let error = datadir::build(&source, &recipe(ONE), &missing, &mut |_| {}).unwrap_err();
    assert!(error.hint().unwrap().contains("directory above"), "{error}");

    let logs = work.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("one"), "x").unwrap();
    let apart = Recipe {
        wal_dir: Some(logs.clone()),
        ..recipe(ONE)
    };
    let error = refusal(&apart, &work.path().join("new"), &["etcd", "file", "logs"]);
    assert!(matches!(&error, Error::NotEmpty { path } if path.ends_with("logs")));
}

#[test]
fn a_mount_point_and_a_full_disk_leave_nothing_behind() {
    let work = TempDir::new().unwrap();
    let disk = work.path().join("disk");
    let mount = Mount::tmpfs(&disk, "20m");
    let error = refusal(&recipe(ONE), &disk, &["disk"]);
    assert!(matches!(error, Error::MountPoint { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--data-dir="), "{error}");

    // the database fits, the log does not
    let free = mount.free();
    let error = refusal(&recipe(ONE), &disk.join("etcd"), &[]);
    assert!(error.hint().unwrap().contains("Free some space"), "{error}");
    mount.fill();
    let error = refusal(&recipe(ONE), &disk.join("etcd"), &["filler"]);
    assert!(error.hint().unwrap().contains("Free some space"), "{error}");
    fs::remove_file(disk.join("filler")).unwrap();
    poll_until("all space is free again", DEADLINE, || mount.free() == free);
    mount.remount("ro");
    let error = refusal(&recipe(ONE), &disk.join("etcd"), &[]);
    assert!(error.hint().unwrap().contains("read-only"), "{error}");

    // the log is placed first, and taken back where the data directory cannot be
    let apart = Recipe {
        wal_dir: Some(work.path().join("log")),
        ..recipe(ONE)
    };
    refusal(&apart, &disk.join("etcd"), &[]);
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_follows_the_one_before_it() {
    let work = TempDir::new().unwrap();
    let source = verified(&golden()[0]);
    let before = work.path().join("before");
    fs::create_dir(&before).unwrap();
    fs::set_permissions(&before, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&before, Some(1234), Some(4321)).expect("this proof needs root");
    let label = b"system_u:object_r:etcd_var_lib_t:s0\0";
    rustix::fs::setxattr(&before, "security.selinux", label, XattrFlags::empty())
        .expect("this proof needs root and a file system with labels");

    let follows = |directory: &Path| {
        let mut paths = files(directory);
        paths.extend(["", "member", "member/snap", "member/wal"].map(|name| directory.join(name)));
        for path in paths {
            let metadata = path.metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
            let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(metadata.mode() & 0o7777, mode, "{}", path.display());
            let mut value = [0; 100];
            let length = rustix::fs::getxattr(&path, "security.selinux", &mut value[..]).unwrap();
            assert_eq!(&value[..length], label);
        }
    };
    let named = Recipe {
        ownership: Some(Ownership::of(&before).unwrap()),
        ..recipe(ONE)
    };
    follows(&build(&source, &named, &work.path().join("after")).data_dir);
    // an empty directory gives way, also at the end of a link
    let link = work.path().join("link");
    symlink(&before, &link).unwrap();
    let built = build(&source, &recipe(ONE), &link);
    assert_eq!(built.data_dir, before.canonicalize().unwrap());
    follows(&before);
    assert!(link.is_symlink());
}

/// The names that a build gives its own directories; nobody else's data goes by them.
#[test]
fn data_beside_the_target_is_never_removed_whatever_its_name() {
    let work = TempDir::new().unwrap();
    let source = verified(&golden()[2]);
    let pki = Pki::new();
    let running = build(
        &source,
        &recipe(ONE),
        &work.path().join("etcd.restore-20261122"),
    );
    let options = Options {
        data_dir: Some(running.data_dir),
        ..Options::default()
    };
    let mut etcd = Etcd::start_with(Version::V3_5, &pki, &options);
    let id = std::process::id();
    let at = |name: String| work.path().join(name);
    let data = at(format!("etcd.hypercloud-etcd-{id}"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("somebody's"), "data").unwrap();
    symlink(&data, at("etcd.hypercloud-etcd-1".into())).unwrap();
    fs::write(at("etcd.hypercloud-etcd-2".into()), "a file").unwrap();
    fs::create_dir(at("etcd.hypercloud-etcd-3".into())).unwrap();

    build(&source, &recipe(ONE), &work.path().join("etcd"));
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 6);
    assert!(data.join("somebody's").exists());
    assert_eq!(
        etcd.put("after", b"x"),
        i64::try_from(running.revision).unwrap() + 1
    );
    etcd.stop();
    etcd.restart();
    assert_eq!(etcd.entries(0).len() as u64, source.facts().total_key + 1);
}

#[test]
fn a_log_may_lie_in_the_data_directory_at_any_depth() {
    let source = verified(&golden()[2]);
    let pki = Pki::new();
    for inside in [
        "wal",
        "member/wal",
        "member/logs/of/etcd",
        "../data/logs/wal",
    ] {
        let work = TempDir::new().unwrap();
        let data = work.path().join("data");
        let wal = data.join(inside);
        let apart = Recipe {
            wal_dir: Some(wal.clone()),
            ..recipe(ONE)
        };
        build(&source, &apart, &data);
        assert!(wal.join("0000000000000000-0000000000000000.wal").exists());
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
        if inside == "wal" {
            let options = Options {
                data_dir: Some(data),
                arguments: vec![format!("--wal-dir={}", wal.display())],
                ..Options::default()
            };
            let etcd = Etcd::start_with(Version::V3_5, &pki, &options);
            assert_eq!(etcd.entries(0).len() as u64, source.facts().total_key);
        }
    }
}

#[test]
fn a_log_goes_nowhere_that_the_data_needs() {
    let work = TempDir::new().unwrap();
    let data = work.path().join("data");
    let logs = |wal_dir: PathBuf| Recipe {
        wal_dir: Some(wal_dir),
        ..recipe(ONE)
    };
    for wal in [
        data.clone(),
        data.join("member"),
        data.join("member/snap"),
        data.join("member/snap/wal"),
        work.path().into(),
        work.path().join("none/../data"),
    ] {
        let error = refusal(&logs(wal.clone()), &data, &[]);
        assert!(matches!(error, Error::LogPlace { .. }), "{wal:?}: {error}");
        assert!(error.hint().unwrap().contains("--wal-dir"), "{error}");
    }
}

#[test]
fn a_log_may_lie_elsewhere() {
    let work = TempDir::new().unwrap();
    let logs = work.path().join("logs");
    let apart = Recipe {
        wal_dir: Some(logs.clone()),
        ..recipe(ONE)
    };
    let source = verified(&golden()[2]);
    let built = build(&source, &apart, &work.path().join("data"));
    assert!(!built.data_dir.join("member/wal").exists());
    let whole = build(&source, &recipe(ONE), &work.path().join("whole")).data_dir;
    let log = "0000000000000000-0000000000000000.wal";
    let (apart, inside) = (logs.join(log), whole.join("member/wal").join(log));
    assert!(fs::read(apart).unwrap() == fs::read(inside).unwrap());

    let options = Options {
        data_dir: Some(built.data_dir),
        arguments: vec![format!("--wal-dir={}", logs.display())],
        ..Options::default()
    };
    let pki = Pki::new();
    let etcd = Etcd::start_with(Version::V3_5, &pki, &options);
    assert_eq!(etcd.entries(0).len() as u64, source.facts().total_key);
}

#[test]
fn only_a_whole_snapshot_is_proven_unless_its_digest_is_waived() {
    let work = TempDir::new().unwrap();
    let snapshot = fs::read(&golden()[2]).unwrap();
    let path = work.path().join("file");
    let prove = |bytes: &[u8], trailer| {
        fs::write(&path, bytes).unwrap();
        Verified::prove(File::open(&path).unwrap(), trailer, &tempfile::tempfile)
    };
    let whole = prove(&snapshot, Trailer::Required).unwrap();
    let database = &snapshot[..snapshot.len() - 32];
    // as a file of a data directory is: no digest, and room for what comes
    let grown = [database, &[0; 8192]].concat();
    for copied in [database, &grown] {
        let refused = prove(copied, Trailer::Required).unwrap_err();
        assert!(matches!(
            refused,
            Unproven::Trailer(Mismatch::Absent { .. })
        ));
        let waived = prove(copied, Trailer::Waived).unwrap();
        assert_eq!(
            (waived.length(), waived.sums()),
            (whole.length(), whole.sums())
        );
        let target = work.path().join(format!("data-{}", copied.len()));
        assert_eq!(
            build(&waived, &recipe(ONE), &target).revision,
            whole.facts().revision
        );
    }
    let mut altered = snapshot.clone();
    altered[4096 * 2 + 4000] ^= 1;
    let refused = prove(&altered, Trailer::Required).unwrap_err();
    assert!(matches!(
        refused,
        Unproven::Trailer(Mismatch::Different { .. })
    ));
    let cut = &snapshot[..snapshot.len() / 8192 * 4096];
    let refused = prove(cut, Trailer::Waived).unwrap_err();
    assert!(matches!(refused, Unproven::Database(_)), "{refused}");
}
