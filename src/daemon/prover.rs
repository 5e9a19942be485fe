//! Proves the stored backups again, beside the schedule and behind it: one at a time, at half speed,
//! and not at all while a backup is made.
//!
//! What is read here does not hurry. The unit gives the daemon the idle class of the disk's
//! scheduler; where that means nothing, the pauses do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::Daemon;
use super::rounds::{Rounds, Task};
use crate::catalog::{BackupId, Outcome};
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::jobs::reverify::{self, Came, Due, Proven, Terms};
use crate::report::{event, text};
use crate::store::Place;

/// How long a pause may be, and how often a stop is looked for in it.
const NAP: Duration = Duration::from_millis(100);

/// What was done beside the loop.
pub(super) enum Done {
    /// The backups to prove.
    Listed(Result<Due, Error>),
    /// One that was proven.
    Proven(BackupId, Result<Came, Error>),
}

/// The rounds, and the work that is under way.
pub(super) struct Prover {
    pub(super) rounds: Rounds,
    /// The directory of the round under way.
    place: Option<Place>,
    work: Option<JoinHandle<Done>>,
    pace: Arc<Pace>,
}

/// How fast to read.
#[derive(Debug, Default)]
struct Pace {
    is_paused: AtomicBool,
    is_stopped: AtomicBool,
}

impl Pace {
    /// Rests for as long as was worked since, and while a backup is made; whether to go on.
    fn go_on(&self, worked: Duration) -> bool {
        let is_stopped = || self.is_stopped.load(Ordering::Relaxed);
        let mut left = worked;
        while !is_stopped() && (!left.is_zero() || self.is_paused.load(Ordering::Relaxed)) {
            let nap = if left.is_zero() { NAP } else { left.min(NAP) };
            thread::sleep(nap);
            left = left.saturating_sub(nap);
        }
        !is_stopped()
    }
}

impl Prover {
    pub(super) fn new(rounds: Rounds) -> Self {
        Prover {
            rounds,
            place: None,
            work: None,
            pace: Arc::default(),
        }
    }

    /// Lets the disk to a backup, or takes it back.
    pub(super) fn pause(&self, is_paused: bool) {
        self.pace.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// Gives up what is under way.
    pub(super) fn stop(&self) {
        self.pace.is_stopped.store(true, Ordering::Relaxed);
    }

    /// When there is something to do that is not under way.
    pub(super) fn next_start(&self) -> Option<Timestamp> {
        self.rounds.next_start().filter(|_| self.work.is_none())
    }

    /// What is under way, once it is done; else never.
    pub(super) async fn done(&mut self) -> Result<Done, String> {
        let Some(work) = &mut self.work else {
            return std::future::pending().await;
        };
        let done = work.await.map_err(|panic| panic.to_string());
        self.work = None;
        done
    }

    fn list(&mut self, config: Arc<Config>, proven_before: Timestamp, now: Timestamp) {
        self.work = Some(tokio::task::spawn_blocking(move || {
            Done::Listed(reverify::due(&config, proven_before, now))
        }));
    }

    fn prove(&mut self, config: Arc<Config>, id: BackupId, now: Timestamp) {
        let (pace, directory) = (Arc::clone(&self.pace), self.place);
        self.work = Some(tokio::task::spawn_blocking(move || {
            let since = std::cell::Cell::new(Instant::now());
            let go_on = || {
                let goes_on = pace.go_on(since.get().elapsed());
                since.set(Instant::now());
                goes_on
            };
            let terms = Terms {
                go_on: Some(&go_on),
                place: directory,
                // a backup under way may take long: its turn comes again
                lock_until: None,
            };
            let proven = if pace.go_on(Duration::ZERO) {
                reverify::prove_again(&config, &id, &terms, now)
            } else {
                Ok(Came::Gone)
            };
            Done::Proven(id, proven)
        }));
    }
}

impl Daemon<'_> {
    /// Begins the next proof, where one is due and none is under way.
    pub(super) fn prove_on(&mut self) {
        while self.prover.work.is_none() {
            let now = (self.clock)();
            let config = Arc::clone(&self.config);
            match self.prover.rounds.task(now) {
                Task::Nothing => return,
                Task::List(proven_before) => {
                    // written before it begins, so that a restart goes on with it
                    self.remember();
                    self.prover.list(config, proven_before, now);
                }
                Task::Prove(id) => self.prover.prove(config, id, now),
                Task::Tell(tally) => {
                    self.prover.place = None;
                    let all = text::counted(tally.proven, "stored backup", "stored backups");
                    tracing::info!(
                        message_id = event::PROVEN_AGAIN,
                        "proved {all} again: {}",
                        match tally.failed {
                            0 => "all is as it was".to_owned(),
                            failed => format!("{failed} FAILED"),
                        }
                    );
                    self.remember();
                }
            }
        }
    }

    /// Takes note of what was done; whether the backups look different now.
    pub(super) fn proved(&mut self, done: Result<Done, String>) -> bool {
        let now = (self.clock)();
        match done {
            Ok(Done::Listed(Ok(due))) => self.listed(due, now),
            Ok(Done::Listed(Err(error))) => self.unlisted(now, &error.in_a_line()),
            Ok(Done::Proven(id, Ok(Came::Proven(proven)))) if proven.is_locked_out() => {
                self.prover.rounds.put_off(&id, now);
            }
            Ok(Done::Proven(id, Ok(Came::Proven(proven)))) => {
                self.prover.rounds.proven(&id, Some(!has_failed(&proven)));
                return tell(&id, &proven);
            }
            Ok(Done::Proven(id, Ok(Came::Gone))) => self.prover.rounds.proven(&id, None),
            Ok(Done::Proven(_, Ok(Came::Elsewhere(why)))) => {
                let is_news = self.prover.rounds.lost(now);
                cannot_go_on(is_news, &why);
            }
            Ok(Done::Proven(id, Err(error))) => {
                tracing::warn!(
                    "backup {id} could not be proven again: {}",
                    error.in_a_line()
                );
                self.prover.rounds.proven(&id, None);
            }
            // no more is known than that it did not end well: the next one, or later
            Err(panic) => {
                self.unlisted(now, &panic);
                self.prover.rounds.pass_over();
            }
        }
        false
    }

    /// Begins with these, or goes on with them. Where a disk is not mounted its mount point is a
    /// directory, too, and an empty one ends no round.
    fn listed(&mut self, due: Due, now: Timestamp) {
        let is_another = self.prover.place.is_some_and(|place| place != due.place);
        if is_another && due.is_deserted {
            let dir = self.config.backup.dir.display();
            let why =
                format!("{dir} is another directory than when this began, and holds no backup");
            self.unlisted(now, &why);
            return;
        }
        self.prover.place = Some(due.place);
        self.prover.rounds.listed(due.ids);
    }

    fn unlisted(&mut self, now: Timestamp, why: &str) {
        let is_news = self.prover.rounds.unlisted(now);
        cannot_go_on(is_news, why);
    }
}

fn cannot_go_on(is_news: bool, why: &str) {
    if is_news {
        tracing::warn!("the stored backups cannot be proven again yet: {why}");
    }
}

fn has_failed(proven: &Proven) -> bool {
    proven.verdict.snapshot == Some(Outcome::Failed)
}

/// Says what nobody must miss; whether there was anything.
fn tell(id: &BackupId, proven: &Proven) -> bool {
    let found = proven.verdict.found.join("; ");
    if has_failed(proven) {
        tracing::error!(
            message_id = event::BACKUP_DECAYED, backup_id = %id,
            error_kind = ExitCode::Verification.name(),
            "backup {id} no longer stands up to its proof: {found}"
        );
    } else if !found.is_empty() {
        tracing::warn!("backup {id} was proven again and needs a look: {found}");
    }
    if let Some(error) = &proven.unrecorded {
        let why = error.in_a_line();
        tracing::warn!("that backup {id} was proven again is not written down: {why}");
    }
    !found.is_empty()
}
