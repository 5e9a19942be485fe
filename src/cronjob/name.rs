//! Names as the API server accepts them, and what is wrong with the others.

use std::fmt;

use super::Error;

/// What a name is the name of: how it is called, and which names it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The `CronJob`: its jobs and pods are called after it, with eleven characters more.
    CronJob,
    /// A namespace: a DNS label.
    Namespace,
    /// A node.
    Node,
    /// A persistent volume claim.
    Claim,
}

impl Named {
    fn longest(self) -> usize {
        match self {
            Self::CronJob => 52,
            Self::Namespace => 63,
            Self::Node | Self::Claim => 253,
        }
    }

    /// Where the names are to be found.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Node => "See the names of the nodes with: kubectl get nodes",
            Self::Namespace => "See the namespaces with: kubectl get namespaces",
            Self::Claim => {
                "See the claims with: kubectl get persistentvolumeclaims --all-namespaces"
            }
            Self::CronJob => "Choose a name such as etcd-backup.",
        }
    }

    fn may_have_dots(self) -> bool {
        self != Self::Namespace
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CronJob => "name of a CronJob",
            Self::Namespace => "name of a namespace",
            Self::Node => "name of a node",
            Self::Claim => "name of a persistent volume claim",
        })
    }
}

/// A name that the API server accepts (RFC 1123): lower-case letters, digits and hyphens, with dots
/// between them where its object may have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Reads the name of such an object.
    ///
    /// # Errors
    /// [`Error::Name`] that says what is wrong, and which name was probably meant.
    pub fn parse(text: &str, named: Named) -> Result<Self, Error> {
        match fault(text, named) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(Error::Name {
                named,
                text: text.to_owned(),
                reason,
                meant: meant(text, named),
            }),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fault(text: &str, named: Named) -> Option<String> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_accepted =
        |byte: u8| is_word(byte) || byte == b'-' || (byte == b'.' && named.may_have_dots());
    let ends_in_words = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word)
    };
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    if !text.bytes().all(is_accepted) {
        let dots = if named.may_have_dots() { ", dots" } else { "" };
        return Some(format!(
            "only lower-case letters, digits{dots} and hyphens are accepted"
        ));
    }
    if !text.split('.').all(ends_in_words) {
        return Some(
            "it has to begin and end, also around each dot, with a letter or digit".to_owned(),
        );
    }
    let longest = named.longest();
    (text.len() > longest)
        .then(|| format!("it has {} characters, {longest} are accepted", text.len()))
}

/// The accepted name that the text comes to with small letters, and hyphens for underscores.
fn meant(text: &str, named: Named) -> Option<String> {
    let meant = text.trim().to_lowercase().replace('_', "-");
    fault(&meant, named).is_none().then_some(meant)
}
