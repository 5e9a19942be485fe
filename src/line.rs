//! Given texts in one line of a message or a comment: what cannot be seen is escaped, and a long text is cut.

/// The text as it is, up to that many characters.
#[must_use]
pub fn shown(text: &str, longest: usize) -> String {
    let (line, more) = escaped(text, longest, &['"', '\'', '\\']);
    line + more
}

/// The text between quotes, and those in it escaped.
#[must_use]
pub fn quoted(text: &str, longest: usize) -> String {
    let (line, more) = escaped(text, longest, &['\'']);
    format!("\"{line}\"{more}")
}

/// The beginning of the text, all escaped but these, and what says that there is more.
fn escaped(text: &str, longest: usize, plain: &[char]) -> (String, &'static str) {
    let mut line = String::new();
    for c in text.chars().take(longest) {
        if plain.contains(&c) {
            line.push(c);
        } else {
            line.extend(c.escape_debug());
        }
    }
    let is_cut = text.chars().nth(longest).is_some();
    (line, if is_cut { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_escaped_and_what_is_long_is_cut() {
        for (text, plain, between) in [
            ("a b", "a b", "\"a b\""),
            ("i's \"\\", "i's \"\\", "\"i's \\\"\\\\\""),
            (
                "\n\x1b\u{202e}",
                "\\n\\u{1b}\\u{202e}",
                "\"\\n\\u{1b}\\u{202e}\"",
            ),
            ("ключ ü", "ключ ü", "\"ключ ü\""),
            ("12345678", "1234567…", "\"1234567\"…"),
            ("123456…", "123456…", "\"123456…\""),
        ] {
            assert_eq!(shown(text, 7), plain);
            assert_eq!(quoted(text, 7), between);
        }
    }
}
