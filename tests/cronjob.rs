//! The CronJob that `render cronjob` prints: what it says, and that it does in its pod what it says.
//!
//! No cluster runs here. The goldens are parsed into the types of batch/v1, field by field and with nothing left over;
//! the command of the container is run as the kubelet would run it; and kubectl reads them, where there is one.

mod golden;
mod kubectl;
mod pod;

use std::fs;
use std::path::{Path, PathBuf};

use hypercloud_etcd::config;
use hypercloud_etcd::cronjob::{self, ImageChoice, Mode, Name, Named, Unknown, Volume, Wanted};
use hypercloud_etcd::kubeadm::Image;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::support::command::{Host, Output, binary, run};
use crate::support::etcd::{Etcd, Version, versions};
use pod::{Pod, objects};

/// A manifest of etcd as kubeadm writes it, as far as it matters here, in a directory of Kubernetes.
pub(crate) fn kubernetes(host: &Host, image: &str) -> String {
    let directory = host.directory().join("kubernetes");
    fs::create_dir_all(directory.join("manifests")).unwrap();
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n  namespace: kube-system\nspec:\n  containers:\n  \
         - command:\n    - etcd\n    - --name=master1\n    - --data-dir=/var/lib/etcd\n    image: {image}\n    \
         name: etcd\n"
    );
    fs::write(directory.join("manifests/etcd.yaml"), manifest).unwrap();
    directory.to_str().unwrap().to_owned()
}

/// Renders on a host whose etcd runs this image.
fn rendered(host: &Host, image: &str, args: &[&str]) -> Output {
    let directory = kubernetes(host, image);
    let command = ["render", "cronjob", "--kubernetes-dir", &directory];
    host.run(&[&command[..], args].concat())
}

/// Runs a pod of this rendering to its end and proves the file that it leaves.
fn run_etcdctl(host: &Host, version: Version, rendering: &str, pod: &str) {
    let objects = objects(rendering);
    let pod = Pod::of(&objects, pod);
    assert_eq!(pod.program(), "etcdctl");
    run(&mut pod.command(&version.binary("etcdctl"), host.directory())).expect_success();
    let file = host.backups.join(format!("{}.db", pod.name));
    let file = file.to_str().unwrap();
    host.run(&["verify", "--file", file]).expect_success();
}

#[test]
fn the_command_of_the_pod_leaves_a_sound_snapshot_with_every_etcdctl() {
    for version in versions() {
        let host = Host::new();
        let etcd = Etcd::start(version, &host.pki);
        etcd.put("/registry/pods/default/a", b"1");
        host.configure(&[etcd.endpoint()]);
        let exact = format!("registry.k8s.io/etcd:{}-0", version.exact());
        // an image that is told its API, and one that is not
        for (image, pod) in [
            ("k8s.gcr.io/etcd:3.3.10", "etcd-backup-1-a"),
            (&exact, "etcd-backup-2-b"),
        ] {
            let rendering = rendered(&host, image, &[]).expect_success().stdout;
            run_etcdctl(&host, version, &rendering, pod);
        }
        assert_eq!(
            host.files(),
            ["etcd-backup-1-a.db", "etcd-backup-2-b.db"],
            "each run has a file of its own"
        );
    }
}

#[test]
fn a_directory_of_any_name_is_written_to_by_that_name() {
    let mut host = Host::new();
    let etcd = Etcd::start(Version::V3_4, &host.pki);
    host.configure(&[etcd.endpoint()]);
    let dir = host.directory().join("$(POD_NAME) 'b\"c #$$\n- d");
    fs::rename(&host.backups, &dir).unwrap();
    let [plain, hostile] = [&host.backups, &dir].map(|dir| serde_json::json!(dir).to_string());
    let text = fs::read_to_string(&host.config).unwrap();
    fs::write(&host.config, text.replace(&plain, &hostile)).unwrap();
    host.backups = dir;
    let rendering = rendered(&host, "registry.k8s.io/etcd:3.4.3-0", &[])
        .expect_success()
        .stdout;
    run_etcdctl(&host, Version::V3_4, &rendering, "etcd-backup-1-a");
    assert_eq!(host.files(), ["etcd-backup-1-a.db"]);
    kubectl::reads_the_same([rendering.as_str()]);
}

#[test]
fn the_native_pod_makes_the_backup_that_the_host_would_make() {
    let host = Host::new();
    let etcd = Etcd::start(Version::V3_5, &host.pki);
    host.configure(&[etcd.endpoint()]);
    let args = [
        "--mode",
        "native",
        "--tool-image",
        "registry.example.net/hypercloud-etcd:0.1.0",
    ];
    let rendering = rendered(&host, "k8s.gcr.io/etcd:3.5.6-0", &args)
        .expect_success()
        .stdout;
    let objects = objects(&rendering);
    let config = objects[0]["data"]["config.toml"].as_str().unwrap();
    assert_eq!(
        config,
        fs::read_to_string(&host.config).unwrap(),
        "the same TOML"
    );
    let mut pod = Pod::of(&objects, "etcd-backup-1-a");
    assert_eq!(pod.program(), "hypercloud-etcd");
    // the ConfigMap, mounted
    let mounted = host.directory().join("mounted");
    fs::create_dir(&mounted).unwrap();
    fs::write(mounted.join("config.toml"), config).unwrap();
    pod.mount("/run/hypercloud-etcd", &mounted);
    run(&mut pod.command(&binary(), host.directory())).expect_success();
    host.run(&["verify", "--all"]).expect_success();
    assert_eq!(
        host.files().len(),
        3,
        "the lock, a snapshot and its manifest: {:?}",
        host.files()
    );
    assert!(host.backups.join("pki").is_dir(), "the copies of the CA");
}

/// 49 characters.
const LONG: &str = "etcd-backup-of-the-control-plane-in-the-basement1";

#[test]
fn what_cannot_be_is_refused_with_a_hint_and_nothing_is_printed() {
    let host = Host::new();
    host.configure(&["https://127.0.0.1:2379".to_owned()]);
    let table: &[(&[&str], i32, &str)] = &[
        (
            &["--registry", "http://192.168.50.90:5000"],
            64,
            "Did you mean 192.168.50.90:5000?",
        ),
        (&["--registry", "mirror"], 64, "Did you mean mirror:5000?"),
        (&["--node", "Master1"], 64, "Did you mean master1?"),
        (&["--node", "a\nb"], 64, "kubectl get nodes"),
        (
            &["--namespace", "kube.system"],
            64,
            "kubectl get namespaces",
        ),
        (&["--name", "etcd_backup"], 64, "Did you mean etcd-backup?"),
        (&["--etcd-version", "3.2.26"], 64, "3.5.24-0"),
        (&["--etcd-version", "banana"], 64, "3.5.24-0"),
        (
            &["--image", "etcd:3.1.0"],
            64,
            "--image registry.k8s.io/etcd:",
        ),
        (
            &["--image", "etcd:3.3.10", "--etcd-version", "3.5.24-0"],
            64,
            "--etcd-version",
        ),
        (&["--name", LONG], 64, "at most 48 characters"),
        (
            &["--image", "Etcd Image"],
            64,
            "--image registry.k8s.io/etcd:",
        ),
        (&["--volume", "nfs:/srv"], 64, "pvc:etcd-backups"),
        (&["--volume", "hostpath:srv"], 64, "hostpath:/srv/backup"),
        (&["--schedule", "0 0 * * 7"], 64, "SUN"),
        (&["--schedule", "@every 5m"], 64, ""),
        (&["--timezone", "Europe/Berln"], 64, "Europe/Berlin"),
        (&["--mode", "native"], 64, ""),
        (&["--tool-image", "a"], 64, ""),
        (&["--output", "/proc/nowhere/cronjob.yaml"], 73, ""),
        (&["--output", "/dev/full"], 73, ""),
    ];
    for (args, code, hint) in table {
        let output = rendered(&host, "k8s.gcr.io/etcd:3.5.6-0", args).expect_code(*code);
        assert!(output.stdout.is_empty(), "{args:?}: {output}");
        if ["--schedule", "--timezone"].contains(&args[0]) {
            let said = format!("the value of {} cannot be used", args[0]);
            assert!(output.stderr.contains(&said), "{output}");
        }
        let hints = output.stderr.split("hint:").nth(1).unwrap_or_default();
        assert!(hints.contains(hint), "{args:?}: {output}");
    }
}

#[test]
fn a_host_without_a_manifest_says_what_to_give_and_one_that_is_given_all_needs_none() {
    let host = Host::new();
    host.configure(&["https://127.0.0.1:2379".to_owned()]);
    let nowhere = host.directory().join("nowhere");
    let command = [
        "render",
        "cronjob",
        "--kubernetes-dir",
        nowhere.to_str().unwrap(),
    ];
    let output = host.run(&command).expect_code(64);
    assert!(output.stderr.contains("--image"), "{output}");
    let manifest = nowhere.join("manifests/etcd.yaml");
    let said = format!("there is no {}", manifest.display());
    assert!(output.stderr.contains(&said), "{output}");
    let given = [
        &command[..],
        &[
            "--image",
            "quay.io/coreos/etcd:v3.5.24",
            "--node",
            "master1",
        ],
    ]
    .concat();
    let output = host.run(&given).expect_success();
    assert!(
        output
            .stdout
            .contains("image: quay.io/coreos/etcd:v3.5.24\n"),
        "{output}"
    );
    // the node is the host, in small letters
    let output = host.run(&given[..6]).expect_success();
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap()
        .trim()
        .to_lowercase();
    assert!(
        output.stdout.contains(&format!("nodeName: {name} #")),
        "{output}"
    );
    // an etcd that runs elsewhere is told as such
    let elsewhere = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/kubeadm/kube-apiserver-external.yaml");
    fs::create_dir_all(nowhere.join("manifests")).unwrap();
    fs::copy(elsewhere, nowhere.join("manifests/kube-apiserver.yaml")).unwrap();
    let output = host.run(&command).expect_code(64);
    assert!(output.stderr.contains("runs elsewhere"), "{output}");
    assert!(output.stderr.contains("--image"), "{output}");
    // and a manifest that is none is told, with its path
    kubernetes(&host, "\"not an image\"");
    let broken = host.directory().join("kubernetes");
    let output = host
        .run(&[
            "render",
            "cronjob",
            "--kubernetes-dir",
            broken.to_str().unwrap(),
        ])
        .expect_code(78);
    assert!(output.stderr.contains("manifests/etcd.yaml"), "{output}");
}

#[test]
fn an_output_file_is_replaced_whole_or_left_alone() {
    let host = Host::new();
    host.configure(&["https://127.0.0.1:2379".to_owned()]);
    let file = host.directory().join("cronjob.yaml");
    fs::write(&file, "before").unwrap();
    let path = file.to_str().unwrap();
    rendered(
        &host,
        "etcd:3.5.6-0",
        &["--output", path, "--node", "Wrong"],
    )
    .expect_code(64);
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    let written = rendered(&host, "etcd:3.5.6-0", &["--output", path]).expect_success();
    assert!(written.stdout.is_empty(), "{written}");
    let printed = rendered(&host, "etcd:3.5.6-0", &[]).expect_success();
    assert_eq!(fs::read_to_string(&file).unwrap(), printed.stdout);
    let dash = rendered(&host, "etcd:3.5.6-0", &["--output", "-"]).expect_success();
    assert_eq!(dash.stdout, printed.stdout);
    let names: Vec<_> = fs::read_dir(host.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains("draft")),
        "{names:?}"
    );
    // what is no file of its own is written through, and nothing of it is left behind
    fs::write(&file, "x".repeat(100_000)).unwrap();
    let link = host.directory().join("link.yaml");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    rendered(&host, "etcd:3.5.6-0", &["--output", link.to_str().unwrap()]).expect_success();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), printed.stdout);
}

/// Lines that a configuration may begin with, and whatever else.
fn toml() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("\tschedule = \"0 * * * *\"\n".to_owned()),
        Just("\n\t# x\n".to_owned()),
        Just("\t\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("  a = 1\n# b".to_owned()),
        "[ \t\n]{0,4}[a#=\"' \t\r\n\u{85}\u{a0}\u{2028}\u{feff}]{0,12}[ \t\n]{0,3}",
        any::<String>(),
    ]
}

/// Names of files that somebody chose to break something with.
fn file_name() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("$(POD_NAME)\n- *a &b !c".to_owned()),
        Just("\"'# ---\n...\n--- ".to_owned()),
        "[ -~\\n\\r\\t\u{85}\u{a0}\u{2028}\u{feff}\u{1f600}]{1,24}",
        any::<String>(),
    ];
    name.prop_filter("the name of a file that can be mounted", |text| {
        !text.contains(['/', ':', '\0']) && !matches!(&text[..], "" | "." | "..")
    })
}

#[test]
fn kubectl_reads_whatever_is_given_from_outside_as_it_is() {
    let mut runner = TestRunner::default();
    let name = |text, named| Name::parse(text, named).unwrap();
    let mut renderings = Vec::new();
    let given = (file_name(), file_name(), toml());
    for _ in 0..200 {
        let (dir, file, toml) = given.new_tree(&mut runner).unwrap().current();
        let mut config = config::parse(Path::new("config.toml"), "").unwrap();
        config.backup.dir = Path::new("/mnt").join(&dir);
        config.etcd.key_file = Path::new("/etc/keys").join(&file);
        let volume = Volume::HostPath(PathBuf::from("/srv").join(&dir));
        let image = Image::parse("r.example/hypercloud-etcd:1").unwrap();
        let choice = ImageChoice {
            found: Err(Unknown::NoManifest("/".into())),
            image: Some("etcd:3.3.10"),
            registry: None,
            version: None,
        };
        for mode in [
            Mode::Native { image, toml },
            Mode::Etcdctl(choice.choose().unwrap()),
        ] {
            let wanted = Wanted {
                config: &config,
                mode,
                name: name("etcd-backup", Named::CronJob),
                namespace: name("kube-system", Named::Namespace),
                node: name("master1", Named::Node),
                volume: Some(volume.clone()),
                suspend: false,
            };
            renderings.push(cronjob::render(&wanted).unwrap());
        }
    }
    kubectl::reads_the_same(renderings.iter().map(String::as_str));
}
