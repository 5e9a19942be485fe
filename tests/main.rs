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

/// The copies of the CA: made once, one directory for each CA, never led elsewhere, their troubles told and harmless.
mod pki_copies;

/// A stream that is cut, altered, stalled, broken or refused becomes no backup, and the next member is asked.
mod bad_stream;

/// A disk that is full, missing, read-only or in somebody else's use costs no backup and touches no file.
mod bad_disk;

/// A damaged snapshot or manifest is named for what it is, never believed, and hides no other.
mod bad_files;

/// The CronJob that is rendered: what it says, field by field, and that its pod does it with every etcdctl.
mod cronjob;

/// A wrong configuration or command line is told whole, at once, and without its secrets.
mod bad_config;

/// Backups of every etcd version under load: all proofs hold, etcd's own tools agree, a restore holds every key.
mod backup_real;
/// The commands that look at backups or pin one: selectors, verify, status, and their exit codes.
mod catalog_commands;
/// The policy keeps what it says and never less than its floor; each way in which others lose backups is shut.
mod retention;

/// `kill -9` at any instant leaves whole backups or nothing; one writer at a time.
mod crash;
/// A restored data directory is the one that etcdutl makes, and every version of etcd starts from it.
mod datadir;
/// The golden snapshots: our figures are those of etcd's own tools.
mod golden_facts;
/// `init`: a kubeadm host gets a configuration that works, and keeps what somebody has set.
mod init;
/// The hash of the keys is the members' own, whatever was deleted and compacted.
mod live_hash;
/// Auth: without or with a wrong login the error says so; with the right one a backup is made.
mod login;
/// A store that lost its keys makes a suspect backup, and nothing is pruned until somebody accepts it.
mod suspect;

/// Bit rot is found by whoever looks, named and counted; what is whole again is good again.
mod reverify;

/// Clusters: who is asked first, who stands in, and who is named as corrupt.
mod members;
/// What is restored holds every key, lease and user on every version of etcd; bad input is refused before anything changes.
mod restore;
/// A kubeadm host is restored in place or returned to what it was, whatever fails and wherever it is killed.
mod restore_in_place;
/// Every way in which TLS and endpoints can be wrong is told by name, with what to do.
mod tls;

/// Whatever the fuzzers have kept is still read without a panic, and obeys the laws of its reader.
mod fuzz_replay;

/// What the packages are made from: version, changelog, configuration, list of files.
mod packaging;

/// The import table, the budgets and the fences hold.
mod architecture;
