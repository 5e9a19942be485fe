//! Sizes, times and counts as people read them.

use jiff::SignedDuration;

/// Bytes in decimal units, as `etcdutl` prints them: `412 MB`, `1.3 GB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let unit = (bytes.max(1).ilog10() / 3) as usize;
    let base = 1000_u128.pow(bytes.max(1).ilog10() / 3);
    let tenths = (u128::from(bytes) * 10 + base / 2) / base;
    let name = UNITS[unit];
    if unit > 0 && tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", (tenths + 5) / 10)
    }
}

/// Seconds in at most two units: `12 min`, `2 h 5 min`, `3 d 4 h`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let largest = UNITS
        .iter()
        .position(|(length, _)| seconds >= *length)
        .unwrap_or(UNITS.len() - 1);
    let (length, name) = UNITS[largest];
    let whole = format!("{} {name}", seconds / length);
    match UNITS
        .get(largest + 1)
        .map(|(length, name)| (seconds % UNITS[largest].0 / length, name))
    {
        Some((rest, name)) if rest > 0 => format!("{whole} {rest} {name}"),
        _ => whole,
    }
}

/// An age; what lies in the future has none.
#[must_use]
pub fn age(age: SignedDuration) -> String {
    u64::try_from(age.as_secs()).map_or_else(|_| "in the future".into(), duration)
}

/// How long ago something of this age was.
#[must_use]
pub fn ago(age: SignedDuration) -> String {
    let ago = if age.as_secs() < 0 { "" } else { " ago" };
    self::age(age) + ago
}

/// A sentence whose digests are cut to what people compare them by.
#[must_use]
pub fn brief(sentence: &str) -> String {
    let short = |word: &str| {
        let digits = word.trim_matches(|c: char| !c.is_ascii_hexdigit());
        let is_digest = digits.len() >= 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        match digits.get(..8).filter(|_| is_digest) {
            Some(start) => word.replace(digits, &format!("{start}…")),
            None => word.to_owned(),
        }
    };
    let words: Vec<String> = sentence.split(' ').map(short).collect();
    words.join(" ")
}

/// A count with the word that fits it.
#[must_use]
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Hundredths of a whole, never above 100.
#[must_use]
pub fn percent(part: u64, whole: u64) -> u64 {
    let hundredths = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(hundredths.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_future_has_no_age() {
        for (seconds, told) in [(-1, "in the future"), (0, "0 s"), (59, "59 s")] {
            assert_eq!(age(SignedDuration::from_secs(seconds)), told);
        }
        assert_eq!(ago(SignedDuration::from_secs(-1)), "in the future");
        assert_eq!(ago(SignedDuration::from_secs(59)), "59 s ago");
    }

    #[test]
    fn digests_are_cut_and_nothing_else_is() {
        let digest = "e32cc314a664994ad4662328226501f4530d0555ad8b3ca71eb910b2b07aea18";
        let told = format!("the file's SHA-256 is {digest}, the manifest says {digest}");
        assert_eq!(
            brief(&told),
            "the file's SHA-256 is e32cc314…, the manifest says e32cc314…"
        );
        let other = "page 1234567890123456 of etcd-20261122T060000Z.db is – damaged";
        assert_eq!(brief(other), other);
    }

    #[test]
    fn sizes_read_as_etcdutl_prints_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (81_920, "82 kB"),
            (999_949, "1000 kB"),
            (1_250_000, "1.3 MB"),
            (9_960_000, "10 MB"),
            (412_000_000, "412 MB"),
            (2_147_483_648, "2.1 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (754, "12 min 34 s"),
            (7500, "2 h 5 min"),
            (3600, "1 h"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn a_part_is_at_most_the_whole() {
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(5, 0), 100);
        assert_eq!(percent(u64::MAX, 1), 100);
    }
}
