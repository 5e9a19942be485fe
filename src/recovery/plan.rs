//! What a restore in place would do here, and what is left to people: reckoned from what this host
//! and the snapshot say, and from nothing else.

use std::path::PathBuf;

use serde::Serialize;

use super::around::{after, before};
use super::{Elsewhere, Error, Expected, Goal, Journal, Options, Places, Pod, Step, commands};
use crate::datadir::{Membership, PeerUrl};
use crate::shell::quoted;
use crate::snapshot::Member;

/// What this host says of its member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Where its kubeadm files are.
    pub kubernetes: PathBuf,
    /// The member's name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where it is asked from here.
    pub endpoint: String,
    /// Its data directory, on the host.
    pub data_dir: PathBuf,
    /// The data directory is a mount point, and only what is in it can be moved.
    pub is_mount_point: bool,
    /// Whether there is data now.
    pub has_data: bool,
    /// The static pods that are stopped.
    pub pods: Vec<Pod>,
}

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The backup's id, where it is one.
    pub backup: Option<String>,
    /// The file.
    pub file: PathBuf,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// The store's revision.
    pub revision: u64,
    /// Living keys at that revision.
    pub keys: u64,
    /// The cluster that it was taken from, in hex, where that is known.
    pub cluster_id: Option<String>,
    /// The fingerprint of the CA that is kept beside it, where one is.
    #[serde(skip)]
    pub ca: Option<String>,
    /// The members, as the snapshot itself records them.
    #[serde(skip)]
    pub members: Vec<Member>,
}

/// What the operator wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// `--initial-cluster`; without it, the snapshot's own members.
    pub initial_cluster: Option<String>,
    /// `--initial-cluster-token`
    pub token: Option<String>,
    /// A token that nobody has used.
    pub fresh_token: String,
    /// Whether the bump was given as a number.
    pub bump_is_given: bool,
    /// How far the revision moves; 0: not at all.
    pub bump: u64,
    /// Why so far.
    pub bump_reason: String,
    /// What is not where it usually is.
    pub elsewhere: Elsewhere,
    /// The rest, which goes into the journal as it is.
    pub options: Options,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// When it was made: the last part of every name.
    pub id: String,
    /// What is restored.
    pub source: Source,
    /// How.
    pub goal: Goal,
    /// Why the revision moves so far.
    pub bump_reason: String,
    /// What etcd has to answer then.
    pub expected: Expected,
    /// This member's id, in hex.
    pub member_id: String,
    /// What is moved where.
    pub places: Places,
    /// The manifests that are moved out and back.
    #[serde(skip)]
    pub pods: Vec<Pod>,
    /// Whether there is data that is set aside.
    pub has_data: bool,
    /// The steps, in order.
    pub steps: Vec<Planned>,
    /// What people do before.
    pub before: Vec<String>,
    /// What is to be run on which host, this one first.
    pub hosts: Vec<Commands>,
    /// What people do after.
    pub after: Vec<String>,
    /// What people should know before they say yes.
    pub warnings: Vec<String>,
    /// Members of the snapshot that the new cluster does not have.
    #[serde(skip)]
    pub left_out: Vec<Member>,
    /// Those of them that were found to serve the old data still.
    pub still_serving: Vec<String>,
    /// The cluster that runs here, where nothing tells that it came of the backup's.
    #[serde(skip)]
    pub other_cluster: Option<String>,
    #[serde(skip)]
    elsewhere: Elsewhere,
    /// What every host has to be told alike, and was not.
    #[serde(skip)]
    unshared: Vec<String>,
}

/// A step and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The step.
    pub step: Step,
    /// It, in words.
    pub what: String,
}

/// What is run on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// The member on that host.
    pub member: String,
    /// Whether that is this host.
    pub here: bool,
    /// The commands, in order.
    pub commands: Vec<String>,
}

impl Plan {
    /// Makes the plan.
    ///
    /// # Errors
    /// [`Error::OtherHost`] where the snapshot, or the initial cluster that was given, has no member
    /// such as this host's; [`Error::Membership`] where the initial cluster cannot be used.
    pub fn of(host: &Host, source: Source, wish: &Wish, id: &str) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        let initial_cluster = match &wish.initial_cluster {
            Some(given) => given.clone(),
            None => from_members(&source.members, &mut warnings),
        };
        let token = wish.token.as_ref().unwrap_or(&wish.fresh_token);
        let membership = membership(host, &initial_cluster, token)?;
        let member = membership.member(&host.name).map_err(Error::Membership)?;
        let size = membership.members().len();
        let places = host.places(id);
        let goal = Goal {
            file: source.file.clone(),
            sha256: source.sha256.clone(),
            name: host.name.clone(),
            initial_cluster,
            initial_cluster_token: token.clone(),
            bump_revision: wish.bump,
            options: wish.options,
        };
        let left_out = left_out(&source.members, &membership);
        let expected = Expected {
            endpoint: host.endpoint.clone(),
            cluster_id: membership.cluster_id().to_string(),
            revision: source.revision.saturating_add(wish.bump),
            keys: source.keys,
            members: size,
        };
        Ok(Plan {
            id: id.into(),
            member_id: member.id.to_string(),
            steps: steps(&places, host, &expected),
            before: before(size, &left_out, &host.kubernetes),
            left_out,
            still_serving: Vec::new(),
            other_cluster: None,
            elsewhere: wish.elsewhere.clone(),
            hosts: hosts(
                host,
                &membership,
                &command(host, &source, &goal, wish),
                &goal,
            ),
            after: after(&places, host.has_data, (size, wish.bump), &wish.elsewhere),
            bump_reason: wish.bump_reason.clone(),
            unshared: wish.unshared(),
            pods: host.pods.clone(),
            has_data: host.has_data,
            source,
            goal,
            expected,
            places,
            warnings,
        })
    }

    /// Makes sure that the hosts of a cluster are told the same, and that there is no second cluster.
    ///
    /// # Errors
    /// [`Error::Apart`] where each would find a token or a bump of its own; [`Error::StillServing`];
    /// [`Error::OtherCluster`].
    pub fn require_ready(&self) -> Result<(), Error> {
        if let (Some(now), Some(backup)) = (&self.other_cluster, &self.source.cluster_id)
            && !self.goal.options.allow_other_cluster
        {
            let (now, backup) = (now.clone(), backup.clone());
            return Err(Error::OtherCluster { now, backup });
        }
        if !self.still_serving.is_empty() {
            return Err(Error::StillServing {
                members: self.still_serving.join(" and "),
            });
        }
        commands::require_agreement(self.expected.members, &self.unshared)
    }

    /// The journal of doing it.
    #[must_use]
    pub fn journal(&self) -> Journal {
        let (goal, places) = (self.goal.clone(), self.places.clone());
        let mut journal = Journal::new(self.id.clone(), goal, places, self.expected.clone());
        journal.pods.clone_from(&self.pods);
        journal.had_data = self.has_data;
        journal.warnings.clone_from(&self.warnings);
        journal.elsewhere.clone_from(&self.elsewhere);
        journal
    }
}

impl Host {
    fn places(&self, id: &str) -> Places {
        if self.is_mount_point {
            Places::within(&self.kubernetes, &self.data_dir, id)
        } else {
            Places::beside(&self.kubernetes, &self.data_dir, id)
        }
    }
}

impl Wish {
    /// What every host of a cluster has to be given alike, and was not.
    fn unshared(&self) -> Vec<String> {
        let token = self.token.is_none().then_some(&*self.fresh_token);
        commands::shared(token, (!self.bump_is_given).then_some(self.bump))
    }
}

/// `name=url` of every member that has started and votes.
fn from_members(members: &[Member], warnings: &mut Vec<String>) -> String {
    let mut parts = Vec::new();
    for member in members {
        let id = &member.id;
        if member.name.is_empty() {
            warnings.push(format!("member {id} never started, and is left out"));
        } else if member.is_learner {
            let name = &member.name;
            warnings.push(format!("{name} was a learner, and is left out"));
        } else {
            let urls = member.peer_urls.iter();
            parts.extend(urls.map(|url| format!("{}={url}", member.name)));
        }
    }
    parts.sort();
    parts.join(",")
}

/// The cluster, which has this host's member at this host's URLs.
fn membership(host: &Host, initial_cluster: &str, token: &str) -> Result<Membership, Error> {
    let other = || Error::OtherHost {
        name: host.name.clone(),
        urls: host.peer_urls.join(","),
        initial_cluster: initial_cluster.into(),
    };
    if initial_cluster.is_empty() {
        return Err(other());
    }
    let membership = Membership::parse(initial_cluster, token).map_err(Error::Membership)?;
    let member = membership.member(&host.name).map_err(|_| other())?;
    let mut urls: Vec<&str> = member.peer_urls.iter().map(PeerUrl::as_str).collect();
    let mut own: Vec<&str> = host.peer_urls.iter().map(String::as_str).collect();
    urls.sort_unstable();
    own.sort_unstable();
    if urls == own {
        Ok(membership)
    } else {
        Err(other())
    }
}

/// Members of the snapshot that the new cluster does not have.
fn left_out(members: &[Member], membership: &Membership) -> Vec<Member> {
    let missing = members
        .iter()
        .filter(|member| !member.name.is_empty() && membership.member(&member.name).is_err());
    missing.cloned().collect()
}

fn steps(places: &Places, host: &Host, expected: &Expected) -> Vec<Planned> {
    let (from, to) = (places.manifests.display(), places.parked.display());
    let names: Vec<&str> = host.pods.iter().map(|pod| pod.file.as_str()).collect();
    let (live, aside) = (places.live.display(), places.aside.display());
    let waiting = match expected.members {
        1 => String::new(),
        members => format!(", once {} of {members} members run", members / 2 + 1),
    };
    let what = |step: Step| match step {
        Step::Build => format!("build {} from the snapshot", places.staging.display()),
        Step::Park => format!("move {} from {from} to {to}", names.join(", ")),
        Step::SetAside => format!("move {live} to {aside}"),
        Step::SwapIn => format!("move {} to {live}", places.fresh.display()),
        Step::StartEtcd => format!("move etcd's manifest back to {from}"),
        Step::AwaitEtcd => format!(
            "wait until {} answers with revision {} and {} keys{waiting}",
            expected.endpoint, expected.revision, expected.keys
        ),
        Step::StartControlPlane => format!("move the other manifests back to {from}"),
        other => other.to_string(),
    };
    let planned = Step::FORWARD
        .into_iter()
        .filter(|step| host.has_data || *step != Step::SetAside);
    planned
        .map(|step| Planned {
            step,
            what: what(step),
        })
        .collect()
}

/// The command that does it. Several hosts are all told the same; where there is one, what it would
/// find by itself is left to it.
fn command(host: &Host, source: &Source, goal: &Goal, wish: &Wish) -> String {
    let is_alone = !goal.initial_cluster.contains(',');
    let what = match &source.backup {
        Some(id) if is_alone => id.clone(),
        _ => format!("--file {}", quoted(&goal.file.to_string_lossy())),
    };
    let mut words = vec![format!("hypercloud-etcd restore {what} --in-place")];
    let flags = commands::flags(&host.kubernetes, &wish.elsewhere);
    words.extend((!flags.is_empty()).then(|| flags.trim_start().to_owned()));
    if !is_alone || wish.initial_cluster.is_some() {
        words.push(format!(
            "--initial-cluster {}",
            quoted(&goal.initial_cluster)
        ));
    }
    words.extend(commands::shared(
        (!is_alone || wish.token.is_some()).then_some(&goal.initial_cluster_token),
        (!is_alone || wish.bump_is_given).then_some(goal.bump_revision),
    ));
    words.extend(goal.options.flags().map(str::to_owned));
    words.join(" ")
}

fn hosts(host: &Host, membership: &Membership, restore: &str, goal: &Goal) -> Vec<Commands> {
    let file = quoted(&goal.file.to_string_lossy());
    let mut others: Vec<_> = membership.members().iter().collect();
    others.retain(|member| member.name != host.name);
    others.sort_by(|one, other| one.name.cmp(&other.name));
    let copies = others.iter().map(|member| {
        let at = member
            .peer_urls
            .first()
            .map_or("", |url| host_of(url.as_str()));
        format!("scp {file} {at}:{file}")
    });
    let sum = format!("{}  {}", goal.sha256, goal.file.display());
    let check = format!("echo {} | sha256sum -c", quoted(&sum));
    let here = Commands {
        member: host.name.clone(),
        here: true,
        commands: copies.chain([restore.to_owned()]).collect(),
    };
    let elsewhere = others.iter().map(|member| Commands {
        member: member.name.clone(),
        here: false,
        commands: vec![check.clone(), restore.to_owned()],
    });
    [here].into_iter().chain(elsewhere).collect()
}

/// The host of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once(':').map_or(rest, |(host, _)| host)
}

#[cfg(test)]
mod tests;
