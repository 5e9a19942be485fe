//! hypercloud-etcd: backups of a Kubernetes control-plane node's etcd that are proven good when
//! they are made.
//!
//! # The map
//!
//! The path of the data, and who works along it:
//!
//! ```text
//!               the command line ▸ jobs ◂ daemon ◂ schedule
//!                                   │
//!        etcd ▸ snapshot ▸ store ▸ catalog ▸ retention ▸ report
//!                   │        ▲
//!                datadir     pki
//! ```
//!
//! A backup is taken from a member ([`etcd`]), received, hashed and walked ([`snapshot`]), published
//! in a directory ([`store`]) beside the CA of its time ([`pki`]), and recorded ([`catalog`]). How long
//! it stays is decided by [`retention`]; how all that stands is told by [`report`]. The way back leads
//! from a proven snapshot to a data directory that a member starts from ([`datadir`]). What the host
//! itself says about its etcd is read by [`kubeadm`]. Nouns are modules here; verbs live in [`jobs`],
//! one file each.
//!
//! The modules below stand in the order in which they may import one another, lowest first: none
//! imports one that comes after it. [`config`] stands above those whose settings it composes, so no
//! leaf ever imports it. `tests/architecture.rs` holds the exact table.

// leaves: each knows one thing of the world
pub mod certificate;
pub mod etcd;
pub mod host;
pub mod kubeadm;
pub mod line;
pub mod schedule;
pub mod sha256;
pub mod shell;
pub mod snapshot;
pub mod store;

// what is kept, and how it is told
pub mod pki;

pub mod catalog;
pub mod datadir;
pub mod recovery;
pub mod report;
pub mod retention;

pub mod anomaly;

// what the operator wants, and what can go wrong
pub mod config;
pub mod cronjob;
pub mod error;

// what is done: once, or by the schedule
pub mod jobs;

pub mod daemon;
