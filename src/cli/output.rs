//! The only file that prints: the answer to stdout, everything else to stderr.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::process;
use std::time::{Duration, Instant};

use hypercloud_etcd::config;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::report::text;
use serde::Serialize;

/// Where a command's words go.
pub(super) struct Output {
    progress: Cell<Option<Line>>,
    /// The step that stands in the line of progress.
    step: RefCell<String>,
    /// What was said to be waited for since the last note.
    awaited: RefCell<BTreeSet<String>>,
}

/// The line of progress on a terminal.
#[derive(Clone, Copy)]
struct Line {
    began: Instant,
    drawn: Instant,
}

/// How often the line of progress is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

impl Output {
    pub(super) fn new() -> Self {
        Output {
            progress: Cell::new(None),
            step: RefCell::default(),
            awaited: RefCell::default(),
        }
    }

    /// The answer, in lines for a person.
    pub(super) fn answer(&self, text: &str) -> Result<(), Error> {
        self.end_progress();
        let mut stdout = io::stdout().lock();
        written(
            stdout
                .write_all(text.as_bytes())
                .and_then(|()| stdout.flush()),
        )
    }

    /// The answer, as one JSON document.
    pub(super) fn json(&self, document: &impl Serialize) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(document)
            .map_err(|error| Error::Bug(error.to_string()))?;
        self.answer(&format!("{json}\n"))
    }

    /// An error as people read it: what, why, and what to do.
    pub(super) fn error(&self, error: &Error) {
        self.end_progress();
        let mut text = format!("error: {error}\n");
        if let Error::Config(config::Error::Problems { problems, .. }) = error {
            text.extend(problems.iter().map(problem_lines));
        }
        for cause in error.causes() {
            text.push_str(&indented("cause", &cause));
        }
        if let Some(hint) = error.hint() {
            text.push_str(&indented(" hint", &hint));
        }
        // with stderr gone there is nobody left to tell
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// How far a transfer is, with its rate and the time it has left; on a terminal only.
    pub(super) fn progress(&self, what: &str, done: u64, total: u64) {
        if !io::stderr().is_terminal() {
            return;
        }
        let now = Instant::now();
        let line = self.progress.get().unwrap_or(Line {
            began: now,
            drawn: now,
        });
        let is_new = self.progress.get().is_none();
        if !is_new && now.duration_since(line.drawn) < REDRAW {
            return;
        }
        self.progress.set(Some(Line { drawn: now, ..line }));
        let elapsed = u64::try_from(now.duration_since(line.began).as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = done.saturating_mul(1000) / elapsed;
        let left = total
            .saturating_sub(done)
            .checked_div(rate)
            .map_or_else(String::new, |seconds| {
                format!(", {} left", text::duration(seconds))
            });
        let (percent, of) = (text::percent(done, total), text::size(total));
        let _ = write!(
            io::stderr().lock(),
            "\r\x1b[K{what}: {percent}% of {of}, {}/s{left}",
            text::size(rate)
        );
    }

    /// A step that has no measure, in place of the progress; on a terminal only.
    pub(super) fn step(&self, what: &str) {
        if !io::stderr().is_terminal() {
            return;
        }
        let what = cut(what, width());
        if self.progress.get().is_some() && *self.step.borrow() == what {
            return;
        }
        let now = Instant::now();
        self.progress.set(Some(Line {
            began: now,
            drawn: now,
        }));
        let _ = write!(io::stderr().lock(), "\r\x1b[K{what}");
        self.step.replace(what);
    }

    /// What is waited for, each time it is looked at; without a terminal once, and again only after
    /// something else was told.
    pub(super) fn waiting(&self, what: &str) {
        if io::stderr().is_terminal() {
            self.step(what);
        } else if self.awaited.borrow_mut().insert(what.into()) {
            let _ = writeln!(io::stderr().lock(), "{what}");
        }
    }

    /// A line about what was done, beside the answer; it stays.
    pub(super) fn note(&self, text: &str) {
        self.end_progress();
        self.awaited.borrow_mut().clear();
        // with stderr gone there is nobody left to tell
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A person's answer to a question; `None` where there is no terminal to ask at.
    pub(super) fn ask(&self, question: &str) -> Option<String> {
        self.end_progress();
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(question.as_bytes());
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(answer)
    }

    /// Clears the line of progress, so that the next words stand alone.
    pub(super) fn end_progress(&self) {
        self.step.borrow_mut().clear();
        if self.progress.take().is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Columns of the terminal; many where that cannot be told.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { usize::MAX } else { columns }
}

/// A text that does not reach the last column: a line that wraps cannot be drawn over.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() < width {
        return text.into();
    }
    let kept = text.chars().take(width.saturating_sub(2));
    kept.chain(['…']).collect()
}

/// One problem of the configuration in lines.
pub(super) fn problem_lines(problem: &config::Problem) -> String {
    let mut text = indented("     ", &problem.to_string());
    if let Some(hint) = &problem.hint {
        text.push_str(&indented(" hint", hint));
    }
    text
}

/// A label and a text whose further lines stand below its first.
fn indented(label: &str, text: &str) -> String {
    let colon = if label.trim().is_empty() { ' ' } else { ':' };
    format!(
        "{label}{colon} {}\n",
        text.trim_end().replace('\n', "\n       ")
    )
}

/// A reader that has seen enough (`| head`) is no failure.
fn written(result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Create {
            path: "the standard output".into(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// What clap says: help and version are answers, the rest is a wrong command line.
pub(super) fn usage(error: &clap::Error) -> process::ExitCode {
    let _ = error.print();
    process::ExitCode::from(if error.use_stderr() {
        ExitCode::Usage
    } else {
        ExitCode::Done
    } as u8)
}

/// Columns as wide as their widest cell, two spaces apart; numbers stand to the right.
pub(super) fn table(head: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(head.get(column).map(|name| name.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if right.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = [
            vec!["a".into(), "10".into()],
            vec!["bcd".into(), "5".into()],
        ];
        assert_eq!(
            table(&["id", "n"], &rows, &[1]),
            "id    n\na    10\nbcd   5\n"
        );
    }

    #[test]
    fn a_step_stays_in_its_line() {
        assert_eq!(cut("waiting", 8), "waiting");
        assert_eq!(cut("waiting", 7), "waiti…");
        assert_eq!(cut("wäiting", 3), "w…");
        assert_eq!(cut("waiting", 1), "…");
    }

    #[test]
    fn further_lines_stand_below_the_first() {
        assert_eq!(indented("cause", "a\nb"), "cause: a\n       b\n");
    }
}
