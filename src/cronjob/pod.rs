//! The pod of one run.

use std::path::PathBuf;
use std::time::Duration;

use super::mount::{Mounts, Volume, text};
use super::object::{
    Affinity, Amounts, Because, Capabilities, Container, ContainerSecurity, FieldReference, Kind,
    NodeAffinity, NodeSelector, NodeSelectorTerm, PodSecurity, PodSpec, Requirement, Resources,
    Toleration, Variable, VariableSource, because,
};
use super::{CONFIG_DIRECTORY, Error, EtcdImage, Mode, Wanted};
use crate::config::Config;
use crate::etcd::Endpoint;

/// The program of the native mode, and the name of its container.
pub(super) const NATIVE: &str = "hypercloud-etcd";

pub(super) fn spec(wanted: &Wanted<'_>) -> Result<PodSpec, Error> {
    let mounts = mounts(wanted)?;
    let (node_name, affinity) = placement(wanted);
    let mut container = match &wanted.mode {
        Mode::Etcdctl(image) => etcdctl(image, wanted.config)?,
        Mode::Native { image, .. } => native(image.to_string()),
    };
    container.volume_mounts = mounts.mounts;
    Ok(PodSpec {
        node_name,
        affinity,
        tolerations: tolerations(wanted),
        priority_class_name: "system-cluster-critical",
        host_network: because(
            true,
            "the etcd of this node, by the names in its certificate",
        ),
        dns_policy: "Default",
        restart_policy: because("Never", "each attempt is a pod of its own"),
        automount_service_account_token: false,
        enable_service_links: false,
        security_context: PodSecurity {
            run_as_user: because(0, "only root may read kubeadm's keys"),
            run_as_group: 0,
            seccomp_profile: Kind {
                kind: "RuntimeDefault",
            },
        },
        containers: vec![container],
        volumes: mounts.volumes,
    })
}

/// By name, past the scheduler, where nothing else has to be decided. A claim may wait for the
/// scheduler to place its first pod, and would wait for ever; so its pod names the node to that.
fn placement(wanted: &Wanted<'_>) -> (Option<Because<String>>, Option<Affinity>) {
    let node = wanted.node.to_string();
    if !matches!(wanted.volume, Some(Volume::Claim(_))) {
        let name = because(
            node,
            "where the files are; runs also while the scheduler is down",
        );
        return (Some(name), None);
    }
    let requirement = Requirement {
        key: because(
            "metadata.name",
            "by the scheduler, which may have to bind the claim",
        ),
        operator: "In",
        values: vec![node],
    };
    let selector = NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_fields: vec![requirement],
        }],
    };
    let affinity = Affinity {
        node_affinity: NodeAffinity {
            required_during_scheduling_ignored_during_execution: selector,
        },
    };
    (None, Some(affinity))
}

fn tolerations(wanted: &Wanted<'_>) -> Vec<Toleration> {
    let tolerate = |key, reason, effect| Toleration {
        key: because(key, reason),
        operator: "Exists",
        effect,
    };
    let mut tolerations = vec![
        tolerate(
            "node-role.kubernetes.io/control-plane",
            "kubeadm's taint",
            None,
        ),
        tolerate(
            "node-role.kubernetes.io/master",
            "the same, before Kubernetes 1.25",
            None,
        ),
    ];
    if matches!(wanted.volume, Some(Volume::Claim(_))) {
        tolerations.push(tolerate(
            "node.kubernetes.io/unschedulable",
            "also while the node is cordoned",
            Some("NoSchedule"),
        ));
    }
    tolerations
}

fn mounts(wanted: &Wanted<'_>) -> Result<Mounts, Error> {
    let config = wanted.config;
    let mut mounts = Mounts::default();
    mounts.backups(&config.backup, wanted.volume.as_ref())?;
    match &wanted.mode {
        Mode::Etcdctl(_) => mounts.client_files(&tls_files(config), &config.pki.files)?,
        Mode::Native { .. } => {
            let password = config.etcd.login.iter().map(|login| &login.password_file);
            let files = tls_files(config).into_iter();
            mounts.directories_of(files.chain(password).chain(&config.pki.files))?;
            mounts.config(&wanted.name)?;
        }
    }
    Ok(mounts)
}

/// The files of the connection; none without TLS.
fn tls_files(config: &Config) -> Vec<&PathBuf> {
    let etcd = &config.etcd;
    if etcd.endpoints.iter().any(Endpoint::is_tls) {
        vec![&etcd.ca_file, &etcd.cert_file, &etcd.key_file]
    } else {
        Vec::new()
    }
}

fn etcdctl(image: &EtcdImage, config: &Config) -> Result<Container, Error> {
    if config.etcd.login.is_some() {
        return Err(Error::Login);
    }
    let mut args = vec![format!("--endpoints={}", endpoint(config)?)];
    let flags = ["cacert", "cert", "key"];
    for (flag, file) in flags.into_iter().zip(tls_files(config)) {
        args.push(format!("--{flag}={}", literal(&text(file)?)));
    }
    args.push(format!(
        "--dial-timeout={}",
        go_duration(config.etcd.connect_timeout)
    ));
    args.extend(["snapshot".to_owned(), "save".to_owned()]);
    let dir = text(&config.backup.dir)?;
    args.push(format!(
        "{}/$(POD_NAME).db",
        literal(dir.trim_end_matches('/'))
    ));
    let mut env = vec![Variable {
        name: "POD_NAME",
        value: None,
        value_from: Some(VariableSource {
            field_ref: FieldReference {
                field_path: because("metadata.name", "a file name that no other run has"),
            },
        }),
    }];
    // the default from 3.4 on
    if image.may_be_older_than_3_4() {
        env.push(Variable {
            name: "ETCDCTL_API",
            value: Some("3"),
            value_from: None,
        });
    }
    Ok(container("etcdctl", image.image.to_string(), args, env))
}

fn native(image: String) -> Container {
    let args = vec![
        "backup".to_owned(),
        format!("--config={CONFIG_DIRECTORY}/config.toml"),
    ];
    container(NATIVE, image, args, Vec::new())
}

fn container(
    program: &'static str,
    image: String,
    args: Vec<String>,
    env: Vec<Variable>,
) -> Container {
    Container {
        name: program,
        image,
        image_pull_policy: "IfNotPresent",
        command: vec![program],
        args,
        env,
        resources: Resources {
            requests: Amounts {
                cpu: Some("50m"),
                memory: "64Mi",
            },
            limits: Amounts {
                cpu: None,
                memory: "512Mi",
            },
        },
        security_context: ContainerSecurity {
            allow_privilege_escalation: false,
            read_only_root_filesystem: true,
            capabilities: Capabilities { drop: vec!["ALL"] },
        },
        termination_message_policy: because(
            "FallbackToLogsOnError",
            "the pod's status says why it failed",
        ),
        volume_mounts: Vec::new(),
    }
}

/// The member that etcdctl asks, which takes no list: that of the node, where it is listed.
pub(super) fn endpoint(config: &Config) -> Result<String, Error> {
    let endpoints = &config.etcd.endpoints;
    let is_own = |host: &str| matches!(host, "127.0.0.1" | "localhost" | "::1");
    let own = endpoints.iter().find(|endpoint| is_own(endpoint.host()));
    let endpoint = own.or(endpoints.first()).ok_or(Error::NoEndpoint)?;
    Ok(endpoint.to_string())
}

/// Text in which Kubernetes expands nothing: `$$` stands for `$` in the arguments of a container.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// A duration as Go reads it.
fn go_duration(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis().max(1))
    }
}
