//! A client of the etcd v3 API that knows which member to ask and says why one cannot be asked.
//!
//! It connects to one member at a time (the gRPC client's own fail-over does not work), streams its
//! snapshot with a deadline on bytes, and looks into every failed connection until it can be put
//! into a sentence. It does not know what a snapshot is, has no clock and retries nothing.

mod answer;
mod client;
mod diagnosis;
mod endpoint;
mod error;
mod failure;
mod identity;
mod probe;
mod stream;
mod survey;
mod witness;

use std::path::PathBuf;
use std::time::Duration;

pub use answer::{Alarm, AlarmKind, KvHash, Member, MemberStatus};
pub use client::Client;
pub use diagnosis::{ClientFault, Diagnosis, Presented, ServerFault};
pub use endpoint::Endpoint;
pub use error::{Error, Kind};
pub use stream::SnapshotStream;
pub use survey::{LAG_LIMIT, Survey, preference};

/// How to reach etcd; the `[etcd]` table of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The members to ask, in the operator's order; never empty.
    pub endpoints: Vec<Endpoint>,
    /// The CA bundle (PEM) that signed the members' server certificates.
    pub ca_file: PathBuf,
    /// The client certificate (PEM).
    pub cert_file: PathBuf,
    /// The private key (PEM) of the client certificate.
    pub key_file: PathBuf,
    /// Who to log in as where etcd's auth is on; `None`: the certificate alone.
    pub login: Option<Login>,
    /// How long TCP connect plus TLS handshake may take.
    pub connect_timeout: Duration,
    /// How long a snapshot stream may deliver no new byte.
    pub stall_timeout: Duration,
    /// Whether the file's KV hash is compared with the live members' `HashKV`.
    pub live_hash: LiveHash,
}

/// An etcd user; the password is read from its file for every connection.
#[derive(Debug, Clone)]
pub struct Login {
    /// The etcd user name.
    pub username: String,
    /// A file whose first line is the password.
    pub password_file: PathBuf,
}

/// Whether a snapshot's KV hash is compared with the live members' `HashKV`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveHash {
    /// Compare where a member answers; say so where none does.
    Auto,
    /// A backup that no member could confirm is not verified.
    Require,
    /// Do not ask.
    Off,
}
