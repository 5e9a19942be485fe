//! Words as a shell takes them, for the commands that are shown to people.

/// A word, in quotes where it needs them.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_word_for_what_it_is() {
        let members = "m1=https://10.0.0.1:2380,m2=https://h:1";
        for (word, text) in [
            (members, members),
            ("", "''"),
            ("two words", "'two words'"),
            ("https://[::1]:2380", "'https://[::1]:2380'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quoted(word), text);
        }
    }
}
