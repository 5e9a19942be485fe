//! When the stored backups are proven again, and which of them is next.
//!
//! Pure: the time and the backups are arguments. A tick that was missed is made up for by one round;
//! ticks that pass during a round are its own. A round that was cut off goes on with what it has not
//! proven yet: each manifest says when it was proven last.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::plan::SET_BACK;
use crate::catalog::BackupId;
use crate::report::state::Reverify;
use crate::schedule::Schedule;

/// How soon a directory that cannot be read, or a lock that is held, is tried again.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// Nothing now.
    Nothing,
    /// List the backups that were last proven before this time; then tell [`Rounds::listed`] or
    /// [`Rounds::unlisted`].
    List(Timestamp),
    /// Prove this one; then tell [`Rounds::proven`].
    Prove(BackupId),
    /// Tell that a round is over.
    Tell(Tally),
}

/// What came of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) proven: usize,
    pub(super) failed: usize,
}

/// A round that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Round {
    began: Timestamp,
    /// What is still to be proven; `None`: that is not known yet.
    queue: Option<VecDeque<BackupId>>,
    tally: Tally,
    not_before: Timestamp,
    /// Whether it was told that the backups cannot be seen.
    is_told: bool,
}

impl Round {
    fn new(began: Timestamp) -> Self {
        Round {
            began,
            queue: None,
            tally: Tally::default(),
            not_before: began,
            is_told: false,
        }
    }
}

/// The state of the rounds.
#[derive(Debug, Clone)]
pub(super) struct Rounds {
    schedule: Option<Schedule>,
    /// Ticks up to here are done with.
    settled: Timestamp,
    round: Option<Round>,
}

impl Rounds {
    /// Takes up what is remembered; without that, the first round is that of the next tick.
    pub(super) fn new(
        schedule: Option<Schedule>,
        remembered: Option<&Reverify>,
        now: Timestamp,
    ) -> Self {
        let began = remembered.and_then(|reverify| reverify.began);
        Rounds {
            round: began.filter(|_| schedule.is_some()).map(Round::new),
            schedule,
            settled: remembered.map_or(now, |reverify| reverify.settled),
        }
    }

    /// Takes over a new schedule. A tick that it had before now was not missed: it did not hold.
    pub(super) fn change(&mut self, schedule: Option<Schedule>, now: Timestamp) {
        let key = |schedule: &Option<Schedule>| {
            let schedule = schedule.as_ref();
            schedule.map(|of| (of.text().to_owned(), of.timezone().to_owned()))
        };
        if key(&self.schedule) != key(&schedule) {
            self.settled = self.settled.max(now);
        }
        if schedule.is_none() {
            self.round = None;
        }
        self.schedule = schedule;
    }

    /// What has to survive a restart.
    pub(super) fn remembered(&self) -> Reverify {
        Reverify {
            settled: self.settled,
            began: self.round.as_ref().map(|round| round.began),
        }
    }

    /// How many of how many are proven, while a round is under way.
    pub(super) fn progress(&self) -> Option<(usize, usize)> {
        let round = self.round.as_ref()?;
        let left = round.queue.as_ref()?.len();
        Some((round.tally.proven, round.tally.proven + left))
    }

    /// When there is something to do, if nothing is under way.
    pub(super) fn next_start(&self) -> Option<Timestamp> {
        match &self.round {
            Some(round) => Some(round.not_before),
            None => self.schedule.as_ref()?.next(self.settled),
        }
    }

    /// What to do at this time, if nothing is under way.
    pub(super) fn task(&mut self, now: Timestamp) -> Task {
        self.mend(now);
        if self.round.is_none() {
            let schedule = self.schedule.as_ref();
            let due = schedule.and_then(|schedule| schedule.latest(self.settled, now));
            self.round = due.map(|_| Round::new(now));
        }
        let Some(round) = &self.round else {
            return Task::Nothing;
        };
        if now < round.not_before {
            return Task::Nothing;
        }
        let Some(queue) = &round.queue else {
            return Task::List(round.began);
        };
        if let Some(id) = queue.front() {
            return Task::Prove(id.clone());
        }
        let tally = round.tally;
        (self.round, self.settled) = (None, self.settled.max(now));
        Task::Tell(tally)
    }

    /// A clock that was wrong by far and is set right does not stop the rounds.
    fn mend(&mut self, now: Timestamp) {
        let is_ahead = |time: Timestamp| time.duration_since(now) > SET_BACK;
        if is_ahead(self.settled) {
            self.settled = now;
        }
        if self
            .round
            .as_ref()
            .is_some_and(|round| is_ahead(round.began))
        {
            self.round = None;
        }
    }

    /// The backups of this round, in order.
    pub(super) fn listed(&mut self, backups: Vec<BackupId>) {
        if let Some(round) = &mut self.round {
            round.queue = Some(backups.into());
            round.is_told = false;
        }
    }

    /// They cannot be seen now. Whether that is news.
    pub(super) fn unlisted(&mut self, now: Timestamp) -> bool {
        let Some(round) = &mut self.round else {
            return false;
        };
        round.not_before = after_a_pause(now);
        !std::mem::replace(&mut round.is_told, true)
    }

    /// The directory is gone in the middle of it: what is left is listed anew. Whether that is news.
    pub(super) fn lost(&mut self, now: Timestamp) -> bool {
        if let Some(round) = &mut self.round {
            round.queue = None;
        }
        self.unlisted(now)
    }

    /// What came of this one could not be written down: it is proven again after the others.
    pub(super) fn put_off(&mut self, id: &BackupId, now: Timestamp) {
        let Some(round) = &mut self.round else {
            return;
        };
        if let Some(queue) = &mut round.queue
            && queue.front() == Some(id)
        {
            queue.rotate_left(1);
            round.not_before = after_a_pause(now);
        }
    }

    /// The one that was to be proven cannot be.
    pub(super) fn pass_over(&mut self) {
        if let Some(queue) = self.round.as_mut().and_then(|round| round.queue.as_mut()) {
            queue.pop_front();
        }
    }

    /// The one that was to be proven is done with; `None`: it was not there any more.
    pub(super) fn proven(&mut self, id: &BackupId, is_good: Option<bool>) {
        let Some(round) = &mut self.round else {
            return;
        };
        let queue = round.queue.as_mut();
        if let Some(queue) = queue.filter(|queue| queue.front() == Some(id)) {
            queue.pop_front();
            round.tally.proven += usize::from(is_good.is_some());
            round.tally.failed += usize::from(is_good == Some(false));
        }
    }
}

fn after_a_pause(now: Timestamp) -> Timestamp {
    now.saturating_add(PAUSE).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
