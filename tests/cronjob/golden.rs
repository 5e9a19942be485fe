//! The golden renderings. To write them anew, after a change that is meant: `HCE_BLESS=1 tests/run.sh golden_rendering`

use std::fs;
use std::path::Path;

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, SecurityContext, VolumeMount};
use serde_json::{Value, json};

use super::{kubectl, pod, rendered};
use crate::support::command::Host;

/// One rendering: its file, the configuration, the etcd image of the node, and the options.
struct Golden {
    name: &'static str,
    config: &'static str,
    found: &'static str,
    args: &'static [&'static str],
}

const NATIVE: &str = "192.168.50.90:5000/hypercloud-etcd:0.1.0";
const SCHEDULE: &str = "schedule = \"*/5 * * * *\"\n";

const GOLDEN: [Golden; 5] = [
    Golden {
        name: "etcdctl-3.3",
        config: SCHEDULE,
        found: "k8s.gcr.io/etcd:3.3.10",
        args: &["--registry", "192.168.50.90:5000", "--node", "master1"],
    },
    Golden {
        name: "etcdctl-3.5",
        config: "catch_up = false\n[pki]\nfiles = []\n",
        found: "registry.k8s.io/etcd:3.5.24-0",
        args: &["--volume", "hostpath:/srv/backup", "--suspend"],
    },
    Golden {
        name: "etcdctl-3.6",
        config: "schedule = \"30 2 * * 1-5\"\ntimezone = \"Europe/Berlin\"\n",
        found: "registry.k8s.io/etcd:3.5.24-0",
        args: &[
            "--etcd-version",
            "3.6.5-0",
            "--volume",
            "pvc:etcd-backups",
            "--name",
            "nightly",
            "--namespace",
            "backups",
        ],
    },
    Golden {
        name: "native",
        config: "# every five minutes\nschedule = \"*/5 * * * *\"\n\n[backup]\nreserve = \"2GiB\"\n",
        found: "k8s.gcr.io/etcd:3.3.10",
        args: &["--mode", "native", "--tool-image", NATIVE],
    },
    Golden {
        name: "native-claim",
        config: SCHEDULE,
        found: "registry.k8s.io/etcd:3.6.5-0",
        args: &[
            "--mode",
            "native",
            "--tool-image",
            NATIVE,
            "--volume",
            "pvc:etcd-backups",
        ],
    },
];

fn render(golden: &Golden) -> String {
    let host = Host::new();
    fs::write(&host.config, golden.config).unwrap();
    rendered(&host, golden.found, golden.args)
        .expect_success()
        .stdout
}

fn kept(golden: &Golden) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/golden/cronjob/{}.yaml", golden.name));
    if std::env::var_os("HCE_BLESS").is_some() {
        fs::write(&path, render(golden)).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects of a golden in the types of Kubernetes, which leave nothing of them out.
fn typed(text: &str) -> (Option<ConfigMap>, CronJob) {
    let objects = pod::objects(text);
    let (job, others) = objects.split_last().expect("a CronJob");
    let typed: CronJob = serde_json::from_value(job.clone()).expect("a CronJob");
    assert_eq!(
        serde_json::to_value(&typed).unwrap(),
        *job,
        "a field that batch/v1 does not know"
    );
    let config = others.first().map(|object| {
        let typed: ConfigMap = serde_json::from_value(object.clone()).expect("a ConfigMap");
        assert_eq!(
            serde_json::to_value(&typed).unwrap(),
            *object,
            "a field that v1 does not know"
        );
        typed
    });
    (config, typed)
}

#[test]
fn each_golden_rendering_is_what_is_rendered() {
    for golden in &GOLDEN {
        let kept = kept(golden);
        assert_eq!(render(golden), kept, "{}", golden.name);
        // what a person needs first stands at the top
        let comments: Vec<&str> = kept
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        for word in [
            "kubectl apply",
            "create job --from=cronjob/",
            "get cronjobs,jobs,pods",
        ] {
            assert!(
                comments.iter().any(|line| line.contains(word)),
                "{}: {word}",
                golden.name
            );
        }
        assert!(
            kept.lines().all(|line| line.chars().count() <= 110),
            "{}",
            golden.name
        );
    }
}

#[test]
fn kubectl_takes_each_golden_rendering() {
    for golden in &GOLDEN {
        let kept = kept(golden);
        kubectl::applies(&kept);
        kubectl::reads_the_same([kept.as_str()]);
    }
}

#[test]
fn the_golden_rendering_of_the_old_script_says_all_that_was_edited_by_hand() {
    let text = kept(&GOLDEN[0]);
    let (config, job) = typed(&text);
    assert!(config.is_none());
    schedule(&job, "*/5 * * * *", "UTC");
    let metadata = &job.metadata;
    assert_eq!(metadata.name.as_deref(), Some("etcd-backup"));
    assert_eq!(metadata.namespace.as_deref(), Some("kube-system"));
    assert_eq!(job.spec.suspend, Some(false));
    assert_eq!(job.spec.starting_deadline_seconds, Some(300));
    let pod = hardened(&job);
    assert_eq!(pod.node_name.as_deref(), Some("master1"));
    let container = &pod.containers[0];
    assert_eq!(
        container.image.as_deref(),
        Some("192.168.50.90:5000/k8s.gcr.io/etcd:3.3.10")
    );
    assert_eq!(container.command, Some(vec!["etcdctl".to_owned()]));
    let args = [
        "--endpoints=https://127.0.0.1:2379",
        "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
        "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key",
        "--dial-timeout=10s",
        "snapshot",
        "save",
        "/mnt/backup/$(POD_NAME).db",
    ];
    assert_eq!(container.args, Some(args.map(str::to_owned).to_vec()));
    let env = json!([
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ETCDCTL_API", "value": "3"},
    ]);
    assert_eq!(serde_json::to_value(&container.env).unwrap(), env);
    assert_eq!(
        mounts(container),
        [("/mnt/backup", false), ("/etc/kubernetes/pki/etcd", true)]
    );
    let volumes = json!([
        {"name": "backups", "hostPath": {"path": "/mnt/backup", "type": "DirectoryOrCreate"}},
        {"name": "pki", "hostPath": {"path": "/etc/kubernetes/pki/etcd", "type": "Directory"}},
    ]);
    assert_eq!(serde_json::to_value(&pod.volumes).unwrap(), volumes);
    assert!(text.contains("No backup is ever removed"), "{text}");
    assert!(
        text.contains("CA (ca.crt and ca.key) is not kept"),
        "{text}"
    );
    assert!(
        text.contains("can be read by every local user"),
        "etcdctl 3.3 makes a file that everybody can read: {text}"
    );
}

#[test]
fn the_golden_renderings_of_newer_images_need_no_version_of_the_api() {
    let (_, job) = typed(&kept(&GOLDEN[1]));
    schedule(&job, "0 * * * *", "UTC");
    assert_eq!(job.spec.suspend, Some(true));
    assert_eq!(
        job.spec.starting_deadline_seconds,
        Some(60),
        "catch_up = false"
    );
    let pod = hardened(&job);
    // the member that kubeadm names after the node
    assert_eq!(pod.node_name.as_deref(), Some("master1"));
    assert_eq!(
        pod.containers[0].image.as_deref(),
        Some("registry.k8s.io/etcd:3.5.24-0")
    );
    assert_eq!(
        pod.containers[0].env.as_ref().map(Vec::len),
        Some(1),
        "POD_NAME alone"
    );
    assert_eq!(mounts(&pod.containers[0])[0], ("/mnt/backup", false));
    let volume = serde_json::to_value(&pod.volumes).unwrap()[0]["hostPath"].clone();
    assert_eq!(
        volume,
        json!({"path": "/srv/backup", "type": "DirectoryOrCreate"})
    );

    let (_, job) = typed(&kept(&GOLDEN[2]));
    schedule(&job, "30 2 * * 1-5", "Europe/Berlin");
    assert_eq!(job.metadata.name.as_deref(), Some("nightly"));
    assert_eq!(job.metadata.namespace.as_deref(), Some("backups"));
    let pod = hardened(&job);
    assert_eq!(
        pod.containers[0].image.as_deref(),
        Some("registry.k8s.io/etcd:3.6.5-0")
    );
    assert_eq!(
        pod.containers[0].env.as_ref().map(Vec::len),
        Some(1),
        "POD_NAME alone"
    );
    through_the_scheduler(pod);
}

#[test]
fn the_native_golden_renderings_hold_the_same_toml_and_all_that_it_names() {
    for golden in &GOLDEN[3..] {
        let (config, job) = typed(&kept(golden));
        let config = config.expect("a ConfigMap");
        assert_eq!(config.metadata.name, job.metadata.name);
        assert_eq!(config.metadata.namespace, job.metadata.namespace);
        assert_eq!(config.data.unwrap()["config.toml"], golden.config);
        schedule(&job, "*/5 * * * *", "UTC");
        let pod = hardened(&job);
        let container = &pod.containers[0];
        assert_eq!(container.image.as_deref(), Some(NATIVE));
        assert_eq!(container.command, Some(vec!["hypercloud-etcd".to_owned()]));
        let run = job.spec.job_template.spec.as_ref().expect("a job");
        let rules = json!([{
            "action": "FailJob",
            "onExitCodes": {"containerName": "hypercloud-etcd", "operator": "In", "values": [64, 65, 78]},
        }]);
        let policy = serde_json::to_value(&run.pod_failure_policy).unwrap();
        assert_eq!(policy["rules"], rules);
        let args = ["backup", "--config=/run/hypercloud-etcd/config.toml"];
        assert_eq!(container.args, Some(args.map(str::to_owned).to_vec()));
        let expected = [
            ("/mnt/backup", false),
            ("/etc/kubernetes/pki", true),
            ("/run/hypercloud-etcd", true),
        ];
        assert_eq!(mounts(container), expected);
    }
    let (_, job) = typed(&kept(&GOLDEN[4]));
    through_the_scheduler(hardened(&job));
}

fn schedule(job: &CronJob, schedule: &str, zone: &str) {
    let spec = &job.spec;
    assert_eq!(
        (spec.schedule.as_str(), spec.time_zone.as_deref()),
        (schedule, Some(zone))
    );
    assert_eq!(spec.concurrency_policy.as_deref(), Some("Forbid"));
    assert_eq!(spec.successful_jobs_history_limit, Some(3));
    assert_eq!(spec.failed_jobs_history_limit, Some(3));
    let run = spec.job_template.spec.as_ref().expect("a job");
    assert_eq!(
        (run.backoff_limit, run.active_deadline_seconds),
        (Some(2), Some(1800))
    );
}

/// The pod, once it is known to have no more rights than it needs.
fn hardened(job: &CronJob) -> &PodSpec {
    let template = &job.spec.job_template.spec.as_ref().expect("a job").template;
    let labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.as_ref())
        .expect("labels");
    assert_eq!(
        Some(&labels["app.kubernetes.io/instance"]),
        job.metadata.name.as_ref()
    );
    let pod = template.spec.as_ref().expect("a pod");
    assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
    assert_eq!(pod.host_network, Some(true));
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(
        pod.priority_class_name.as_deref(),
        Some("system-cluster-critical")
    );
    let tolerated: Vec<_> = pod
        .tolerations
        .iter()
        .flatten()
        .map(|it| {
            assert_eq!(it.operator.as_deref(), Some("Exists"));
            (it.key.as_deref().expect("a key"), it.effect.as_deref())
        })
        .collect();
    let mut expected = vec![
        ("node-role.kubernetes.io/control-plane", None),
        ("node-role.kubernetes.io/master", None),
    ];
    if pod.node_name.is_none() {
        // the scheduler keeps a pod away from a node that is cordoned
        expected.push(("node.kubernetes.io/unschedulable", Some("NoSchedule")));
    }
    assert_eq!(tolerated, expected);
    let security = serde_json::to_value(&pod.security_context).unwrap();
    assert_eq!(
        security,
        json!({"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    let [container] = &pod.containers[..] else {
        panic!("{} containers", pod.containers.len())
    };
    confined(container);
    pod
}

/// No more rights and no more room than it needs, and no shell.
fn confined(container: &Container) {
    let expected = SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: serde_json::from_value(json!({"drop": ["ALL"]})).unwrap(),
        ..SecurityContext::default()
    };
    assert_eq!(container.security_context.as_ref(), Some(&expected));
    let resources: Value = serde_json::to_value(&container.resources).unwrap();
    assert_eq!(
        resources,
        json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}})
    );
    let words = container
        .command
        .iter()
        .flatten()
        .chain(container.args.iter().flatten());
    assert!(
        !words
            .into_iter()
            .any(|word| word.ends_with("sh") || word == "-c"),
        "a shell"
    );
}

/// A claim may be bound by the scheduler alone, which a pod with a node's name never meets.
fn through_the_scheduler(pod: &PodSpec) {
    assert_eq!(pod.node_name, None);
    let affinity = serde_json::to_value(&pod.affinity).unwrap();
    let terms = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let field = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["master1"]}]}]);
    assert_eq!(*terms, field);
    let volume = serde_json::to_value(&pod.volumes).unwrap()[0]["persistentVolumeClaim"].clone();
    assert_eq!(volume, json!({"claimName": "etcd-backups"}));
}

fn mounts(container: &Container) -> Vec<(&str, bool)> {
    let mount = |mount: &'_ VolumeMount| mount.read_only == Some(true);
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .map(|it| (it.mount_path.as_str(), mount(it)))
        .collect()
}
