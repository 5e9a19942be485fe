//! Looks at what there is: the backups, one of them, and whether they are as they should be.
//! Changes nothing and takes no lock.

use std::path::Path;

use jiff::Timestamp;

use crate::catalog::{Catalog, Listing, Manifest, Memory, Selector, Summary};
use crate::certificate;
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::pki;
use crate::recovery::{self, JournalFile};
use crate::report::state::Trouble;
use crate::report::{Status, View};
use crate::retention::Plan;
use crate::store::Directory;

/// All backups, newest first, with everything that is known of each; those without their snapshots
/// apart.
///
/// # Errors
/// Where the directory cannot be read.
pub fn manifests(config: &Config) -> Result<Listing, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    Ok(Catalog::of(&directory).list_present()?)
}

/// All backups, newest first; those without their snapshots apart.
///
/// # Errors
/// Where the directory cannot be read.
pub fn present(config: &Config) -> Result<Listing<Summary>, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    Ok(Catalog::of(&directory).present()?)
}

/// All backups, newest first, whether their snapshots are there or not.
///
/// # Errors
/// Where the directory cannot be read.
pub fn list(config: &Config) -> Result<Listing<Summary>, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    Ok(Catalog::of(&directory).summaries()?)
}

/// The backup that a selector names, and why its snapshot is lost where it is.
///
/// # Errors
/// Where none or several fit, or the directory cannot be read.
pub fn find(config: &Config, selector: &Selector) -> Result<(Manifest, Option<String>), Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let catalog = Catalog::of(&directory);
    let backup = catalog.find(selector)?;
    let lost = catalog.lost(&backup);
    Ok((backup, lost))
}

/// Whether the newest verified backup is fresh enough, and what else is wrong, as far as the daemon's
/// trouble is not over. What the memory holds is not read again. `kubernetes` is where Kubernetes has
/// its files on this host.
///
/// # Errors
/// Where the directory cannot be read.
pub fn status(
    config: &Config,
    kubernetes: &Path,
    now: Timestamp,
    memory: &mut Memory,
    mut trouble: Trouble,
) -> Result<Status, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let catalog = Catalog::of(&directory);
    let listing = catalog.present_again(memory)?;
    if trouble.pruning.is_some() && is_pruned(config, catalog, &listing, now)? {
        trouble.pruning = None;
    }
    let uses_tls = config
        .etcd
        .endpoints
        .iter()
        .any(crate::etcd::Endpoint::is_tls);
    let files = [&config.etcd.ca_file, &config.etcd.cert_file];
    let certificates =
        files
            .into_iter()
            .filter(|_| uses_tls)
            .flat_map(|file| match certificate::read(file) {
                Ok(found) => found
                    .into_iter()
                    .map(|certificate| (file.clone(), Ok(certificate)))
                    .collect(),
                Err(error) => vec![(file.clone(), Err(error.to_string()))],
            });
    // whether they can be read is told by the backups; only their end is told here
    let kept = pki::collect(&config.pki)
        .files
        .into_iter()
        .flat_map(|file| {
            let path = file.path;
            let found = file.certificates.into_iter();
            found.map(move |certificate| (path.clone(), Ok(certificate)))
        });
    Ok(Status::of(&View {
        unfinished: unfinished(kubernetes).map(|error| sentence(&error)),
        listing: &listing,
        schedule: &config.schedule,
        jitter: config.jitter,
        stale_after: config.report.stale_after,
        space: directory.space()?,
        certificates: certificates.chain(kept).collect(),
        trouble: &trouble,
        now,
    }))
}

/// The restore in place that is not finished on this host, where there is one: the control plane may
/// be stopped, and nobody may remember why.
#[must_use]
pub fn unfinished(kubernetes: &Path) -> Option<Error> {
    match JournalFile::of(kubernetes).last() {
        Err(error @ (recovery::Error::Unfinished { .. } | recovery::Error::Damaged { .. })) => {
            Some(error.into())
        }
        // who may not look at it is not told of it
        Ok(_) | Err(_) => None,
    }
}

/// The error of a backup, which knows why etcd is not there where that is a restore's doing.
#[must_use]
pub fn explained(error: Error, kubernetes: &Path) -> Error {
    if error.exit_code() != ExitCode::Unavailable {
        return error;
    }
    match unfinished(kubernetes) {
        Some(restore) => Error::Meanwhile {
            error: Box::new(error),
            restore: sentence(&restore),
        },
        None => error,
    }
}

fn sentence(error: &Error) -> String {
    let hint = error.hint().unwrap_or_default();
    format!("{}. {hint}", error.in_a_line())
}

/// Whether there is nothing left to remove, whoever has removed it.
fn is_pruned(
    config: &Config,
    catalog: Catalog<'_>,
    listing: &Listing<Summary>,
    now: Timestamp,
) -> Result<bool, Error> {
    let plan = Plan::make(&config.retention, &listing.backups, None, now).with_lost(&listing.lost);
    Ok(plan.removals().next().is_none() && catalog.removed()?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_restore_has_none_to_finish() {
        let dir = tempfile::tempdir().unwrap();
        assert!(unfinished(dir.path()).is_none());
        let error = explained(Error::Members(Vec::new()), dir.path());
        assert!(matches!(error, Error::Members(_)));
    }
}
