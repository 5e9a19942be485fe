//! The flags of a container's command line.

use super::expansion::Variables;

/// What a program is started with: `--name=value`, `--name value` and `--name` alone, with one dash
/// or two, as Go's programs read them.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    flags: Vec<(String, String)>,
    /// Variables of the container, for programs that take those in place of flags.
    variables: Variables,
}

impl Arguments {
    /// Reads the words after the program's own name.
    pub(super) fn read<'a>(words: impl Iterator<Item = &'a str>, variables: Variables) -> Self {
        let mut flags = Vec::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value),
                None => (
                    flag,
                    words.next_if(|next| !next.starts_with('-')).unwrap_or(""),
                ),
            };
            flags.push((name.to_owned(), value.trim().to_owned()));
        }
        Self { flags, variables }
    }

    /// The value of a flag that is given once; of several the last counts. An empty one is none.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.flags
            .iter()
            .rev()
            .find(|(flag, _)| flag == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The same, or else the variable that etcd reads: `ETCD_DATA_DIR` for `data-dir`.
    pub(super) fn value_or_variable(&self, name: &str) -> Option<&str> {
        self.value(name).or_else(|| {
            let variable = format!("ETCD_{}", name.to_uppercase().replace('-', "_"));
            self.variables
                .get(&variable)
                .map(|value| value.trim())
                .filter(|value| !value.is_empty())
        })
    }

    /// The elements of a flag that may be given several times, each with a list.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.flags
            .iter()
            .filter(|(flag, _)| flag == name)
            .flat_map(|(_, value)| split(value))
            .collect()
    }
}

/// The elements of a list with commas.
pub(super) fn split(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(str::to_owned)
        .collect()
}
