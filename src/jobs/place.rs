//! A file that the operator asked for by its path.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::Error;
use crate::store::{self, Directory};

/// Puts a file in place whole, mode 0644, or leaves what is there. A device, a pipe or a symbolic link is
/// written to instead.
///
/// # Errors
/// [`Error::Create`].
pub fn place(path: &Path, text: &str) -> Result<(), Error> {
    let is_file = fs::symlink_metadata(path).map_or(true, |there| there.is_file());
    let name = path.file_name().and_then(|name| name.to_str());
    let placed = match name.filter(|_| is_file) {
        Some(name) => replace(path.parent().unwrap_or(Path::new("/")), name, text),
        None => File::options()
            .write(true)
            .truncate(true)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes())),
    };
    placed.map_err(|source| Error::Create {
        path: path.to_owned(),
        source,
    })
}

fn replace(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    // a name alone is one of the directory that we are in
    let directory = Path::new(".").join(directory);
    let directory = Directory::open(&directory).map_err(reason)?;
    let draft = directory.draft().map_err(reason)?;
    let mut file = draft.file().map_err(reason)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    draft.replace(name).map_err(reason)
}

/// Why a directory refuses, in the system's words.
pub(super) fn reason(error: store::Error) -> io::Error {
    match error {
        store::Error::Open { source, .. }
        | store::Error::Read { source, .. }
        | store::Error::Write { source, .. }
        | store::Error::Moved { source, .. } => source,
        store::Error::Exists { .. }
        | store::Error::NotMounted { .. }
        | store::Error::Locked { .. } => io::ErrorKind::AlreadyExists.into(),
    }
}
