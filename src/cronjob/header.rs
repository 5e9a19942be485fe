//! The comments at the top: what a person wants to know who finds this file.

use std::fmt::Write as _;

use super::error::quoted;
use super::mount::Volume;
use super::{Error, Mode, Wanted, pod};

/// The comment block, which ends with an empty line.
pub(super) fn comments(wanted: &Wanted<'_>) -> Result<String, Error> {
    let mut text = introduction(wanted);
    text.push('\n');
    text.push_str(&commands(wanted));
    text.push('\n');
    text.push_str(&match wanted.mode {
        Mode::Etcdctl(_) => etcdctl(wanted)?,
        Mode::Native { .. } => native(wanted),
    });
    let is_claim = matches!(wanted.volume, Some(Volume::Claim(_)));
    if wanted.config.backup.require_mount && !is_claim {
        text.push_str(concat!(
            "\nrequire_mount: no pod can tell whether a disk is mounted on its node. Use a directory on that\n",
            "disk, not its mount point: where it is missing, the pod does not start.\n",
        ));
    }
    text.push_str(concat!(
        "\nspec.timeZone needs Kubernetes 1.25 or newer. On 1.21 to 1.24 delete that line: the\n",
        "schedule is then read in the time zone of the controller, which mostly is UTC.\n",
    ));
    let mut comments = String::new();
    for line in text.lines() {
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
         Rendered by: hypercloud-etcd render cronjob\n"
    )
}

fn commands(wanted: &Wanted<'_>) -> String {
    let Wanted {
        name, namespace, ..
    } = wanted;
    let kubectl = format!("kubectl -n {namespace}");
    let label = format!("app.kubernetes.io/instance={name}");
    format!(
        "  apply     kubectl apply -f FILE\n\
         \x20 run now   {kubectl} create job --from=cronjob/{name} {name}-by-hand\n\
         \x20 watch     {kubectl} get cronjobs,jobs,pods -l {label}\n\
         \x20 read      {kubectl} logs -l {label} --tail=-1 --prefix\n\
         \x20 pause     {kubectl} patch cronjob {name} -p '{{\"spec\":{{\"suspend\":true}}}}'\n\
         \x20 remove    {kubectl} delete cronjob {name}\n"
    )
}

fn etcdctl(wanted: &Wanted<'_>) -> Result<String, Error> {
    let config = wanted.config;
    let place = place(wanted);
    let mut text = format!(
        "Each run leaves a file of its own in {place}, called after its pod. The\n\
         number in the name is the minute of the run: date -d @$((NUMBER * 60))\n\n\
         The image of etcd holds etcdctl and no shell, so this does less than hypercloud-etcd does on\n\
         the host, or here with: render cronjob --mode native --tool-image IMAGE\n\
         - No backup is ever removed: look after the space of {place}.\n\
         - No backup is proven good: hypercloud-etcd verify --file FILE\n"
    );
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
         The ConfigMap holds no secret: keys and passwords stay files of the node, mounted from there.\n\
         The daemon on {node} would make the same backups again, one at a time. To leave them to this\n\
         CronJob, on that node: systemctl disable --now hypercloud-etcd\n"
    )
}

/// Where the files are to be found. No path stands in a comment as it is given.
fn place(wanted: &Wanted<'_>) -> String {
    match &wanted.volume {
        None => quoted(&wanted.config.backup.dir.display().to_string()),
        Some(Volume::HostPath(path)) => quoted(&path.display().to_string()),
        Some(Volume::Claim(name)) => format!("the claim {name}"),
    }
}
