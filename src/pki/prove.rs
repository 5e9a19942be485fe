//! Proves copies again: there, and what the manifest says.

use super::{Copies, DIRECTORY, Error, FileCopy, LARGEST};
use crate::certificate;
use crate::sha256::Sha256;
use crate::store::Directory;

/// Everything that is wrong with the copies; nothing where they are good.
#[must_use]
pub fn prove(copies: &Copies, directory: &Directory) -> Vec<Error> {
    let home = directory
        .subdirectory(DIRECTORY)
        .and_then(|pki| pki.subdirectory(&copies.fingerprint.to_string()));
    match home {
        Ok(home) => copies
            .files
            .iter()
            .filter_map(|copy| prove_one(copy, &home).err())
            .collect(),
        Err(error) => vec![error.into()],
    }
}

fn prove_one(copy: &FileCopy, home: &Directory) -> Result<(), Error> {
    let path = home.path().join(copy.name.as_str());
    let bytes = home.read(copy.name.as_str(), LARGEST)?;
    let changed = |what: &str| Error::Changed {
        path: path.clone(),
        what: what.to_owned(),
    };
    if bytes.len() as u64 != copy.size {
        let (has, says) = (bytes.len(), copy.size);
        return Err(changed(&format!(
            "it has {has} bytes, the manifest says {says}"
        )));
    }
    if copy
        .sha256
        .is_some_and(|digest| digest != Sha256::of(&bytes))
    {
        return Err(changed("its SHA-256 is not the one in the manifest"));
    }
    if let Some(digest) = copy.public_key_sha256
        && Sha256::of(&certificate::public_key(&path, &bytes)?) != digest
    {
        return Err(changed("it is another private key than the manifest says"));
    }
    Ok(())
}
