//! The forms that etcd writes its own things in: protobuf, and JSON as Go's encoder makes it.

use serde::Serialize;

/// A protobuf message in the making. Fields are written in the order they come, those that are zero
/// too: etcd's encoder writes every field of a proto2 message.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn number(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3);
        self.varint(value);
        self
    }

    pub(super) fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.0.push(low & 0x7F);
            }
            self.0.push(low | 0x80);
        }
    }
}

/// The JSON text of a value as Go writes it: the characters that could end a script are escaped.
///
/// # Errors
/// Where a value has no JSON form, which none of ours is without.
pub(super) fn go_json(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = String::new();
    for character in serde_json::to_string(value)?.chars() {
        match character {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            other => text.push(other),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_written_as_protobuf_has_them() {
        let message = Message::default()
            .number(1, 0)
            .number(2, 300)
            .number(3, u64::MAX)
            .bytes(4, b"x");
        let expected = b"\x08\x00\x10\xac\x02\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x22\x01x";
        assert_eq!(message.finish(), expected);
    }

    #[test]
    fn json_is_escaped_as_go_escapes_it() {
        assert_eq!(
            go_json(&"a<b>&\u{2028}\"\u{e9}").unwrap(),
            "\"a\\u003cb\\u003e\\u0026\\u2028\\\"\u{e9}\""
        );
    }
}
