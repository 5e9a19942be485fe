//! What the etcds that run now say of the plan: the one on this host, and those that it leaves out.

use std::time::Duration;

use crate::catalog::Summary;
use crate::config::Config;
use crate::etcd::{Client, Endpoint, MemberStatus, Settings};
use crate::jobs;
use crate::recovery::{JournalFile, Plan};

/// How long one of them may take: those that are to be replaced often do not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Adds to a plan what those say that answer: this host's own, and the others. None has to.
pub(super) async fn look(config: &Config, plan: &mut Plan, own: Option<MemberStatus>) {
    if let (Some(own), Some(backup)) = (own, &plan.source.cluster_id) {
        let now = format!("{:x}", own.cluster_id);
        if now != *backup {
            let (why, is_known) = match succession(config, plan, &now) {
                Some(why) => (why, true),
                None => ("nothing here tells that the one came of the other", false),
            };
            plan.warnings.push(format!(
                "etcd runs here as cluster {now}, and the backup is of cluster {backup}: {why}"
            ));
            plan.other_cluster = (!is_known).then_some(now);
        }
    }
    for member in plan.left_out.clone() {
        for url in &member.client_urls {
            if status(config, url).await.is_some() {
                plan.still_serving.push(member.name.clone());
                break;
            }
        }
    }
}

/// How it is known that the cluster that runs here came of the one that was backed up.
fn succession(config: &Config, plan: &Plan, now: &str) -> Option<&'static str> {
    let made = JournalFile::of(plan.places.kubernetes()).clusters();
    if made.contains(now) {
        return Some("it was restored on this host since then");
    }
    let ca = plan.source.ca.as_ref()?;
    let backups = jobs::look::present(config).ok()?.backups;
    let is_of_one_ca = |backup: &Summary| backup.ca.is_some_and(|known| known.to_string() == *ca);
    let mut own = backups.iter().filter(|it| it.source.cluster_id == now);
    own.any(is_of_one_ca)
        .then_some("backups of both were made under the same CA")
}

/// What the member at `url` says of itself, if it answers.
pub(super) async fn status(config: &Config, url: &str) -> Option<MemberStatus> {
    let settings = Settings {
        connect_timeout: config.etcd.connect_timeout.min(PATIENCE),
        ..config.etcd.clone()
    };
    let endpoint = Endpoint::parse(url).ok()?;
    let mut client = Client::connect(&settings, &endpoint).await.ok()?;
    client.status().await.ok()
}
