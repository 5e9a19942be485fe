//! What the gRPC client's errors mean: who failed, and why.
//!
//! `etcd_client::Error` has no `source()` and prints the debug form of a status, so its variants are
//! taken apart here.

use tonic::Code;

use super::{Endpoint, Error};

/// What became of a call, told apart by who failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection failed: the transport's reasons, outermost first.
    Transport(String),
    /// The stream ended inside a message, or without its final status.
    Truncated,
    /// The server answered with an error.
    Answer(Code, String),
}

impl Failure {
    pub(super) const TRUNCATED: &str = "the stream ended before its end";

    /// The error of one call.
    pub(super) fn during(self, endpoint: &Endpoint, call: &'static str) -> Error {
        let endpoint = endpoint.clone();
        match self {
            Self::Transport(cause) => Error::Lost {
                endpoint,
                call,
                cause,
            },
            Self::Truncated => Error::Lost {
                endpoint,
                call,
                cause: Self::TRUNCATED.to_owned(),
            },
            Self::Answer(_, message) if message.contains("not supported for learner") => {
                Error::Learner { endpoint, call }
            }
            Self::Answer(code, message) if is_denial(code, &message) => Error::Denied {
                endpoint,
                call,
                message,
            },
            Self::Answer(code, message) => Error::Answer {
                endpoint,
                call,
                code,
                message,
            },
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transport(cause) => f.write_str(cause),
            Self::Truncated => f.write_str(Self::TRUNCATED),
            Self::Answer(code, message) => write!(f, "{message} ({code:?})"),
        }
    }
}

/// etcd says "auth is on and you may not" with five codes. `FailedPrecondition` is for a client
/// certificate whose common name is no etcd user, as that of kubeadm's health check; 3.4 answers `HashKV` and `Snapshot` with
/// `Unknown` and the bare `auth: user not found` or `auth: permission denied`.
fn is_denial(code: Code, message: &str) -> bool {
    match code {
        Code::PermissionDenied | Code::Unauthenticated => true,
        Code::FailedPrecondition => message.contains("user name not found"),
        Code::InvalidArgument => {
            message.contains("user name") || message.contains("authentication failed")
        }
        Code::Unknown => message.starts_with("auth: "),
        _ => false,
    }
}

/// Tells a server's answer from a broken connection: only the latter has a source.
pub(super) fn failure(error: etcd_client::Error) -> Failure {
    use std::error::Error as _;
    match error {
        etcd_client::Error::GRpcStatus(status) => match status.source() {
            Some(source) => Failure::Transport(chain(source)),
            None if is_truncation(status.message()) => Failure::Truncated,
            None => Failure::Answer(status.code(), printable(status.message())),
        },
        etcd_client::Error::TransportError(error) => Failure::Transport(chain(&error)),
        etcd_client::Error::IoError(error) => Failure::Transport(error.to_string()),
        other => Failure::Transport(printable(&other.to_string())),
    }
}

/// tonic's words for a stream that ended inside a message or without trailers.
fn is_truncation(message: &str) -> bool {
    message.starts_with("Unexpected EOF decoding stream")
        || message.contains("missing grpc-status trailer")
}

/// Every reason of an error, outermost first, without the repetitions that wrappers bring.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let reason = printable(&error.to_string());
        if reason != "transport error" && !reasons.iter().any(|known| known.contains(&reason)) {
            reasons.push(reason);
        }
        next = error.source();
    }
    if reasons.is_empty() {
        "the transport failed".to_owned()
    } else {
        reasons.join(": ")
    }
}

/// Text from a server, safe to print: one line, no control characters, bounded.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .take(500)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Whether an answer shows that the server is something other than etcd.
pub(super) fn is_foreign(code: Code, message: &str) -> bool {
    code == Code::Unimplemented || message.contains("mapped from HTTP status code")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    fn of(status: Status) -> Error {
        let endpoint = Endpoint::parse("https://127.0.0.1:2379").unwrap();
        failure(etcd_client::Error::GRpcStatus(status)).during(&endpoint, "Snapshot")
    }

    #[test]
    fn every_way_in_which_etcd_denies_a_call_is_a_denial() {
        let denials = [
            Status::permission_denied("etcdserver: permission denied"),
            Status::unauthenticated("etcdserver: invalid auth token"),
            Status::invalid_argument("etcdserver: user name is empty"),
            Status::failed_precondition("etcdserver: user name not found"),
            Status::unknown("auth: user not found"),
            Status::unknown("auth: permission denied"),
        ];
        for denial in denials {
            let error = of(denial);
            assert!(matches!(error, Error::Denied { .. }), "{error}");
            assert!(error.hint().unwrap().contains("etcd.password_file"));
        }
    }

    #[test]
    fn a_learner_a_broken_connection_and_an_answer_are_told_apart() {
        let learner = Status::unavailable("etcdserver: rpc not supported for learner");
        assert!(matches!(of(learner), Error::Learner { .. }));
        let mut reset = Status::unknown("transport error");
        reset.set_source(std::sync::Arc::new(std::io::Error::other(
            "connection reset",
        )));
        assert_eq!(
            of(reset).to_string(),
            "the connection to etcd at https://127.0.0.1:2379 broke during Snapshot: connection reset"
        );
        assert_eq!(
            of(Status::unavailable("etcdserver: no\nleader")).to_string(),
            "etcd at https://127.0.0.1:2379 answered Snapshot with an error: etcdserver: no leader (Unavailable)"
        );
    }
}
