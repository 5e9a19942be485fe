//! What to do now, and when to look again: the schedule, what is settled of it, and the time.
//!
//! Pure: the time is an argument. What is promised, whatever the clock does:
//! - no tick runs twice, and none is passed over without being told;
//! - ticks that were missed collapse into one run, ticks that pass during a run are skipped;
//! - a run that failed is tried again, ever more rarely, until shortly before the next tick;
//! - a clock that was wrong by far and is set right does not stop the schedule.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::catalog::Trigger;
use crate::report::state::Begun;
use crate::schedule::{self, Schedule};

/// A tick this late is still on time; a later one was missed.
const PUNCTUAL: SignedDuration = SignedDuration::from_mins(1);
/// How far the clock may be set back until it counts as having been wrong before: up to here no
/// tick runs twice, beyond it the schedule starts over. cron(8) draws the same line.
pub(super) const SET_BACK: SignedDuration = SignedDuration::from_hours(3);
/// The pause after the first failed attempt; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// How soon a lock that another job holds is tried again.
const LOCK_PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// The last attempt begins at least this long before the next tick, less where ticks are close.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// When runs are due: what the configuration says, and what is this host's own.
#[derive(Debug, Clone)]
pub(super) struct Timetable {
    pub(super) schedule: Schedule,
    /// How much later than the schedule says this host runs.
    pub(super) delay: SignedDuration,
    /// Whether a missed run is made up for.
    pub(super) catch_up: bool,
    /// Seeds the spread of the pauses between attempts.
    pub(super) host: String,
}

impl Timetable {
    /// The last tick after `settled` whose time has come.
    fn due(&self, settled: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.schedule.latest(settled, earlier(now, self.delay))
    }

    /// When the first tick after this one is run.
    fn start_after(&self, tick: Timestamp) -> Option<Timestamp> {
        self.schedule.next(tick).map(|next| later(next, self.delay))
    }

    /// Until when a run of this tick may begin another attempt.
    fn deadline(&self, tick: Timestamp) -> Timestamp {
        let next = self.start_after(tick).unwrap_or(Timestamp::MAX);
        let period = next.duration_since(later(tick, self.delay));
        earlier(next, MARGIN.min(period / 10))
    }

    /// Between half and all of the doubled pause, by chance, but the same for the same attempt.
    fn pause(&self, tick: Timestamp, failures: u32) -> SignedDuration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = FIRST_PAUSE
            .saturating_mul(1 << doublings)
            .min(LONGEST_PAUSE);
        let seed = format!("{}/{tick}/{failures}", self.host);
        let pause = full / 2 + schedule::jitter(full / 2, &seed);
        SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)
    }
}

/// A run that has begun and is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) tick: Timestamp,
    pub(super) trigger: Trigger,
    /// Attempts that were begun.
    pub(super) attempts: u32,
    /// Whether the last of them is not over.
    pub(super) under_way: bool,
    /// Those of them that failed by themselves, and not because somebody else was at work.
    failures: u32,
    /// When the next attempt is due.
    pub(super) again: Timestamp,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until then, or for ever.
    Wait(Option<Timestamp>),
    /// Make this attempt, then tell [`Plan::ended`].
    Attempt {
        tick: Timestamp,
        trigger: Trigger,
        number: u32,
    },
    /// Tell that these ticks, the first and the last, were missed and are not made up for.
    Missed(Ticks),
    /// Tell that the clock was set back by this much, and that the schedule starts over.
    ClockSetBack(SignedDuration),
}

/// One tick or more, first and last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is no more to do, for good or bad.
    Settled,
    /// It failed and may be tried again.
    Failed,
    /// Another job held the lock.
    Busy,
}

/// What follows from the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// When it is tried again; `None`: the run is over.
    pub(super) again: Option<Timestamp>,
    /// The ticks that passed in the meantime and are not run.
    pub(super) skipped: Option<Ticks>,
}

/// The state of the schedule.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    timetable: Timetable,
    /// The last tick that is settled: run, skipped, or missed.
    settled: Timestamp,
    open: Option<Open>,
}

impl Plan {
    /// Arms the schedule: everything up to `settled` is done with.
    pub(super) fn new(timetable: Timetable, settled: Timestamp) -> Self {
        Plan {
            timetable,
            settled,
            open: None,
        }
    }

    /// Takes up a run that was not over when this daemon last stopped: at once where it was cut off
    /// in its first attempt, else after the pause that it is due. A run that kills its process must
    /// not do so without end.
    pub(super) fn resume(&mut self, begun: &Begun, now: Timestamp) {
        let tick = begun.planned;
        if tick <= self.settled || now >= self.timetable.deadline(tick) {
            return;
        }
        let failures = begun.attempts - u32::from(begun.under_way).min(begun.attempts);
        let again = match failures {
            0 => now,
            failures => later(now, self.timetable.pause(tick, failures)),
        };
        self.open = Some(Open {
            tick,
            trigger: begun.trigger,
            attempts: begun.attempts,
            under_way: false,
            failures,
            again: again.min(self.timetable.deadline(tick)),
        });
    }

    /// Takes over a new timetable. A tick that it had before now was not missed: it did not hold.
    pub(super) fn change(&mut self, timetable: Timetable, now: Timestamp) {
        let (old, new) = (&self.timetable.schedule, &timetable.schedule);
        if (old.text(), old.timezone()) != (new.text(), new.timezone()) {
            self.settled = self.settled.max(now);
        }
        self.timetable = timetable;
    }

    /// The last tick that is settled.
    pub(super) fn settled(&self) -> Timestamp {
        self.settled
    }

    /// The run that is not settled.
    pub(super) fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// When the next run that has not begun is due.
    pub(super) fn next_start(&self) -> Option<Timestamp> {
        let last = self
            .open
            .as_ref()
            .map_or(self.settled, |open| open.tick.max(self.settled));
        self.timetable.start_after(last)
    }

    /// What to do at this time.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        let ahead = self.settled.duration_since(now);
        if ahead > SET_BACK {
            (self.settled, self.open) = (now, None);
            return Step::ClockSetBack(ahead);
        }
        if self.open.is_none() {
            let Some(tick) = self.timetable.due(self.settled, now) else {
                return Step::Wait(self.next_start());
            };
            let late = earlier(now, self.timetable.delay).duration_since(tick);
            let trigger = match (late > PUNCTUAL, self.timetable.catch_up) {
                (false, _) => Trigger::Schedule,
                (true, true) => Trigger::CatchUp,
                (true, false) => return Step::Missed(self.pass_over(self.settled, tick)),
            };
            self.open = Some(Open {
                tick,
                trigger,
                attempts: 0,
                under_way: false,
                failures: 0,
                again: now,
            });
        }
        self.attempt(now)
    }

    fn attempt(&mut self, now: Timestamp) -> Step {
        let Some(open) = &mut self.open else {
            return Step::Wait(None);
        };
        // a clock that was set back must not stretch a pause
        open.again = open.again.min(later(now, in_sign(LONGEST_PAUSE)));
        if now < open.again {
            return Step::Wait(Some(open.again));
        }
        open.attempts += 1;
        open.under_way = true;
        Step::Attempt {
            tick: open.tick,
            trigger: open.trigger,
            number: open.attempts,
        }
    }

    /// Takes note of how the attempt ended.
    pub(super) fn ended(&mut self, end: End, now: Timestamp) -> Verdict {
        let Some(open) = &mut self.open else {
            return Verdict {
                again: None,
                skipped: None,
            };
        };
        open.under_way = false;
        let tick = open.tick;
        let deadline = self.timetable.deadline(tick);
        let again = match end {
            End::Settled => None,
            End::Busy => {
                // it never began
                open.attempts = open.attempts.saturating_sub(1);
                Some(later(now, LOCK_PAUSE))
            }
            End::Failed => {
                open.failures += 1;
                Some(later(now, self.timetable.pause(tick, open.failures)))
            }
        };
        // what would come too late comes at the last moment, once
        let again = again
            .map(|again| again.min(deadline))
            .filter(|again| *again > now);
        if let Some(again) = again {
            open.again = again;
            return Verdict {
                again: Some(again),
                skipped: None,
            };
        }
        self.open = None;
        self.settled = self.settled.max(tick);
        let passed = self.timetable.due(tick, now);
        Verdict {
            again: None,
            skipped: passed.map(|last| self.pass_over(tick, last)),
        }
    }

    /// Settles the ticks after `tick` up to `last` without a run.
    fn pass_over(&mut self, tick: Timestamp, last: Timestamp) -> Ticks {
        self.settled = self.settled.max(last);
        Ticks {
            first: self.timetable.schedule.next(tick).unwrap_or(last),
            last,
        }
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

fn in_sign(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
