//! What can go wrong with one member, named so that the next step is clear.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tonic::Code;

use super::{Diagnosis, Endpoint};
use crate::certificate;

/// Why a member did not give what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not `scheme://host:port`.
    #[error("`{text}` is not an etcd endpoint: {reason}")]
    InvalidEndpoint {
        /// The text, without anything that could be a password.
        text: String,
        /// Which part is missing or too much.
        reason: &'static str,
    },
    /// A CA, certificate or key file cannot be used.
    #[error("etcd at {endpoint} cannot be asked: {cause}")]
    Identity {
        /// The member.
        endpoint: Endpoint,
        /// The file and what is wrong with it.
        cause: Box<certificate::Error>,
    },
    /// The password file cannot be read or is empty.
    #[error("etcd at {endpoint} cannot be asked: the password file {} cannot be read: {cause}", path.display())]
    Password {
        /// The member.
        endpoint: Endpoint,
        /// The password file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// No usable connection came about.
    #[error("etcd at {endpoint} cannot be reached: {diagnosis}")]
    Connect {
        /// The member.
        endpoint: Endpoint,
        /// Why.
        diagnosis: Box<Diagnosis>,
    },
    /// The user name or password was refused.
    #[error("etcd at {endpoint} refused the login of `{username}`: {message}")]
    Login {
        /// The member.
        endpoint: Endpoint,
        /// The etcd user.
        username: String,
        /// What etcd said.
        message: String,
    },
    /// Auth is on, and the caller may not do this.
    #[error("etcd at {endpoint} refused {call}: {message}")]
    Denied {
        /// The member.
        endpoint: Endpoint,
        /// The call.
        call: &'static str,
        /// What etcd said.
        message: String,
    },
    /// The member is a learner, which serves few calls.
    #[error("etcd at {endpoint} refused {call}: the member is a learner")]
    Learner {
        /// The member.
        endpoint: Endpoint,
        /// The call.
        call: &'static str,
    },
    /// A call was not answered in time.
    #[error("etcd at {endpoint} did not answer {call} within {after:?}")]
    Timeout {
        /// The member.
        endpoint: Endpoint,
        /// The call.
        call: &'static str,
        /// The time it was given.
        after: Duration,
    },
    /// The member answered a call with an error of its own.
    #[error("etcd at {endpoint} answered {call} with an error: {message} ({code:?})")]
    Answer {
        /// The member.
        endpoint: Endpoint,
        /// The call.
        call: &'static str,
        /// The gRPC code.
        code: Code,
        /// What etcd said.
        message: String,
    },
    /// The connection broke during a call.
    #[error("the connection to etcd at {endpoint} broke during {call}: {cause}")]
    Lost {
        /// The member.
        endpoint: Endpoint,
        /// The call.
        call: &'static str,
        /// The transport's reasons, outermost first.
        cause: String,
    },
    /// The revision of a `HashKV` is older than the member's last compaction.
    #[error("etcd at {endpoint} has compacted revision {revision} away")]
    Compacted {
        /// The member.
        endpoint: Endpoint,
        /// The revision asked for.
        revision: i64,
    },
    /// The member has not reached the revision of a `HashKV` yet.
    #[error("etcd at {endpoint} has not reached revision {revision} yet")]
    FutureRevision {
        /// The member.
        endpoint: Endpoint,
        /// The revision asked for.
        revision: i64,
    },
    /// The snapshot stream delivered no new byte for too long.
    #[error("the snapshot from etcd at {endpoint} stalled: no new byte for {after:?} after {}", progress(*received, *announced))]
    Stalled {
        /// The member.
        endpoint: Endpoint,
        /// How long no byte came.
        after: Duration,
        /// Bytes received until then.
        received: u64,
        /// Bytes that were to come in all, digest included; `None` before the first message.
        announced: Option<u64>,
    },
    /// The snapshot stream ended early.
    #[error("the snapshot from etcd at {endpoint} was cut off after {}", progress(*received, *announced))]
    Cut {
        /// The member.
        endpoint: Endpoint,
        /// Bytes received.
        received: u64,
        /// Bytes that were to come in all, digest included; `None` before the first message.
        announced: Option<u64>,
    },
    /// The snapshot stream delivered more than it announced.
    #[error(
        "the snapshot from etcd at {endpoint} is longer than announced: {received} of {announced} bytes"
    )]
    Overrun {
        /// The member.
        endpoint: Endpoint,
        /// Bytes received.
        received: u64,
        /// Bytes that were to come in all, digest included.
        announced: u64,
    },
    /// Two messages of the snapshot stream disagree about its size.
    #[error(
        "the snapshot from etcd at {endpoint} contradicts itself: after {received} bytes of {announced}, {remaining} remain"
    )]
    Inconsistent {
        /// The member.
        endpoint: Endpoint,
        /// Bytes received, this message included.
        received: u64,
        /// Bytes that were to come in all by the first message, digest included.
        announced: u64,
        /// Bytes that remain by this message, digest not included.
        remaining: u64,
    },
}

/// What an error asks of the one who meets it; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The member did not deliver: network, TLS, refused, stalled, broken (exit code 69).
    Unreachable,
    /// The caller may not read a file or make the call (exit code 77).
    Permission,
    /// The configuration or a file it names is wrong (exit code 78).
    Configuration,
}

impl Error {
    /// What the error asks of the one who meets it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::InvalidEndpoint { .. } => Kind::Configuration,
            Self::Identity { cause, .. } => match &**cause {
                certificate::Error::Read { cause, .. } => kind_of_file(cause),
                _ => Kind::Configuration,
            },
            Self::Password { cause, .. } => kind_of_file(cause),
            Self::Login { .. } | Self::Denied { .. } => Kind::Permission,
            _ => Kind::Unreachable,
        }
    }

    /// What to do about it, as a full sentence.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::InvalidEndpoint { .. } => {
                "Write it as https://host:port, for example https://127.0.0.1:2379.".to_owned()
            }
            Self::Identity { cause, .. } => return cause.hint(),
            Self::Password { path, .. } => {
                format!("Put the password into the first line of {}, readable by root only.", path.display())
            }
            Self::Connect { endpoint, diagnosis } => return diagnosis.hint(endpoint),
            Self::Login { username, .. } => {
                format!("Set the password anew with: etcdctl user passwd {username}")
            }
            Self::Denied { .. } => {
                "Auth is on: set etcd.username and etcd.password_file to a user with the role root.".to_owned()
            }
            Self::Learner { .. } => {
                "Name a voting member too, or promote this one with: etcdctl member promote ID".to_owned()
            }
            Self::Timeout { .. } | Self::Stalled { .. } => {
                "See whether the member is overloaded or its disk slow: journalctl -u etcd, or its pod's log.".to_owned()
            }
            Self::Lost { .. } | Self::Cut { .. } => {
                "The member's own log says why it closed the connection, if it did.".to_owned()
            }
            Self::Overrun { .. } | Self::Inconsistent { .. } => {
                "Something between here and etcd alters the stream; connect to the member directly.".to_owned()
            }
            Self::Answer { .. } => {
                "The member's own log says more: journalctl -u etcd, or its pod's log.".to_owned()
            }
            Self::Compacted { .. } | Self::FutureRevision { .. } => return None,
        })
    }

    /// The member that the error is about; `None` where the endpoint itself is wrong.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::InvalidEndpoint { .. } => None,
            Self::Identity { endpoint, .. }
            | Self::Password { endpoint, .. }
            | Self::Connect { endpoint, .. }
            | Self::Login { endpoint, .. }
            | Self::Denied { endpoint, .. }
            | Self::Learner { endpoint, .. }
            | Self::Timeout { endpoint, .. }
            | Self::Answer { endpoint, .. }
            | Self::Lost { endpoint, .. }
            | Self::Compacted { endpoint, .. }
            | Self::FutureRevision { endpoint, .. }
            | Self::Stalled { endpoint, .. }
            | Self::Cut { endpoint, .. }
            | Self::Overrun { endpoint, .. }
            | Self::Inconsistent { endpoint, .. } => Some(endpoint),
        }
    }
}

fn kind_of_file(cause: &io::Error) -> Kind {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => Kind::Permission,
        _ => Kind::Configuration,
    }
}

/// How far a stream came.
pub(super) fn progress(received: u64, announced: Option<u64>) -> String {
    match announced {
        Some(announced) => format!("{received} of {announced} bytes"),
        None => "no byte at all".to_owned(),
    }
}
