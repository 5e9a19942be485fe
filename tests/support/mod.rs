//! What the proofs stand on: real etcd servers, a PKI as kubeadm makes it, a server that misbehaves on purpose, and
//! the real binary run with a deadline.
//!
//! Everything listens on loopback, on ports that the system chose, and ends with the value that stands for it.

pub(crate) mod backup;
pub(crate) mod command;
pub(crate) mod containerd;
pub(crate) mod etcd;
pub(crate) mod fake;
pub(crate) mod history;
pub(crate) mod kept;
pub(crate) mod kubelet;
pub(crate) mod mount;
pub(crate) mod node;
pub(crate) mod pki;
pub(crate) mod readme;
pub(crate) mod runtime;

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; panics when `deadline` has passed.
pub(crate) fn poll_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, deadline, || condition().then_some(()));
}

/// Waits until `look` finds something; panics when `deadline` has passed.
pub(crate) fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < deadline,
            "{what}: not so after {deadline:?}"
        );
        thread::sleep(POLL);
    }
}
