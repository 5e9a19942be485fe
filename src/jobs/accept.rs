//! Accepts what the cluster has become: ends the hold of a suspect backup, and of those before it.

use jiff::Timestamp;

use super::lock;
use crate::catalog::{BackupId, Catalog, Manifest, Selector, Summary};
use crate::config::Config;
use crate::error::Error;
use crate::store::Directory;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The backup, as its manifest says it now.
    pub backup: Manifest,
    /// Earlier suspect backups that hold nothing any more.
    pub released: Vec<BackupId>,
    /// Later ones that still do.
    pub still_held: Vec<BackupId>,
    /// Whether there was anything to accept.
    pub changed: bool,
}

/// Accepts a backup: it is good from now on, and what the next ones are compared with. Suspect
/// backups before it hold nothing any more, but stay suspect: what they showed is over, or stands in
/// the accepted one. A backup that is not suspect can be accepted, too, where all is well again.
///
/// # Errors
/// [`Error::NotSound`] where it is not proven; else where no single backup fits, another job holds
/// the lock, or a manifest cannot be written.
pub fn accept(config: &Config, selector: &Selector, now: Timestamp) -> Result<Acceptance, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let _lock = lock(&directory, "accept", now)?;
    let catalog = Catalog::of(&directory);
    let mut backup = catalog.find(selector)?;
    if !backup.is_sound() {
        return Err(Error::NotSound(backup.id.to_string()));
    }
    // nobody can vouch for what is not there
    catalog.data(&backup)?;
    let place = (backup.started, backup.id.clone());
    let all = catalog.summaries()?.backups;
    let before = last_of_this_cluster(&backup, &all).cloned();
    let held = all
        .into_iter()
        .filter(|other| other.is_held() && other.id != backup.id);
    let (later, earlier): (Vec<Summary>, Vec<Summary>) =
        held.partition(|other| (other.started, &other.id) > (place.0, &place.1));
    let changed = backup.is_suspect() || !earlier.is_empty();
    // the one that is accepted comes last: until then the hold stands, and this can be done again
    let released = release(catalog, earlier, now)?;
    if backup.is_suspect() {
        if let Some(before) = before {
            backup.succeed(&before.source.cluster_id, &before.succeeds);
        }
        (backup.accepted, backup.released) = (Some(now), None);
        catalog.amend(&backup)?;
    }
    Ok(Acceptance {
        backup,
        released,
        still_held: later.into_iter().map(|backup| backup.id).collect(),
        changed,
    })
}

/// The good backup, of those sorted newest first, whose cluster this one goes on with: the newest of
/// its own id, or of any where that id is new. Another cluster's backup that was put beside ours is
/// not taken for our past.
fn last_of_this_cluster<'b>(backup: &Manifest, all: &'b [Summary]) -> Option<&'b Summary> {
    let place = (backup.started, &backup.id);
    let earlier = || {
        let all = all.iter();
        all.filter(move |other| other.is_good() && (other.started, &other.id) < place)
    };
    let own = &backup.source.cluster_id;
    let of_own_id = earlier().find(|other| other.source.cluster_id == *own);
    of_own_id.or_else(|| earlier().next())
}

/// Ends what these hold. One whose manifest is damaged cannot say so, and stands in no other's way.
fn release(
    catalog: Catalog<'_>,
    held: Vec<Summary>,
    now: Timestamp,
) -> Result<Vec<BackupId>, Error> {
    let mut released = Vec::new();
    for Summary { id, .. } in held {
        match catalog.read(&id) {
            Ok(mut backup) => {
                backup.released = Some(now);
                catalog.amend(&backup)?;
                released.push(id);
            }
            Err(error) => tracing::warn!(
                "backup {id} goes on holding until its manifest is mended, or removed by hand: {}",
                Error::from(error).in_a_line()
            ),
        }
    }
    Ok(released)
}
