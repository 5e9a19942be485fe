//! Which backups are of this cluster, and which of another whose files lie in the same directory.
//!
//! A cluster is known by the id that etcd has given it and by its CA. Both change, a restore makes a
//! new id and a renewal a new CA, so this cluster is all that is linked with the newest good backup: a
//! backup that nobody doubts links the id with the CA that it names, and one that somebody has
//! accepted links its id with the one before.

use std::collections::HashSet;

use crate::catalog::Summary;
use crate::sha256::Sha256;

/// What a cluster is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name<'m> {
    Cluster(&'m str),
    Ca(Sha256),
}

/// All that this cluster is known by.
#[derive(Debug, Default)]
pub(super) struct Lineage<'m> {
    own: HashSet<Name<'m>>,
    /// What the last backup that was asked about is known by, and the answer.
    last: Option<(&'m str, Option<Sha256>, bool)>,
}

impl<'m> Lineage<'m> {
    /// That of the cluster of this backup, by what all of them say.
    pub(super) fn of(newest: &'m Summary, backups: &[&'m Summary]) -> Self {
        let mut links = HashSet::new();
        let mut last = None;
        for backup in backups {
            let says = (&backup.source.cluster_id, backup.ca, &backup.succeeds);
            // nearly all say the same as the one before them
            if !backup.verified || backup.is_suspect() || last.replace(says) == Some(says) {
                continue;
            }
            let cluster = Name::Cluster(&backup.source.cluster_id);
            links.extend(backup.ca.map(|ca| (cluster, Name::Ca(ca))));
            let before = backup.succeeds.iter().map(|id| Name::Cluster(id));
            links.extend(before.map(|before| (cluster, before)));
        }
        let mut own: HashSet<Name<'m>> = names(newest).collect();
        let mut known = 0;
        while known < own.len() {
            known = own.len();
            for (one, other) in &links {
                if own.contains(one) || own.contains(other) {
                    own.extend([*one, *other]);
                }
            }
        }
        Lineage { own, last: None }
    }

    /// Whether a backup is of this cluster.
    pub(super) fn has(&mut self, backup: &'m Summary) -> bool {
        let cluster = backup.source.cluster_id.as_str();
        match self.last {
            // nearly all are known by the same as the one before them
            Some((id, ca, is_own)) if (id, ca) == (cluster, backup.ca) => is_own,
            _ => {
                let is_own = names(backup).any(|name| self.own.contains(&name));
                self.last = Some((cluster, backup.ca, is_own));
                is_own
            }
        }
    }
}

fn names(backup: &Summary) -> impl Iterator<Item = Name<'_>> {
    let cluster = Name::Cluster(&backup.source.cluster_id);
    std::iter::once(cluster).chain(backup.ca.map(Name::Ca))
}
