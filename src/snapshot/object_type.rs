//! The type of object that a key holds, by the place where Kubernetes keeps it.

use std::collections::HashMap;

/// Object types that are counted by name; any further ones are counted together.
const MAX_TYPES: usize = 1000;
/// Where keys outside `/registry/<type>/` are counted.
const OTHER: &str = "other";

/// The object types met so far, by number.
#[derive(Default)]
pub(super) struct ObjectTypes {
    numbers: HashMap<Box<str>, u32>,
}

impl ObjectTypes {
    /// The number of a key's type; 0 stands for every key that has none.
    pub(super) fn number(&mut self, key: &[u8]) -> u32 {
        let Some(name) = type_of(key) else { return 0 };
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.numbers.len() == MAX_TYPES {
            return 0;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(0) + 1;
        self.numbers.insert(name.into(), number);
        number
    }

    pub(super) fn name(&self, number: u32) -> String {
        self.numbers
            .iter()
            .find(|(_, known)| **known == number)
            .map_or_else(|| OTHER.into(), |(name, _)| name.to_string())
    }
}

/// `/registry/pods` of `/registry/pods/default/web-0`; objects of an API group keep the group's
/// name (`/registry/cert-manager.io/certificates`). A name is text: of two that are not, neither can
/// be shown as itself. Nor does it hold control characters: whoever may write to etcd chose it, and
/// it is shown on the terminal of whoever makes the backups.
fn type_of(key: &[u8]) -> Option<&str> {
    const ROOT: &[u8] = b"/registry/";
    let rest = key.strip_prefix(ROOT)?;
    let segment = |from: usize| {
        rest.get(from..)?
            .iter()
            .position(|byte| *byte == b'/')
            .map(|at| from + at)
    };
    let first = segment(0)?;
    let end = if rest[..first].contains(&b'.') {
        segment(first + 1).unwrap_or(first)
    } else {
        first
    };
    let name = std::str::from_utf8(&key[..ROOT.len() + end]);
    name.ok()
        .filter(|name| end <= 253 && !name.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_for_its_type_and_group() {
        for (key, name) in [
            ("/registry/pods/default/web-0", "/registry/pods"),
            ("/registry/namespaces/default", "/registry/namespaces"),
            (
                "/registry/cert-manager.io/certificates/ns/a",
                "/registry/cert-manager.io/certificates",
            ),
        ] {
            assert_eq!(type_of(key.as_bytes()), Some(name));
        }
        let too_long = format!("/registry/{}/x", "a".repeat(300));
        for key in ["/registry/compact_rev_key", "compact_rev_key", &too_long] {
            assert_eq!(type_of(key.as_bytes()), None);
        }
        assert_eq!(type_of(b"/registry/\xFF/x"), None, "not text");
        for forged in ["/registry/\x1b[2J/x", "/registry/a\nlive ok/x"] {
            assert_eq!(type_of(forged.as_bytes()), None, "{forged:?}");
        }
    }
}
