//! hypercloud-etcd: backups of a Kubernetes control-plane node's etcd that are proven good when
//! they are made.
//!
//! # The map
//!
//! The path of the data, out and back:
//!
//! ```text
//!  out    config ▸ schedule ▸ etcd ▸ snapshot ▸ store ▸ catalog ▸ retention
//!                                                │ ▴
//!                                               pki anomaly
//!
//!  back   datadir ◂ snapshot ◂ store ◂ catalog ◂ "restore this one"
//!            │
//!         recovery ▸ host                            in place, on a kubeadm node
//! ```
//!
//! - **Out.** When the [`schedule`] says so, a member is asked ([`etcd`]); what it sends is received,
//!   hashed and walked ([`snapshot`]), compared with the last good backup ([`anomaly`]), published in a
//!   directory ([`store`]) beside the CA of its time ([`pki`]), and recorded ([`catalog`]). How long it
//!   stays is decided by [`retention`]; how all that stands is told by [`report`].
//! - **Back.** From a proven snapshot a data directory is made that a member starts from
//!   ([`datadir`]). Where that takes the place of a running one, [`recovery`] plans it, step by step,
//!   and remembers it; [`host`] moves files, and looks at processes and containers.
//! - **Beside the path.** What the host itself says about its etcd is read by [`kubeadm`]; the same
//!   backups as a Kubernetes object are drawn by [`cronjob`].
//!
//! Nouns are modules here. Verbs live in [`jobs`], a file or a directory each, and read as the story of
//! what they do; [`daemon`] runs them by the schedule, the command line when somebody asks.
//!
//! The modules below stand in the order in which they may import one another, lowest first: none
//! imports one that comes after it. [`config`] stands above those whose settings it composes, so no
//! leaf ever imports it. `tests/architecture.rs` holds the exact table.

// leaves: each knows one thing of the world
pub mod host;
pub mod kubeadm;
pub mod line;
pub mod schedule;
pub mod sha256;
pub mod shell;
pub mod versioned;

// what bytes, files and peers are
pub mod certificate;
pub mod etcd;
pub mod snapshot;
pub mod store;

// what is kept, and how it is told
pub mod pki;

pub mod catalog;
pub mod datadir;
pub mod recovery;
pub mod report;

// what is decided about it
pub mod anomaly;
pub mod retention;

// what the operator wants, and what can go wrong
pub mod config;
pub mod cronjob;
pub mod error;

// what is done: once, or by the schedule
pub mod jobs;

pub mod daemon;
