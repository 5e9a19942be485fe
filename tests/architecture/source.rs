//! Rust source, read no deeper than the rules need: what is code, what is a test, what is imported.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One file below `src/`.
pub(super) struct Source {
    /// `src/snapshot/bolt/walk.rs`.
    pub(super) path: String,
    /// Its code: comments and what stands in quotes are blanks, test modules are gone.
    pub(super) code: String,
    /// Modules that it declares for tests alone.
    pub(super) test_modules: Vec<String>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, test_modules) = without_tests(&blank(text));
        Source {
            path: path.into(),
            code,
            test_modules,
        }
    }

    /// The top-level module that the file belongs to; the binary counts as `cli`.
    pub(super) fn module(&self) -> &str {
        match self.segments()[..] {
            ["main"] => "cli",
            [first, ..] => first,
            [] => "lib",
        }
    }

    /// `["snapshot", "bolt", "walk"]`.
    fn segments(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        path.split('/').filter(|part| *part != "mod").collect()
    }

    /// Every path that begins at the crate's root, as its segments.
    pub(super) fn imports(&self) -> BTreeSet<Vec<String>> {
        // so many `super::` lead to the root
        let supers = "super::".repeat(self.segments().len());
        [supers.as_str(), "crate::", "hypercloud_etcd::"]
            .iter()
            .flat_map(|root| paths_from(&self.code, root))
            .collect()
    }

    /// Whether the code names the external crate.
    pub(super) fn names_crate(&self, name: &str) -> bool {
        let name = name.replace('-', "_");
        let path = format!("{name}::");
        let is_path = tokens(&self.code, &path).next().is_some();
        let whole = [";", " as "].map(|end| format!("use {name}{end}"));
        is_path || whole.iter().any(|whole| self.code.contains(whole))
    }

    /// Lines that hold code.
    pub(super) fn lines(&self) -> usize {
        self.code
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count()
    }

    /// Each function's name and the lines of code between its braces.
    pub(super) fn functions(&self) -> Vec<(String, usize)> {
        let mut functions = Vec::new();
        for at in tokens(&self.code, "fn ") {
            let rest = &self.code[at + 3..];
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            // a signature ends in a body, or in a semicolon that stands outside of `[u8; 4]`
            let mut brackets = 0;
            let end = rest.find(|c| {
                brackets += match c {
                    '[' | '(' => 1,
                    ']' | ')' => -1,
                    _ => 0,
                };
                c == '{' || (c == ';' && brackets == 0)
            });
            if let Some(open) = end.filter(|end| rest[*end..].starts_with('{'))
                && let Some(length) = matching(&rest[open..])
                && !name.is_empty()
            {
                let body = &rest[open + 1..open + length - 1];
                let lines = body.lines().filter(|line| !line.trim().is_empty());
                functions.push((name, lines.count()));
            }
        }
        functions
    }
}

/// Every source below a directory, files for tests alone left out.
pub(super) fn sources(root: &Path) -> Vec<Source> {
    let mut all = Vec::new();
    for path in files(&root.join("src")) {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(Source::new(name, &std::fs::read_to_string(&path).unwrap()));
        }
    }
    let tests: BTreeSet<String> = all
        .iter()
        .flat_map(|source| {
            let folder = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
            let file = move |module: &String| format!("{folder}/{module}.rs");
            source.test_modules.iter().map(file)
        })
        .collect();
    all.retain(|source| !tests.contains(&source.path));
    all
}

/// Every file of the repository: those that git knows, and all that are there where it does not answer.
pub(super) fn tracked(root: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output();
    match listed {
        Ok(listed) if listed.status.success() && !listed.stdout.is_empty() => {
            String::from_utf8_lossy(&listed.stdout)
                .split_terminator('\0')
                .map(|name| root.join(name))
                .collect()
        }
        _ => files(root),
    }
}

/// Every file below a directory, but nothing that a build or a run leaves there.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(root) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        if matches!(name, "target" | ".git" | "artifacts") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a token begins that is neither the end of a longer name nor the continuation of a path.
fn tokens<'a>(code: &'a str, token: &'a str) -> impl Iterator<Item = usize> + 'a {
    let begins = |at: &usize| {
        let before = &code[..*at];
        !before.ends_with(is_name) && !before.ends_with("::")
    };
    code.match_indices(token).map(|(at, _)| at).filter(begins)
}

/// The paths that follow `root`, the braces of a `use` spread out.
fn paths_from(code: &str, root: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for at in tokens(code, root) {
        let before = code[..at].trim_end();
        if !before.ends_with("pub(in") {
            spread(&code[at + root.len()..], &mut Vec::new(), &mut paths);
        }
    }
    paths
}

fn spread(tree: &str, above: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim_start();
    if let Some(length) = tree.starts_with('{').then(|| matching(tree)).flatten() {
        let mut depth = 0;
        let branches = tree[1..length - 1].split(|c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            c == ',' && depth == 0
        });
        for branch in branches.filter(|branch| !branch.trim().is_empty()) {
            spread(branch, above, paths);
        }
        return;
    }
    let name: String = tree.chars().take_while(|c| is_name(*c)).collect();
    if name == "self" || name.is_empty() {
        paths.push(above.clone());
        return;
    }
    let rest = &tree[name.len()..];
    above.push(name);
    match rest.strip_prefix("::") {
        Some(rest) => spread(rest, above, paths),
        None => paths.push(above.clone()),
    }
    above.pop();
}

/// The length of the text from an opening brace to the one that closes it.
fn matching(text: &str) -> Option<usize> {
    let mut depth = 0;
    let end = text.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth == 0
    });
    end.map(|end| end + 1)
}

/// The code without items that are for tests alone, and the names of such modules in other files.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut kept, mut modules, mut rest) = (String::new(), Vec::new(), code);
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let end = item.find(['{', ';']).unwrap_or(item.len());
        let head: Vec<&str> = item[..end].split_whitespace().collect();
        let length = if item[end..].starts_with('{') {
            end + matching(&item[end..]).unwrap_or(item.len() - end)
        } else {
            if let [.., "mod", name] = head[..] {
                modules.push(name.to_owned());
            }
            (end + 1).min(item.len())
        };
        rest = &item[length..];
    }
    kept.push_str(rest);
    (kept, modules)
}

/// The text with comments and the content of strings and characters blanked out, line for line.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_name = code.ends_with(is_name);
        let length = comment(rest)
            .or_else(|| raw_string(rest).filter(|_| !after_name))
            .or_else(|| quoted(rest));
        if let Some(length) = length {
            let lines = |c: char| if c == '\n' { '\n' } else { ' ' };
            code.extend(rest[..length].chars().map(lines));
            rest = &rest[length..];
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    Some(text.len())
}

/// `r"…"`, `r#"…"#`, `br"…"` and their like.
fn raw_string(text: &str) -> Option<usize> {
    let start = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let content = start[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = content
        .find(&close)
        .map_or(content.len(), |end| end + close.len());
    Some(text.len() - content.len() + end)
}

/// A string or a character; a lifetime is neither.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' {
        let mut inside = text[1..].chars();
        let (first, second) = (inside.next()?, inside.next()?);
        if first != '\\' && second != '\'' {
            return None;
        }
    }
    let mut escaped = false;
    let end = text[1..].find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(end.map_or(text.len(), |end| end + 2))
}

#[test]
fn code_is_told_from_comments_quotes_and_tests() {
    let text = r##"
use crate::store; // use crate::etcd;
/* crate::a /* crate::b */ crate::c */
const S: &str = "crate::d \" crate::e";
const R: &str = r#"crate::f " crate::g"#;
fn f<'a>(x: &'a str) -> char { let c = '"'; let d = '\''; crate::catalog::X; c }
#[cfg(test)]
mod tests { use crate::report; fn g() { { } } }
#[cfg(test)]
pub(super) mod specimen;
use super::super::config::{self, Config, deep::{A, B}};
pub(in crate::snapshot) struct Y;
"##;
    let source = Source::new("src/snapshot/facts.rs", text);
    let imports: Vec<String> = source
        .imports()
        .iter()
        .map(|path| path.join("::"))
        .collect();
    let expected = [
        "catalog::X",
        "config",
        "config::Config",
        "config::deep::A",
        "config::deep::B",
        "store",
    ];
    assert_eq!(imports, expected);
    assert_eq!(source.test_modules, ["specimen"]);
    assert_eq!(source.functions(), [("f".to_owned(), 1)]);
    assert_eq!(source.module(), "snapshot");
}
