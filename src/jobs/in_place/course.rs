//! The course of a restore or a rollback: its steps one after the other, each in the journal before
//! it is begun and when it is done.

use std::time::Duration;

use super::{Progress, Run, is_forward, perform};
use crate::config::Config;
use crate::error::Error;
use crate::recovery::{self, Journal, JournalFile, Step};

/// Does the steps that are to be done.
pub(super) async fn go(
    config: &Config,
    file: &JournalFile,
    journal: &mut Journal,
    run: &Run<'_>,
) -> Result<(), Error> {
    for step in journal.to_do() {
        if let Err(error) = one(config, file, (&mut *journal, step), run).await {
            return Err(stopped(file, journal, step, error));
        }
    }
    let last = journal.steps.last().map(|record| record.step);
    finish(file, journal)
        .map_err(|error| failed(journal, last.unwrap_or(Step::Discard), error.into()))
}

async fn one(
    config: &Config,
    file: &JournalFile,
    (journal, step): (&mut Journal, Step),
    run: &Run<'_>,
) -> Result<(), Error> {
    run.require_undisturbed()?;
    let began = (run.clock)();
    journal.begin(step, began);
    file.write(journal)?;
    (run.progress)(&Progress::Begun(step));
    let done = perform::perform(config, journal, step, run).await;
    let ended = (run.clock)();
    journal.end(ended, done.as_ref().map_err(Error::in_a_line).copied());
    let written = file.write(journal);
    // what went wrong first is what is told
    done?;
    written?;
    let took = Duration::try_from(ended.duration_since(began)).unwrap_or_default();
    (run.progress)(&Progress::Done(step, took));
    Ok(())
}

/// What becomes of a restore whose step has failed: one that has stopped nothing yet is over.
fn stopped(file: &JournalFile, journal: &mut Journal, step: Step, error: Error) -> Error {
    let is_untouched = is_forward(journal) && !journal.has_stopped_anything();
    if is_untouched && give_up(file, &mut journal.clone()).is_ok() {
        let source = Box::new(error);
        return Error::NothingChanged { source };
    }
    failed(journal, step, error)
}

fn failed(journal: &Journal, step: Step, error: Error) -> Error {
    Error::Step {
        step,
        way: journal.way,
        flags: journal.flags(),
        source: Box::new(error),
    }
}

fn give_up(file: &JournalFile, journal: &mut Journal) -> Result<(), Error> {
    perform::discard(journal)?;
    journal.turn_back(true)?;
    Ok(finish(file, journal)?)
}

/// Notes that it is over. One that was undone before it stopped anything leaves the way back from an
/// earlier restore as it was.
fn finish(file: &JournalFile, journal: &mut Journal) -> Result<(), recovery::Error> {
    journal.finished = true;
    let is_nothing = !is_forward(journal) && !journal.has_stopped_anything();
    if is_nothing && file.reinstate(journal)? {
        return Ok(());
    }
    file.write(journal)
}
