//! Recognises a file that holds no database but something compressed or encrypted.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// What a file is wrapped in, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// Encrypted with age.
    Age,
    /// Compressed with zstd.
    Zstd,
    /// Compressed with gzip.
    Gzip,
}

/// How each begins: age v1 in binary and in PEM, a zstd frame (RFC 8878), gzip (RFC 1952).
const BEGINNINGS: [(&[u8], Wrapping); 4] = [
    (b"age-encryption.org/", Wrapping::Age),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", Wrapping::Age),
    (&[0x28, 0xb5, 0x2f, 0xfd], Wrapping::Zstd),
    (&[0x1f, 0x8b, 0x08], Wrapping::Gzip),
];

impl Wrapping {
    /// What the file is wrapped in, if it is.
    #[must_use]
    pub fn of(file: &File) -> Option<Self> {
        let mut first = [0; 64];
        let read = file.read_at(&mut first, 0).ok()?;
        let found = BEGINNINGS
            .iter()
            .find(|(beginning, _)| first[..read].starts_with(beginning));
        found.map(|(_, wrapping)| *wrapping)
    }

    /// The command that unwraps it.
    #[must_use]
    pub fn command(self, path: &str) -> String {
        match self {
            Wrapping::Age => format!("age -d -i IDENTITY -o snapshot.db {path}"),
            Wrapping::Zstd => format!("zstd -d -o snapshot.db {path}"),
            Wrapping::Gzip => format!("gzip -dc {path} > snapshot.db"),
        }
    }
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrapping::Age => "encrypted with age",
            Wrapping::Zstd => "compressed with zstd",
            Wrapping::Gzip => "compressed with gzip",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_is_wrapped_is_recognised_by_its_first_bytes() {
        for (bytes, wrapping) in [
            (
                &b"age-encryption.org/v1\n-> X25519 "[..],
                Some(Wrapping::Age),
            ),
            (
                b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl",
                Some(Wrapping::Age),
            ),
            (b"\x28\xb5\x2f\xfd\x04\x00", Some(Wrapping::Zstd)),
            (b"\x1f\x8b\x08\x00", Some(Wrapping::Gzip)),
            (b"", None),
            (b"age", None),
            (&[0; 4096], None),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            assert_eq!(Wrapping::of(&file), wrapping, "{bytes:?}");
        }
    }
}
