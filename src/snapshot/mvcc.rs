//! What etcd keeps in the `key` bucket: a revision for a key, a `mvccpb.KeyValue` for a value.
//!
//! Formats: etcd `server/storage/mvcc/revision.go` and `api/mvccpb/kv.proto`.

/// The keys of the `meta` bucket that hold a compaction's revision: the last one begun, and the last
/// one done.
pub(super) const COMPACTIONS: [&[u8]; 2] = [b"scheduledCompactRev", b"finishedCompactRev"];

/// The key of an entry: when something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revision {
    /// The store's revision, at least 1.
    pub(super) main: u64,
    /// Whether the entry records a deletion.
    pub(super) is_deletion: bool,
}

impl Revision {
    /// Reads 8 bytes, `_`, 8 bytes, and `t` behind them for a deletion.
    pub(super) fn parse(key: &[u8]) -> Option<Self> {
        let (number, mark) = key.split_at_checked(17)?;
        let is_deletion = match mark {
            [] => false,
            [b't'] => true,
            _ => return None,
        };
        let (main, rest) = number.split_first_chunk::<8>()?;
        (rest.first() == Some(&b'_')).then(|| Revision {
            main: u64::from_be_bytes(*main),
            is_deletion,
        })
    }
}

/// The parts of a `mvccpb.KeyValue` that prove an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KeyValue<'a> {
    pub(super) key: &'a [u8],
    pub(super) create_revision: u64,
    pub(super) mod_revision: u64,
    pub(super) version: u64,
}

impl<'a> KeyValue<'a> {
    /// Decodes the message; fields that this version does not know are passed over.
    pub(super) fn decode(mut bytes: &'a [u8]) -> Option<Self> {
        let mut decoded = KeyValue::default();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            match (tag >> 3, tag & 7) {
                (1, 2) => decoded.key = delimited(&mut bytes)?,
                (5, 2) => drop(delimited(&mut bytes)?),
                (2, 0) => decoded.create_revision = varint(&mut bytes)?,
                (3, 0) => decoded.mod_revision = varint(&mut bytes)?,
                (4, 0) => decoded.version = varint(&mut bytes)?,
                (6, 0) => drop(varint(&mut bytes)?),
                (0..=6, _) => return None,
                (_, 0) => drop(varint(&mut bytes)?),
                (_, 1) => bytes = bytes.get(8..)?,
                (_, 2) => drop(delimited(&mut bytes)?),
                (_, 5) => bytes = bytes.get(4..)?,
                _ => return None,
            }
        }
        Some(decoded)
    }
}

/// A base-128 number of at most 64 bits, taken off the front.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return (shift < 63 || *byte <= 1).then_some(value);
        }
    }
    None
}

/// A length and that many bytes, taken off the front.
fn delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_put_and_a_deletion_read_as_such() {
        let mut key = 7u64.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend(1u64.to_be_bytes());
        assert_eq!(
            Revision::parse(&key),
            Some(Revision {
                main: 7,
                is_deletion: false
            })
        );
        key.push(b't');
        assert_eq!(
            Revision::parse(&key),
            Some(Revision {
                main: 7,
                is_deletion: true
            })
        );
        key[17] = b'x';
        assert_eq!(Revision::parse(&key), None);
        assert_eq!(Revision::parse(&key[..16]), None);
    }

    #[test]
    fn a_key_value_decodes_and_a_cut_one_does_not() {
        let bytes = b"\x0a\x03foo\x10\x02\x18\x96\x01\x20\x05\x2a\x03bar";
        let expected = KeyValue {
            key: b"foo",
            create_revision: 2,
            mod_revision: 150,
            version: 5,
        };
        assert_eq!(KeyValue::decode(bytes), Some(expected));
        assert_eq!(KeyValue::decode(b""), Some(KeyValue::default()));
        for cut in [1, 3, 6, 9, bytes.len() - 1] {
            assert_eq!(KeyValue::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(
            KeyValue::decode(b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
            None,
            "a number over 64 bits"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = KeyValue::decode(&bytes);
            let _ = Revision::parse(&bytes);
        }
    }
}
