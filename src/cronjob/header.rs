//! The comments at the top: what a person wants to know who finds this file.

use std::fmt::Write as _;
use std::path::Path;

use super::error::quoted;
use super::mount::Volume;
use super::{Error, EtcdImage, Mode, Wanted, pod};
use crate::shell;

/// The comment block, which ends with an empty line.
pub(super) fn comments(wanted: &Wanted<'_>) -> Result<String, Error> {
    let mut parts = vec![introduction(wanted), commands(wanted)];
    match &wanted.mode {
        Mode::Etcdctl(image) => parts.extend([files(wanted), limits(wanted, image)?]),
        Mode::Native { .. } => parts.push(native(wanted)),
    }
    parts.push(place_needs(wanted));
    if wanted.namespace.as_str() != "kube-system" {
        parts.push(privileges(wanted));
    }
    parts.push(versions(&wanted.mode));
    let mut comments = String::new();
    for line in parts.join("\n").lines() {
        // writing to a string does not fail
        let _ = writeln!(comments, "{}", format!("# {line}").trim_end());
    }
    comments.push('\n');
    Ok(comments)
}

fn introduction(wanted: &Wanted<'_>) -> String {
    let Wanted { node, config, .. } = wanted;
    let schedule = quoted(config.schedule.text());
    let zone = config.schedule.timezone();
    let who = match wanted.mode {
        Mode::Etcdctl(_) => "etcdctl",
        Mode::Native { .. } => "hypercloud-etcd",
    };
    format!(
        "Backups of the etcd on node {node}, made by {who}: {schedule}, {zone}.\n\
         Rendered by:\n{}",
        command(wanted)
    )
}

/// The command line that renders the same from the same configuration, on any host.
fn command(wanted: &Wanted<'_>) -> String {
    let schedule = &wanted.config.schedule;
    let image = match &wanted.mode {
        Mode::Etcdctl(EtcdImage { image, version }) => {
            // what its tag does not say had to be given
            let told = version.filter(|_| image.version().is_none());
            let version =
                told.map_or_else(String::new, |version| format!(" --etcd-version {version}"));
            format!("--image {image}{version}")
        }
        Mode::Native { image, .. } => format!("--mode native --tool-image {image}"),
    };
    let mut more = Vec::new();
    match &wanted.volume {
        None => {}
        Some(Volume::Claim(name)) => more.push(format!(" --volume pvc:{name}")),
        Some(Volume::HostPath(path)) => more.push(format!(" --volume hostpath:{}", word(path))),
    }
    for (option, value, default) in [
        ("name", &wanted.name, "etcd-backup"),
        ("namespace", &wanted.namespace, "kube-system"),
    ] {
        if value.as_str() != default {
            more.push(format!(" --{option} {value}"));
        }
    }
    if wanted.suspend {
        more.push(" --suspend".to_owned());
    }
    if let Some(option) = more.first_mut() {
        *option = format!(" \\\n   {option}");
    }
    let more = more.concat();
    format!(
        "  hypercloud-etcd render cronjob {image} \\\n\
         \x20   --node {} --schedule {} --timezone {}{more}\n",
        wanted.node,
        shell::quoted(schedule.text()),
        shell::quoted(schedule.timezone()),
    )
}

fn commands(wanted: &Wanted<'_>) -> String {
    let Wanted {
        name,
        namespace,
        node,
        ..
    } = wanted;
    let kubectl = format!("kubectl -n {namespace}");
    let label = format!("app.kubernetes.io/instance={name}");
    let first = directory(wanted).map_or_else(String::new, |directory| {
        let disk = if wanted.config.backup.require_mount {
            ", with its disk mounted"
        } else {
            ""
        };
        let directory = word(directory);
        format!("  first     on {node}{disk}: install -d -m 0700 {directory}\n")
    });
    let kinds = match wanted.mode {
        Mode::Etcdctl(_) => "cronjob",
        Mode::Native { .. } => "cronjob,configmap",
    };
    format!(
        "{first}\
         \x20 apply     kubectl apply -f FILE\n\
         \x20 run now   {kubectl} create job --from=cronjob/{name} {name}-$(date +%s)\n\
         \x20 watch     {kubectl} get cronjobs,jobs,pods -l {label}\n\
         \x20 read      {kubectl} logs -l {label} --tail=-1 --prefix\n\
         \x20 pause     {kubectl} patch cronjob {name} -p '{{\"spec\":{{\"suspend\":true}}}}'\n\
         \x20 remove    {kubectl} delete {kinds} {name}\n"
    )
}

fn files(wanted: &Wanted<'_>) -> String {
    format!(
        "Each run leaves a file of its own in {}, called after its pod. The\n\
         number in the name is the minute of the run, date -d @$((NUMBER * 60)), or the second of one by\n\
         hand, date -d @NUMBER.\n",
        place(wanted)
    )
}

fn limits(wanted: &Wanted<'_>, image: &EtcdImage) -> Result<String, Error> {
    let config = wanted.config;
    let place = place(wanted);
    let mut text = format!(
        "The image of etcd holds etcdctl and no shell, so this does less than hypercloud-etcd does on\n\
         the host, or here with: render cronjob --mode native --tool-image IMAGE\n\
         - No backup is ever removed: look after the space of {place}.\n\
         - No backup is proven good: hypercloud-etcd verify --file FILE\n\
         - A run that is killed leaves a file whose name ends in .db.part: remove it.\n"
    );
    if image.may_be_older_than_3_4() {
        text.push_str(
            "- Each file can be read by every local user, with all secrets of the cluster in it: etcdctl before\n\
             \x20 3.4 makes it 0644, and the kubelet a missing directory 0755. Only a directory that is 0700\n\
             \x20 before the first run keeps them out.\n",
        );
    }
    if !config.pki.files.is_empty() {
        text.push_str(
            "- The cluster's CA (ca.crt and ca.key) is not kept beside the backups: etcdctl cannot copy\n\
             \x20 files. Without them a lost control plane has to begin a new CA: run the daemon on the host.\n",
        );
    }
    if config.etcd.endpoints.len() > 1 {
        let endpoint = pod::endpoint(config)?;
        let _ = writeln!(text, "- No other member is asked where {endpoint} fails.");
    }
    Ok(text)
}

fn native(wanted: &Wanted<'_>) -> String {
    let place = place(wanted);
    let node = &wanted.node;
    format!(
        "Each run is a hypercloud-etcd backup by the configuration below, and leaves what it leaves on\n\
         the host: snapshots, manifests, proofs and the copies of the CA, in {place}.\n\
         When it runs is said by the CronJob; schedule and timezone in the configuration count for nothing.\n\
         The ConfigMap holds no secret: keys and passwords stay files of the node, mounted from there.\n\
         The daemon on {node} would make the same backups again, one at a time. To leave them to this\n\
         CronJob, on that node: systemctl disable --now hypercloud-etcd\n"
    )
}

fn place_needs(wanted: &Wanted<'_>) -> String {
    let mut text = format!(
        "The pod is root without any capability: {} has to belong to root. NFS with\n\
         root_squash, where root is nobody, refuses it.\n",
        place(wanted)
    );
    let is_claim = matches!(wanted.volume, Some(Volume::Claim(_)));
    if wanted.config.backup.require_mount && !is_claim {
        text.push_str(concat!(
            "\nrequire_mount: no pod can tell whether a disk is mounted on its node. Use a directory on that\n",
            "disk, not its mount point: where it is missing, the pod does not start.\n",
        ));
    }
    text
}

fn privileges(wanted: &Wanted<'_>) -> String {
    let namespace = &wanted.namespace;
    format!(
        "The pod uses hostPath and hostNetwork. Where PodSecurity holds the namespace to less:\n\
         \x20 kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=privileged\n"
    )
}

fn versions(mode: &Mode) -> String {
    match mode {
        Mode::Etcdctl(_) => concat!(
            "spec.timeZone needs Kubernetes 1.25 or newer. On 1.21 to 1.24 delete that line: the\n",
            "schedule is then read in the time zone of the controller, which mostly is UTC.\n",
        ),
        Mode::Native { .. } => concat!(
            "spec.timeZone needs Kubernetes 1.25 or newer, podFailurePolicy 1.26. On 1.21 to 1.24 delete both:\n",
            "the schedule is then read in the time zone of the controller, which mostly is UTC, and each\n",
            "failure is tried again. 1.25 leaves podFailurePolicy out by itself.\n",
        ),
    }
    .to_owned()
}

/// The directory of the node that has to be there before the first run.
fn directory<'w>(wanted: &'w Wanted<'_>) -> Option<&'w Path> {
    match &wanted.volume {
        None => Some(&wanted.config.backup.dir),
        Some(Volume::HostPath(path)) => Some(path),
        Some(Volume::Claim(_)) => None,
    }
}

/// A path as a word of a command; `DIR` where it could not be read in one line.
fn word(path: &Path) -> String {
    let is_plain = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    match path.to_str() {
        Some(path) if path.chars().all(is_plain) => shell::quoted(path),
        _ => "DIR".to_owned(),
    }
}

/// Where the files are to be found. No path stands in a comment as it is given.
fn place(wanted: &Wanted<'_>) -> String {
    match &wanted.volume {
        None => quoted(&wanted.config.backup.dir.display().to_string()),
        Some(Volume::HostPath(path)) => quoted(&path.display().to_string()),
        Some(Volume::Claim(name)) => format!("the claim {name}"),
    }
}
