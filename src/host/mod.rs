//! What a change in place needs of the host below it: to move files and directories so that neither
//! a crash nor a second try does harm, and to know which processes and containers still run; and to be no
//! more than the unit is.

mod capabilities;
mod moving;
mod processes;
mod runtime;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use capabilities::give_up_capabilities;
pub use moving::{is_mount_point, is_on_one_file_system, settle};
pub use processes::{Process, command_line, open_below, running};
pub use runtime::{Container, containers};

/// What the host refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something cannot be looked at.
    #[error("{} cannot be read", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something cannot be moved; it is where it was.
    #[error("{} cannot be moved to {}", from.display(), to.display())]
    Move {
        /// What.
        from: PathBuf,
        /// Where it was to go.
        to: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is something at both ends of a move; neither is touched.
    #[error("{} cannot be moved to {}: both are there", from.display(), to.display())]
    Both {
        /// What.
        from: PathBuf,
        /// Where it was to go.
        to: PathBuf,
    },
    /// There is nothing at either end of a move.
    #[error("{} is gone, and not at {} either", from.display(), to.display())]
    Gone {
        /// What.
        from: PathBuf,
        /// Where it was to go.
        to: PathBuf,
    },
    /// What was to end goes on.
    #[error("still running after {after:?}: {processes}")]
    StillRunning {
        /// The processes.
        processes: String,
        /// How long was waited.
        after: Duration,
    },
    /// No process of what was to end is known any more, but the container runtime has it.
    #[error("not gone after {after:?}, as the container runtime at {} says: {containers}", socket.display())]
    StillListed {
        /// Its socket.
        socket: PathBuf,
        /// The containers.
        containers: String,
        /// How long was waited.
        after: Duration,
    },
    /// The container runtime does not tell.
    #[error("the container runtime at {} does not tell its containers: {why}", socket.display())]
    Runtime {
        /// Its socket.
        socket: PathBuf,
        /// What came of asking.
        why: String,
    },
    /// What was to start is not there.
    #[error("the pod of {pod} does not run after {after:?}")]
    NotStarted {
        /// Its manifest.
        pod: String,
        /// How long was waited.
        after: Duration,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Error::StillRunning { .. } => {
                "The kubelet stops a pod whose manifest is gone. See whether it runs: systemctl status kubelet; and what else holds the data: crictl ps"
            }
            Error::StillListed { .. } => {
                "The kubelet ends the containers of a pod whose manifest is gone. See whether it runs: systemctl status kubelet; what the container runtime has: crictl --runtime-endpoint unix://SOCKET ps -a; and end what was left over: crictl stop ID where it runs, then crictl rm ID. A runtime that is stopped holds up nothing."
            }
            Error::Runtime { .. } => {
                "See whether it runs, for containerd with: systemctl status containerd; and whether it answers: crictl ps"
            }
            Error::NotStarted { .. } => {
                "The kubelet starts it. See whether that runs: systemctl status kubelet; and what the pod says: crictl ps -a"
            }
            Error::Both { .. } => {
                "See which of the two is right, and move the other one elsewhere."
            }
            Error::Move { .. } | Error::Gone { .. } | Error::Read { .. } => return None,
        })
    }
}
