//! How people name a backup: an id or the beginning of one, `latest`, a time, a revision.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;

use super::id;
use super::summary::Summary;

/// What the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The backup whose id begins so.
    Id(String),
    /// The newest, or so many before it (`latest~2`).
    Latest(usize),
    /// The newest that began at or before this time (`@2026-11-20T10:00:00Z`).
    At(Timestamp),
    /// The newest whose revision is at most this (`r123456`).
    Revision(u64),
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(time) = text.strip_prefix('@') {
            let time = time.parse().map_err(|error| {
                format!("\"{time}\" is not a time such as 2026-11-20T10:00:00Z: {error}")
            })?;
            return Ok(Selector::At(time));
        }
        if let Some(back) = text.strip_prefix("latest") {
            let back = back
                .strip_prefix('~')
                .map_or(if back.is_empty() { Ok(0) } else { Err(()) }, |n| {
                    n.parse().map_err(|_| ())
                });
            return back
                .map(Selector::Latest)
                .map_err(|()| format!("\"{text}\" is neither latest nor latest~N"));
        }
        if let Some(revision) = text.strip_prefix('r') {
            return revision
                .parse()
                .map(Selector::Revision)
                .map_err(|_| format!("\"{text}\" is not a revision such as r123456"));
        }
        let is_id = (1..=id::LENGTH).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b'T' || b == b'Z');
        if is_id {
            Ok(Selector::Id(text.into()))
        } else {
            Err(format!(
                "\"{text}\" names no backup: write an id or the beginning of one, latest, latest~N, @TIME or rREVISION"
            ))
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Id(prefix) => f.write_str(prefix),
            Selector::Latest(0) => f.write_str("latest"),
            Selector::Latest(back) => write!(f, "latest~{back}"),
            Selector::At(time) => write!(f, "@{time}"),
            Selector::Revision(revision) => write!(f, "r{revision}"),
        }
    }
}

/// Why a selector names no single backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No backup fits.
    #[error("no backup fits \"{0}\" among {1}")]
    None(String, usize),
    /// More than one does.
    #[error("\"{0}\" fits {1} backups, from {2} to {3}")]
    Several(String, usize, String, String),
}

impl Selector {
    /// Whether it names, by its id, the backup whose manifest has this path.
    pub(super) fn is_id_in(&self, path: &Path) -> bool {
        let Selector::Id(prefix) = self else {
            return false;
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("etcd-")
            .is_some_and(|id| id.starts_with(prefix))
    }

    /// The one that fits, of backups sorted newest first.
    ///
    /// # Errors
    /// [`NotFound`], where none or several fit.
    pub fn pick<'m>(&self, newest_first: &'m [Summary]) -> Result<&'m Summary, NotFound> {
        let none = || NotFound::None(self.to_string(), newest_first.len());
        match self {
            Selector::Latest(back) => newest_first.get(*back).ok_or_else(none),
            Selector::At(time) => newest_first
                .iter()
                .find(|backup| backup.started <= *time)
                .ok_or_else(none),
            Selector::Revision(revision) => newest_first
                .iter()
                .find(|backup| backup.revision <= *revision)
                .ok_or_else(none),
            Selector::Id(prefix) => {
                let fitting = |backup: &&Summary| backup.id.to_string().starts_with(prefix);
                let found: Vec<&Summary> = newest_first.iter().filter(fitting).collect();
                match found[..] {
                    [] => Err(none()),
                    [one] => Ok(one),
                    [newest, .., oldest] => Err(NotFound::Several(
                        prefix.clone(),
                        found.len(),
                        oldest.id.to_string(),
                        newest.id.to_string(),
                    )),
                }
            }
        }
    }
}
