//! What is refused before anything changes: each with its code, what is wrong, and what to do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::source::Source;
use crate::support::command::{Host, Output};
use crate::support::etcd::Version;
use crate::support::fake::{Behaviour, Fake, LiveHash, Script};
use crate::support::kept::{Kept, golden, golden_path, with_trailer};
use crate::support::mount::Mount;

/// A host that may restore, and an empty place to restore to.
struct Place {
    host: Host,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self::on(Host::new())
    }

    fn on(host: Host) -> Self {
        let directory = TempDir::with_prefix("hce-restore-").unwrap();
        Self { host, directory }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("etcd")
    }

    fn run(&self, args: &[&str]) -> Output {
        let target = self.target();
        let arguments = [&["restore", "--data-dir", target.to_str().unwrap()], args].concat();
        self.host.run(&arguments)
    }

    /// It is refused with this code and these words, and nothing has come of it.
    #[track_caller]
    fn refuses(&self, args: &[&str], code: i32, words: &[&str]) {
        let before = self.look();
        let output = refused(self.run(args), code);
        for word in words {
            assert!(
                output.stderr.contains(word),
                "{word:?} is not said: {output}"
            );
        }
        assert_eq!(self.look(), before, "something was left: {output}");
    }

    fn look(&self) -> Vec<PathBuf> {
        super::files(self.directory.path())
            .into_iter()
            .chain(
                fs::read_dir(self.directory.path())
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            )
            .collect()
    }
}

/// It was refused with this code, and what to do was said.
#[track_caller]
fn refused(output: Output, code: i32) -> Output {
    let output = output.expect_code(code);
    for word in ["error: ", " hint: "] {
        assert!(
            output.stderr.contains(word),
            "{word:?} is not said: {output}"
        );
    }
    assert!(output.stdout.is_empty(), "{output}");
    output
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_file_that_is_no_snapshot_is_named_for_what_it_is() {
    let place = Place::new();
    let directory = TempDir::new().unwrap();
    let mut altered = golden("3.5.30");
    altered[9_000] ^= 1;
    let mut bare = golden("3.5.30");
    bare.truncate(bare.len() - 32);
    let cut = golden("3.5.30")[..60_000].to_vec();
    for (name, bytes, words) in [
        (
            "altered",
            altered,
            &["etcd appended the SHA-256", "--skip-hash-check goes on"][..],
        ),
        (
            "bare",
            bare.clone(),
            &["has no SHA-256 trailer", "--skip-hash-check"],
        ),
        ("cut", cut, &["has no SHA-256 trailer"]),
        (
            "sealed.age",
            b"age-encryption.org/v1\n-> X25519 abc".to_vec(),
            &["encrypted with age", "age -d -i"],
        ),
        (
            "sealed.zst",
            b"\x28\xb5\x2f\xfd\x04\x00\x00".to_vec(),
            &["compressed with zstd", "zstd -d"],
        ),
        (
            "sealed.gz",
            b"\x1f\x8b\x08\x00\x00\x00".to_vec(),
            &["compressed with gzip", "gzip -dc"],
        ),
    ] {
        let file = directory.path().join(name);
        fs::write(&file, bytes).unwrap();
        let named = [words, &[path(&file)]].concat();
        place.refuses(&["--file", path(&file)], 65, &named);
    }
    let missing = directory.path().join("missing");
    let output = place.run(&["--file", path(&missing)]).expect_code(74);
    assert!(output.stderr.contains(path(&missing)), "{output}");
    // what never had a digest is restored on demand, and walked all the same
    let bare = directory.path().join("bare");
    place
        .run(&["--file", path(&bare), "--skip-hash-check"])
        .expect_success();
    fs::remove_dir_all(place.target()).unwrap();
    let mut harmed = fs::read(&bare).unwrap();
    (2..harmed.len() / 4096).for_each(|page| harmed[page * 4096] ^= 1);
    fs::write(&bare, harmed).unwrap();
    place.refuses(
        &["--file", path(&bare), "--skip-hash-check"],
        65,
        &["carries the number"],
    );
}

#[test]
fn data_that_is_newer_than_the_etcd_that_is_to_start_is_refused() {
    let place = Place::new();
    let file = golden_path("3.5.30");
    for version in ["3.4.23", "v3.4", "3.4.0-rc.1", "2.9.9"] {
        let words = ["cluster version 3.5", "--etcd-version"];
        place.refuses(
            &["--file", path(&file), "--etcd-version", version],
            65,
            &words,
        );
    }
    place
        .run(&["--file", path(&file), "--etcd-version", "new"])
        .expect_code(64);
    place
        .run(&["--file", path(&file), "--etcd-version", "3.5.1"])
        .expect_success();
}

/// The etcd of a kubeadm host is the one that its manifest names.
#[test]
fn the_etcd_of_a_kubeadm_host_is_known_from_its_manifest() {
    let place = Place::new();
    let kubernetes = place.host.directory().join("kubernetes");
    fs::create_dir_all(kubernetes.join("manifests")).unwrap();
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\nspec:\n  containers:\n  - name: etcd\n    \
                    image: registry.k8s.io/etcd:3.4.13-0\n    command:\n    - etcd\n    \
                    - --data-dir=/var/lib/etcd\n";
    fs::write(kubernetes.join("manifests/etcd.yaml"), manifest).unwrap();
    let file = golden_path("3.5.30");
    let arguments = ["--file", path(&file), "--kubernetes-dir", path(&kubernetes)];
    place.refuses(
        &arguments,
        65,
        &["cluster version 3.5", "etcd 3.4", "--etcd-version"],
    );
    let told = [&arguments[..], &["--etcd-version", "3.6.5", "--json"]].concat();
    let report = place.run(&told).expect_success().json();
    // and its API servers remember revisions
    assert!(
        report["bump"]["by"].as_u64() >= Some(1_000_000_000),
        "{report:#}"
    );
}

const TRIO: &str = "a=https://10.0.0.1:2380,b=https://10.0.0.2:2380,c=https://10.0.0.3:2380";

/// Options that do not fit together, and what is said of them.
const UNFIT: &[(&str, &str)] = &[
    (
        "--name d --initial-cluster TRIO --initial-cluster-token t",
        "\"d\"",
    ),
    ("--initial-cluster a=https://10.0.0.1:2380", "default"),
    (
        "--name a --initial-cluster TRIO --initial-cluster-token t --initial-advertise-peer-urls https://10.0.0.2:2380",
        "https://10.0.0.2:2380",
    ),
    ("--initial-cluster default=ftp://10.0.0.1:2380", "ftp"),
    ("--initial-cluster default", "default"),
    ("--initial-cluster ,", "it names no member"),
    (
        "--name a --initial-cluster a=http://h:1,b=http://h:1 --initial-cluster-token t",
        "http://h:1",
    ),
    (
        "--name a --initial-cluster TRIO",
        "--initial-cluster-token etcd-",
    ),
    (
        "--name a --initial-cluster TRIO --initial-cluster-token t --bump-revision auto",
        "--bump-revision 1000000000 --mark-compacted",
    ),
    (
        "--name a --initial-cluster TRIO --bump-revision 5 --mark-compacted",
        "--initial-cluster-token etcd-",
    ),
    ("--bump-revision 5", "--mark-compacted"),
    ("--mark-compacted", "--bump-revision"),
    ("--bump-revision 0 --mark-compacted", "--bump-revision"),
    (
        "--bump-revision 9223372036854775807 --mark-compacted",
        "moved ahead by",
    ),
];

/// A bump of its own sets a member apart from the others for ever: on a Kubernetes host, too, where `auto` is the default.
#[test]
fn one_member_of_several_is_never_moved_alone() {
    let place = Place::new();
    let kubernetes = place.host.directory().join("kubernetes");
    fs::create_dir_all(kubernetes.join("manifests")).unwrap();
    let file = golden_path("3.5.30");
    let member = [
        "--file",
        path(&file),
        "--kubernetes-dir",
        path(&kubernetes),
        "--name",
        "a",
        "--initial-cluster",
        TRIO,
    ];
    let token = ["--initial-cluster-token", "t"];
    let bump = ["--bump-revision", "5", "--mark-compacted"];
    for (more, given) in [
        (&[][..], "given: --initial-cluster-token etcd-"),
        (&token, "given: --bump-revision "),
        (&bump, "given: --initial-cluster-token etcd-"),
    ] {
        let words = [given, "its host"];
        place.refuses(&[&member, more].concat(), 64, &words);
    }
    let report = place.run(&[&member[..], &token, &bump, &["--json"]].concat());
    let report = report.expect_success().json();
    assert_eq!(report["bump"]["by"], 5, "{report:#}");
    for other in [0, 1] {
        let command = report["next"][other]["command"].as_str().unwrap();
        let told = "--bump-revision 5 --mark-compacted";
        assert!(
            command.contains(told) && command.contains("token t "),
            "{command}"
        );
    }
}

#[test]
fn what_the_members_are_told_must_fit_together() {
    let place = Place::new();
    let file = golden_path("3.5.30");
    for (options, word) in UNFIT {
        let options = options.replace("TRIO", TRIO);
        let options: Vec<&str> = options.split(' ').collect();
        place.refuses(
            &[&["--file", path(&file)], &options[..]].concat(),
            64,
            &[word],
        );
    }
    for line in [&[][..], &["latest", "--file", "/x"], &["nonsense"]] {
        place.run(line).expect_code(64);
    }
}

#[test]
fn a_target_that_is_in_anybodys_way_is_refused() {
    let place = Place::new();
    let file = golden_path("3.5.30");
    let restore = ["--file", path(&file)];
    let target = place.target();

    fs::create_dir(&target).unwrap();
    fs::write(target.join("something"), "of somebody's").unwrap();
    place.refuses(&restore, 73, &["is not empty", path(&target)]);
    fs::remove_dir_all(&target).unwrap();

    fs::write(&target, "a file").unwrap();
    place.refuses(&restore, 73, &[path(&target)]);
    fs::remove_file(&target).unwrap();

    let elsewhere = place.directory.path().join("elsewhere");
    symlink(&elsewhere, &target).unwrap();
    place.refuses(&restore, 73, &[path(&target)]);
    // a link to an empty directory is followed
    fs::create_dir(&elsewhere).unwrap();
    place.run(&restore).expect_success();
    assert!(elsewhere.join("member/snap/db").exists());
    place.refuses(&restore, 73, &["is not empty", path(&elsewhere)]);
    fs::remove_file(&target).unwrap();
    fs::remove_dir_all(&elsewhere).unwrap();

    let orphan = target.join("no/such/parent");
    let output = place.host.run(&[
        "restore",
        "--data-dir",
        path(&orphan),
        "--file",
        path(&file),
    ]);
    refused(output, 73);
    assert!(!target.exists());

    fs::create_dir(&target).unwrap();
    let output = place.run(&restore).expect_success();
    assert!(output.stdout.contains("restored"), "{output}");
}

#[test]
fn too_little_space_and_a_disk_of_its_own_are_told_with_the_numbers() {
    let place = Place::new();
    let file = golden_path("3.5.30");
    {
        let small = place.directory.path().join("small");
        let mount = Mount::tmpfs(&small, "8m");
        let target = small.join("etcd");
        let arguments = [
            "restore",
            "--file",
            path(&file),
            "--data-dir",
            path(&target),
        ];
        let output = refused(place.host.run(&arguments), 73);
        assert!(
            output
                .stderr
                .contains(&format!("{} bytes are free", mount.free())),
            "{output}"
        );
        assert_eq!(fs::read_dir(&small).unwrap().count(), 0);
    }
    let image = TempDir::new().unwrap();
    let disk = place.directory.path().join("disk");
    let _mount = Mount::ext2(&disk, &image.path().join("image"), 200 << 20);
    let arguments = ["restore", "--file", path(&file), "--data-dir", path(&disk)];
    let output = refused(place.host.run(&arguments), 73);
    assert!(output.stderr.contains("mount point"), "{output}");
    let below = disk.join("etcd");
    let arguments = ["restore", "--file", path(&file), "--data-dir", path(&below)];
    place.host.run(&arguments).expect_success();
}

/// A running etcd has its database locked; nobody puts another in its place.
#[test]
fn the_directory_of_an_etcd_that_runs_is_refused() {
    let Some(source) = Source::of(Version::V3_5) else {
        return;
    };
    let mut etcd = source.restored(Version::V3_5, &[]);
    let data_dir = path(etcd.data_dir()).to_owned();
    let inside = format!("{data_dir}/member/snap/new");
    let output = refused(
        source
            .host
            .run(&["restore", "latest", "--data-dir", &inside]),
        73,
    );
    assert!(
        output.stderr.contains("in the data directory of an etcd"),
        "{output}"
    );
    let arguments = ["restore", "latest", "--data-dir", &data_dir];
    let output = refused(source.host.run(&arguments), 75);
    assert!(output.stderr.contains("etcd"), "{output}");
    assert_eq!(etcd.revision(), source.revision());
    etcd.stop();
    refused(source.host.run(&arguments), 73);
}

/// A host with a verified backup and a newer one that the member contradicted.
fn contradicted() -> (Kept, Value) {
    let kept = Kept::new();
    let lying = Behaviour::new(&golden("3.5.30"), Script::Faithful).hash_kv(LiveHash::Answer {
        hash: 1,
        compact_revision: 24,
        hash_revision: 38,
    });
    let fake = Fake::start_with(&kept.host.pki, &kept.host.pki.server, lying);
    let doubtful = kept.backup(&[&fake], "").expect_code(65).json();
    (kept, doubtful)
}

#[test]
fn the_newest_backup_is_not_restored_unless_it_is_verified_and_the_one_that_is_is_named() {
    let (kept, doubtful) = contradicted();
    let listed = kept.host.run(&["list", "--json"]).expect_success().json();
    let verified = listed[1]["id"].as_str().unwrap();
    let place = Place::on(kept.host);
    let id = doubtful["id"].as_str().unwrap();
    let words = [
        id,
        "is not verified",
        verified,
        "--allow-unverified",
        "cause: ",
    ];
    place.refuses(&["latest"], 65, &words);
    // under whatever name
    place.refuses(&[id], 65, &words);
    let file = place.host.snapshot_of(&doubtful);
    place.refuses(&["--file", path(&file)], 65, &words);
    let report = place
        .run(&["latest", "--allow-unverified", "--json"])
        .expect_success()
        .json();
    assert_eq!(report["backup"], id);
    assert!(
        report["warnings"].to_string().contains("not verified"),
        "{report:#}"
    );
    fs::remove_dir_all(place.target()).unwrap();
    let report = place.run(&["latest~1", "--json"]).expect_success().json();
    assert_eq!(report["backup"], verified);
    let warnings = report["warnings"].to_string();
    assert!(!warnings.contains("not verified"), "{report:#}");
}

#[test]
fn a_backup_whose_file_has_changed_is_refused_and_another_is_named() {
    let kept = Kept::new();
    let healthy = Fake::start(&kept.host.pki, &golden("3.4.23"), Script::Faithful);
    let newest = kept.backup(&[&healthy], "").expect_success().json();
    let listed = kept.host.run(&["list", "--json"]).expect_success().json();
    let older = listed[1]["id"].as_str().unwrap();
    let place = Place::on(kept.host);
    let file = place.host.snapshot_of(&newest);
    let whole = fs::read(&file).unwrap();
    let sound_but_other = golden("3.5.30");
    let mut altered = whole.clone();
    altered[9_000] ^= 1;
    let cut = whole[..whole.len() - 4096].to_vec();
    for bytes in [
        sound_but_other,
        altered,
        cut,
        with_trailer(whole.clone()),
        Vec::new(),
    ] {
        fs::write(&file, bytes).unwrap();
        place.refuses(
            &["latest"],
            65,
            &["has changed since it was made", older, "cause: "],
        );
        place.refuses(
            &["latest", "--allow-unverified", "--skip-hash-check"],
            65,
            &[older],
        );
    }
    fs::remove_file(&file).unwrap();
    place.refuses(
        &["latest"],
        65,
        &["has changed since it was made", path(&file), older],
    );
    place.run(&["latest~1"]).expect_success();
}

#[test]
fn data_of_another_cluster_is_refused() {
    let kept = Kept::new();
    let other = Behaviour::new(&golden("3.5.30"), Script::Faithful);
    let mut other_cluster = other.clone();
    if let Some(header) = &mut other_cluster.status.header {
        header.cluster_id = 0xfee1;
    }
    let fake = Fake::start_with(&kept.host.pki, &kept.host.pki.server, other_cluster);
    kept.backup(&[&fake], "").expect_success();
    let place = Place::on(kept.host);
    let words = ["is of another cluster", "fee1", "--allow-other-cluster"];
    place.refuses(&["latest~1"], 65, &words);
    // a file is told by its members
    let file = golden_path("3.5.1");
    let words = [
        "is of another cluster",
        "its members are",
        "--allow-other-cluster",
    ];
    place.refuses(&["--file", path(&file)], 65, &words);
    place
        .run(&["--file", path(&file), "--allow-other-cluster"])
        .expect_success();
    fs::remove_dir_all(place.target()).unwrap();
    // it is the newest, but unlike what was there before
    place.refuses(&["latest"], 65, &["is suspect", "cluster"]);
    place.run(&["latest", "--allow-suspect"]).expect_success();
}

/// It stays the newest for as long as the clock was ahead: nobody takes it for the newest data unwarned.
#[test]
fn a_backup_from_a_clock_that_was_ahead_is_restored_with_a_warning() {
    let kept = Kept::new();
    let listed = kept.host.run(&["list", "--json"]).expect_success().json();
    let mut manifest = listed[0].clone();
    let file = kept.host.snapshot_of(&manifest);
    let ahead = "29991231T000000Z";
    manifest["id"] = ahead.into();
    manifest["file"] = format!("etcd-{ahead}.db").into();
    for time in ["started", "finished"] {
        manifest[time] = "2999-12-31T00:00:00Z".into();
    }
    fs::copy(&file, file.with_file_name(format!("etcd-{ahead}.db"))).unwrap();
    let path = file.with_file_name(format!("etcd-{ahead}.json"));
    fs::write(path, manifest.to_string()).unwrap();
    let place = Place::on(kept.host);
    let report = place.run(&["latest", "--json"]).expect_success().json();
    assert_eq!(report["backup"], ahead);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("which is yet to come"), "{report:#}");
}
