//! Pins a backup, so that no policy removes it, or lets it go again.

use jiff::Timestamp;

use super::accept::{Acceptance, accept};
use crate::catalog::{Manifest, Selector};
use crate::config::Config;
use crate::error::Error;

/// Pins the backup; its manifest, and what was accepted with it. One that is pinned already stays so.
/// Whoever wants to keep a suspect backup has looked at it: it is accepted, too.
///
/// # Errors
/// Where no single backup fits, another job holds the lock, or the manifest cannot be written.
pub fn pin(
    config: &Config,
    selector: &Selector,
    now: Timestamp,
) -> Result<(Manifest, Option<Acceptance>), Error> {
    let backup = super::amend(config, selector, ("pin", now), |backup| {
        backup.pinned = true;
    })?;
    if backup.is_suspect() && backup.is_sound() {
        let accepted = accept(config, &Selector::Id(backup.id.to_string()), now)?;
        return Ok((accepted.backup.clone(), Some(accepted)));
    }
    Ok((backup, None))
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
