//! A restored data directory beside the one that etcd's own tool makes of the same file, and in the
//! hands of real servers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hypercloud_etcd::datadir::{self, Built, Layout, Membership, Recipe};
use hypercloud_etcd::snapshot::{Trailer, Verified};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::etcd::Version;

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
