//! The configuration: one TOML file, composed from the settings types that the modules own.
//!
//! Every mistake is found at once and told with its place and its remedy. A key that this version
//! cannot act on is never accepted in silence. Reads no other file than the one it is given.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod amount;
mod document;
mod file;
mod installed;
mod kind;
mod problem;
mod syntax;
#[cfg(test)]
mod tests;
mod value;

pub use document::sets_nothing;
pub use installed::{INSTALLED, PACKAGED, Value, filled_in, masked};
pub use problem::{Problem, Severity};

use crate::retention::Policy;
use crate::schedule::Schedule;
use crate::{anomaly, etcd, pki, store};

/// Where it is, unless somebody says otherwise.
pub const PATH: &str = "/etc/hypercloud-etcd/config.toml";
/// A larger file is not a configuration.
const LARGEST: u64 = 1 << 20;

/// What the daemon and the command line work by.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// When backups are taken.
    pub schedule: Schedule,
    /// Whether one backup is taken at start when a run was missed.
    pub catch_up: bool,
    /// Up to this much later than the schedule says.
    pub jitter: Duration,
    /// `[etcd]`: how to reach the members.
    pub etcd: etcd::Settings,
    /// `[backup]`: where the backups go.
    pub backup: store::Settings,
    /// `backup.reverify`: when the stored backups are proven again; `None`: never by itself.
    pub reverify: Option<Schedule>,
    /// `[anomaly]`: which backups are suspect.
    pub anomaly: anomaly::Settings,
    /// `[pki]`: what is kept beside them.
    pub pki: pki::Settings,
    /// `[retention]`: how long they stay.
    pub retention: Policy,
    /// `[report]`: what is told, and when it is bad news.
    pub report: Report,
    /// What the file says and this version does not do.
    pub warnings: Vec<Problem>,
}

/// The `[report]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How old the newest verified backup may be before the status is bad; `None`: that follows
    /// from the schedule.
    pub stale_after: Option<Duration>,
}

/// One key of the file, for a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReference {
    /// The table it stands in; empty for the top level.
    pub table: &'static str,
    /// Its name in that table.
    pub name: &'static str,
    /// The sort of value, in a word or two.
    pub kind: &'static str,
    /// The default in TOML's notation.
    pub default: Option<&'static str>,
    /// Which values are accepted.
    pub accepts: &'static str,
    /// What it does, in a sentence.
    pub meaning: &'static str,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("there is no configuration file {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A directory, a pipe or a device.
    #[error("the configuration {} is not a regular file", path.display())]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error("no permission to read the configuration {}", path.display())]
    Denied {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read for another reason.
    #[error("the configuration {} cannot be read", path.display())]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than any configuration.
    #[error("the configuration {} is larger than 1 MiB", path.display())]
    TooLarge {
        /// What was to be read.
        path: PathBuf,
    },
    /// Not text.
    #[error("the configuration {} is not UTF-8 text (line {line})", path.display())]
    NotUtf8 {
        /// What was read.
        path: PathBuf,
        /// The line of the first wrong byte, counted from 1.
        line: usize,
    },
    /// It can be read, but not used.
    #[error("the configuration {} cannot be used", path.display())]
    Problems {
        /// What was read.
        path: PathBuf,
        /// All that is wrong with it, warnings included, in the order of the file.
        problems: Vec<Problem>,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing { .. } => {
                "Write one for this host with: hypercloud-etcd init; or name another file with --config."
            }
            Self::NotAFile { .. } | Self::TooLarge { .. } => {
                "Name the TOML file with --config, such as --config \
                 /etc/hypercloud-etcd/config.toml."
            }
            Self::Denied { .. } => "Run the command as root, or as the file's owner or group.",
            Self::NotUtf8 { .. } => "Save the file as UTF-8.",
            Self::Unreadable { .. } | Self::Problems { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// Reads and checks a configuration file.
///
/// # Errors
///
/// When the file cannot be read, or with every problem in it at once.
pub fn load(path: &Path) -> Result<Config, Error> {
    let text = read(path)?;
    parse(path, &text).map_err(|problems| Error::Problems {
        path: path.to_owned(),
        problems,
    })
}

/// Checks the text of a configuration file; `path` is only remembered.
///
/// # Errors
///
/// Every problem at once, warnings included, in the order of the file.
pub fn parse(path: &Path, text: &str) -> Result<Config, Vec<Problem>> {
    let mut reading = document::read(text);
    check_login(&mut reading);
    check_retention(&mut reading);
    let file = reading.file.clone();
    let schedule = kind::schedule(&file.schedule, &file.timezone);
    if let (Err(fault), false) = (&schedule, reading.is_refused()) {
        reading.wrong("schedule", &fault.message, "", fault.hint.as_deref());
    }
    // it has been read before; only the zone can be wrong, and that has been told
    let reverify = file.backup.reverify.as_deref();
    let reverify = reverify.map(|text| kind::schedule(text, &file.timezone));
    let refused = reading.is_refused();
    let problems = reading.problems(text);
    match (schedule, reverify.transpose()) {
        (Ok(schedule), Ok(reverify)) if !refused => {
            Ok(compose(path, file, (schedule, reverify), problems))
        }
        _ => Err(problems),
    }
}

/// Where the backups are by a file that may be wrong elsewhere, or gone: for whoever has to name the
/// directory all the same.
#[must_use]
pub fn backup_dir(path: &Path) -> PathBuf {
    let text = read(path).unwrap_or_default();
    document::read(&text).file.backup.dir
}

/// Reads a length of time as the configuration takes it: `30s`, `1h 30m`.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    amount::duration(text).map_err(|wrong| wrong.message)
}

/// Every key that this version acts on, in the order of the installed default.
pub fn describe() -> impl Iterator<Item = KeyReference> {
    file::available().map(|key| KeyReference {
        table: key.table,
        name: key.name,
        kind: key.kind,
        default: key.default(),
        accepts: key.accepts,
        meaning: key.meaning,
    })
}

/// Reads the text of a configuration file.
///
/// # Errors
///
/// When there is no such file, it cannot be read, or it is no text of at most 1 MiB.
pub fn read(path: &Path) -> Result<String, Error> {
    let failed = |source: io::Error| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { path },
            io::ErrorKind::PermissionDenied => Error::Denied { path, source },
            _ => Error::Unreadable { path, source },
        }
    };
    // Asked before opening, because opening a pipe would wait for its writer.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Error::NotAFile {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        Error::NotUtf8 {
            path: path.to_owned(),
            line,
        }
    })
}

/// A user and a password come together or not at all.
fn check_login(reading: &mut document::Reading) {
    let pair = ["etcd.username", "etcd.password_file"];
    for (given, absent) in [(pair[0], pair[1]), (pair[1], pair[0])] {
        if reading.holds(given) && !reading.holds(absent) {
            let message = format!("given without {absent}");
            let hint = format!(
                "Add {} to [etcd], or remove both.",
                absent.trim_start_matches("etcd.")
            );
            let accepted = "username and password_file together, or neither";
            reading.wrong(given, &message, accepted, Some(&hint));
        }
    }
}

/// A policy without a rule is legal, and hardly ever what is meant.
fn check_retention(reading: &mut document::Reading) {
    let file::Retention {
        keep_last,
        keep_within,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        min_verified,
        ..
    } = reading.file.retention;
    let counts = [
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
    ];
    if counts.iter().any(|count| *count > 0) || !keep_within.is_zero() {
        return;
    }
    let given = file::KEYS
        .iter()
        .filter(|key| key.table == "retention" && key.name.starts_with("keep_"));
    let last = given.map(file::Key::path).rfind(|key| reading.holds(key));
    reading.warn(
        last.as_deref().unwrap_or_default(),
        &format!("no rule keeps anything: of all backups the {min_verified} newest verified and the pinned ones stay"),
        "Give at least one keep_ key a value above 0, such as keep_last = 24.",
    );
}

/// The policy in the schedule's zone.
fn policy(file: &file::Retention, schedule: &Schedule) -> Policy {
    Policy {
        keep_last: file.keep_last,
        keep_within: file.keep_within,
        keep_hourly: file.keep_hourly,
        keep_daily: file.keep_daily,
        keep_weekly: file.keep_weekly,
        keep_monthly: file.keep_monthly,
        keep_yearly: file.keep_yearly,
        max_total_size: file.max_total_size,
        min_verified: file.min_verified,
        zone: schedule.zone().clone(),
    }
}

fn compose(
    path: &Path,
    file: file::File,
    (schedule, reverify): (Schedule, Option<Schedule>),
    warnings: Vec<Problem>,
) -> Config {
    let file::Etcd {
        username,
        password_file,
        ..
    } = file.etcd;
    Config {
        path: path.to_owned(),
        retention: policy(&file.retention, &schedule),
        schedule,
        catch_up: file.catch_up,
        jitter: file.jitter,
        etcd: etcd::Settings {
            endpoints: file.etcd.endpoints,
            ca_file: file.etcd.ca_file,
            cert_file: file.etcd.cert_file,
            key_file: file.etcd.key_file,
            login: username
                .zip(password_file)
                .map(|(username, password_file)| etcd::Login {
                    username,
                    password_file,
                }),
            connect_timeout: file.etcd.connect_timeout,
            stall_timeout: file.etcd.stall_timeout,
            // The table of keys always fills it.
            live_hash: file.etcd.live_hash.unwrap_or(etcd::LiveHash::Auto),
        },
        backup: store::Settings {
            dir: file.backup.dir,
            reserve: file.backup.reserve,
            require_mount: file.backup.require_mount,
        },
        reverify,
        anomaly: anomaly::Settings {
            enabled: file.anomaly.enabled,
            max_fall: file.anomaly.max_fall,
            min_keys: file.anomaly.min_keys,
            ignore: file.anomaly.ignore,
        },
        pki: pki::Settings {
            files: file.pki.files,
        },
        report: Report {
            stale_after: file.report.stale_after,
        },
        warnings,
    }
}
