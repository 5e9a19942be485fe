//! `state.json`: what the daemon remembers over a restart. Losing it loses no backup.
//!
//! It is replaced whole or not at all. One that cannot be read is set aside, never fatal, and so is
//! one of a newer version.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::{BackupId, Trigger};
use crate::versioned;

/// The version of the file's shape.
const FORMAT: u32 = 1;
/// Runs that are remembered.
const RUNS: usize = 32;
/// A larger file is none of ours.
const LARGEST: u64 = 1 << 20;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    format: u32,
    /// Where the backups are that all of this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<PathBuf>,
    /// The last tick of the schedule that is done with: run, skipped or missed.
    pub settled: Option<Timestamp>,
    /// The run that is not over: under way, or waiting for its next attempt.
    pub open: Option<Begun>,
    /// Since when no run has succeeded, and why the last one did not.
    pub failing: Option<Failing>,
    /// How far proving the stored backups again is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverify: Option<Reverify>,
    /// Since when what the policy removes could not be removed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning: Option<Failing>,
    /// What came of the last runs, newest first.
    #[serde(default)]
    pub runs: Vec<Past>,
}

/// How far proving the stored backups again is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverify {
    /// Ticks of its schedule up to here are done with.
    pub settled: Timestamp,
    /// When the round began that is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
}

/// A run that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// When it was planned.
    pub planned: Timestamp,
    /// Why it is made.
    pub trigger: Trigger,
    /// How many attempts were begun.
    pub attempts: u32,
    /// Whether the last of them is not over.
    pub under_way: bool,
}

/// A failure that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// The planned time of the first run that failed, or when it failed if it came late; the time of
    /// the first failure where nothing is planned.
    pub since: Timestamp,
    /// When the last attempt failed.
    pub last: Timestamp,
    /// Why, in a line.
    pub error: String,
}

/// What lasts, and somebody should look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// [`State::failing`]
    pub failing: Option<Failing>,
    /// [`State::pruning`]
    pub pruning: Option<Failing>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// When it was planned.
    pub planned: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// What came of it.
    pub outcome: Came,
    /// The backup that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// Why there is none, or none that is verified, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Came {
    /// A verified backup.
    Verified,
    /// A backup that does not stand up to its proof.
    Unverified,
    /// No backup, and no more attempts.
    Failed,
    /// It was not begun, because another was under way.
    Skipped,
    /// Nothing ran at its time, and it is not made up for.
    Missed,
}

impl Default for State {
    fn default() -> Self {
        State {
            format: FORMAT,
            backups: None,
            settled: None,
            open: None,
            failing: None,
            reverify: None,
            pruning: None,
            runs: Vec::new(),
        }
    }
}

impl State {
    /// What lasts, where this state is about the backups in that directory.
    #[must_use]
    pub fn trouble(&self, backups: &Path) -> Trouble {
        if self.backups.as_ref().is_some_and(|own| own != backups) {
            return Trouble::default();
        }
        Trouble {
            failing: self.failing.clone(),
            pruning: self.pruning.clone(),
        }
    }

    /// Adds what came of a run.
    pub fn add(&mut self, run: Past) {
        self.runs.insert(0, run);
        self.runs.truncate(RUNS);
    }
}

/// The file on disk.
#[derive(Debug, Clone)]
pub struct StateFile {
    directory: PathBuf,
}

impl StateFile {
    /// The file in this directory, which is made at the first write where only it itself is missing.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        StateFile {
            directory: directory.into(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    /// What it says, and a warning where it could not be used; without a file nothing is remembered.
    #[must_use]
    pub fn read(&self) -> (State, Option<String>) {
        let path = self.path();
        let why = match self.content() {
            Ok(None) => return (State::default(), None),
            Ok(Some(bytes)) => match versioned::parse(&bytes, FORMAT) {
                Ok(state) => return (state, None),
                Err(why) => why,
            },
            Err(error) => error.to_string(),
        };
        let aside = self.directory.join("state.json.broken");
        let fate = match fs::rename(&path, &aside) {
            Ok(()) => format!("it was set aside as {}", aside.display()),
            Err(error) => format!("it cannot be set aside: {error}"),
        };
        let path = path.display();
        let warning = format!(
            "{path} cannot be used ({why}) and nothing is remembered of earlier runs; {fate}"
        );
        (State::default(), Some(warning))
    }

    /// What it says, where it can be read; for whoever only looks.
    #[must_use]
    pub fn peek(&self) -> Option<State> {
        versioned::parse(&self.content().ok()??, FORMAT).ok()
    }

    fn content(&self) -> io::Result<Option<Vec<u8>>> {
        match crate::store::read_file(&self.path(), LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Replaces it, whole or not at all.
    ///
    /// # Errors
    /// The system's; the file is then as it was.
    pub fn write(&self, state: &State) -> io::Result<()> {
        let draft = self.directory.join(".state.json.draft");
        match fs::create_dir(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut json = serde_json::to_vec_pretty(state)?;
        json.push(b'\n');
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&json)?;
        file.sync_all()?;
        fs::rename(&draft, self.path())?;
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(&directory.path().join("made"));
        assert_eq!(file.read(), (State::default(), None));
        let mut state = State {
            settled: Some(time("2026-11-22T14:00:00Z")),
            open: Some(Begun {
                planned: time("2026-11-22T15:00:00Z"),
                trigger: Trigger::CatchUp,
                attempts: 2,
                under_way: true,
            }),
            ..State::default()
        };
        for hour in 0..40 {
            let planned = time("2026-11-20T14:00:00Z") + jiff::SignedDuration::from_hours(hour);
            state.add(Past {
                planned,
                ended: planned,
                outcome: Came::Failed,
                backup: None,
                error: Some("etcd is down".into()),
            });
        }
        file.write(&state).unwrap();
        file.write(&state).unwrap();
        let (read, warning) = file.read();
        assert_eq!((read.runs.len(), warning), (RUNS, None));
        assert_eq!(file.peek(), Some(read.clone()));
        assert_eq!(read, state);
    }

    #[test]
    fn what_cannot_be_used_is_set_aside() {
        let newer = r#"{"format": 2, "settled": 7}"#;
        for broken in ["", "{", "[]", newer, r#"{"format": 1, "settled": "never"}"#] {
            let directory = tempfile::tempdir().unwrap();
            let file = StateFile::in_directory(directory.path());
            File::create(file.path())
                .and_then(|mut written| written.write_all(broken.as_bytes()))
                .unwrap();
            let (state, warning) = file.read();
            assert_eq!(state, State::default(), "{broken}");
            assert!(warning.unwrap().contains("state.json.broken"), "{broken}");
            let aside = fs::read_to_string(directory.path().join("state.json.broken")).unwrap();
            assert_eq!(aside, broken);
            assert_eq!(file.read(), (State::default(), None), "{broken}");
        }
    }
}
