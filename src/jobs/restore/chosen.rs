//! The snapshot that is restored: found, proven, and held to what the catalog says of it.

use std::path::Path;

use jiff::Timestamp;

use super::bump::{self, Bump, Sighting, Witness};
use super::choice::Candidate;
use super::{Ahead, Pick, Progress, Run};
use crate::catalog::Manifest;
use crate::config::Config;
use crate::error::{Error, Refusal};
use crate::jobs::verify;
use crate::snapshot::{Damage, Trailer, Unproven, Verified};

/// A snapshot that was chosen, proven just now, and held to what the catalog says of it.
pub struct Chosen {
    pub(super) candidate: Candidate,
    now: Timestamp,
    pub(super) verified: Verified,
}

impl Chosen {
    /// Finds a snapshot, proves every byte of it, and compares it with its manifest.
    ///
    /// # Errors
    /// [`Error`], where it is not there, not sound, or not what was backed up.
    pub fn find(config: Option<&Config>, pick: &Pick, run: &Run<'_>) -> Result<Self, Error> {
        let mut candidate = Candidate::find(config, pick)?;
        let verified = prove(&candidate, pick, run)?;
        candidate.compare(verified.file_sha256(), verified.facts(), pick)?;
        Ok(Chosen {
            candidate,
            verified,
            now: run.now,
        })
    }

    /// The snapshot's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.candidate.path
    }

    /// What the catalog says of it, where it does.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.candidate.manifest.as_ref()
    }

    /// What the operator should know of the choice.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.candidate.warnings();
        warnings.extend(self.candidate.ahead_of(self.now));
        warnings.extend(self.verified.harm().map(|harm| {
            format!("{harm}; the other one was used, which may be the one before the last commit")
        }));
        warnings
    }

    /// What of the old cluster goes on in the new one, and would not be expected, where the revision
    /// moves by `bump` and alarms are left out or not.
    #[must_use]
    pub fn traps(&self, bump: u64, clear_alarms: bool) -> Vec<String> {
        let mut traps = Vec::new();
        let mut kinds = self.verified.facts().types.keys();
        if bump == 0 && kinds.any(|kind| kind.starts_with("/registry/")) {
            traps.push(
                "the revision was not moved ahead: Kubernetes' components that ran before the restore may take old data for \
                 new (--bump-revision auto moves it)"
                    .into(),
            );
        }
        let alarms = self.verified.sums().get(&b"alarm"[..]);
        if !clear_alarms && alarms.is_some_and(|alarms| alarms.entries > 0) {
            traps.push(
                "the old cluster's alarms go on: writes may be refused until etcdctl alarm disarm (--clear-alarms leaves \
                 them behind)"
                    .into(),
            );
        }
        traps
    }

    /// The proven database.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// How far its revision moves. `seen`: where the store is known to have been from elsewhere than
    /// the catalog, such as earlier restores ([`super::Earlier`]) or the etcd that is running.
    ///
    /// # Errors
    /// [`Refusal::TooFar`].
    pub fn bump(
        &self,
        ahead: Ahead,
        seen: &[Sighting],
        now: Timestamp,
    ) -> Result<Option<Bump>, Refusal> {
        let snapshot = Sighting {
            time: self.candidate.taken().unwrap_or(now),
            revision: self.verified.facts().kv_hash.revision,
            witness: Witness::Snapshot,
        };
        match ahead {
            Ahead::Stay | Ahead::By(0) => Ok(None),
            Ahead::By(by) => bump::given(snapshot.revision, by).map(Some),
            Ahead::Auto => {
                let seen = self.candidate.sightings().chain(seen.iter().cloned());
                let seen: Vec<_> = seen.collect();
                bump::reckon(&snapshot, &seen, now).map(Some)
            }
        }
    }
}

fn prove(candidate: &Candidate, pick: &Pick, run: &Run<'_>) -> Result<Verified, Error> {
    let failed = |source| Error::Read {
        path: candidate.path.clone(),
        source,
    };
    let file = candidate.file.try_clone().map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    (run.progress)(&Progress::Proving { size });
    let trailer = if pick.skip_hash_check && candidate.manifest.is_none() {
        Trailer::Waived
    } else {
        Trailer::Required
    };
    let unproven = match Verified::prove(file, trailer, &verify::scratch) {
        Ok(verified) => return Ok(verified),
        Err(Unproven::Database(Damage::Read(source))) => return Err(failed(source)),
        Err(unproven) => unproven,
    };
    // what the catalog holds was sound once
    if let Some(changed) = candidate.changed(unproven.to_string()) {
        return Err(changed.into());
    }
    let path = candidate.path.clone();
    Err(match unproven {
        Unproven::Trailer(source) => Refusal::Unproven { path, source }.into(),
        Unproven::Database(source) => Error::Unsound { path, source },
    })
}
