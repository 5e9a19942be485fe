//! One attempt of a run: the backup under the eyes of the watchdog, an ear for signals, and what is
//! told of its end.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::Daemon;
use super::plan::{End, Ticks, Verdict};
use super::signals::{Signal, Signals};
use super::story::Pace;
use crate::catalog::{Manifest, Trigger};
use crate::error::{Error, ExitCode};
use crate::jobs::backup::{Progress, Run, backup};
use crate::jobs::prune;
use crate::report::state::{Came, Failing, Past};
use crate::report::{event, text};
use crate::store;

/// How often the progress is told, and the watchdog fed, during a backup.
const TELL: Duration = Duration::from_secs(1);
/// How long a backup may go on after it was asked to stop.
const GRACE: Duration = Duration::from_secs(30);
/// What systemd is asked to wait for, again and again, within [`GRACE`].
const EXTENSION: Duration = Duration::from_secs(10);
/// A backup that shows no sign of life for so long is no longer vouched for, and the watchdog ends
/// it. The longest silence of a healthy one is the walk over a large database on a slow disk.
const SILENCE: Duration = Duration::from_mins(30);

/// A run as the plan has it: its tick, its trigger and the attempt's number.
type Planned = (Timestamp, Trigger, u32);

/// Makes an attempt and tells how it ended. `Break`: the daemon is to stop.
pub(super) async fn make(
    daemon: &mut Daemon<'_>,
    signals: &mut Signals,
    planned: Planned,
) -> ControlFlow<()> {
    // written before it begins: a crash must not make it look as if it had never been
    daemon.remember();
    let began = Instant::now();
    let (result, flow) = watch(daemon, signals, planned.1).await;
    match result {
        Some(Ok(manifest)) => {
            daemon.made(planned, &manifest, began.elapsed());
            if flow == ControlFlow::Continue(()) {
                return prune(daemon, signals, &manifest).await;
            }
        }
        Some(Err(Error::Store(error @ store::Error::Locked { .. }))) => {
            daemon.found_busy(planned.0, &Error::Store(error));
        }
        Some(Err(error)) => daemon.failed(planned, &error, began.elapsed()),
        None => tracing::warn!(
            message_id = event::ATTEMPT_FAILED,
            trigger = %planned.1,
            error_kind = "interrupted",
            "the backup under way was given up to stop in time; nothing of it was kept, and the next start makes up for it"
        ),
    }
    flow
}

/// Runs the backup to its end, or until it has to stop (`None`).
async fn watch(
    daemon: &mut Daemon<'_>,
    signals: &mut Signals,
    trigger: Trigger,
) -> (Option<Result<Manifest, Error>>, ControlFlow<()>) {
    let config = Arc::clone(&daemon.config);
    let meter = RefCell::new(Meter::new());
    let progress = |progress: &Progress| meter.borrow_mut().note(progress);
    let run = Run {
        trigger,
        clock: daemon.clock,
        progress: &progress,
    };
    let mut job = Box::pin(backup(&config, &run));
    let mut second = tokio::time::interval(TELL);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop_by = None;
    loop {
        tokio::select! {
            biased;
            result = &mut job => {
                let flow = stop_by.map_or(ControlFlow::Continue(()), |_| ControlFlow::Break(()));
                return (Some(result), flow);
            }
            signal = signals.next() => match signal {
                Signal::Reload => daemon.reload(),
                Signal::Stop if stop_by.is_some() => return (None, ControlFlow::Break(())),
                Signal::Stop => {
                    tracing::info!("stopping: the backup under way has {} to finish", text::duration(GRACE.as_secs()));
                    stop_by = Some(Instant::now() + GRACE);
                    daemon.systemd.stopping("stopping: a backup is being finished");
                }
            },
            _ = second.tick() => {}
        }
        let meter = meter.borrow();
        let line = meter.pace().line();
        match stop_by {
            None if meter.is_alive() => daemon.systemd.alive(&line),
            None => daemon.systemd.status(&line),
            Some(by) => {
                let rest = by.saturating_duration_since(Instant::now());
                if rest.is_zero() || meter.pace().left().is_some_and(|left| left > rest) {
                    return (None, ControlFlow::Break(()));
                }
                daemon
                    .systemd
                    .extend_stop(EXTENSION, &format!("stopping: {line}"));
            }
        }
    }
}

/// Removes what the policy does not keep any more. A stop does not wait for the whole of it.
async fn prune(daemon: &mut Daemon<'_>, signals: &mut Signals, made: &Manifest) -> ControlFlow<()> {
    let (config, began) = (Arc::clone(&daemon.config), Instant::now());
    let mut job = Box::pin(prune::after(&config, made, (daemon.clock)()));
    let mut second = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            biased;
            result = &mut job => {
                daemon.pruned(result);
                return ControlFlow::Continue(());
            }
            signal = signals.next() => match signal {
                Signal::Reload => daemon.reload(),
                Signal::Stop => return ControlFlow::Break(()),
            },
            _ = second.tick() => {}
        }
        if began.elapsed() < SILENCE {
            daemon
                .systemd
                .alive("removing backups that the policy does not keep");
        }
    }
}

/// How far the backup is, and when it last showed life.
struct Meter {
    progress: Option<Progress>,
    /// When the first byte of this stream came, and how many came with it.
    first: (Instant, u64),
    last: Instant,
}

impl Meter {
    fn new() -> Self {
        let now = Instant::now();
        Meter {
            progress: None,
            first: (now, 0),
            last: now,
        }
    }

    fn note(&mut self, progress: &Progress) {
        self.last = Instant::now();
        let received = |progress: &Progress| match progress {
            Progress::Receiving { received, .. } => Some(*received),
            Progress::Proving { .. } => None,
        };
        // fewer bytes than before: another member is tried
        let before = self.progress.as_ref().and_then(received);
        if before.is_none_or(|before| received(progress).is_some_and(|now| now < before)) {
            self.first = (self.last, 0);
        }
        self.progress = Some(progress.clone());
    }

    fn is_alive(&self) -> bool {
        self.last.elapsed() < SILENCE
    }

    fn pace(&self) -> Pace {
        match &self.progress {
            None => Pace::Connecting,
            Some(Progress::Proving { size }) => Pace::Proving { size: *size },
            Some(Progress::Receiving {
                received,
                announced,
                ..
            }) => Pace::Receiving {
                received: *received,
                announced: *announced,
                elapsed: self.first.0.elapsed(),
            },
        }
    }
}

impl Daemon<'_> {
    /// There is a backup; whether it is a good one, its manifest says.
    fn made(&mut self, planned: Planned, manifest: &Manifest, took: Duration) {
        let (tick, trigger, _) = planned;
        let (size, revision) = (text::size(manifest.size), manifest.facts.revision);
        let (id, endpoint, bytes) = (&manifest.id, &manifest.source.endpoint, manifest.size);
        let duration_ms = millis(took);
        let mut past = Past {
            planned: tick,
            ended: (self.clock)(),
            outcome: Came::Verified,
            backup: Some(id.clone()),
            error: None,
        };
        if let Some(why) = manifest.doubt() {
            let error = format!("backup {id} was kept but is not verified: {why}");
            tracing::error!(
                message_id = event::BACKUP_FAILED, backup_id = %id, revision, bytes, duration_ms,
                endpoint = %endpoint, %trigger, error_kind = ExitCode::Verification.name(),
                "{error} ({trigger}, planned for {tick:.0})"
            );
            past.outcome = Came::Unverified;
            past.error = Some(error.clone());
            self.fails(tick, trigger, error);
        } else {
            self.state.failing = None;
            tracing::info!(
                message_id = event::BACKUP_DONE, backup_id = %id, revision, bytes, duration_ms,
                endpoint = %endpoint, %trigger,
                "backup {id} is verified: {size} at revision {revision} from {endpoint} in {} ({trigger}, planned for {tick:.0})",
                span(took)
            );
        }
        self.state.add(past);
        self.settle(tick);
    }

    /// What became of pruning, where it was the time for it.
    fn pruned(&mut self, result: Option<Result<(), String>>) {
        let now = (self.clock)();
        match result {
            None => return,
            Some(Ok(())) => self.state.pruning = None,
            Some(Err(error)) => {
                let before = self.state.pruning.as_ref();
                self.state.pruning = Some(Failing {
                    since: before.map_or(now, |before| before.since),
                    last: now,
                    error,
                });
            }
        }
        self.remember();
    }

    /// There is none.
    fn failed(&mut self, planned: Planned, error: &Error, took: Duration) {
        let (tick, trigger, number) = planned;
        let why = error.in_a_line();
        let (endpoint, error_kind) = (error.endpoint(), error.exit_code().name());
        let (endpoint, duration_ms) = (endpoint.as_deref(), millis(took));
        self.fails(tick, trigger, why.clone());
        let verdict = self.plan.ended(End::Failed, (self.clock)());
        if let Some(again) = verdict.again {
            tracing::warn!(
                message_id = event::ATTEMPT_FAILED, duration_ms, endpoint, %trigger, error_kind,
                "attempt {number} of the backup planned for {tick:.0} failed, the next is at {again:.0}: {why}"
            );
            self.remember();
            return;
        }
        let hint = error
            .hint()
            .map_or_else(String::new, |hint| format!(". {hint}"));
        tracing::error!(
            message_id = event::BACKUP_FAILED, duration_ms, endpoint, %trigger, error_kind,
            "the backup planned for {tick:.0} FAILED after {}: {why}{hint}",
            text::counted(usize::try_from(number).unwrap_or(usize::MAX), "attempt", "attempts")
        );
        self.state.add(Past {
            planned: tick,
            ended: (self.clock)(),
            outcome: Came::Failed,
            backup: None,
            error: Some(why),
        });
        self.after(verdict, tick);
    }

    /// Another job holds the lock: nothing failed, so it is waited for.
    fn found_busy(&mut self, tick: Timestamp, error: &Error) {
        let why = error.in_a_line();
        let verdict = self.plan.ended(End::Busy, (self.clock)());
        if verdict.again.is_some() {
            if self.told_busy.replace(tick) != Some(tick) {
                tracing::info!("the backup planned for {tick:.0} waits: {why}");
            }
            self.remember();
            return;
        }
        let this = Ticks {
            first: tick,
            last: tick,
        };
        self.passed_over(this, Came::Skipped, &why);
        self.after(verdict, tick);
    }

    /// Ends a run for which there is nothing more to do.
    fn settle(&mut self, tick: Timestamp) {
        let verdict = self.plan.ended(End::Settled, (self.clock)());
        self.after(verdict, tick);
    }

    fn after(&mut self, verdict: Verdict, tick: Timestamp) {
        if let Some(skipped) = verdict.skipped {
            let reason = format!("the run planned for {tick:.0} was still under way");
            self.passed_over(skipped, Came::Skipped, &reason);
        }
        self.remember();
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn span(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{} ms", took.as_millis()),
        seconds => text::duration(seconds),
    }
}
