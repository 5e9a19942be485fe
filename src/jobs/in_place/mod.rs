//! Restores a kubeadm host's etcd in place: builds the new data beside the old, stops the control
//! plane, exchanges the two, and brings everything back; or returns to the old data.
//!
//! Every step is in the journal before it is begun. What is interrupted at any instant is gone on
//! with, or undone, by the next call. Data that an etcd has run on is never removed.

mod course;
mod host;
mod look;
mod perform;
mod pods;
mod runtime;
mod wait;

use course::go;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::restore::{self, Ahead, Changes, Chosen, Earlier, Pick, Sighting, Witness};
use crate::config::{self, Config};
use crate::error::Error;
use crate::etcd::MemberStatus;
use crate::recovery::{self, Elsewhere, Journal, JournalFile, Plan, Source, Step, Way, Wish};
use crate::store::{Directory, Lock};

/// The kubelet's directory, unless it is told otherwise.
pub const KUBELET_DIR: &str = "/var/lib/kubelet";

/// What is restored, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// The snapshot.
    pub pick: Pick,
    /// Where Kubernetes has its files: `/etc/kubernetes`.
    pub kubernetes_dir: PathBuf,
    /// All members; those of the snapshot where it is not given.
    pub initial_cluster: Option<String>,
    /// What sets the new cluster apart from the old one; a fresh one where it is not given.
    pub token: Option<String>,
    /// How far the revision moves.
    pub ahead: Option<Ahead>,
    /// What becomes of the database beside its new members.
    pub changes: Changes,
}

/// What comes from outside: the time, what this host is, how long to wait, and who wants to know how
/// far it is.
pub struct Run<'r> {
    /// The time.
    pub clock: &'r dyn Fn() -> Timestamp,
    /// Where the kubelet has its files: they say where the container runtime listens.
    pub kubelet_dir: &'r Path,
    /// What this host calls itself.
    pub host_name: &'r str,
    /// How long the kubelet may take to stop or start something, and etcd to answer.
    pub wait: Duration,
    /// Told of every step.
    pub progress: &'r dyn Fn(&Progress),
    /// Whether somebody wants it to stop as soon as it can be gone on with or undone.
    pub interrupted: &'r dyn Fn() -> bool,
}

impl Run<'_> {
    fn require_undisturbed(&self) -> Result<(), Error> {
        if (self.interrupted)() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}

/// How far it is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A step has begun.
    Begun(Step),
    /// The snapshot is being proven or written.
    Restoring(restore::Progress),
    /// What a step waits for.
    Waiting(String),
    /// A step is done, after so long.
    Done(Step, Duration),
    /// Something went otherwise than it should, and does not stop the work.
    Warning(String),
}

/// Finds and proves the snapshot, looks at this host and at the etcds that run, and says what would
/// happen. Changes nothing.
///
/// # Errors
/// [`Error`], where the snapshot is not to be restored, or not to this host.
pub async fn plan(config: &Config, request: &Request, run: &Run<'_>) -> Result<Plan, Error> {
    JournalFile::of(&request.kubernetes_dir).last()?;
    let host = host::read(&request.kubernetes_dir)?;
    let own = look::status(config, &host.member.endpoint).await;
    let mut plan = draw(config, request, run, (&host, own.as_ref()))?;
    look::look(config, &mut plan, own).await;
    Ok(plan)
}

/// The plan, as far as the snapshot, this host's files and its own etcd tell it.
fn draw(
    config: &Config,
    request: &Request,
    run: &Run<'_>,
    (host, own): (&host::Found, Option<&MemberStatus>),
) -> Result<Plan, Error> {
    let now = (run.clock)();
    let chosen = Chosen::find(Some(config), &request.pick, &restoring(run, &told(run)))?;
    if !request.pick.allow_other_cluster {
        host.require_its_ca(&chosen)?;
    }
    let ahead = request.ahead.unwrap_or(Ahead::Auto);
    let mut earlier = Earlier::of(&request.kubernetes_dir);
    earlier.seen.extend(own.map(|own| Sighting {
        time: now,
        revision: u64::try_from(own.revision).unwrap_or(0),
        witness: Witness::Etcd,
    }));
    let bump = chosen.bump(ahead, &earlier.seen, now)?;
    let id = JournalFile::of(&request.kubernetes_dir).free_id(now);
    let wish = Wish {
        initial_cluster: request.initial_cluster.clone(),
        token: request.token.clone(),
        fresh_token: format!("etcd-{id}"),
        bump_is_given: ahead != Ahead::Auto,
        bump: bump.as_ref().map_or(0, |bump| bump.by),
        bump_reason: bump.map_or_else(|| "not at all, as asked for".into(), |bump| bump.reason),
        elsewhere: Elsewhere {
            config: unusual(&config.path, config::PATH),
            kubelet_dir: unusual(run.kubelet_dir, KUBELET_DIR),
        },
        options: request.pick.options(request.changes),
    };
    let facts = chosen.verified().facts();
    let source = Source {
        backup: chosen.manifest().map(|it| it.id.to_string()),
        file: fs::canonicalize(chosen.path()).unwrap_or_else(|_| chosen.path().into()),
        sha256: chosen.verified().file_sha256().to_string(),
        size: facts.total_size,
        revision: facts.revision.max(facts.compact_revision),
        // what etcd can be asked for
        keys: chosen.verified().inspection().served_keys,
        cluster_id: chosen.manifest().map(|it| it.source.cluster_id.clone()),
        ca: ca(&chosen),
        members: facts.members.clone(),
    };
    let mut plan = Plan::of(&host.member, source, &wish, &id)?;
    let traps = chosen.traps(wish.bump, request.changes.clear_alarms);
    for warnings in [
        host.warnings.clone(),
        chosen.warnings(),
        traps,
        earlier.warnings,
    ] {
        plan.warnings.extend(warnings);
    }
    host.require_fit(&plan, facts)?;
    Ok(plan)
}

/// The CA of the cluster that was backed up, by its fingerprint.
fn ca(chosen: &Chosen) -> Option<String> {
    let copies = chosen.manifest().and_then(|manifest| manifest.pki.as_ref());
    copies.map(|copies| copies.fingerprint.to_string())
}

/// What proving and building are told.
fn restoring<'r>(run: &Run<'_>, progress: &'r dyn Fn(&restore::Progress)) -> restore::Run<'r> {
    restore::Run {
        now: (run.clock)(),
        progress,
    }
}

fn told<'r>(run: &'r Run<'_>) -> impl Fn(&restore::Progress) + 'r {
    |progress| (run.progress)(&Progress::Restoring(*progress))
}

/// Does what the plan says.
///
/// # Errors
/// [`Error::Step`], after which the journal knows where to go on; any other, and nothing was changed.
pub async fn begin(config: &Config, plan: &Plan, run: &Run<'_>) -> Result<Journal, Error> {
    plan.require_ready()?;
    host::require_access(&config.etcd, &plan.expected.endpoint)?;
    let file = JournalFile::of(plan.places.kubernetes());
    make_private(file.directory())?;
    let _locks = Locks::take(config, &file, (run.clock)())?;
    let mut journal = plan.journal();
    file.last()?;
    host::require_room(&journal)?;
    journal.previous = file.keep_last()?;
    make_private(&journal.places.parked)?;
    file.write(&journal)?;
    go(config, &file, &mut journal, run).await?;
    Ok(journal)
}

/// Goes on with what was interrupted.
///
/// # Errors
/// Those of [`begin`]; [`recovery::Error::NoJournal`] and [`recovery::Error::Finished`].
pub async fn resume(config: &Config, kubernetes: &Path, run: &Run<'_>) -> Result<Journal, Error> {
    let (file, _locks, mut journal) = take_up(config, kubernetes, run)?;
    if journal.finished {
        return Err(journal.over().into());
    }
    journal.stop_again();
    go(config, &file, &mut journal, run).await?;
    Ok(journal)
}

/// Returns to the data from before, from wherever the restore was interrupted, or after its end.
///
/// # Errors
/// Those of [`resume`].
pub async fn rollback(config: &Config, kubernetes: &Path, run: &Run<'_>) -> Result<Journal, Error> {
    let (file, _locks, mut journal) = take_up(config, kubernetes, run)?;
    journal.turn_back(journal.places.aside.symlink_metadata().is_ok())?;
    journal.stop_again();
    go(config, &file, &mut journal, run).await?;
    Ok(journal)
}

/// What a [`rollback`] would undo.
///
/// # Errors
/// [`recovery::Error`], where there is nothing to return to.
pub fn to_undo(kubernetes: &Path) -> Result<Journal, Error> {
    let journal = journal(kubernetes)?;
    let is_aside = journal.places.aside.symlink_metadata().is_ok();
    journal.clone().turn_back(is_aside)?;
    Ok(journal)
}

/// What was begun here, as far as the journal knows.
///
/// # Errors
/// [`recovery::Error`].
fn journal(kubernetes: &Path) -> Result<Journal, Error> {
    let file = JournalFile::of(kubernetes);
    let path = file.path();
    Ok(file.read()?.ok_or(recovery::Error::NoJournal { path })?)
}

fn take_up(
    config: &Config,
    kubernetes: &Path,
    run: &Run<'_>,
) -> Result<(JournalFile, Locks, Journal), Error> {
    // before the lock: who looks for what is not there leaves nothing behind
    journal(kubernetes)?;
    let file = JournalFile::of(kubernetes);
    let locks = Locks::take(config, &file, (run.clock)())?;
    let journal = journal(kubernetes)?;
    Ok((file, locks, journal))
}

/// While a restore is under way, nobody else restores, and no backup is made or removed.
struct Locks {
    _restore: Lock,
    _backups: Option<Lock>,
}

impl Locks {
    fn take(config: &Config, file: &JournalFile, now: Timestamp) -> Result<Self, Error> {
        let (process, name) = (std::process::id(), env!("CARGO_PKG_NAME"));
        let holder = format!("process {process} ({name} restore), since {now:.0}");
        let restore = Lock::take(&Directory::open(file.directory())?, &holder)?;
        // a file can be restored where there is no backup directory
        let backups = match Directory::open(&config.backup.dir) {
            Ok(directory) => Some(Lock::take(&directory, &holder)?),
            Err(_) => None,
        };
        Ok(Locks {
            _restore: restore,
            _backups: backups,
        })
    }
}

/// A path that is the same from everywhere, where it is not the usual one.
fn unusual(path: &Path, usual: &str) -> Option<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    (path != Path::new(usual)).then_some(path)
}

fn make_private(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(Error::Create {
            path: path.into(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Whether this way is the one to the restored data.
fn is_forward(journal: &Journal) -> bool {
    journal.way == Way::Forward
}
