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

/// The daemon keeps its schedule through failures, restarts, reloads and locks, and tells systemd so.
mod daemon;
/// The support itself: every etcd starts and fills, the fake server is taken for an etcd.
mod support_proof;
