//! The name of a backup: the second in which it began, in UTC.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// `20261122T060000Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BackupId(String);

const FORMAT: &str = "%Y%m%dT%H%M%SZ";
const PUBLISHING: &str = ".publishing";
const REMOVING: &str = ".removing";
const REMOVED: &str = ".removed";
/// Characters of every id.
pub(super) const LENGTH: usize = 16;

impl BackupId {
    /// The id of a backup that begins at this time; fractions of a second do not count.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        BackupId(time.strftime(FORMAT).to_string())
    }

    /// The id a second later: what a backup takes whose own second is taken.
    #[must_use]
    pub fn following(&self) -> Self {
        BackupId::at(
            self.time()
                .checked_add(SignedDuration::from_secs(1))
                .unwrap_or(Timestamp::MAX),
        )
    }

    /// The second that the id names.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        parse(&self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The name of the snapshot's file.
    #[must_use]
    pub fn data_name(&self) -> String {
        format!("etcd-{self}.db")
    }

    /// The name of the manifest's file.
    #[must_use]
    pub fn manifest_name(&self) -> String {
        format!("etcd-{self}.json")
    }

    /// The name of the note that a backup is being published.
    pub(super) fn note_name(&self) -> String {
        format!(".etcd-{self}{PUBLISHING}")
    }

    /// The name of the manifest of a backup that is being removed.
    pub(super) fn removal_name(&self) -> String {
        format!(".etcd-{self}{REMOVING}")
    }

    /// The name of the manifest of a backup that is gone.
    pub(super) fn removed_name(&self) -> String {
        format!(".etcd-{self}{REMOVED}")
    }

    /// The id in the name of the note that a backup is being published.
    pub(super) fn in_publishing(name: &str) -> Option<Self> {
        BackupId::in_name(name, ".etcd-", PUBLISHING)
    }

    /// The id in the name of the note that a backup is being removed.
    pub(super) fn in_removing(name: &str) -> Option<Self> {
        BackupId::in_name(name, ".etcd-", REMOVING)
    }

    /// The id in the name of the note that a backup is gone.
    pub(super) fn in_removed(name: &str) -> Option<Self> {
        BackupId::in_name(name, ".etcd-", REMOVED)
    }

    /// The id in a name of the form `<prefix><id><suffix>`.
    pub(super) fn in_name(name: &str, prefix: &str, suffix: &str) -> Option<Self> {
        let id = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
        BackupId::try_from(id.to_owned()).ok()
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let digits = text
        .strip_suffix('Z')
        .filter(|_| text.len() == LENGTH && text.is_ascii())?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", digits)
        .ok()
        .and_then(|time| jiff::tz::TimeZone::UTC.to_timestamp(time).ok())
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> String {
        id.0
    }
}

impl TryFrom<String> for BackupId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match parse(&text) {
            Some(time) if BackupId::at(time).0 == text => Ok(BackupId(text)),
            _ => Err("a backup's id has the form 20261122T060000Z"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_second_it_names() {
        let time: Timestamp = "2026-11-22T06:00:59.9Z".parse().unwrap();
        let id = BackupId::at(time);
        assert_eq!(id.to_string(), "20261122T060059Z");
        assert_eq!(id.following().to_string(), "20261122T060100Z");
        assert_eq!(id.time().to_string(), "2026-11-22T06:00:59Z");
        assert_eq!(
            BackupId::in_name("etcd-20261122T060059Z.json", "etcd-", ".json"),
            Some(id)
        );
    }

    #[test]
    fn nothing_else_is_an_id() {
        for text in [
            "",
            "20261122T060000",
            "20261322T060000Z",
            "20261122t060000Z",
            "../20261122T0600Z",
            "2026112２T0600Z",
        ] {
            assert!(BackupId::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
