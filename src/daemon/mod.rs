//! What the unit runs: waits for the next tick, a signal or the watchdog's beat, runs the job,
//! and tells how it went to systemd, to the journal and to `state.json`.
//!
//! When to run is decided in `plan`, which knows no clock. The wall clock is looked at again at
//! every beat, so a clock that jumps, or a host that slept, is noticed within a minute.

mod attempt;
mod plan;
mod prover;
mod record;
mod rounds;
mod signals;
mod story;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::catalog::Memory;
use crate::config::{self, Config, Severity};
use crate::error::Error;
use crate::jobs::look;
use crate::jobs::manifests::KUBERNETES_DIR;
use crate::report::state::{State, StateFile, Trouble};
use crate::report::systemd::Systemd;
use crate::report::{Status, event};
use crate::schedule;
use plan::{Plan, Step, Timetable};
use prover::{Done, Prover};
use rounds::Rounds;
use signals::{Signal, Signals};
use story::Story;

/// How long a look at the backups may take; a file system that hangs must not stop the daemon.
const LOOK: Duration = Duration::from_secs(10);

/// What comes from outside.
pub struct Setup<'s> {
    /// The configuration to begin with; its path is read again on SIGHUP.
    pub config: Config,
    /// This host's name, which spreads a fleet's runs.
    pub host: String,
    /// What is remembered over a restart.
    pub state: StateFile,
    /// The service manager.
    pub systemd: Systemd,
    /// The time.
    pub clock: &'s dyn Fn() -> Timestamp,
}

/// Runs until SIGTERM or SIGINT. A failing backup does not end it, nor does a bad configuration
/// on SIGHUP.
///
/// # Errors
/// Only where signals cannot be had.
pub async fn run(setup: Setup<'_>) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let mut daemon = Daemon::begin(setup);
    daemon.look().await;
    daemon.hail();
    loop {
        match daemon.plan.step((daemon.clock)()) {
            Step::Wait(until) => {
                daemon.prove_on();
                match daemon.wait(until, &mut signals).await {
                    Woken::Asked(Signal::Stop) => break,
                    Woken::Asked(Signal::Reload) => daemon.reload(),
                    Woken::InTime => daemon.look().await,
                    Woken::Proved(done) => {
                        if daemon.proved(*done) {
                            daemon.look().await;
                        }
                    }
                }
            }
            Step::Attempt {
                tick,
                trigger,
                number,
            } => {
                daemon.prover.pause(true);
                let flow = attempt::make(&mut daemon, &mut signals, (tick, trigger, number)).await;
                daemon.prover.pause(false);
                if flow == ControlFlow::Break(()) {
                    break;
                }
                daemon.look().await;
            }
            Step::Missed(ticks) => daemon.missed(ticks),
            Step::ClockSetBack(by) => daemon.clock_was_set_back(by),
        }
        daemon.systemd.alive(&daemon.story());
    }
    daemon.prover.stop();
    daemon.systemd.stopping("stopping");
    tracing::info!(message_id = event::DAEMON, "stopped");
    Ok(())
}

/// What is wrong with a configuration, in a line.
#[must_use]
pub fn refusal(error: &config::Error) -> String {
    let config::Error::Problems { problems, .. } = error else {
        return error.to_string();
    };
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(ToString::to_string);
    format!("{error}: {}", errors.collect::<Vec<_>>().join("; "))
}

/// What ended a wait.
enum Woken {
    /// Its time, or the beat.
    InTime,
    /// A signal.
    Asked(Signal),
    /// A stored backup is proven, or that work failed.
    Proved(Box<Result<Done, String>>),
}

struct Daemon<'s> {
    config: Arc<Config>,
    zone: TimeZone,
    host: String,
    plan: Plan,
    state: State,
    file: StateFile,
    /// Whether the state could be written last time; told when that changes.
    remembers: bool,
    systemd: Systemd,
    clock: &'s dyn Fn() -> Timestamp,
    /// The backups, as they were when they were last looked at.
    seen: Result<Status, String>,
    /// What was read of them, so that no beat reads it again.
    memory: Arc<Mutex<Memory>>,
    /// Proves them again.
    prover: Prover,
    /// Why the configuration on disk is not the one in force.
    refused: Option<String>,
    /// The tick for which it was told that the lock is held.
    told_busy: Option<Timestamp>,
}

impl<'s> Daemon<'s> {
    fn begin(setup: Setup<'s>) -> Self {
        let now = (setup.clock)();
        let (mut state, warning) = setup.state.read();
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        // without a memory, the newest backup tells what was run last
        let newest = || {
            let listing = look::list(&setup.config).ok()?;
            let newest = listing.backups.first()?;
            (newest.started < now).then_some(newest.started)
        };
        let settled = state.settled.or_else(newest).unwrap_or(now);
        let mut plan = Plan::new(timetable(&setup.config, &setup.host), settled);
        if let Some(begun) = state.open.take() {
            if begun.under_way {
                tracing::warn!(
                    message_id = event::ATTEMPT_FAILED,
                    trigger = %begun.trigger,
                    error_kind = "interrupted",
                    "the run planned for {:.0} was cut off in attempt {}, when this daemon or its host stopped",
                    begun.planned,
                    begun.attempts
                );
            }
            plan.resume(&begun, now);
        }
        Daemon {
            prover: Prover::new(Rounds::new(
                setup.config.reverify.clone(),
                state.reverify.as_ref(),
                now,
            )),
            zone: setup.config.schedule.zone().clone(),
            config: Arc::new(setup.config),
            host: setup.host,
            plan,
            state,
            file: setup.state,
            remembers: true,
            systemd: setup.systemd,
            clock: setup.clock,
            seen: Err("they were not looked at yet".into()),
            memory: Arc::default(),
            refused: None,
            told_busy: None,
        }
    }

    /// Says that the schedule is armed.
    fn hail(&mut self) {
        let story = self.story();
        self.systemd.ready(&story);
        self.remember();
        tracing::info!(
            message_id = event::DAEMON,
            "started with the schedule {} ({}): {story}",
            self.config.schedule.text(),
            self.config.schedule.timezone()
        );
        self.warn_of_schedule();
    }

    /// Waits until then, or a signal, or the next beat, or a proof to begin or to end.
    async fn wait(&mut self, until: Option<Timestamp>, signals: &mut Signals) -> Woken {
        let beat = self.systemd.beat();
        let until = until.into_iter().chain(self.prover.next_start()).min();
        let left = until.map(|until| until.duration_since((self.clock)()));
        let left = left.map_or(beat, |left| Duration::try_from(left).unwrap_or_default());
        tokio::select! {
            biased;
            signal = signals.next() => Woken::Asked(signal),
            done = self.prover.done() => Woken::Proved(Box::new(done)),
            () = tokio::time::sleep(left.min(beat)) => Woken::InTime,
        }
    }

    /// Looks at the backups, beside the loop.
    async fn look(&mut self) {
        let (config, now) = (Arc::clone(&self.config), (self.clock)());
        let memory = Arc::clone(&self.memory);
        let trouble = Trouble {
            // that runs fail is told with the next attempt
            failing: None,
            pruning: self.state.pruning.clone(),
        };
        let look = tokio::task::spawn_blocking(move || {
            // a look that hangs keeps the memory; the next one goes without
            let mut fresh = Memory::default();
            let mut known = memory.try_lock().ok();
            let known = known.as_deref_mut().unwrap_or(&mut fresh);
            look::status(&config, Path::new(KUBERNETES_DIR), now, known, trouble)
        });
        self.seen = match tokio::time::timeout(LOOK, look).await {
            Ok(Ok(Ok(status))) => Ok(status),
            Ok(Ok(Err(error))) => Err(error.in_a_line()),
            Ok(Err(panic)) => Err(panic.to_string()),
            Err(_) => {
                let dir = self.config.backup.dir.display();
                Err(format!("{dir} does not answer"))
            }
        };
        // somebody else's success ends a failure, too
        let newest = self.seen.as_ref().ok();
        let newest = newest.and_then(|status| status.newest_verified.as_ref());
        if let (Some(newest), Some(failing)) = (newest, &self.state.failing)
            && newest.finished > failing.last
        {
            self.state.failing = None;
        }
        if self.seen.as_ref().is_ok_and(|seen| seen.pruning.is_none()) {
            self.state.pruning = None;
        }
    }

    /// The line for `systemctl status`.
    fn story(&self) -> String {
        let again = self.plan.open().filter(|open| open.attempts > 0);
        Story {
            now: (self.clock)(),
            zone: &self.zone,
            status: &self.seen,
            failing: self.state.failing.as_ref(),
            again: again.map(|open| (open.attempts + 1, open.again)),
            next: self.plan.next_start(),
            proving: self.prover.rounds.progress(),
            refused: self.refused.as_deref(),
        }
        .line()
    }

    /// Reads the configuration anew; a bad one is refused and the old one goes on.
    fn reload(&mut self) {
        self.systemd.reloading("reading the configuration");
        let path = self.config.path.clone();
        match config::load(&path) {
            Ok(config) => {
                for problem in &config.warnings {
                    tracing::warn!("{}: {problem}", path.display());
                }
                let timetable = timetable(&config, &self.host);
                let now = (self.clock)();
                self.plan.change(timetable, now);
                self.prover.rounds.change(config.reverify.clone(), now);
                self.zone = config.schedule.zone().clone();
                self.config = Arc::new(config);
                self.refused = None;
                tracing::info!(
                    message_id = event::CONFIGURATION_LOADED,
                    "the configuration {} is in force: schedule {} ({})",
                    path.display(),
                    self.config.schedule.text(),
                    self.config.schedule.timezone()
                );
                self.warn_of_schedule();
            }
            Err(error) => {
                let why = refusal(&error);
                tracing::error!(
                    message_id = event::CONFIGURATION_REFUSED,
                    error_kind = "config",
                    "configuration refused, the old one goes on: {why}"
                );
                self.refused = Some(why);
            }
        }
        self.remember();
        self.systemd.ready(&self.story());
    }

    fn warn_of_schedule(&self) {
        for warning in self.config.schedule.warnings((self.clock)()) {
            tracing::warn!("{warning}");
        }
    }
}

fn timetable(config: &Config, host: &str) -> Timetable {
    let delay = schedule::jitter(config.jitter, host);
    Timetable {
        schedule: config.schedule.clone(),
        delay: SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO),
        catch_up: config.catch_up,
        host: host.into(),
    }
}
