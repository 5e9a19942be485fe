//! A restore in place, as it is planned, done step by step, and remembered.
//!
//! The steps are a list, the journal says which of them were begun and which were done, and both
//! ways, forward and back, follow from it alone. So whoever finds the journal after a crash knows
//! what to do next. The steps themselves are done elsewhere; nothing here stops or starts anything.

mod around;
mod commands;
mod error;
mod journal;
mod places;
mod plan;
mod step;

pub use commands::{Elsewhere, require_agreement, shared};
pub use error::Error;
pub use journal::{Expected, Goal, Journal, JournalFile, Options, Pod, PodName, Record};
pub use places::Places;
pub use plan::{Commands, Host, Plan, Planned, Source, Wish};
pub use step::{Step, Way};

/// The directory of the journal and of the manifests that are out of the kubelet's sight, below the
/// Kubernetes directory.
const DIRECTORY: &str = "hypercloud-etcd-restore";
