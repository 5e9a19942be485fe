//! Where backups are kept.

use std::path::PathBuf;

/// Where backups go; the `[backup]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directory that holds the backups; absolute.
    pub dir: PathBuf,
    /// Free space in bytes that a backup must leave on that file system.
    pub reserve: u64,
}
