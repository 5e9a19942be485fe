//! The shape of the file: every key once, with its kind, its default and its meaning.
//!
//! Reading, checking, "did you mean", the reference and the installed default all follow from
//! this table.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::kind::{
    ADDRESS, COMPRESSION, COUNT, DIRECTORY, DURATION, ENDPOINTS, FILE, FILES, FLAG, FLOOR, HOOK,
    LIVE_HASH, NAME, POSITIVE, RECIPIENTS, SCHEDULE, SIZE, TIMEZONE,
};
use super::value::{Item, Read};
use crate::etcd;

/// What the file says, with the defaults where it says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct File {
    pub(super) schedule: String,
    pub(super) timezone: String,
    pub(super) catch_up: bool,
    pub(super) jitter: Duration,
    pub(super) etcd: Etcd,
    pub(super) backup: Backup,
    pub(super) pki: Pki,
    pub(super) retention: Retention,
    seal: Seal,
    pub(super) report: Report,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Etcd {
    pub(super) endpoints: Vec<etcd::Endpoint>,
    pub(super) ca_file: PathBuf,
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) connect_timeout: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) live_hash: Option<etcd::LiveHash>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Backup {
    pub(super) dir: PathBuf,
    pub(super) reserve: u64,
    pub(super) require_mount: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Pki {
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Retention {
    pub(super) keep_last: u32,
    pub(super) keep_within: Duration,
    pub(super) keep_hourly: u32,
    pub(super) keep_daily: u32,
    pub(super) keep_weekly: u32,
    pub(super) keep_monthly: u32,
    pub(super) keep_yearly: u32,
    pub(super) max_total_size: u64,
    pub(super) min_verified: u32,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Seal {
    compression: String,
    recipients: Vec<String>,
    identity_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Report {
    pub(super) stale_after: Option<Duration>,
    metrics_file: Option<PathBuf>,
    metrics_listen: Option<SocketAddr>,
    heartbeat_url: Option<String>,
    webhook_url: Option<String>,
}

/// One key of the file.
pub(super) struct Key {
    /// The table it stands in; empty for the top level.
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) accepts: &'static str,
    pub(super) shown: bool,
    default: &'static str,
    pub(super) meaning: &'static str,
    pub(super) set: fn(&mut File, &Item<'_>) -> Read<()>,
}

impl Key {
    /// The default in TOML's notation.
    pub(super) fn default(&self) -> Option<&'static str> {
        (self.default != "none").then_some(self.default)
    }

    /// The TOML path.
    pub(super) fn path(&self) -> String {
        join(self.table, self.name)
    }
}

/// The TOML path of a key in a table; the table is empty for the top level.
pub(super) fn join(table: &str, name: &str) -> String {
    if table.is_empty() {
        name.to_owned()
    } else {
        format!("{table}.{name}")
    }
}

/// `key!(table.name, KIND, default or none, meaning)` fills the field of that path in [`File`].
macro_rules! key {
    ($name:ident, $($rest:tt)*) => { key!(@ "", $name, [$name], $($rest)*) };
    ($table:ident.$name:ident, $($rest:tt)*) => {
        key!(@ stringify!($table), $name, [$table.$name], $($rest)*)
    };
    (@ $table:expr, $name:ident, [$($field:tt)+], $kind:ident, $default:tt, $meaning:literal) => {
        Key {
            table: $table,
            name: stringify!($name),
            kind: $kind.name,
            accepts: $kind.accepts,
            shown: $kind.shown,
            default: stringify!($default),
            meaning: $meaning,
            set: |file, item| {
                file.$($field)+ = ($kind.read)(item)?.into();
                Ok(())
            },
        }
    };
}

/// Every key, in the order in which people meet them.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key!(schedule, SCHEDULE, "0 * * * *",
        "When backups are taken: five crontab fields, as in a Kubernetes CronJob."),
    key!(timezone, TIMEZONE, "UTC",
        "The time zone of the schedule: an IANA name, as spec.timeZone of a CronJob."),
    key!(catch_up, FLAG, true,
        "Whether one backup is taken at start when a run was missed."),
    key!(jitter, DURATION, "0s",
        "Up to this much later than the schedule says, the same for a host on every run."),

    key!(etcd.endpoints, ENDPOINTS, ["https://127.0.0.1:2379"],
        "The client URLs of the members; where one fails the next is asked."),
    key!(etcd.ca_file, FILE, "/etc/kubernetes/pki/etcd/ca.crt",
        "The CA (PEM) that signed the members' server certificates."),
    key!(etcd.cert_file, FILE, "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "The client certificate (PEM)."),
    key!(etcd.key_file, FILE, "/etc/kubernetes/pki/etcd/healthcheck-client.key",
        "The private key (PEM) of the client certificate."),
    key!(etcd.username, NAME, none,
        "The etcd user, where etcd's auth is on; needs password_file."),
    key!(etcd.password_file, FILE, none,
        "A file whose first line is the password of username."),
    key!(etcd.connect_timeout, POSITIVE, "10s",
        "How long connecting to a member may take, TLS handshake included."),
    key!(etcd.stall_timeout, POSITIVE, "30s",
        "A member that delivers no new byte for this long is given up, and the next is asked."),
    key!(etcd.live_hash, LIVE_HASH, "auto",
        "Whether the KV hash of the file is compared with the live members: \"auto\" where one \
         answers, \"require\" refuses a backup that none confirmed, \"off\" does not ask."),

    key!(backup.dir, DIRECTORY, "/mnt/backup",
        "The directory that holds the backups."),
    key!(backup.reserve, SIZE, "1GiB",
        "A backup that would leave less free space than this is refused."),
    key!(backup.require_mount, FLAG, false,
        "Whether no backup is made while backup.dir is on the root file system, as the mount point \
         of a disk is that is not mounted."),

    key!(pki.files, FILES, ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"],
        "The files that are kept beside the backups, each time they change; the one called ca.crt, \
         or else the first, is the CA certificate."),

    key!(retention.keep_last, COUNT, 24, "Keep this many of the newest backups."),
    key!(retention.keep_within, DURATION, "0s",
        "Keep every backup that began less than this before the newest."),
    key!(retention.keep_hourly, COUNT, 0,
        "Keep the newest backup of each of this many hours that have one."),
    key!(retention.keep_daily, COUNT, 7,
        "Keep the newest backup of each of this many days that have one."),
    key!(retention.keep_weekly, COUNT, 4,
        "Keep the newest backup of each of this many weeks that have one; weeks begin on Monday."),
    key!(retention.keep_monthly, COUNT, 0,
        "Keep the newest backup of each of this many months that have one."),
    key!(retention.keep_yearly, COUNT, 0,
        "Keep the newest backup of each of this many years that have one."),
    key!(retention.max_total_size, SIZE, "0",
        "Remove the oldest backups while all have more bytes than this; 0: no limit."),
    key!(retention.min_verified, FLOOR, 3,
        "This many of the newest verified backups stay, whatever else is said."),

    key!(seal.compression, COMPRESSION, "none", "How a snapshot is compressed."),
    key!(seal.recipients, RECIPIENTS, [],
        "The age recipients that can open a backup; empty: not encrypted."),
    key!(seal.identity_file, FILE, none,
        "The age identity that opens a backup to verify or restore it."),

    key!(report.stale_after, POSITIVE, none,
        "How old the newest verified backup may be before `status` says no; without it, that \
         follows from the schedule."),
    key!(report.metrics_file, FILE, none,
        "A file of the Prometheus node exporter's textfile collector."),
    key!(report.metrics_listen, ADDRESS, none, "Where Prometheus may fetch the metrics."),
    key!(report.heartbeat_url, HOOK, none, "A URL that is called after each verified backup."),
    key!(report.webhook_url, HOOK, none, "A URL that is told of each failure."),
];

/// Keys, or whole tables, that the file may one day use and this version does not act on: any value
/// but the default is refused.
pub(super) struct NotYet {
    keys: &'static [&'static str],
    pub(super) message: &'static str,
}

/// What this version cannot do. A backup that the operator believes to be encrypted, or copied
/// off the host, would be a lie. Delete an entry when its keys begin to work.
const NOT_YET: &[NotYet] = &[
    NotYet {
        keys: &["seal"],
        message: "not available in this version: backups are neither compressed nor encrypted",
    },
    NotYet {
        keys: &["remote"],
        message: "not available in this version: backups are not copied off this host",
    },
    NotYet {
        keys: &["report.metrics_file", "report.metrics_listen"],
        message: "not available in this version: no metrics are written",
    },
    NotYet {
        keys: &["report.heartbeat_url", "report.webhook_url"],
        message: "not available in this version: nobody is notified",
    },
];

/// The key of this path.
pub(super) fn key(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.table == table && key.name == name)
}

/// Every table, once.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    KEYS.chunk_by(|a, b| a.table == b.table)
        .filter_map(|keys| keys.first().map(|key| key.table))
        .filter(|table| !table.is_empty())
}

/// Why this version does not act on a key or a table.
pub(super) fn not_yet(path: &str) -> Option<&'static NotYet> {
    NOT_YET.iter().find(|not_yet| {
        not_yet.keys.iter().any(|key| {
            path.strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    })
}

/// The keys that this version acts on.
pub(super) fn available() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| not_yet(&key.path()).is_none())
}
