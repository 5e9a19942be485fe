//! What is proven, a line each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "this is test code throughout, also where no #[test] stands above it"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "each helper has its first user in another test"
)]
mod support;

/// The support itself: every etcd starts and fills, the fake server is taken for an etcd.
mod support_proof;

/// Backups of every etcd version under load: all proofs hold, etcd's own tools agree, a restore holds every key.
mod backup_real;
/// The commands that look at backups: selectors, verify, status, and their exit codes.
mod catalog_commands;
/// `kill -9` at any instant leaves whole backups or nothing; one writer at a time.
mod crash;
/// The golden snapshots: our figures are those of etcd's own tools.
mod golden_facts;
/// The hash of the keys is the members' own, whatever was deleted and compacted.
mod live_hash;
/// Auth: without or with a wrong login the error says so; with the right one a backup is made.
mod login;
/// Clusters: who is asked first, who stands in, and who is named as corrupt.
mod members;
/// Every way in which TLS and endpoints can be wrong is told by name, with what to do.
mod tls;
