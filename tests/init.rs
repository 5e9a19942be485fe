//! `init` on a host as kubeadm sets it up: what it writes is what a backup needs, and nothing that somebody has set
//! is lost.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use hypercloud_etcd::config;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::backup::assert_proven;
use crate::support::command::{Host, Output};
use crate::support::etcd::{Cluster, Etcd, versions};
use crate::support::pki::Leaf;

/// A manifest that the crate's own tests read, too.
fn golden(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kubeadm");
    fs::read_to_string(directory.join(name)).unwrap()
}

/// A host whose directory stands for `/etc/kubernetes`, with this manifest in it.
fn host_with(manifest: &str, text: &str) -> Host {
    let host = Host::new();
    put(&host, &format!("manifests/{manifest}"), text);
    host
}

fn put(host: &Host, name: &str, text: &str) {
    let path = host.directory().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn init(host: &Host, args: &[&str]) -> Output {
    let directory = host.directory().to_str().unwrap();
    let all = [&["init", "--kubernetes-dir", directory], args].concat();
    host.run(&all)
}

fn planned(host: &Host) -> Value {
    init(host, &["--dry-run", "--json"]).json()
}

fn found<'v>(report: &'v Value, name: &str) -> &'v Value {
    let found = report["found"].as_array().unwrap();
    let fact = found.iter().find(|fact| fact["name"] == name);
    &fact.unwrap_or_else(|| panic!("no {name} in {report:#}"))["value"]
}

/// Sets what is not kubeadm's to know: where the backups of a test go.
fn set_backup_dir(host: &Host) {
    let text = fs::read_to_string(&host.config).unwrap();
    let dir = format!("dir = {}\nreserve = \"64MiB\"", json!(host.backups));
    let set = text.replace("#dir = \"/mnt/backup\"", &dir);
    assert_ne!(set, text);
    fs::write(&host.config, set).unwrap();
}

fn remove_client(host: &Host, stem: &str) {
    for end in ["crt", "key"] {
        fs::remove_file(host.directory().join(format!("pki/{stem}.{end}"))).unwrap();
    }
}

#[test]
fn what_init_writes_is_what_check_and_backup_need() {
    for version in versions() {
        let mut host = Host::new();
        let etcd = Etcd::start(version, &host.pki);
        etcd.put("/registry/pods/default/a", b"1");
        let text = golden("v1.34.yaml").replace("https://127.0.0.1:2379", &etcd.endpoint());
        put(&host, "manifests/etcd.yaml", &text);
        let client = host.pki.issue(
            "../apiserver-etcd-client",
            &Leaf::client("kube-apiserver-etcd-client"),
        );
        for (stem, is_last) in [
            ("etcd/healthcheck-client", false),
            ("apiserver-etcd-client", false),
            ("etcd/server", true),
        ] {
            let _ = fs::remove_file(&host.config);
            let output = init(&host, &[]).expect_success();
            let pair = format!("{}/pki/{stem}", host.directory().display());
            let text = fs::read_to_string(&host.config).unwrap();
            for line in [
                format!("\ncert_file = \"{pair}.crt\"\n"),
                format!("\nkey_file = \"{pair}.key\"\n"),
            ] {
                assert!(text.contains(&line), "{stem}: {text}");
            }
            assert_eq!(
                output
                    .stdout
                    .contains("kubeadm init phase certs etcd-healthcheck-client"),
                is_last,
                "{output}"
            );
            set_backup_dir(&host);
            let check = host.run(&["check"]).expect_success();
            assert!(check.stdout.contains(&etcd.endpoint()), "{check}");
            assert_proven(&host.backup());
            if is_last {
                break;
            }
            remove_client(&host, stem);
        }
        assert!(!client.cert.exists());
        host.pki.client = host.pki.server.clone();
    }
}

#[test]
fn an_etcd_elsewhere_is_reached_as_the_api_server_reaches_it() {
    let host = Host::new();
    let cluster = Cluster::start(versions()[0], 3, &host.pki);
    cluster.members[0].put("/registry/pods/default/a", b"1");
    let client = host
        .pki
        .issue("../elsewhere", &Leaf::client("kube-apiserver-etcd-client"));
    let endpoints: Vec<String> = cluster.members.iter().map(Etcd::endpoint).collect();
    let text = golden("kube-apiserver-external.yaml")
        .replace(
            "https://10.1.0.1:2379,https://etcd-2.example:2379,https://[2001:db8::3]:2379",
            &endpoints.join(","),
        )
        .replace("pki/apiserver-etcd-client.", "pki/elsewhere.");
    put(&host, "manifests/kube-apiserver.yaml", &text);
    init(&host, &[]).expect_success();
    set_backup_dir(&host);
    let loaded = config::load(&host.config).unwrap();
    let written: Vec<String> = loaded
        .etcd
        .endpoints
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(written, endpoints);
    assert_eq!(loaded.etcd.cert_file, client.cert.canonicalize().unwrap());
    host.run(&["check"]).expect_success();
    assert_proven(&host.backup());
}

#[test]
fn the_manifest_of_every_kubeadm_release_becomes_a_configuration_without_a_problem() {
    let expected: Value = serde_json::from_str(&golden("expected.json")).unwrap();
    for (name, facts) in expected.as_object().unwrap() {
        let host = host_with("etcd.yaml", &golden(name));
        let report = planned(&host);
        assert_eq!(report["missing"], json!([]), "{name}");
        assert_eq!(report["outcome"], "planned");
        let loopback = &facts["listenClientUrls"][0];
        assert_eq!(
            found(&report, "etcd.endpoints"),
            &json!([loopback]),
            "{name}"
        );
        for (said, fact) in [
            ("image", "image"),
            ("version", "version"),
            ("member", "name"),
            ("peer URLs", "advertisePeerUrls"),
        ] {
            assert_eq!(found(&report, said), &facts[fact], "{name}");
        }
        assert_eq!(found(&report, "data directory"), "/var/lib/etcd");
        init(&host, &[]).expect_success();
        let loaded = config::load(&host.config).unwrap();
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        let pki = host.directory().join("pki");
        assert_eq!(loaded.etcd.ca_file, pki.join("etcd/ca.crt"));
        assert_eq!(
            loaded.etcd.cert_file,
            pki.join("etcd/healthcheck-client.crt")
        );
        assert_eq!(loaded.pki.files, [pki.join("ca.crt"), pki.join("ca.key")]);
        let has_more = name == "v1.30-joined.yaml";
        assert_eq!(
            report["notes"].to_string().contains("cp-2"),
            has_more,
            "{report:#}"
        );
    }
}

#[test]
fn the_written_file_is_the_installed_default_with_the_found_values_in_it() {
    let host = host_with("etcd.yaml", &golden("v1.34.yaml"));
    init(&host, &[]).expect_success();
    let written = fs::read_to_string(&host.config).unwrap();
    let changed: Vec<(&str, &str)> = config::INSTALLED
        .lines()
        .zip(written.lines())
        .filter(|(installed, written)| installed != written)
        .collect();
    assert_eq!(written.lines().count(), config::INSTALLED.lines().count());
    let keys: Vec<&str> = changed
        .iter()
        .filter_map(|(_, line)| line.split(" = ").next())
        .collect();
    assert_eq!(
        keys,
        ["endpoints", "ca_file", "cert_file", "key_file", "files"]
    );
    for (installed, written) in changed {
        let key = written.split(" = ").next().unwrap();
        assert!(installed.starts_with(&format!("#{key} = ")), "{installed}");
    }
    assert_eq!(fs::metadata(&host.config).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn a_configuration_that_was_changed_is_replaced_by_force_only_and_kept() {
    let host = host_with("etcd.yaml", &golden("v1.34.yaml"));
    init(&host, &[]).expect_success();
    let first = fs::read(&host.config).unwrap();
    let again = init(&host, &["--json"]).json();
    assert_eq!(
        (&again["outcome"], &again["kept"]),
        (&json!("unchanged"), &Value::Null)
    );
    let told = init(&host, &[]).expect_success();
    assert!(told.stdout.contains("nothing was changed"), "{told}");

    let own = "schedule = \"*/5 * * * *\"\nwebhook_url = \"https://hunter2\"\n# pass = hunter2\n";
    fs::write(&host.config, own).unwrap();
    fs::set_permissions(&host.config, fs::Permissions::from_mode(0o600)).unwrap();
    for args in [&[][..], &["--json"]] {
        let refused = init(&host, args).expect_code(73);
        assert!(
            refused.stderr.contains("there is a configuration already"),
            "{refused}"
        );
        assert!(refused.stderr.contains("--force"), "{refused}");
        assert!(refused.stdout.is_empty(), "{refused}");
    }
    let diff = init(&host, &["--dry-run", "--force"]).expect_success();
    assert!(
        diff.stdout.contains("\n-schedule = \"*/5 * * * *\"\n"),
        "{diff}"
    );
    assert!(
        diff.stdout
            .contains("\n+endpoints = [\"https://127.0.0.1:2379\"]\n"),
        "{diff}"
    );
    diff.assert_silent_on("hunter2");
    assert_eq!(fs::read_to_string(&host.config).unwrap(), own);

    let report = init(&host, &["--force", "--json"]).json();
    let kept = Path::new(report["kept"].as_str().unwrap());
    assert_eq!(fs::read_to_string(kept).unwrap(), own);
    assert_eq!(fs::metadata(kept).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read(&host.config).unwrap(), first);
    assert_eq!(
        fs::metadata(&host.config).unwrap().mode() & 0o7777,
        0o600,
        "whom somebody has kept out stays out"
    );
    assert_eq!(kept.extension().unwrap(), "old");
    fs::write(&host.config, "jitter = \"1m\"").unwrap();
    let report = init(&host, &["--force", "--json"]).json();
    assert!(
        report["kept"].as_str().unwrap().ends_with(".old-2"),
        "{report}"
    );
    assert_eq!(fs::read_to_string(kept).unwrap(), own);
    assert_eq!(config_files(&host), 3, "nothing else is left behind");
}

#[test]
fn a_dry_run_promises_no_write_that_would_be_refused() {
    let host = host_with("etcd.yaml", &golden("v1.34.yaml"));
    fs::write(&host.config, "jitter = \"1m\"\n").unwrap();
    let refused = init(&host, &["--dry-run"]).expect_success();
    let said = "with --force in place of --dry-run this goes";
    assert!(refused.stdout.contains(said), "{refused}");
    let forced = init(&host, &["--dry-run", "--force"]).expect_success();
    let said = "without --dry-run this goes";
    assert!(forced.stdout.contains(said), "{forced}");
}

/// How many files there are beside the configuration, itself and hidden ones included.
fn config_files(host: &Host) -> usize {
    let entries = fs::read_dir(host.config.parent().unwrap()).unwrap();
    entries
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file())
        .count()
}

#[test]
fn an_untouched_default_is_replaced_without_a_word_of_force() {
    let host = host_with("etcd.yaml", &golden("v1.34.yaml"));
    for default in [config::PACKAGED, config::INSTALLED] {
        fs::write(&host.config, default).unwrap();
        let report = init(&host, &["--json"]).json();
        assert_eq!(
            (&report["outcome"], &report["kept"]),
            (&json!("written"), &Value::Null)
        );
        assert_eq!(config_files(&host), 1);
    }
    // words alone set nothing; somebody wrote them, so they are kept
    for (words, kept) in [("", ".old"), ("# see the wiki\n\n[etcd]\n", ".old-2")] {
        fs::write(&host.config, words).unwrap();
        let report = init(&host, &["--json"]).json();
        assert_eq!(report["outcome"], "written", "{report}");
        let path = report["kept"].as_str().unwrap();
        assert!(path.ends_with(kept), "{report}");
        assert_eq!(fs::read_to_string(path).unwrap(), words);
    }
    // and a link stays one
    let target = host.directory().join("elsewhere.toml");
    fs::write(&target, config::INSTALLED).unwrap();
    fs::remove_file(&host.config).unwrap();
    symlink(&target, &host.config).unwrap();
    init(&host, &[]).expect_success();
    assert!(host.config.is_symlink());
    assert!(
        fs::read_to_string(&target)
            .unwrap()
            .contains("\nendpoints = ")
    );
}

#[test]
fn what_cannot_be_found_is_said_with_what_to_set_by_hand() {
    let host = Host::new();
    let nothing = init(&host, &[]).expect_code(78);
    assert!(
        nothing.stderr.contains("there is no etcd below"),
        "{nothing}"
    );
    assert!(nothing.stderr.contains("--kubernetes-dir"), "{nothing}");
    assert!(!host.config.exists());

    put(&host, "manifests/etcd.yaml", &golden("v1.34.yaml"));
    remove_client(&host, "etcd/healthcheck-client");
    remove_client(&host, "etcd/server");
    let no_pair = init(&host, &[]).expect_code(78);
    assert!(
        no_pair.stdout.contains("NOT FOUND  etcd.cert_file"),
        "{no_pair}"
    );
    assert!(
        no_pair
            .stdout
            .contains("kubeadm init phase certs etcd-healthcheck-client"),
        "{no_pair}"
    );
    assert!(
        fs::read_to_string(&host.config)
            .unwrap()
            .contains("\n#cert_file = ")
    );
    let again = init(&host, &["--json"]).expect_code(78);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["outcome"], "unchanged");
    assert_eq!(again["missing"][0]["name"], "etcd.cert_file");

    fs::remove_dir_all(host.directory().join("pki")).unwrap();
    let no_pki = init(&host, &["--force"]).expect_code(78);
    for name in ["etcd.ca_file", "etcd.cert_file", "No CA of the cluster"] {
        assert!(no_pki.stdout.contains(name), "{no_pki}");
    }
    let bare = "kind: Pod\nspec: {containers: [{name: etcd, image: etcd}]}";
    put(&host, "manifests/etcd.yaml", bare);
    let bare = init(&host, &["--force"]).expect_code(78);
    assert!(bare.stdout.contains("NOT FOUND  etcd.endpoints"), "{bare}");
}

#[test]
fn a_server_without_tls_among_others_is_left_out_and_told() {
    let servers = "https://10.1.0.1:2379,https://etcd-2.example:2379,https://[2001:db8::3]:2379";
    for (given, expected, notes) in [
        (
            "https://10.1.0.1:2379,http://etcd-2.example:2379,https://[2001:db8::3]:2379",
            json!(["https://10.1.0.1:2379", "https://[2001:db8::3]:2379"]),
            1,
        ),
        (
            "http://10.1.0.1:2379,http://10.1.0.2:2379",
            json!(["http://10.1.0.1:2379", "http://10.1.0.2:2379"]),
            0,
        ),
    ] {
        let text = golden("kube-apiserver-external.yaml").replace(servers, given);
        let host = host_with("kube-apiserver.yaml", &text);
        let report = planned_whatever_is_missing(&host);
        assert_eq!(found(&report, "etcd.endpoints"), &expected);
        let told = report["notes"].to_string();
        assert_eq!(told.matches("without TLS").count(), notes, "{told}");
        assert_eq!(told.contains("http://etcd-2.example:2379"), notes == 1);
    }
}

/// The report of a host on which not all may be found.
fn planned_whatever_is_missing(host: &Host) -> Value {
    let output = init(host, &["--dry-run", "--json"]);
    assert!(matches!(output.code, Some(0 | 78)), "{output}");
    output.json()
}

#[test]
fn a_url_that_only_the_kubelet_can_fill_in_is_named() {
    let text = golden("v1.34.yaml");
    let listen = text
        .lines()
        .find(|line| line.contains("--listen-client-urls="))
        .unwrap();
    let advertise = text
        .lines()
        .find(|line| line.contains("--advertise-client-urls="))
        .unwrap();
    let changed = text
        .replace(listen, "    - --listen-client-urls=https://$(POD_IP):2379")
        .replace(
            advertise,
            "    - --advertise-client-urls=https://$(POD_IP):2379",
        );
    let with = |value: &str| {
        let env = format!("    env: [{{name: POD_IP, {value}}}]\n    name: etcd\n");
        host_with("etcd.yaml", &changed.replace("    name: etcd\n", &env))
    };
    let report = planned(&with("value: 10.0.0.4"));
    assert_eq!(
        found(&report, "etcd.endpoints"),
        &json!(["https://10.0.0.4:2379"])
    );
    let host = with("valueFrom: {fieldRef: {fieldPath: status.podIP}}");
    let report = planned_whatever_is_missing(&host);
    let missing = &report["missing"][0];
    assert_eq!(missing["name"], "etcd.endpoints");
    let message = missing["message"].as_str().unwrap();
    assert!(
        message.ends_with("there is https://$(POD_IP):2379"),
        "{message}"
    );
}

#[test]
fn a_file_that_may_not_be_seen_is_not_taken_for_missing() {
    let host = host_with("etcd.yaml", &golden("v1.34.yaml"));
    let pki = host.directory().join("pki/etcd");
    fs::set_permissions(&pki, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&pki, Some(65534), None).unwrap();
    let command = host.command(&[
        "init",
        "--kubernetes-dir",
        host.directory().to_str().unwrap(),
    ]);
    // modes bind root, too, once it has given that privilege up
    let mut unprivileged = std::process::Command::new("setpriv");
    unprivileged
        .args(["--bounding-set=-dac_override,-dac_read_search", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    let output = crate::support::command::run(&mut unprivileged).expect_code(77);
    assert!(
        output.stderr.contains("pki/etcd/ca.crt cannot be read"),
        "{output}"
    );
    assert!(output.stderr.contains("as root"), "{output}");
    assert!(!host.config.exists());
}

#[test]
fn a_manifest_or_a_place_that_cannot_be_used_is_named() {
    let host = host_with("etcd.yaml", "kind: Deployment");
    let manifest = host.directory().join("manifests/etcd.yaml");
    let wrong = init(&host, &[]).expect_code(78);
    assert!(wrong.stderr.contains(manifest.to_str().unwrap()), "{wrong}");
    assert!(wrong.stderr.contains("its kind is Deployment"), "{wrong}");
    fs::remove_file(&manifest).unwrap();
    fs::create_dir(&manifest).unwrap();
    let directory = init(&host, &[]).expect_code(74);
    assert!(
        directory.stderr.contains("not a regular file"),
        "{directory}"
    );
    fs::remove_dir(&manifest).unwrap();

    put(&host, "manifests/etcd.yaml", &golden("v1.34.yaml"));
    put(&host, "file", "");
    for (config, code) in [
        ("file/config.toml", 74),
        ("/proc/nowhere/config.toml", 73),
        ("manifests", 74),
    ] {
        let path = host.directory().join(config);
        let args = [
            "init",
            "--kubernetes-dir",
            host.directory().to_str().unwrap(),
            "--config",
        ];
        let mut command = std::process::Command::new(crate::support::command::binary());
        let output = crate::support::command::run(command.args(args).arg(&path)).expect_code(code);
        assert!(output.stderr.contains(config), "{output}");
    }
    // a directory that is not there is made
    let new = host.directory().join("etc/hypercloud-etcd/config.toml");
    let mut command = std::process::Command::new(crate::support::command::binary());
    command.args([
        "init",
        "--kubernetes-dir",
        host.directory().to_str().unwrap(),
        "--config",
    ]);
    crate::support::command::run(command.arg(&new)).expect_success();
    config::load(&new).unwrap();
}

#[test]
fn no_name_on_the_host_breaks_out_of_the_configuration() {
    for name in [
        "quote\"s",
        "new\nline",
        "]\n[backup]\ndir = \"/stolen\"\n#",
        "back\\slash",
        "'''",
        "\u{202e}odd\u{1b}[2J",
        "ключ ü",
    ] {
        let temporary = TempDir::new().unwrap();
        let host = Host::at(&temporary.path().join(name));
        let quoted = |path: PathBuf| json!(path).to_string();
        let pki = host.directory().join("pki/etcd");
        let manifest = json!({
            "kind": "Pod",
            "spec": {
                "containers": [{
                    "name": name,
                    "image": "etcd:3.5.9-0",
                    "command": [
                        "etcd", format!("--name={name}"), "--listen-client-urls=https://[::1]:2379",
                        format!("--trusted-ca-file={}", pki.join("ca.crt").display()),
                        "--data-dir", format!("/data/{name}"),
                    ],
                    "volumeMounts": [{ "name": "all", "mountPath": "/" }],
                }],
                "volumes": [{ "name": "all", "hostPath": { "path": "/" } }],
            },
        });
        put(&host, "manifests/etcd.yaml", &manifest.to_string());
        let output = init(&host, &[]).expect_success();
        // where it goes is told as it was given
        let mut facts = output
            .stdout
            .lines()
            .filter(|line| !line.starts_with("wrote ") && !line.starts_with("read "));
        assert!(
            facts.all(|line| !line.contains(['\u{1b}', '\u{202e}'])),
            "{output}"
        );
        let loaded = config::load(&host.config).unwrap();
        assert_eq!(loaded.etcd.ca_file, pki.join("ca.crt"), "{}", quoted(pki));
        assert_eq!(loaded.etcd.endpoints[0].to_string(), "https://[::1]:2379");
        assert_eq!(loaded.backup.dir, Path::new("/mnt/backup"));
    }
}
