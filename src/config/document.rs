//! Walks a TOML document along the table of keys and notes every mistake in it.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::file::{self, File, Key, join};
use super::problem::{Problem, Severity, key_name, nearest};
use super::syntax;
use super::value::{self, Fault, Item};

/// Problems beyond this many are counted, not told.
const MOST_PROBLEMS: usize = 100;

/// What a document says.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) file: File,
    /// The keys that the document holds, and where.
    given: BTreeMap<String, usize>,
    found: Vec<(Option<usize>, Problem)>,
    /// How many more there were.
    more: usize,
}

/// Reads a whole document; the mistakes are in [`Reading::problems`].
pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading {
        file: defaults(),
        ..Reading::default()
    };
    match syntax::parse(text) {
        Ok(document) => reading.top_level(document.get_ref()),
        Err(wrong) => {
            reading.note(wrong.start, problem("", wrong.message, ""));
        }
    }
    reading
}

/// Whether a text sets nothing: it holds comments and empty tables at most.
#[must_use]
pub fn sets_nothing(text: &str) -> bool {
    fn is_bare(item: &Item<'_>) -> bool {
        matches!(item.get_ref(), DeValue::Table(entries) if entries.values().all(is_bare))
    }
    syntax::parse(text).is_ok_and(|document| document.get_ref().values().all(is_bare))
}

/// The file that an empty document means.
fn defaults() -> File {
    let mut file = File::default();
    for key in file::KEYS {
        if let Some(Ok(value)) = key.default().map(DeValue::parse) {
            // A test holds every default against its own kind.
            let _ = (key.set)(&mut file, &value);
        }
    }
    file
}

impl Reading {
    /// Whether the document itself holds this key.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Whether anything was noted for which the document is refused.
    pub(super) fn is_refused(&self) -> bool {
        self.found
            .iter()
            .any(|(_, problem)| problem.severity == Severity::Error)
    }

    /// Notes a mistake at a key that the document holds, or at none.
    pub(super) fn wrong(&mut self, key: &str, message: &str, accepted: &str, hint: Option<&str>) {
        let mut problem = problem(key, message, accepted);
        problem.hint = hint.map(str::to_owned);
        self.note(self.given.get(key).copied(), problem);
    }

    /// Notes what is legal at a key that the document holds and surely not meant.
    pub(super) fn warn(&mut self, key: &str, message: &str, hint: &str) {
        let mut warning = problem(key, message, "");
        warning.severity = Severity::Warning;
        warning.hint = Some(hint.to_owned());
        self.note(self.given.get(key).copied(), warning);
    }

    /// All that was noted, in the order of the file.
    pub(super) fn problems(mut self, text: &str) -> Vec<Problem> {
        self.found.sort_by_key(|(start, _)| *start);
        let more = self.more + self.found.len().saturating_sub(MOST_PROBLEMS);
        self.found.truncate(MOST_PROBLEMS);
        let mut problems: Vec<Problem> = self
            .found
            .into_iter()
            .map(|(start, mut problem)| {
                let place = start.map(|start| syntax::place(text, start));
                problem.line = place.map(|(line, _)| line);
                problem.column = place.map(|(_, column)| column);
                problem
            })
            .collect();
        if more > 0 {
            problems.push(problem("", format!("and {more} more problems"), ""));
        }
        problems
    }

    fn note(&mut self, start: Option<usize>, problem: Problem) {
        self.found.push((start, problem));
    }

    fn top_level(&mut self, document: &DeTable<'_>) {
        for (name, item) in in_order(document) {
            let start = name.span().start;
            let Some(table) = file::tables().find(|table| *table == name.get_ref()) else {
                self.entry("", name.get_ref(), start, item);
                continue;
            };
            match item.get_ref() {
                DeValue::Table(entries) => {
                    for (name, item) in in_order(entries) {
                        self.entry(table, name.get_ref(), name.span().start, item);
                    }
                }
                other => {
                    let message = value::expected("a table", other).message;
                    self.note(Some(start), problem(table, message, format!("[{table}]")));
                }
            }
        }
    }

    fn entry(&mut self, table: &str, name: &str, start: usize, item: &Item<'_>) {
        let path = join(table, name);
        if let Some(key) = file::key(table, name) {
            self.given.insert(path, start);
            self.value(key, start, item);
        } else if let Some(not_yet) = file::not_yet(&path).filter(|_| table.is_empty()) {
            self.note(Some(start), refused(problem(name, not_yet.message, "")));
        } else if self.found.len() < MOST_PROBLEMS {
            self.note(Some(start), unknown(table, name));
        } else {
            self.more += 1;
        }
    }

    fn value(&mut self, key: &'static Key, start: usize, item: &Item<'_>) {
        let path = key.path();
        let before = self.file.clone();
        let result = (key.set)(&mut self.file, item);
        let shown = if key.shown {
            value::shown(item.get_ref())
        } else {
            None
        };
        if let Some(not_yet) = file::not_yet(&path) {
            if result.is_err() || self.file != before {
                let problem = problem(&path, not_yet.message, key.default().unwrap_or_default());
                self.note(
                    Some(start),
                    refused(Problem {
                        value: shown,
                        ..problem
                    }),
                );
            }
            return;
        }
        for fault in result.err().unwrap_or_default().0 {
            let (start, problem) = faulty(key, fault, item, shown.clone());
            self.note(Some(start), problem);
        }
    }
}

/// The entries in the order of the file, not of the alphabet.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a Spanned<DeString<'i>>, &'a Item<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

fn problem(key: &str, message: impl Into<String>, accepted: impl Into<String>) -> Problem {
    Problem {
        key: key.to_owned(),
        line: None,
        column: None,
        value: None,
        message: message.into(),
        accepted: accepted.into(),
        hint: None,
        severity: Severity::Error,
    }
}

fn refused(problem: Problem) -> Problem {
    let hint = "Remove it, so that nobody relies on what does not happen.";
    Problem {
        hint: Some(hint.to_owned()),
        ..problem
    }
}

/// The problem of a value or of one element of it, and where it stands.
fn faulty(key: &Key, fault: Fault, item: &Item<'_>, shown: Option<String>) -> (usize, Problem) {
    let problem = Problem {
        hint: fault.hint,
        value: shown,
        ..problem(&key.path(), fault.message, key.accepts)
    };
    match fault.element {
        None => (item.span().start, problem),
        Some(element) => {
            let value = element.value.filter(|_| key.shown);
            let path = format!("{}[{}]", problem.key, element.index);
            (
                element.start,
                Problem {
                    key: path,
                    value,
                    ..problem
                },
            )
        }
    }
}

/// A key that no table has; its value may be a secret and is not looked at.
fn unknown(table: &str, name: &str) -> Problem {
    let names: Vec<&str> = file::available()
        .filter(|key| key.table == table)
        .map(|key| key.name)
        .chain(file::tables().filter(|name| table.is_empty() && file::not_yet(name).is_none()))
        .collect();
    let mut problem = problem(
        &join(table, &key_name(name)),
        "unknown key",
        names.join(", "),
    );
    problem.hint = meant(table, name, &names);
    problem
}

/// What an unknown key was probably meant to be.
fn meant(table: &str, name: &str, names: &[&str]) -> Option<String> {
    let lower = name.to_lowercase();
    if ["passw", "secret", "token"]
        .iter()
        .any(|word| lower.contains(word))
    {
        return Some(
            "Secrets do not stand in this file: write the password into a file of its own and \
             name that with password_file in [etcd]."
                .to_owned(),
        );
    }
    if let Some(key) = file::KEYS.iter().find(|key| key.name == name) {
        return Some(match key.table {
            "" => format!("`{name}` belongs at the top, before the first [table]."),
            home => format!("`{name}` belongs in [{home}]."),
        });
    }
    if let Some(meant) = nearest(name, names.iter().copied()) {
        return Some(format!("Did you mean `{meant}`?"));
    }
    let elsewhere = || file::available().filter(|key| key.table != table);
    let meant = nearest(name, elsewhere().map(|key| key.name))?;
    let home = elsewhere().find(|key| key.name == meant)?.table;
    Some(match home {
        "" => format!("Did you mean `{meant}` at the top, before the first [table]?"),
        home => format!("Did you mean `{meant}` in [{home}]?"),
    })
}
