//! What is told of runs that did not happen, and what is remembered of all.

use jiff::{SignedDuration, Timestamp};

use super::Daemon;
use super::plan::Ticks;
use crate::catalog::Trigger;
use crate::report::state::{Begun, Came, Failing, Past};
use crate::report::{event, text};

impl Daemon<'_> {
    /// Runs that nothing was there for, and that are not made up for.
    pub(super) fn missed(&mut self, ticks: Ticks) {
        let reason = "nothing ran at that time and catch_up is off";
        self.passed_over(ticks, Came::Missed, reason);
    }

    /// Tells of ticks that are not run, and why.
    pub(super) fn passed_over(&mut self, ticks: Ticks, outcome: Came, reason: &str) {
        let word = match outcome {
            Came::Missed => "missed",
            _ => "skipped",
        };
        let which = if ticks.first == ticks.last {
            format!("the run planned for {:.0} was", ticks.last)
        } else {
            format!(
                "the runs planned from {:.0} to {:.0} were",
                ticks.first, ticks.last
            )
        };
        tracing::warn!(message_id = event::RUN_SKIPPED, "{which} {word}: {reason}");
        self.state.add(Past {
            planned: ticks.last,
            ended: (self.clock)(),
            outcome,
            backup: None,
            error: Some(reason.into()),
        });
        self.remember();
    }

    pub(super) fn clock_was_set_back(&mut self, by: SignedDuration) {
        tracing::warn!(
            "the clock was set back by {}: the schedule starts over from now",
            text::age(by)
        );
        self.remember();
    }

    /// Notes a failure that lasts.
    pub(super) fn fails(&mut self, tick: Timestamp, trigger: Trigger, error: String) {
        let last = (self.clock)();
        // a run that is made up for was planned long before anything failed
        let first = match trigger {
            Trigger::CatchUp => last,
            _ => tick,
        };
        let since = self.state.failing.take().map_or(first, |since| since.since);
        self.state.failing = Some(Failing { since, last, error });
    }

    /// Writes what has to survive a restart.
    pub(super) fn remember(&mut self) {
        self.state.backups = Some(self.config.backup.dir.clone());
        self.state.settled = Some(self.plan.settled());
        self.state.open = self.plan.open().map(|open| Begun {
            planned: open.tick,
            trigger: open.trigger,
            attempts: open.attempts,
            under_way: open.under_way,
        });
        self.state.reverify = Some(self.prover.rounds.remembered());
        match self.file.write(&self.state) {
            Ok(()) => self.remembers = true,
            Err(error) if self.remembers => {
                self.remembers = false;
                let path = self.file.path();
                tracing::warn!(
                    "{} cannot be written, so a restart will not know what was run: {error}",
                    path.display()
                );
            }
            Err(_) => {}
        }
    }
}
