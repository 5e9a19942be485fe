use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::etcd::{Endpoint, Login};
use crate::kubeadm::Version;

fn config() -> Config {
    config::parse(Path::new("config.toml"), "").expect("the defaults")
}

fn etcdctl(image: &str) -> Mode {
    let choice = ImageChoice {
        image: Some(image),
        ..nothing()
    };
    Mode::Etcdctl(choice.choose().expect("an image"))
}

/// Nothing is known of the image.
fn nothing() -> ImageChoice<'static> {
    ImageChoice {
        found: Err(Unknown::NoManifest("/x/manifests/etcd.yaml".into())),
        image: None,
        registry: None,
        version: None,
    }
}

fn native(toml: &str) -> Mode {
    Mode::Native {
        image: Image::parse("registry.example.net/hypercloud-etcd:0.1.0").expect("an image"),
        toml: toml.to_owned(),
    }
}

fn wanted(config: &Config, mode: Mode) -> Wanted<'_> {
    let name = |text, named| Name::parse(text, named).expect("a name");
    Wanted {
        config,
        mode,
        name: name("etcd-backup", Named::CronJob),
        namespace: name("kube-system", Named::Namespace),
        node: name("master1", Named::Node),
        volume: None,
        suspend: false,
    }
}

/// The objects of a rendered text.
fn objects(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("YAML")
}

fn pod(objects: &[Value]) -> &Value {
    let job = objects.last().expect("a CronJob");
    &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
}

/// The arguments as the kubelet gives them: `$(POD_NAME)` is the pod's name, `$$` is `$`.
fn arguments(pod: &Value) -> Vec<String> {
    let expanded = |text: &str| {
        let parts = text
            .split("$$")
            .map(|part| part.replace("$(POD_NAME)", "etcd-backup-1-x"));
        parts.collect::<Vec<_>>().join("$")
    };
    let args = pod["containers"][0]["args"].as_array().expect("arguments");
    args.iter()
        .map(|text| expanded(text.as_str().expect("text")))
        .collect()
}

#[test]
fn a_name_is_what_the_api_server_accepts() {
    let long = "a".repeat(64);
    let table = [
        (Named::Node, "master1", true),
        (Named::Node, "master1.example.net", true),
        (Named::Node, "10", true),
        (Named::Node, "Master1", false),
        (Named::Node, "master_1", false),
        (Named::Node, "-a", false),
        (Named::Node, "a.", false),
        (Named::Node, "a..b", false),
        (Named::Node, "a.-b", false),
        (Named::Node, "", false),
        (Named::Node, "a\n", false),
        (Named::Node, "ä", false),
        (Named::Node, "$(HOME)", false),
        (Named::Node, &long, true),
        (Named::Namespace, "kube-system", true),
        (Named::Namespace, "a.b", false),
        (Named::Namespace, &long, false),
        (Named::CronJob, &long[..52], true),
        (Named::CronJob, &long[..53], false),
        (Named::Claim, "etcd.backups", true),
    ];
    for (named, text, accepted) in table {
        assert_eq!(
            Name::parse(text, named).is_ok(),
            accepted,
            "{named}: {text}"
        );
    }
    let hint = Name::parse("Master_1", Named::Node).unwrap_err().hint();
    assert_eq!(hint, "Did you mean master-1?");
}

#[test]
fn the_image_is_the_one_found_unless_something_else_is_said() {
    let digest = format!("@sha256:{}", "0".repeat(64));
    let with_digest = format!("registry.k8s.io/etcd:3.5.24-0{digest}");
    let table: &[(&str, [Option<&str>; 3], &str)] = &[
        (
            "k8s.gcr.io/etcd:3.3.10",
            [None, None, None],
            "k8s.gcr.io/etcd:3.3.10",
        ),
        (
            "k8s.gcr.io/etcd:3.3.10",
            [None, Some("192.168.50.90:5000"), None],
            "192.168.50.90:5000/k8s.gcr.io/etcd:3.3.10",
        ),
        // a registry that the image comes from already, and one that was given with a slash
        (
            "r:5000/k8s.gcr.io/etcd:3.4.3",
            [None, Some("r:5000"), None],
            "r:5000/k8s.gcr.io/etcd:3.4.3",
        ),
        (
            "etcd:3.4.3",
            [None, Some("r:5000/mirror/"), None],
            "r:5000/mirror/etcd:3.4.3",
        ),
        (
            "registry.k8s.io/etcd:3.5.6-0",
            [None, None, Some("3.5.24-0")],
            "registry.k8s.io/etcd:3.5.24-0",
        ),
        // the digest is that of the other version
        (
            &with_digest,
            [None, None, Some("3.6.5-0")],
            "registry.k8s.io/etcd:3.6.5-0",
        ),
        (
            "registry.k8s.io/etcd:3.5.6-0",
            [Some("quay.io/coreos/etcd:v3.5.24"), Some("r:5000"), None],
            "quay.io/coreos/etcd:v3.5.24",
        ),
    ];
    for (found, [image, registry, version], expected) in table {
        let choice = ImageChoice {
            found: Ok(&Image::parse(found).unwrap()),
            image: *image,
            registry: *registry,
            version: *version,
        };
        assert_eq!(
            choice.choose().unwrap().image.to_string(),
            *expected,
            "{found}"
        );
    }
    let unknown = nothing().choose().unwrap_err();
    assert!(unknown.hint().contains("--image"), "{unknown}");
    assert!(unknown.hint().contains("--kubernetes-dir"), "{unknown}");
}

#[test]
fn the_tag_of_an_image_says_what_it_is_and_nobody_may_say_otherwise() {
    let digest = format!("etcd@sha256:{}", "0".repeat(64));
    let tagged = format!("etcd:3.3.10@sha256:{}", "0".repeat(64));
    let table = [
        ("etcd:3.3.10", Some("3.5.24-0"), Err("--etcd-version")),
        (&tagged, Some("3.5.24"), Err("--etcd-version")),
        ("etcd:3.2.1", Some("3.5.24"), Err("--etcd-version")),
        ("etcd:3.2.1", None, Err("--image")),
        ("etcd:3.5.24-0", Some("3.5.24"), Ok("3.5.24")),
        ("etcd:v3.3.10", Some("3.3.10"), Ok("3.3.10")),
        (&digest, Some("3.4.3"), Ok("3.4.3")),
        ("etcd:latest", Some("3.4.3"), Ok("3.4.3")),
    ];
    for (image, version, expected) in table {
        let choice = ImageChoice {
            image: Some(image),
            version,
            ..nothing()
        };
        match (choice.choose(), expected) {
            (Ok(chosen), Ok(expected)) => {
                let version = chosen.version.map(|version| version.to_string());
                assert_eq!(version.as_deref(), Some(expected), "{image}");
            }
            (Err(error), Err(hint)) => assert!(error.hint().contains(hint), "{error}"),
            (result, _) => panic!("{image} {version:?}: {result:?}"),
        }
    }
}

/// The image that stands for this one, with another registry or version.
fn other(registry: Option<&str>, version: Option<&str>) -> Result<EtcdImage, Error> {
    let found = Image::parse("k8s.gcr.io/etcd:3.5.6-0").unwrap();
    let choice = ImageChoice {
        found: Ok(&found),
        image: None,
        registry,
        version,
    };
    choice.choose()
}

#[test]
fn a_version_that_cannot_be_is_refused() {
    for version in [
        "",
        "3",
        "3.5",
        "3.2.32",
        "2.3.8",
        "4.0.0",
        "0.0.0",
        "latest",
        "3.5.24 ",
        "3.5.24\n",
        "-3.5.1",
        "3.5.24+k3s1",
        "3.5.1/x",
        "3.5.1@sha256",
        "99999999999.1.1",
    ] {
        assert!(other(None, Some(version)).is_err(), "{version}");
    }
    for version in ["3.3.0", "3.3.10", "v3.4.3", "3.5.24-0", "3.6.5-0"] {
        assert!(other(None, Some(version)).is_ok(), "{version}");
    }
    let old = Image::parse("k8s.gcr.io/etcd:3.2.24").unwrap();
    let choice = ImageChoice {
        found: Ok(&old),
        ..nothing()
    };
    assert!(matches!(choice.choose(), Err(Error::OldVersion { .. })));
}

#[test]
fn a_registry_that_cannot_be_is_refused() {
    for registry in [
        "",
        "/",
        "mirror",
        "mirror/path",
        "http://r:5000",
        "https://r:5000/",
        "r:5000:5000",
        "r:port",
        "r:5000/Upper",
        "r:5000/a b",
        "r:5000\n",
        "user@r:5000",
        "r:5000/etcd:3.5.1",
        "$(HOME):5000",
    ] {
        assert!(other(Some(registry), None).is_err(), "{registry}");
    }
    for registry in [
        "r:5000",
        "localhost",
        "192.168.50.90:5000",
        "[::1]:5000",
        "harbor.example.net/a/b_c",
    ] {
        assert!(other(Some(registry), None).is_ok(), "{registry}");
    }
    let scheme = other(Some("https://r:5000/"), None).unwrap_err();
    assert_eq!(scheme.hint(), "Did you mean r:5000?");
}

#[test]
fn etcdctl_is_told_its_api_where_it_may_be_older_than_3_4() {
    let config = config();
    let digest = format!("etcd@sha256:{}", "0".repeat(64));
    for (image, expected) in [
        ("etcd:3.3.10", true),
        ("etcd:latest", true),
        (&digest[..], true),
        ("etcd:3.4.3", false),
        ("etcd:3.6.5-0", false),
    ] {
        let text = render(&wanted(&config, etcdctl(image))).unwrap();
        let objects = objects(&text);
        let env = pod(&objects)["containers"][0]["env"].as_array().unwrap();
        let api = json!({"name": "ETCDCTL_API", "value": "3"});
        assert_eq!(env.contains(&api), expected, "{image}");
    }
    let version = Version {
        major: 3,
        minor: 5,
        patch: 1,
    };
    let choice = ImageChoice {
        image: Some(&digest),
        version: Some("3.5.1"),
        ..nothing()
    };
    assert_eq!(choice.choose().unwrap().version, Some(version));
}

#[test]
fn each_directory_is_mounted_once_and_what_lies_in_another_not_at_all() {
    let mut config = config();
    config.etcd.login = Some(Login {
        username: "backup".to_owned(),
        password_file: "/etc/hypercloud-etcd/password".into(),
    });
    config.etcd.ca_file = "/etc/kubernetes/pki-etcd/ca.crt".into();
    let text = render(&wanted(&config, native(""))).unwrap();
    let objects = objects(&text);
    let mounts: Vec<_> = pod(&objects)["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            (
                mount["mountPath"].as_str().unwrap(),
                mount["readOnly"] == true,
            )
        })
        .collect();
    let expected = [
        ("/mnt/backup", false),
        ("/etc/hypercloud-etcd", true),
        ("/etc/kubernetes/pki", true),
        ("/etc/kubernetes/pki-etcd", true),
        (CONFIG_DIRECTORY, true),
    ];
    assert_eq!(mounts, expected);
}

/// The files of the connection and those that are kept, and what of them is mounted as what.
type Seen = (
    [&'static str; 3],
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

#[rustfmt::skip]
const SEEN: &[Seen] = &[
    (
        ["/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/etcd/a.crt", "/etc/kubernetes/pki/etcd/a.key"],
        &["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"],
        &[("/etc/kubernetes/pki/etcd", "Directory")],
    ),
    (
        ["/etc/kubernetes/pki/etcd/ca.crt", "/etc/kubernetes/pki/a.crt", "/etc/kubernetes/pki/a.key"],
        &["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"],
        &[
            ("/etc/kubernetes/pki/a.crt", "File"),
            ("/etc/kubernetes/pki/a.key", "File"),
            ("/etc/kubernetes/pki/etcd/ca.crt", "File"),
        ],
    ),
    (
        ["/etc/kubernetes/pki/e.crt", "/etc/kubernetes/pki/a.pem", "/etc/kubernetes/pki/a.pem"],
        &[],
        &[("/etc/kubernetes/pki/a.pem", "File"), ("/etc/kubernetes/pki/e.crt", "File")],
    ),
    (
        ["/srv/tls/ca.crt", "/srv/tls/a.crt", "/srv/tls/a.key"],
        &["/srv/tls/cluster/ca.key"],
        &[("/srv/tls/a.crt", "File"), ("/srv/tls/a.key", "File"), ("/srv/tls/ca.crt", "File")],
    ),
    (
        ["/ca.crt", "/a.crt", "/a.key"],
        &[],
        &[("/a.crt", "File"), ("/a.key", "File"), ("/ca.crt", "File")],
    ),
];

#[test]
fn etcdctl_sees_the_files_that_it_needs_and_no_key_of_the_cluster() {
    for (files, kept, expected) in SEEN {
        let mut config = config();
        [
            config.etcd.ca_file,
            config.etcd.cert_file,
            config.etcd.key_file,
        ] = files.map(Into::into);
        config.pki.files = kept.iter().map(Into::into).collect();
        let text = render(&wanted(&config, etcdctl("etcd:3.5.1"))).unwrap();
        let objects = objects(&text);
        let pod = pod(&objects);
        let [mounts, volumes] = [&pod["containers"][0]["volumeMounts"], &pod["volumes"]]
            .map(|list| list.as_array().unwrap()[1..].to_vec());
        let expected_volumes: Vec<_> = expected
            .iter()
            .map(|(path, kind)| json!({"path": path, "type": kind}))
            .collect();
        let found: Vec<_> = volumes.iter().map(|it| it["hostPath"].clone()).collect();
        assert_eq!(found, expected_volumes);
        for (mount, (path, _)) in mounts.iter().zip(*expected) {
            assert_eq!(
                (&mount["mountPath"], &mount["readOnly"]),
                (&json!(path), &json!(true))
            );
        }
        let names = |list: &[Value]| list.iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&mounts), names(&volumes));
    }
}

#[test]
fn a_path_that_no_pod_can_have_is_refused() {
    let refused = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        let result = render(&wanted(&config, etcdctl("etcd:3.5.1")));
        assert!(matches!(result, Err(Error::Path { .. })), "{result:?}");
    };
    refused(|config| config.backup.dir = "/".into());
    refused(|config| config.backup.dir = "/mnt/../etc".into());
    refused(|config| config.backup.dir = "/mnt/a:b".into());
    refused(|config| config.backup.dir = "/etc/kubernetes/pki/etcd".into());
    refused(|config| config.etcd.key_file = "/".into());
    refused(|config| config.etcd.key_file = "/etc/a:b/key.pem".into());
    for volume in [
        "",
        "pvc",
        "pvc:",
        "pvc:A_",
        "hostpath:",
        "hostpath:a",
        "hostpath:/",
        "hostpath:/a/..",
        "nfs:/a",
    ] {
        assert!(Volume::parse(volume).is_err(), "{volume}");
    }
    let expected = Volume::HostPath("/srv/backup".into());
    assert_eq!(Volume::parse("hostpath:/srv//./backup/").unwrap(), expected);
}

#[test]
fn a_directory_whose_disk_may_be_missing_is_not_made() {
    let mut config = config();
    config.backup.require_mount = true;
    let wanted = wanted(&config, native(""));
    let text = render(&wanted).unwrap();
    assert!(text.contains("# require_mount: no pod can tell"), "{text}");
    let objects = objects(&text);
    let volume = &pod(&objects)["volumes"][0]["hostPath"];
    assert_eq!(*volume, json!({"path": "/mnt/backup", "type": "Directory"}));
}

#[test]
fn without_tls_no_key_is_mounted_or_named() {
    let mut config = config();
    config.etcd.endpoints = vec![Endpoint::parse("http://127.0.0.1:2379").unwrap()];
    let text = render(&wanted(&config, etcdctl("etcd:3.5.1"))).unwrap();
    assert!(!text.contains("pki") || !text.contains("--key"), "{text}");
    assert_eq!(pod(&objects(&text))["volumes"].as_array().unwrap().len(), 1);
}

#[test]
fn etcdctl_asks_the_member_of_the_node_and_never_learns_a_password() {
    let mut config = config();
    let endpoints = ["https://10.0.0.1:2379", "https://[::1]:2379"];
    config.etcd.endpoints = endpoints.map(|url| Endpoint::parse(url).unwrap()).to_vec();
    config.etcd.connect_timeout = std::time::Duration::from_millis(1500);
    let text = render(&wanted(&config, etcdctl("etcd:3.5.1"))).unwrap();
    let args = arguments(pod(&objects(&text)));
    assert!(
        args.contains(&"--endpoints=https://[::1]:2379".to_owned()),
        "{args:?}"
    );
    assert!(
        args.contains(&"--dial-timeout=1500ms".to_owned()),
        "{args:?}"
    );
    config.etcd.login = Some(Login {
        username: "backup".to_owned(),
        password_file: "/etc/hypercloud-etcd/password".into(),
    });
    let refused = render(&wanted(&config, etcdctl("etcd:3.5.1"))).unwrap_err();
    assert!(refused.hint().contains("--mode native"), "{refused}");
}

#[test]
fn a_claim_is_reached_through_the_scheduler_and_a_directory_past_it() {
    let config = config();
    let mut wanted = wanted(&config, etcdctl("etcd:3.5.1"));
    let text = render(&wanted).unwrap();
    assert_eq!(pod(&objects(&text))["nodeName"], "master1");
    wanted.volume = Some(Volume::parse("pvc:etcd-backups").unwrap());
    let text = render(&wanted).unwrap();
    let objects = objects(&text);
    let pod = pod(&objects);
    assert_eq!(pod["nodeName"], Value::Null);
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"];
    let field = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["master1"]}]}]);
    assert_eq!(*terms, field);
    assert_eq!(
        pod["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "etcd-backups"
    );
}

#[test]
fn names_that_yaml_could_take_for_something_else_stay_names() {
    let config = config();
    for name in [
        "on",
        "y",
        "no",
        "null",
        "true",
        "1e3",
        "0x1f",
        "010",
        "1.5",
        "0b1",
        "2012-12-12",
    ] {
        let name = Name::parse(name, Named::Node).unwrap();
        let wanted = Wanted {
            node: name.clone(),
            ..wanted(&config, etcdctl("etcd:3.5.1"))
        };
        let text = render(&wanted).unwrap();
        assert_eq!(pod(&objects(&text))["nodeName"], name.as_str());
        assert!(text.contains(&format!("nodeName: \"{name}\" #")), "{name}");
    }
}

fn header(config: &Config, mode: Mode) -> String {
    let text = render(&wanted(config, mode)).unwrap();
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_header_says_who_can_read_the_files_and_how_to_keep_them_out() {
    let mut config = config();
    let digest = format!("etcd@sha256:{}", "0".repeat(64));
    for (image, is_open) in [
        ("etcd:3.3.10", true),
        ("etcd:latest", true),
        (&digest, true),
        ("etcd:3.4.3", false),
        ("etcd:3.6.5-0", false),
    ] {
        let header = header(&config, etcdctl(image));
        assert_eq!(
            header.contains("can be read by every local user"),
            is_open,
            "{image}"
        );
        assert!(
            header.contains("on master1: install -d -m 0700 /mnt/backup"),
            "{header}"
        );
        assert!(header.contains(".db.part: remove it"), "{header}");
        assert!(header.contains("has to belong to root"), "{header}");
    }
    config.backup.dir = "/mnt/two words".into();
    let header = self::header(&config, native(""));
    assert!(
        header.contains("install -d -m 0700 '/mnt/two words'"),
        "{header}"
    );
    assert!(!header.contains("every local user"), "{header}");
    config.backup.dir = "/mnt/two\nlines".into();
    let header = self::header(&config, native(""));
    assert!(header.contains("install -d -m 0700 DIR"), "{header}");
    let claim = Wanted {
        volume: Some(Volume::parse("pvc:a").unwrap()),
        ..wanted(&config, native(""))
    };
    assert!(!render(&claim).unwrap().contains("install -d"));
}

#[test]
fn the_commands_of_the_header_work_more_than_once_and_leave_nothing_behind() {
    let config = config();
    for (mode, kinds, length) in [
        (etcdctl("etcd:3.5.1"), "cronjob", 48),
        (native(""), "cronjob,configmap", 52),
    ] {
        let name = "a".repeat(length);
        let wanted = Wanted {
            name: Name::parse(&name, Named::CronJob).unwrap(),
            ..wanted(&config, mode)
        };
        let text = render(&wanted).unwrap();
        let job = format!("{name}-1800000000");
        assert!(job.len() <= 63, "the name of a job");
        assert!(text.contains(&format!(
            "create job --from=cronjob/{name} {name}-$(date +%s)\n"
        )));
        assert!(text.contains(&format!("delete {kinds} {name}\n")));
    }
}

#[test]
fn a_name_that_would_cost_the_files_their_time_is_refused() {
    let config = config();
    let name = |length: usize| Name::parse(&"a".repeat(length), Named::CronJob).unwrap();
    for (mode, length, accepted) in [
        (etcdctl("etcd:3.5.1"), 48, true),
        (etcdctl("etcd:3.5.1"), 49, false),
        (native(""), 52, true),
    ] {
        // Kubernetes cuts the name of a job's pods here, and adds five characters
        let pods = format!("{}-29000000-", name(length));
        assert!(pods.len() <= 58 || !accepted || matches!(mode, Mode::Native { .. }));
        let wanted = Wanted {
            name: name(length),
            ..wanted(&config, mode)
        };
        match render(&wanted) {
            Ok(_) => assert!(accepted, "{length}"),
            Err(error) => {
                assert!(!accepted, "{length}");
                assert!(error.hint().contains("--name of at most 48"), "{error}");
            }
        }
    }
}

#[test]
fn the_command_that_is_told_is_the_one_that_renders_the_same() {
    let config = config();
    let digest = format!("r:5000/etcd@sha256:{}", "0".repeat(64));
    let choice = ImageChoice {
        image: Some(&digest),
        version: Some("3.4.3"),
        ..nothing()
    };
    let mode = Mode::Etcdctl(choice.choose().unwrap());
    let wanted = Wanted {
        volume: Some(Volume::parse("hostpath:/srv/it's").unwrap()),
        namespace: Name::parse("backups", Named::Namespace).unwrap(),
        suspend: true,
        ..wanted(&config, mode)
    };
    let text = render(&wanted).unwrap();
    let command = format!(
        "#   hypercloud-etcd render cronjob --image {digest} --etcd-version 3.4.3 \\\n\
         #     --node master1 --schedule '0 * * * *' --timezone UTC \\\n\
         #     --volume hostpath:'/srv/it'\\''s' --namespace backups --suspend\n"
    );
    assert!(text.contains(&command), "{text}");
    assert!(text.contains("label namespace backups pod-security.kubernetes.io/enforce=privileged"));
    let header = header(&config, native(""));
    assert!(
        header.contains("cronjob --mode native --tool-image registry.example.net/"),
        "{header}"
    );
    assert!(!header.contains("PodSecurity"), "{header}");
}

#[test]
fn a_missed_run_is_made_up_for_until_the_next_may_be_due() {
    for (schedule, gap) in [
        ("* * * * *", 60),
        ("*/5 * * * *", 300),
        ("*/7 * * * *", 240),
        ("0 * * * *", 3600),
        ("0 2,3 * * *", 3600),
        ("30 2 * * *", 86_400),
        ("0 0 * * 1", 604_800),
    ] {
        let mut config = config();
        config.schedule = Schedule::parse(schedule, "UTC").unwrap();
        for (catch_up, seconds) in [(true, gap), (false, 60)] {
            config.catch_up = catch_up;
            let text = render(&wanted(&config, native(""))).unwrap();
            let objects = objects(&text);
            assert_eq!(
                objects[1]["spec"]["startingDeadlineSeconds"], seconds,
                "{schedule}"
            );
        }
    }
}

#[test]
fn what_a_second_attempt_does_not_change_is_not_tried_again() {
    let config = config();
    let job = |mode| {
        objects(&render(&wanted(&config, mode)).unwrap())
            .pop()
            .unwrap()
    };
    let spec = &job(native(""))["spec"]["jobTemplate"]["spec"];
    let rules = json!([{
        "action": "FailJob",
        "onExitCodes": {"containerName": "hypercloud-etcd", "operator": "In", "values": [64, 65, 78]},
    }]);
    assert_eq!(spec["podFailurePolicy"]["rules"], rules);
    let template = &spec["template"]["spec"];
    assert_eq!(
        template["restartPolicy"], "Never",
        "else the policy is refused"
    );
    assert_eq!(template["containers"][0]["name"], "hypercloud-etcd");
    let spec = &job(etcdctl("etcd:3.5.1"))["spec"]["jobTemplate"]["spec"];
    assert_eq!(spec["podFailurePolicy"], Value::Null);
}

#[test]
fn a_configuration_whose_first_line_is_indented_is_not_left_to_the_indentation_of_the_yaml() {
    let config = config();
    for (toml, is_quoted) in [
        ("\tschedule = \"0 * * * *\"\n", true),
        ("\n\t# x\n", true),
        ("\t\n", true),
        ("\n\n", false),
        ("  a = 1\n", true),
        ("# x\n\ta = 1\n", false),
    ] {
        let text = render(&wanted(&config, native(toml))).unwrap();
        assert_eq!(text.contains("  config.toml: \""), is_quoted, "{toml:?}");
        assert_eq!(objects(&text)[0]["data"]["config.toml"], toml);
    }
}

/// A value with nothing left of it but its shape.
fn shape(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
        Value::String(_) => json!(""),
        other => other.clone(),
    }
}

/// Names of files and directories that somebody chose to break something with.
fn hostile() -> impl Strategy<Value = String> {
    let signs = "[ -~\\n\\r\\t\u{85}\u{a0}\u{2028}\u{feff}\u{1f600}]{0,24}";
    let bait = prop_oneof![
        Just("\n      - name: evil".to_owned()),
        Just("$(POD_NAME)".to_owned()),
        Just("$$(POD_NAME)$".to_owned()),
        Just("\"'# ---\n...\n--- ".to_owned()),
        Just("*a &b !c %d @e `f {g} [h] | > ?".to_owned()),
        signs,
        any::<String>(),
    ];
    let is_name =
        |text: &String| !text.contains(['/', ':', '\0']) && !matches!(&text[..], "" | "." | "..");
    bait.prop_filter("the name of a file that can be mounted", is_name)
}

proptest! {
    #[test]
    fn no_path_changes_the_structure_and_each_arrives_as_it_is(
        dir in hostile(), keys in hostile(), file in hostile(), source in hostile(), toml in any::<String>(),
    ) {
        let mut config = config();
        config.backup.dir = Path::new("/mnt").join(&dir);
        config.etcd.ca_file = Path::new("/etc/keys").join(&keys).join(&file);
        config.etcd.cert_file = config.etcd.ca_file.clone();
        config.etcd.key_file = config.etcd.ca_file.clone();
        let volume = Some(Volume::HostPath(Path::new("/srv").join(&source)));
        let plain = self::config();
        for mode in [etcdctl("etcd:3.3.10"), native(&toml)] {
            let count = |text: &str| text.lines().take_while(|line| line.starts_with('#')).count();
            let wanted = Wanted { volume: volume.clone(), ..wanted(&config, mode.clone()) };
            let text = render(&wanted).unwrap();
            let other = Some(Volume::HostPath("/srv/backup".into()));
            let expected = render(&Wanted { volume: other, ..self::wanted(&plain, mode.clone()) }).unwrap();
            prop_assert_eq!(count(&text), count(&expected));
            let objects = objects(&text);
            let pod = pod(&objects);
            prop_assert_eq!(&pod["containers"][0]["volumeMounts"][0]["mountPath"], &json!(config.backup.dir));
            prop_assert_eq!(&pod["volumes"][0]["hostPath"]["path"], &json!(Path::new("/srv").join(&source)));
            if let Mode::Etcdctl(_) = mode {
                prop_assert_eq!(shape(&json!(objects)), shape(&json!(self::objects(&expected))));
                let args = arguments(pod);
                prop_assert_eq!(&args[3], &format!("--key={}", config.etcd.key_file.display()));
                prop_assert_eq!(args.last().unwrap(), &format!("{}/etcd-backup-1-x.db", config.backup.dir.display()));
            } else {
                prop_assert_eq!(&objects[0]["data"], &json!({"config.toml": toml}));
                let pki: Vec<PathBuf> = pod["volumes"].as_array().unwrap().iter()
                    .filter_map(|volume| volume["hostPath"]["path"].as_str().map(PathBuf::from)).collect();
                prop_assert!(pki.contains(&Path::new("/etc/keys").join(&keys)), "{:?}", pki);
            }
        }
    }
}
