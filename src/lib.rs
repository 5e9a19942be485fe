//! hypercloud-etcd: backups of a Kubernetes control-plane node's etcd that are proven good when
//! they are made.
//!
//! ```text
//! config ▸ schedule ▸ etcd ▸ snapshot ▸ store ▸ catalog
//! ```
//!
//! The nouns are modules, in the order of the path above; the verbs live in [`jobs`]. No module
//! imports one that stands below it in this list, and `tests/architecture.rs` holds it to that.

pub mod schedule;

pub mod sha256;

pub mod certificate;
pub mod etcd;
pub mod snapshot;
pub mod store;

pub mod pki;

pub mod catalog;
pub mod report;

pub mod config;
pub mod error;

pub mod jobs;

pub mod daemon;
