//! What the etcds that run now say of the plan: the one on this host, and those that it leaves out.

use std::time::Duration;

use crate::config::Config;
use crate::etcd::{Client, Endpoint, MemberStatus, Settings};
use crate::recovery::Plan;

/// How long one of them may take: those that are to be replaced often do not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Adds to a plan what those say that answer. None has to.
pub async fn look(config: &Config, plan: &mut Plan) {
    let settings = Settings {
        connect_timeout: config.etcd.connect_timeout.min(PATIENCE),
        ..config.etcd.clone()
    };
    let own = status(&settings, &plan.expected.endpoint).await;
    if let (Some(own), Some(backup)) = (own, &plan.source.cluster_id) {
        let now = format!("{:x}", own.cluster_id);
        if now != *backup {
            plan.warnings.push(format!(
                "etcd runs here as cluster {now}, and the backup is of cluster {backup}: it was restored since then, or \
                 the backup is another cluster's"
            ));
        }
    }
    for member in plan.left_out.clone() {
        for url in &member.client_urls {
            if status(&settings, url).await.is_some() {
                plan.still_serving.push(member.name.clone());
                break;
            }
        }
    }
}

async fn status(settings: &Settings, url: &str) -> Option<MemberStatus> {
    let endpoint = Endpoint::parse(url).ok()?;
    let mut client = Client::connect(settings, &endpoint).await.ok()?;
    client.status().await.ok()
}
