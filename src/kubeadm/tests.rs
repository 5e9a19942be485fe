use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn golden(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kubeadm");
    fs::read(directory.join(name)).expect("a golden manifest")
}

fn facts(pod: &EtcdPod) -> Value {
    let mounted = |path: &Option<Mounted>| {
        let path = path.as_ref();
        path.map(|path| json!({ "inside": path.inside, "host": path.host }))
    };
    let peers = pod.initial_cluster.iter();
    let peers: Vec<_> = peers.map(|peer| [&peer.name, &peer.url]).collect();
    json!({
        "pod": pod.pod,
        "namespace": pod.namespace,
        "container": pod.container,
        "image": pod.image.to_string(),
        "version": pod.image.version().map(|version| version.to_string()),
        "name": pod.name,
        "dataDir": mounted(&pod.data_dir),
        "listenClientUrls": pod.listen_client_urls,
        "advertiseClientUrls": pod.advertise_client_urls,
        "listenMetricsUrls": pod.listen_metrics_urls,
        "listenPeerUrls": pod.listen_peer_urls,
        "advertisePeerUrls": pod.advertise_peer_urls,
        "initialCluster": peers,
        "initialClusterState": pod.initial_cluster_state,
        "trustedCaFile": mounted(&pod.trusted_ca_file),
        "certFile": mounted(&pod.cert_file),
        "keyFile": mounted(&pod.key_file),
    })
}

#[test]
fn the_manifest_of_every_kubeadm_release_says_what_it_says() {
    let expected: Value = serde_json::from_slice(&golden("expected.json")).expect("JSON");
    let expected = expected.as_object().expect("a map");
    assert_eq!(expected.len(), 18);
    for (name, expected) in expected {
        let pod = EtcdPod::parse(&golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&facts(&pod), expected, "{name}");
        assert_eq!(
            (&pod.wal_dir, &pod.config_file, &pod.node),
            (&None, &None, &None)
        );
    }
}

#[test]
fn the_manifest_of_the_api_server_names_an_external_etcd() {
    let inner = ApiServerPod::parse(&golden("kube-apiserver.yaml")).expect("a pod");
    assert_eq!(inner.etcd_servers, ["https://127.0.0.1:2379"]);
    let outer = ApiServerPod::parse(&golden("kube-apiserver-external.yaml")).expect("a pod");
    assert_eq!(
        outer.etcd_servers,
        [
            "https://10.1.0.1:2379",
            "https://etcd-2.example:2379",
            "https://[2001:db8::3]:2379"
        ]
    );
    for (file, name) in [
        (outer.etcd_ca_file, "etcd/ca.crt"),
        (outer.etcd_cert_file, "apiserver-etcd-client.crt"),
        (outer.etcd_key_file, "apiserver-etcd-client.key"),
    ] {
        let path = Path::new("/etc/kubernetes/pki").join(name);
        let mounted = Mounted {
            inside: path.clone(),
            host: Some(path),
        };
        assert_eq!(file, Some(mounted));
    }
}

/// A pod with these lines below `containers:` and `volumes:`.
fn pod(containers: &str, volumes: &str) -> String {
    format!("kind: Pod\nspec:\n  containers:\n{containers}  volumes:\n{volumes}")
}

fn parsed(yaml: &str) -> EtcdPod {
    EtcdPod::parse(yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{}", shown(yaml)))
}

fn refused(yaml: &str) -> String {
    match EtcdPod::parse(yaml.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(pod) => panic!("accepted: {pod:?}"),
    }
}

#[test]
fn arguments_in_every_form_mean_the_same() {
    for lines in [
        "command: [etcd, --name=a, --data-dir=/d, --client-cert-auth, --wal-dir=/w]",
        "command: [etcd, --name, a, --client-cert-auth, --data-dir, /d, --wal-dir, /w]",
        "command: [/usr/local/bin/etcd]\n    args: [--name=a, --data-dir, /d, --wal-dir=/w]",
        "args: [-name=a, -data-dir, /d, -client-cert-auth=true, -wal-dir=/w]",
        "command: [etcd, --name=b, --name=a, '--data-dir= /d ', --wal-dir=/w]",
        "env: [{name: ETCD_NAME, value: a}, {name: ETCD_DATA_DIR, value: /d}, {name: S, valueFrom: {}}, {name: ETCD_WAL_DIR, value: /w}]",
        "command: [etcd, --name=a, --wal-dir=/w]\n    env: [{name: ETCD_NAME, value: z}, {name: ETCD_DATA_DIR, value: /d}]",
    ] {
        let pod = parsed(&pod(
            &format!("  - name: etcd\n    image: etcd\n    {lines}\n"),
            "",
        ));
        assert_eq!(pod.name.as_deref(), Some("a"), "{lines}");
        let inside = |path: Option<Mounted>| path.map(|path| path.inside);
        assert_eq!(inside(pod.data_dir), Some(PathBuf::from("/d")), "{lines}");
        assert_eq!(inside(pod.wal_dir), Some(PathBuf::from("/w")), "{lines}");
    }
}

#[test]
fn arguments_are_filled_in_as_the_kubelet_does_it() {
    let env = "env: [{name: IP, value: 10.0.0.4}, {name: PORT, value: '2379'}, {name: URL, value: 'https://$(IP):$(PORT)'}, \
               {name: LATE, value: $(LATER)}, {name: LATER, value: x}, {name: EMPTY}, \
               {name: POD_IP, value: 1.2.3.4}, {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, \
               {name: ETCD_DATA_DIR, value: /var/$(PORT)}]";
    for (text, expected) in [
        ("https://$(IP):2379", "https://10.0.0.4:2379"),
        ("$(URL)", "https://10.0.0.4:2379"),
        ("https://$(POD_IP):2379", "https://$(POD_IP):2379"),
        ("$(LATE)", "$(LATER)"),
        ("x$(EMPTY)", "x"),
        ("$$(IP)", "$(IP)"),
        ("$$$(IP)", "$10.0.0.4"),
        ("$(NONE)", "$(NONE)"),
        ("$IP$", "$IP$"),
        ("$(IP", "$(IP"),
    ] {
        let lines = format!("command: [etcd, '--listen-client-urls={text}']\n    {env}");
        let pod = parsed(&pod(
            &format!("  - name: etcd\n    image: etcd\n    {lines}\n"),
            "",
        ));
        assert_eq!(pod.listen_client_urls, [expected], "{text}");
        assert_eq!(pod.data_dir.unwrap().inside, Path::new("/var/2379"));
    }
}

#[test]
fn etcd_is_found_among_other_containers() {
    let sidecar = "  - {name: metrics, image: metrics, command: [/bin/etcd-metrics, --name=no]}\n";
    for etcd in [
        "  - {name: etcd, image: etcd, command: [etcd, --name=yes]}\n",
        "  - {name: database, image: etcd, command: [/usr/bin/etcd, --name=yes]}\n",
        "  - {name: etcd, image: etcd, args: [--name=yes]}\n",
        "  - {name: first, image: etcd, command: [etcd, --name=no]}\n  - {name: etcd, image: etcd, command: [etcd, --name=yes]}\n",
    ] {
        for containers in [format!("{sidecar}{etcd}"), format!("{etcd}{sidecar}")] {
            assert_eq!(
                parsed(&pod(&containers, "")).name.as_deref(),
                Some("yes"),
                "{containers}"
            );
        }
    }
    let message = refused(&pod(sidecar, ""));
    assert_eq!(
        message,
        "no container of the pod runs etcd: there are metrics"
    );
    assert_eq!(
        refused("kind: Pod\nspec: {containers: []}"),
        "no container of the pod runs etcd: there are none"
    );
    assert_eq!(
        refused("kind: Pod"),
        "no container of the pod runs etcd: there are none"
    );
}

/// Mounts of the container, a `--data-dir`, and where that lies on the host.
#[rustfmt::skip]
const PATHS: &[(&str, &str, Option<&str>)] = &[
    ("{mountPath: /var/lib/etcd, name: disk}", "/var/lib/etcd", Some("/mnt/disk")),
    ("{mountPath: /var/lib/etcd/, name: disk}", "/var/lib/etcd/", Some("/mnt/disk")),
    ("{mountPath: /var/lib, name: disk}", "/var/lib/etcd", Some("/mnt/disk/etcd")),
    ("{mountPath: /, name: root}", "/var/lib/etcd", Some("/var/lib/etcd")),
    ("{mountPath: /var, name: disk}, {mountPath: /var/lib, name: fast}", "/var/lib/etcd", Some("/srv/fast/etcd")),
    ("{mountPath: /var/lib, name: fast}, {mountPath: /var, name: disk}", "/var/lib/etcd", Some("/srv/fast/etcd")),
    ("{mountPath: /var/lib/etcd, name: disk, subPath: a/b}", "/var/lib/etcd/c", Some("/mnt/disk/a/b/c")),
    ("{mountPath: /var/lib/etcd, name: disk, subPath: ../b}", "/var/lib/etcd", None),
    ("{mountPath: /var/lib/etc, name: disk}", "/var/lib/etcd", None),
    ("{mountPath: /var/lib/etcd, name: none}", "/var/lib/etcd", None),
    ("{mountPath: /var/lib/etcd, name: odd}", "/var/lib/etcd", None),
    ("{mountPath: /var/lib/etcd, name: absent}", "/var/lib/etcd", None),
    ("", "/var/lib/etcd", None),
];

#[test]
fn a_path_of_the_container_is_found_on_the_host() {
    const VOLUMES: &str = "  - {name: disk, hostPath: {path: /mnt/disk}}
  - {name: root, hostPath: {path: /}}
  - {name: fast, hostPath: {path: /srv/fast/}}
  - {name: none, emptyDir: {}}
  - {name: odd, hostPath: {path: odd}}
";
    for (mounts, data_dir, host) in PATHS {
        let container = format!(
            "  - {{name: etcd, image: etcd, command: [etcd, '--data-dir={data_dir}'], volumeMounts: [{mounts}]}}\n"
        );
        let found = parsed(&pod(&container, VOLUMES))
            .data_dir
            .expect("a data-dir");
        assert_eq!(found.host, host.map(PathBuf::from), "{mounts} {data_dir}");
    }
}

#[test]
fn a_field_that_cannot_be_right_is_named() {
    let with = |flags: &str| {
        refused(&pod(
            &format!("  - {{name: etcd, image: etcd, command: [etcd, {flags}]}}\n"),
            "",
        ))
    };
    assert_eq!(
        with("--data-dir=var/lib"),
        "spec.containers[etcd]: --data-dir: var/lib is no absolute path without `..`"
    );
    assert!(with("--cert-file=/a/../b").contains("--cert-file"));
    assert!(with("--initial-cluster=a").contains("--initial-cluster: a is no name=URL"));
    assert!(with("\"--data-dir=\\x1b[2J\"").contains("\\u{1b}[2J"));
    let image = |image: &str| refused(&pod(&format!("  - {{name: etcd{image}}}\n"), ""));
    assert_eq!(image(""), "spec.containers[etcd].image: is missing");
    assert!(image(", image: 'Etcd etcd'").contains("is not a valid image reference"));
}

#[test]
fn other_files_are_refused_for_what_they_are() {
    for (yaml, said) in [
        ("", "it is not the manifest of a pod: its kind is missing"),
        ("kind: Deployment\nspec: {}", "its kind is Deployment"),
        ("kind: \"Po\\x07d\"", "its kind is Po\\u{7}d"),
        ("{", "line 1, column "),
        ("kind: Pod\nspec: [a]", "line 2, column "),
        ("kind: Pod\nspec: {containers: {a: b}}", "line 2, column "),
        (
            "kind: Pod\n---\nkind: Pod",
            "it holds more than one document",
        ),
        ("kind: [Pod]", "line 1, column "),
        ("just text", "line 1, column "),
        ("- kind: Pod", "line 1, column "),
        ("kind: Pod\nspec: *nowhere", "line 2, column "),
        ("\u{feff}kind: Service", "its kind is Service"),
    ] {
        let message = refused(yaml);
        assert!(message.contains(said), "{yaml:?}: {message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    }
    assert_eq!(
        EtcdPod::parse(b"kind: Pod\n\n\xff"),
        Err(Error::NotUtf8 { line: 3 })
    );
    assert_eq!(
        EtcdPod::parse(&vec![b'#'; LARGEST + 1]),
        Err(Error::TooLarge)
    );
}

#[test]
fn yaml_that_would_blow_up_is_refused() {
    let doubling = |levels: usize| {
        let mut yaml = "kind: Pod\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..levels {
            let alias = format!("*a{}", level - 1);
            yaml += &[
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &[alias.as_str(); 9].join(", "),
                "]\n",
            ]
            .concat();
        }
        yaml
    };
    let deep = "kind: Pod\na: ".to_owned() + &"[".repeat(100_000);
    let deep_blocks: String = (0..500).map(|n| " ".repeat(n) + "a:\n").collect();
    let recursive = "kind: Pod\na: &a [*a]\n".to_owned();
    let merges = "kind: Pod\nb: &b {k: v}\nm:\n".to_owned() + &"- {<<: *b}\n".repeat(500);
    let many = "kind: Pod\na: [".to_owned() + &"x,".repeat(400_000) + "]";
    let documents = "---\n".repeat(200_000);
    for yaml in [
        doubling(40),
        deep,
        deep_blocks,
        recursive,
        merges,
        many,
        documents,
    ] {
        let message = refused(&yaml);
        assert!(message.len() < 300, "{message}");
        assert!(!message.contains(": budget"), "{message}");
    }
    // and what is large without being more than it seems is read
    let comment = "#".repeat(LARGEST / 2);
    parsed(&format!(
        "{}{comment}\n",
        pod("  - {name: etcd, image: etcd}\n", "")
    ));
}

/// References, their registry, repository, tag and digest, and the etcd in them.
#[rustfmt::skip]
const IMAGES: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("registry.k8s.io/etcd:3.5.24-0", "registry.k8s.io", "etcd", "3.5.24-0", "", "3.5.24"),
    ("k8s.gcr.io/etcd:3.3.10", "k8s.gcr.io", "etcd", "3.3.10", "", "3.3.10"),
    ("192.168.50.90:5000/k8s.gcr.io/etcd:3.3.10", "192.168.50.90:5000", "k8s.gcr.io/etcd", "3.3.10", "", "3.3.10"),
    ("etcd:3.5.24-0", "", "etcd", "3.5.24-0", "", "3.5.24"),
    ("etcd", "", "etcd", "", "", ""),
    ("quay.io/coreos/etcd:v3.5.0", "quay.io", "coreos/etcd", "v3.5.0", "", "3.5.0"),
    ("coreos/etcd:3.6.0-rc.3-0", "", "coreos/etcd", "3.6.0-rc.3-0", "", "3.6.0"),
    ("localhost/etcd:latest", "localhost", "etcd", "latest", "", ""),
    ("localhost:5000/etcd:3.5", "localhost:5000", "etcd", "3.5", "", ""),
    ("registry:5000/etcd", "registry:5000", "etcd", "", "", ""),
    ("[2001:db8::1]:5000/a/b-c__d:1", "[2001:db8::1]:5000", "a/b-c__d", "1", "", ""),
    ("r.example/etcd@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "r.example", "etcd", "", "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", ""),
    ("r.example:443/etcd:3.5.9-0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "r.example:443", "etcd", "3.5.9-0", "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "3.5.9"),
];

/// What is no reference.
#[rustfmt::skip]
const NOT_IMAGES: &[&str] = &[
    "", ":3.5", "etcd:", "etcd@", "etcd:3.5\n", "etcd :3", "https://r.example/etcd", "r.example//etcd", "r.example/",
    "/etcd", "Etcd", "a/Etcd", "etcd:-1", "etcd@sha256:xy", "r.example:0/etcd", "r.example:99999/etcd",
    "r.example:+80/etcd", "-r.example/etcd", "[::g]/etcd", "etcd..a", "etcd/-a", "a$(b)/etcd", "e\u{301}tcd",
    "etcd:3@sha256:00", "etcd@sha256:0123456789abcdef0123456789abcdef",
    "etcd@sha256:0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", "etcd@md6:0123456789ABCDEF0123456789abcdef",
];

#[test]
fn an_image_is_taken_apart_and_put_together() {
    for (text, registry, repository, tag, digest, version) in IMAGES {
        let image = Image::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let found = image.version().map(|version| version.to_string());
        assert_eq!(
            image.registry.as_deref().unwrap_or_default(),
            *registry,
            "{text}"
        );
        assert_eq!(image.repository, *repository, "{text}");
        assert_eq!(image.tag.as_deref().unwrap_or_default(), *tag, "{text}");
        assert_eq!(
            image.digest.as_deref().unwrap_or_default(),
            *digest,
            "{text}"
        );
        assert_eq!(found.unwrap_or_default(), *version, "{text}");
        assert_eq!(image.to_string(), *text);
    }
    for text in NOT_IMAGES {
        let error = Image::parse(text).expect_err(text).to_string();
        assert!(!error.contains(char::is_control), "{error}");
    }
    assert!(Image::parse(&"a".repeat(256)).is_err());
}

#[test]
fn versions_are_ordered_as_numbers() {
    let version = |text| Version::of_tag(text).expect("a version");
    assert!(version("3.5.9-0") < version("3.5.10-0"));
    assert!(version("3.4.99") < version("3.5.0"));
    for text in [
        "",
        "3",
        "3.5",
        "3.5.",
        "3.5.x",
        "3.5.1.2",
        "a3.5.1",
        "3.5.99999",
        "+3.5.1",
        "3.-5.1",
        "latest",
    ] {
        assert_eq!(Version::of_tag(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = EtcdPod::parse(&bytes);
        let _ = ApiServerPod::parse(&bytes);
    }

    #[test]
    fn a_changed_manifest_does_not_make_it_panic(
        edits in proptest::collection::vec((0..2_500_usize, "[-:{}\\[\\]&*<|>\"'\\\\ \na-c,!%@#?]{1,4}"), 1..8),
    ) {
        let mut text = String::from_utf8(golden("v1.34.yaml")).expect("text");
        for (at, edit) in edits {
            let at = at % text.len();
            text.insert_str(at, &edit);
        }
        if let Err(error) = EtcdPod::parse(text.as_bytes()) {
            prop_assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn an_image_that_is_accepted_is_the_same_again(text in "[a-zA-Z0-9./:@_\\[\\]-]{1,60}") {
        if let Ok(image) = Image::parse(&text) {
            prop_assert_eq!(image.to_string(), text);
        }
    }
}
