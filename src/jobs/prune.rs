//! Removes the backups that the policy does not keep: after a verified backup succeeded, or when
//! somebody asks for it.
//!
//! Each backup goes manifest first. What cannot be removed stays whole, is told, and is tried again
//! the next time; no backup fails because of it. With the last backup that names them, copies of a CA
//! go too.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde::Serialize;

use super::{blocking, lock};
use crate::catalog::{BackupId, Catalog, Manifest, Removed};
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::pki;
use crate::report::{event, text};
use crate::retention::{Coming, Decision, Plan};
use crate::store::{self, Directory};

/// What became, or would become, of each backup.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Each backup, newest first.
    pub backups: Vec<Fate>,
    /// Manifests that cannot be read, and backups that are not whole: they stay, and count for nothing
    /// but a hold.
    pub left_alone: Vec<String>,
    /// The copies of a CA that went with the last backup that named them.
    pub copies_removed: Vec<PathBuf>,
    /// What could not be removed, and why, a sentence each.
    pub problems: Vec<String>,
    /// What the first of them means for the exit code.
    #[serde(skip)]
    pub code: ExitCode,
}

/// What becomes of one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fate {
    /// The backup.
    pub id: BackupId,
    /// When it began.
    pub started: Timestamp,
    /// Bytes in the directory.
    pub size: u64,
    /// Whether the policy keeps it.
    pub keep: bool,
    /// Why.
    pub reason: String,
    /// Whether it is gone.
    pub removed: bool,
}

impl Fate {
    fn of(decision: &Decision<'_>) -> Self {
        let backup = decision.backup;
        Fate {
            id: backup.id.clone(),
            started: backup.started,
            size: backup.stored.size,
            keep: decision.keep,
            reason: decision.reason.clone().into_owned(),
            removed: false,
        }
    }
}

/// What a prune would do now; changes nothing and takes no lock.
///
/// # Errors
/// Where the directory cannot be read.
pub fn preview(config: &Config, now: Timestamp) -> Result<Pruned, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    plan(config, Catalog::of(&directory), now)
}

/// Removes what the policy does not keep, the oldest first.
///
/// # Errors
/// Where another job holds the lock or the directory cannot be read; a backup that cannot be removed
/// is told in [`Pruned::problems`].
pub fn prune(config: &Config, now: Timestamp) -> Result<Pruned, Error> {
    prune_until(config, now, None, &|| false)
}

/// Prunes after a backup, if that is a good one and still there. `None`: it was not the time for it;
/// else what went wrong, in a line. The journal has been told.
pub async fn after(config: &Config, made: &Manifest, now: Timestamp) -> Option<Result<(), String>> {
    if !made.is_good() {
        return None;
    }
    let stop = StopOnDrop::default();
    let (flag, config, id) = (Arc::clone(&stop.0), config.clone(), made.id.clone());
    let work =
        blocking(move || prune_until(&config, now, Some(&id), &|| flag.load(Ordering::Relaxed)));
    match work.await.and_then(|result| result) {
        Ok(pruned) if pruned.problems.is_empty() => Some(Ok(())),
        Ok(pruned) => Some(Err(pruned.problems.join("; "))),
        Err(Error::Store(error @ store::Error::Locked { .. })) => {
            let why = Error::from(error).in_a_line();
            tracing::info!("nothing is pruned until the next backup: {why}");
            None
        }
        Err(error) => {
            let why = format!("nothing could be pruned: {}", error.in_a_line());
            let error_kind = error.exit_code().name();
            tracing::error!(message_id = event::PRUNE_FAILED, error_kind, "{why}");
            Some(Err(why))
        }
    }
}

/// Ends the work at the next backup once nobody waits for it any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn plan(config: &Config, catalog: Catalog<'_>, now: Timestamp) -> Result<Pruned, Error> {
    let listing = catalog.present()?;
    let plan = Plan::make(&config.retention, &listing.backups, None, now).with_lost(&listing.lost);
    let is_held = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str);
        let mut held = listing.lost.iter().filter(|backup| backup.is_held());
        held.any(|backup| Some(&*backup.id.manifest_name()) == name)
    };
    let left_alone = listing.unreadable.iter().map(|(path, why)| {
        let worth = if is_held(path) {
            "it is suspect, and nothing is removed until a later one is accepted"
        } else {
            "it counts for nothing"
        };
        format!("{}: {why}; {worth}", path.display())
    });
    Ok(Pruned {
        dry_run: true,
        backups: plan.decisions.iter().map(Fate::of).collect(),
        left_alone: left_alone.collect(),
        copies_removed: Vec::new(),
        problems: Vec::new(),
        code: ExitCode::Done,
    })
}

fn prune_until(
    config: &Config,
    now: Timestamp,
    made: Option<&BackupId>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Pruned, Error> {
    let directory = Directory::open(&config.backup.dir)?;
    let _lock = lock(&directory, "prune", now)?;
    let catalog = Catalog::of(&directory);
    super::backup::remove_leftovers(catalog, &directory);
    let mut pruned = plan(config, catalog, now)?;
    if made.is_some_and(|made| pruned.backups.iter().all(|fate| fate.id != *made)) {
        // another disk may be mounted there by now, and its backups are not ours to judge
        return Err(Error::Store(directory.other_than_before()));
    }
    pruned.dry_run = false;
    let mut failures = Vec::new();
    for fate in pruned.backups.iter_mut().rev().filter(|fate| !fate.keep) {
        if is_stopped() {
            break;
        }
        match remove(catalog, fate) {
            Ok(()) => fate.removed = true,
            Err(error) => failures.push((format!("backup {}", fate.id), error)),
        }
    }
    failures.extend(remove_copies(config, &directory, &mut pruned));
    pruned.tell(&failures);
    Ok(pruned)
}

fn remove(catalog: Catalog<'_>, fate: &Fate) -> Result<(), Error> {
    catalog.remove(&fate.id)?;
    tracing::info!(
        message_id = event::PRUNED, backup_id = %fate.id, bytes = fate.size,
        "removed backup {} ({}): {}", fate.id, text::size(fate.size), fate.reason
    );
    Ok(())
}

/// Removes the copies of a CA that only removed backups have named, then what is left of these.
fn remove_copies(
    config: &Config,
    directory: &Directory,
    pruned: &mut Pruned,
) -> Vec<(String, Error)> {
    let catalog = Catalog::of(directory);
    let copies = |gone: &Removed| gone.manifest.as_ref().and_then(|gone| gone.pki.clone());
    let read = || {
        let gone = catalog.removed()?;
        let copies: Vec<pki::Copies> = gone.iter().filter_map(copies).collect();
        let named = if copies.is_empty() {
            Named::default()
        } else {
            Named::by_the_rest(catalog, &copies)?
        };
        Ok::<_, Error>((gone, named))
    };
    let (gone, named) = match read() {
        Ok((gone, _)) if gone.is_empty() => return Vec::new(),
        Ok(read) => read,
        Err(error) => return vec![("a copy of a CA".into(), error)],
    };
    let (unnamed, mut settled): (Vec<Removed>, Vec<Removed>) = gone
        .into_iter()
        .partition(|gone| copies(gone).is_some_and(|copies| !copies.are_named(&named.copies)));
    let mut failures = Vec::new();
    // what cannot be read may name any of them
    if !unnamed.is_empty() && named.is_all {
        let copies: Vec<pki::Copies> = unnamed.iter().filter_map(copies).collect();
        let forgotten = pki::forget(&copies, &named.copies, &config.pki, directory);
        if forgotten.stuck.is_empty() && !forgotten.is_postponed {
            settled.extend(unnamed);
        }
        let stuck = forgotten.stuck.into_iter().map(Error::from);
        failures.extend(stuck.map(|error| ("a copy of a CA".to_owned(), error)));
        tell_copies(&forgotten.removed);
        pruned.copies_removed = forgotten.removed;
    }
    for gone in settled {
        let ended = catalog.end_removal(&gone).err();
        failures.extend(ended.map(|error| (format!("the note on {}", gone.id), error.into())));
    }
    failures
}

/// Copies of a CA that backups name which are there.
#[derive(Default)]
struct Named {
    copies: Vec<pki::Copies>,
    /// Whether every manifest could be read that may name one.
    is_all: bool,
}

impl Named {
    /// As many as it takes to tell which of those that are `gone` are named by others, too: nearly
    /// always the newest backup names them all, and no other manifest is read.
    fn by_the_rest(catalog: Catalog<'_>, gone: &[pki::Copies]) -> Result<Self, Error> {
        let rest = catalog.summaries()?;
        let mut named = Named {
            copies: Vec::new(),
            is_all: rest.unreadable.is_empty(),
        };
        let of_these = |ca| gone.iter().any(|copies| copies.fingerprint == ca);
        for backup in rest.backups.iter().filter(|b| b.ca.is_some_and(of_these)) {
            if gone.iter().all(|copies| copies.are_named(&named.copies)) {
                break;
            }
            match catalog.read(&backup.id) {
                Ok(manifest) => named.copies.extend(manifest.pki),
                Err(_) => named.is_all = false,
            }
        }
        Ok(named)
    }
}

fn tell_copies(removed: &[PathBuf]) {
    for copy in removed {
        tracing::info!(
            message_id = event::PRUNED,
            "removed {}, which no backup names any more",
            copy.display()
        );
    }
}

impl Pruned {
    /// Notes what could not be removed, and tells the journal once.
    fn tell(&mut self, failures: &[(String, Error)]) {
        let Some((_, first)) = failures.first() else {
            return;
        };
        self.code = first.exit_code();
        self.problems = failures
            .iter()
            .map(|(what, error)| format!("{what} could not be removed: {}", error.in_a_line()))
            .collect();
        let more = match self.problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let hint = first
            .hint()
            .map_or_else(String::new, |hint| format!(". {hint}"));
        tracing::error!(
            message_id = event::PRUNE_FAILED,
            error_kind = self.code.name(),
            "{}{more}; it is tried again after the next backup{hint}",
            self.problems[0]
        );
    }
}

/// Makes room for a backup of so many bytes, where the policy would remove enough once it is there,
/// and never more than is needed. Without that nothing is touched. The caller holds the lock.
pub(super) fn make_room(config: &Config, directory: &Directory, needed: u64, now: Timestamp) {
    let catalog = Catalog::of(directory);
    let going = match room(config, directory, needed, now) {
        Ok(going) => going,
        Err(error) => {
            tracing::warn!("no room can be made: {}", error.in_a_line());
            return;
        }
    };
    for mut fate in going {
        fate.reason
            .push_str("; now, to make room for the next backup");
        if let Err(error) = remove(catalog, &fate) {
            tracing::error!(
                message_id = event::PRUNE_FAILED,
                error_kind = error.exit_code().name(),
                "backup {} could not be removed to make room: {}",
                fate.id,
                error.in_a_line()
            );
        }
    }
}

/// The newest backup that keeps anything from being removed.
pub(super) fn held(directory: &Directory) -> Option<String> {
    let backups = Catalog::of(directory).summaries().ok()?.backups;
    let held = backups.iter().find(|backup| backup.is_held());
    held.map(|backup| backup.id.to_string())
}

/// The backups that would go to make room, those that are not good first and the oldest first; none
/// where that would not be enough.
pub(super) fn room(
    config: &Config,
    directory: &Directory,
    needed: u64,
    now: Timestamp,
) -> Result<Vec<Fate>, Error> {
    let free = directory.space()?.free;
    let mut missing = needed
        .saturating_add(config.backup.reserve)
        .saturating_sub(free);
    let listing = Catalog::of(directory).present()?;
    let coming = Some(Coming { size: needed });
    let plan =
        Plan::make(&config.retention, &listing.backups, coming, now).with_lost(&listing.lost);
    let mut going = Vec::new();
    // what is not good is the smaller loss
    let (good, doubtful): (Vec<_>, Vec<_>) = plan
        .removals()
        .partition(|decision| decision.backup.is_good());
    for decision in doubtful.into_iter().chain(good) {
        if missing == 0 {
            break;
        }
        missing = missing.saturating_sub(decision.backup.stored.size);
        going.push(Fate::of(decision));
    }
    if missing > 0 {
        going.clear();
    }
    Ok(going)
}
