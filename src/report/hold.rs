//! What suspect backups hold, and how that ends.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::Serialize;

use super::text;
use crate::catalog::{BackupId, Listing, Summary};

/// Suspect backups that keep anything from being pruned, until somebody accepts the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// When the first of them began.
    pub since: Timestamp,
    /// Their ids, newest first.
    pub backups: Vec<BackupId>,
    /// What is suspicious about the newest.
    pub suspicions: Vec<String>,
    /// Why the newest cannot be accepted any more.
    #[serde(skip)]
    hindrance: Option<&'static str>,
}

impl Hold {
    pub(super) fn of(listing: &Listing<Summary>) -> Option<Self> {
        let all = listing.backups.iter().chain(&listing.lost);
        let mut held: Vec<&Summary> = all.filter(|backup| backup.is_held()).collect();
        held.sort_by_key(|backup| Reverse((backup.started, &backup.id)));
        let (newest, oldest) = (held.first()?, held.last()?);
        Some(Hold {
            since: oldest.started,
            backups: held.iter().map(|backup| backup.id.clone()).collect(),
            suspicions: newest.suspicions.clone(),
            hindrance: if listing.lost.iter().any(|backup| backup.id == newest.id) {
                Some("its snapshot is lost")
            } else if newest.is_sound() {
                None
            } else {
                Some("this one no longer stands up to its proof")
            },
        })
    }

    pub(super) fn sentence(&self) -> String {
        let count = text::counted(self.backups.len(), "backup is", "backups are");
        let newest = self.backups.first().map(ToString::to_string);
        let newest = newest.unwrap_or_default();
        let ending = match self.hindrance {
            Some(why) => format!("a later one is accepted, for {why}: hypercloud-etcd accept ID"),
            None => format!("it is accepted: hypercloud-etcd accept {newest}"),
        };
        format!(
            "{count} suspect, the newest of them {newest}: {}; nothing is pruned until {ending}",
            self.suspicions.join("; ")
        )
    }
}
