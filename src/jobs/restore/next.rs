//! What is left to do after a restore to a directory: the other members, the owner, the start.

use std::path::Path;

use serde::Serialize;

use super::report::Made;
use super::seat::Host;
use super::{Chosen, Request};
use crate::datadir::{Member, PeerUrl, Recipe};
use crate::recovery;
use crate::shell::quoted;

/// Something to do, and the command for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What, and where.
    pub what: String,
    /// The command.
    pub command: String,
}

/// What is left to do: the other members, the owner, the start.
pub(super) fn next(
    (request, host): (&Request, &Host),
    chosen: &Chosen,
    recipe: &Recipe,
    made: &Made,
) -> Vec<Step> {
    let member = &made.taken.member;
    let others = recipe.membership.members().iter();
    let others = others.filter(|other| other.id != member.id);
    let mut steps: Vec<Step> = others
        .map(|other| Step {
            what: format!(
                "restore {} on its host, from a copy of the same file",
                other.name
            ),
            command: command_for(request, chosen, recipe, other),
        })
        .collect();
    steps.extend(
        match host.data_dir().filter(|_| request.wal_dir.is_none()) {
            Some(live) => exchange(request, &made.built.data_dir, live),
            None => start(request, &made.built.data_dir, member),
        },
    );
    steps
}

/// On a kubeadm host: etcd's data directory gives way, as its manifest has it.
fn exchange(request: &Request, new: &Path, live: &Path) -> Vec<Step> {
    let step = |what: &str, command: String| Step {
        what: what.into(),
        command,
    };
    let kubernetes = &request.kubernetes_dir;
    let [parked, manifest] =
        ["etcd.yaml", "manifests/etcd.yaml"].map(|it| text(&kubernetes.join(it)));
    if live == new {
        let what = "the kubelet starts etcd on it, where its manifest is in place; see it serve";
        return vec![step(what, "crictl ps --name etcd".into())];
    }
    let (new, live, old) = (text(new), text(live), format!("{}.before", live.display()));
    vec![
        step(
            "let etcd use it; restore --in-place does all that follows, and stops the control plane meanwhile. \
             By hand: give it to the owner of the data that etcd has now",
            format!("chown -R --reference={live} {new}"),
        ),
        step(
            "stop etcd, and wait until it is gone",
            format!("mv {manifest} {parked}"),
        ),
        step(
            "exchange the directories",
            format!("mv {live} {} && mv {new} {live}", quoted(&old)),
        ),
        step("start etcd", format!("mv {parked} {manifest}")),
    ]
}

/// Anywhere else: the owner, and the command that starts it.
fn start(request: &Request, data_dir: &Path, member: &Member) -> Vec<Step> {
    let data_dir = text(data_dir);
    let urls = joined(member);
    let wal = request
        .wal_dir
        .as_ref()
        .map_or_else(String::new, |wal| format!(" --wal-dir {}", text(wal)));
    vec![
        Step {
            what: "give the directory to the user that etcd runs as, if that is not its owner"
                .into(),
            command: format!("chown -R etcd:etcd {data_dir}"),
        },
        Step {
            what: "start etcd on it, with the flags that it had before".into(),
            command: format!(
                "etcd --name {} --data-dir {data_dir}{wal} --initial-advertise-peer-urls {urls} --listen-peer-urls {urls}",
                quoted(&member.name)
            ),
        },
    ]
}

/// The same restore for another member.
fn command_for(request: &Request, chosen: &Chosen, recipe: &Recipe, member: &Member) -> String {
    let mut words = vec![
        "hypercloud-etcd restore --file".to_owned(),
        text(&chosen.candidate.path),
        format!("--data-dir {}", text(&request.data_dir)),
    ];
    words.extend(
        request
            .wal_dir
            .iter()
            .map(|wal| format!("--wal-dir {}", text(wal))),
    );
    words.push(format!("--name {}", quoted(&member.name)));
    words.push(format!(
        "--initial-cluster {}",
        quoted(&recipe.membership.to_string())
    ));
    words.push(format!("--initial-advertise-peer-urls {}", joined(member)));
    // the members must agree, whatever the other host would reckon
    let token = recipe.membership.token();
    words.extend(recovery::shared(
        Some(token),
        Some(recipe.bump.unwrap_or(0)),
    ));
    let options = request.pick.options(request.changes);
    words.extend(options.flags().map(str::to_owned));
    words.join(" ")
}

fn joined(member: &Member) -> String {
    let urls: Vec<&str> = member.peer_urls.iter().map(PeerUrl::as_str).collect();
    quoted(&urls.join(","))
}

fn text(path: &Path) -> String {
    quoted(&path.display().to_string())
}
