//! Pins a backup, so that no policy removes it, or lets it go again.

use jiff::Timestamp;

use crate::catalog::{Manifest, Selector};
use crate::config::Config;
use crate::error::Error;

/// Pins the backup; its manifest. One that is pinned already stays so.
///
/// # Errors
/// Where no single backup fits, another job holds the lock, or the manifest cannot be written.
pub fn pin(config: &Config, selector: &Selector, now: Timestamp) -> Result<Manifest, Error> {
    super::amend(config, selector, ("pin", now), |backup| {
        backup.pinned = true;
    })
}

/// Takes the pin away; the manifest.
///
/// # Errors
/// Those of [`pin`].
pub fn unpin(config: &Config, selector: &Selector, now: Timestamp) -> Result<Manifest, Error> {
    super::amend(config, selector, ("unpin", now), |backup| {
        backup.pinned = false;
    })
}
