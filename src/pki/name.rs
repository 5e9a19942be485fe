//! The name of a copy: one that can only be a file in its own directory.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A file name that leads nowhere else and is not hidden.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name(String);

impl Name {
    /// The last part of a path.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        Name::try_from(path.file_name()?.to_str()?.to_owned()).ok()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the n-th file that is to be called this: `ca.key`, `ca.2.key`, `ca.3.key`.
    pub(super) fn nth(&self, n: u32) -> String {
        match (n, self.0.rsplit_once('.')) {
            (..=1, _) => self.0.clone(),
            (n, Some((stem, extension))) => format!("{stem}.{n}.{extension}"),
            (n, None) => format!("{}.{n}", self.0),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // a dot in front is for what is unfinished
        if text.is_empty() || text.starts_with('.') || text.contains(['/', '\0']) {
            return Err("a copy has the name of a file, without a dot in front");
        }
        Ok(Name(text))
    }
}
