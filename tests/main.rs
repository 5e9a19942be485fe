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

/// Whatever the fuzzers have kept is still read without a panic, and obeys the laws of its reader.
mod fuzz_replay;

/// The import table, the budgets and the fences hold.
mod architecture;
