//! What people do themselves, before a restore in place and after it.

use std::path::Path;

use super::{Elsewhere, Journal, Places, Way, commands};
use crate::shell::quoted;
use crate::snapshot::Member;

/// The manifest of the API server, as kubeadm calls it.
const API_SERVER: &str = "kube-apiserver.yaml";
const KUBELETS: &str = "Restart the kubelet on every node, workers too: systemctl restart kubelet. \
     Pods that the data does not know would go on running.";
const CONTROLLERS: &str = "Restart kube-proxy, the network plugin and every controller";

/// Before: what must not go on meanwhile, and how several hosts become one cluster.
pub(super) fn before(size: usize, left_out: &[Member], kubernetes: &Path) -> Vec<String> {
    let mut before = Vec::new();
    let left_out: Vec<&str> = left_out.iter().map(|member| member.name.as_str()).collect();
    if !left_out.is_empty() {
        before.push(format!(
            "Stop {} first, on each of these hosts: {}. They would go on as a cluster of their own, \
             with the old data.",
            left_out.join(" and "),
            commands::out_of_sight(Some(kubernetes), &[API_SERVER, "etcd.yaml"])
        ));
    }
    if size > 1 {
        before.push(format!(
            "Stop the API servers of all hosts, on each of them: {}. One whose member is not stopped \
             yet would answer from its cache with the old data.",
            commands::out_of_sight(Some(kubernetes), &[API_SERVER])
        ));
        before.push(format!(
            "Run all of the commands below, one host right after the other. Each stops its own host's \
             control plane, and brings it back when {} of the {size} restored members run.",
            size / 2 + 1
        ));
    }
    before
}

impl Journal {
    /// What is left to people once the data is in place.
    #[must_use]
    pub fn after(&self) -> Vec<String> {
        let how = (self.expected.members, self.goal.bump_revision);
        match self.way {
            Way::Forward => after(&self.places, self.had_data, how, &self.elsewhere),
            // the old data never left
            Way::Back if !self.has_exchanged_data() => Vec::new(),
            Way::Back => after_return(&self.places, how.0),
        }
    }
}

/// After a restore of so many members, by such a bump.
pub(super) fn after(
    places: &Places,
    had_data: bool,
    (size, bump): (usize, u64),
    elsewhere: &Elsewhere,
) -> Vec<String> {
    let mut after = back_in_sight(places, size);
    after.push(KUBELETS.to_owned());
    if bump == 0 {
        after.push(format!(
            "{CONTROLLERS}: without a bump their caches take old revisions for new ones."
        ));
    }
    after.push(
        "Look for what the snapshot does not know: nodes that joined later, and volumes, load \
         balancers and certificates that were made later."
            .into(),
    );
    if had_data {
        after.push(format!(
            "Where it was the wrong backup: hypercloud-etcd restore --rollback{}. When all is well, \
             remove the old data: rm -r {}",
            commands::flags(places.kubernetes(), elsewhere),
            quoted(&places.aside.to_string_lossy())
        ));
    }
    after
}

fn after_return(places: &Places, size: usize) -> Vec<String> {
    let mut after = back_in_sight(places, size);
    after.push(KUBELETS.to_owned());
    after.push(format!(
        "{CONTROLLERS}: the revision went back, and their caches take old revisions for new ones."
    ));
    after.push(format!(
        "When all is well, remove the data that was returned from: rm -r {}",
        quoted(&places.undone.to_string_lossy())
    ));
    after
}

/// What people have stopped beforehand.
fn back_in_sight(places: &Places, size: usize) -> Vec<String> {
    let command = || commands::back_in_sight(places.kubernetes(), API_SERVER);
    let several = (size > 1).then(|| {
        format!(
            "When all hosts are done, start their API servers again, on each: {}",
            command()
        )
    });
    several.into_iter().collect()
}
