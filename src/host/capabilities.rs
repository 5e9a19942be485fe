//! What root may do beyond what owner, group and mode allow.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Gives up every capability, for good: this thread, and what it starts from now on, is held to owner, group and mode
/// even as root. Where nothing was to be given up, nothing happens.
///
/// # Errors
/// The system's; the thread then has what it had.
pub fn give_up_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    Ok(set_capabilities(None, sets)?)
}
