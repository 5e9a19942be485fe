//! The shape of the code, held: who imports whom, which crate is used where, what prints, how long
//! a file and a function may be, what a module may be called, why each dependency is there, and
//! that the repository speaks of itself alone.
//!
//! Each rule is a function from sources to problems, and each is shown a sample that breaks it.

mod source;
mod table;

use std::fs;
use std::path::Path;

use source::{Source, sources, tracked};
use table::{EMPTY_NAMES, FENCES, FILE_LINES, FUNCTION_LINES, IMPORTS, LONGER, PRINTS, TYPES_ONLY};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with all problems at once.
fn hold(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn import_problems(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        let (module, path) = (source.module(), &source.path);
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            problems.push(format!(
                "{path}: the module `{module}` has no row in the table"
            ));
            continue;
        };
        for import in source.imports() {
            let [first, rest @ ..] = &import[..] else {
                continue;
            };
            if first == module || first == "cli" && module == "cli" {
                continue;
            }
            let shown = import.join("::");
            if !allowed.contains(&first.as_str()) {
                problems.push(format!("{path}: `{module}` may not import `{shown}`"));
            }
            let is_type = |name: &String| name.starts_with(|c: char| c.is_uppercase());
            if TYPES_ONLY.contains(&(module, first)) && !rest.first().is_some_and(is_type) {
                problems.push(format!(
                    "{path}: of `{first}` it may name types, not `{shown}`"
                ));
            }
        }
    }
    problems
}

/// A module imports only what stands above it in the table.
fn table_problems(rows: &[(&str, &[&str])]) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, (module, imports)) in rows.iter().enumerate() {
        for import in *imports {
            if !rows[..at].iter().any(|(above, _)| above == import) {
                problems.push(format!(
                    "`{module}` imports `{import}`, which does not stand above it"
                ));
            }
        }
    }
    problems
}

fn fence_problems(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, places) in FENCES {
        for source in sources {
            let is_inside = places.iter().any(|place| source.path.starts_with(place));
            if !is_inside && source.names_crate(name) {
                let (path, places) = (&source.path, places.join(", "));
                problems.push(format!("{path}: the crate {name} belongs to {places}"));
            }
        }
    }
    problems
}

fn print_problems(sources: &[Source]) -> Vec<String> {
    let macros = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    let prints = |source: &&Source| {
        let mut words = source
            .code
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!'));
        source.path != PRINTS && words.any(|word| macros.contains(&word))
    };
    let problem = |source: &Source| format!("{}: only {PRINTS} prints", source.path);
    sources.iter().filter(prints).map(problem).collect()
}

fn name_problems(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        let of_path = source.path.split(['/', '.']);
        let declared = source.code.split("mod ").skip(1);
        let declared = declared.filter_map(|rest| rest.split([';', ' ', '{']).next());
        for name in of_path
            .chain(declared)
            .filter(|name| EMPTY_NAMES.contains(name))
        {
            problems.push(format!(
                "{}: a module called `{name}` can be anything",
                source.path
            ));
        }
    }
    problems
}

fn length_problems(sources: &[Source], longer: &[(&str, usize, &str)]) -> Vec<String> {
    let mut lengths: Vec<(String, usize, usize)> = Vec::new();
    for source in sources {
        lengths.push((source.path.clone(), source.lines(), FILE_LINES));
        for (name, lines) in source.functions() {
            lengths.push((format!("{}: {name}", source.path), lines, FUNCTION_LINES));
        }
    }
    let mut problems = Vec::new();
    for (what, lines, budget) in &lengths {
        let exception = longer.iter().find(|(name, _, _)| name == what);
        let limit = exception.map_or(*budget, |(_, limit, _)| *limit);
        if *lines > limit {
            problems.push(format!(
                "{what}: {lines} lines of code, {limit} are the limit"
            ));
        } else if exception.is_some() && lines <= budget {
            problems.push(format!("{what}: needs no exception any more"));
        }
    }
    for (name, _, reason) in longer {
        if !lengths.iter().any(|(what, _, _)| what == name) {
            problems.push(format!("{name}: has an exception and is not there"));
        }
        if reason.split_whitespace().count() < 3 {
            problems.push(format!("{name}: has an exception without a reason"));
        }
    }
    problems
}

/// Each block of dependencies begins with a reason; each dependency of the crate has a fence.
fn dependency_problems(name: &str, manifest: &str, is_fenced: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut section, mut has_reason) = ("", false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            (section, has_reason) = (line.trim_matches(['[', ']']), false);
        } else if line.starts_with('#') {
            has_reason = true;
        } else if let Some((dependency, _)) = line.split_once(" = ") {
            let dependency = dependency.split('.').next().unwrap_or_default();
            if section.ends_with("dependencies") && !has_reason {
                problems.push(format!(
                    "{name}: no line above `{dependency}` says why it is there"
                ));
            }
            let fenced = FENCES.iter().any(|(fenced, _)| *fenced == dependency);
            if is_fenced && section == "dependencies" && !fenced {
                problems.push(format!(
                    "{name}: `{dependency}` has no row among the fences"
                ));
            }
        } else if line.trim().is_empty() {
            has_reason = false;
        }
    }
    problems
}

/// Words and paths of the place where the code was written.
fn foreign_problems(name: &str, text: &str) -> Vec<String> {
    // in pieces, for this file is held to the rule too
    let foreign = [
        ["/wo", "rk/"],
        ["/ro", "ot/."],
        ["/ho", "me/"],
        ["artif", "actory"],
        ["this ses", "sion"],
        ["sub", "agent"],
        ["cla", "ude"],
        ["language ", "model"],
    ];
    let text = text.to_lowercase();
    let mut problems: Vec<String> = foreign
        .map(|pieces| pieces.concat())
        .iter()
        .filter(|word| text.contains(*word))
        .map(|word| format!("{name}: names {word:?}"))
        .collect();
    let public = "\"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources = text
        .lines()
        .filter_map(|line| line.strip_prefix("source = "));
    if name.ends_with("Cargo.lock") && sources.clone().any(|source| source != public) {
        problems.push(format!(
            "{name}: takes a crate from elsewhere than crates.io"
        ));
    }
    problems
}

#[test]
fn modules_import_only_what_the_table_allows() {
    hold(&table_problems(IMPORTS));
    hold(&import_problems(&sources(root())));
}

#[test]
fn external_crates_stay_where_they_belong() {
    hold(&fence_problems(&sources(root())));
}

#[test]
fn only_the_output_prints() {
    hold(&print_problems(&sources(root())));
}

#[test]
fn modules_have_names_that_say_what_they_are() {
    hold(&name_problems(&sources(root())));
}

#[test]
fn files_and_functions_keep_to_their_budgets() {
    hold(&length_problems(&sources(root()), LONGER));
}

#[test]
fn each_dependency_says_why_it_is_there() {
    for (name, is_fenced) in [("Cargo.toml", true), ("tests/fuzz/Cargo.toml", false)] {
        let manifest = fs::read_to_string(root().join(name)).unwrap();
        hold(&dependency_problems(name, &manifest, is_fenced));
    }
}

#[test]
fn the_repository_speaks_of_itself_alone() {
    let problems: Vec<String> = tracked(root())
        .iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str()?.to_owned();
            // what is not text, or is no file any more, has no words
            let text = fs::read_to_string(path).ok()?;
            // in a checkout beside others this file points to the repository
            (name != ".git").then(|| foreign_problems(&name, &text))
        })
        .flatten()
        .collect();
    hold(&problems);
}

#[test]
fn the_rules_see_the_whole_tree_but_its_tests() {
    let sources = sources(root());
    let sees = |path: &str| sources.iter().any(|source| source.path == path);
    assert!(sees("src/main.rs") && sees("src/cli/output.rs") && sees("src/snapshot/bolt/walk.rs"));
    assert!(!sees("src/snapshot/bolt/tests.rs") && !sees("src/snapshot/bolt/specimen.rs"));
    let imports: usize = sources.iter().map(|source| source.imports().len()).sum();
    assert!(imports > 100, "{imports} imports");
}

/// The problems of one source.
fn of(rule: fn(&[Source]) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    rule(&[Source::new(path, text)])
}

#[test]
fn an_import_against_the_table_is_found_in_each_of_its_forms() {
    let wrong = "src/store/lock.rs: `store` may not import `etcd::Client`";
    for text in [
        "use crate::etcd::Client;",
        "use crate::{sha256::Sha256, etcd::Client};",
        "use super::super::etcd::Client;",
        "fn f() { crate::etcd::Client }",
    ] {
        assert_eq!(
            of(import_problems, "src/store/lock.rs", text),
            [wrong],
            "{text}"
        );
    }
    let cli = |text: &str| of(import_problems, "src/cli/show.rs", text).len();
    assert_eq!(cli("use hypercloud_etcd::etcd::Client;"), 1);
    assert_eq!(cli("use hypercloud_etcd::snapshot::Facts;"), 0);
    assert_eq!(cli("use hypercloud_etcd::snapshot::{Facts, digest};"), 1);
    assert_eq!(cli("use crate::cli::output;"), 0);
    assert_eq!(
        of(import_problems, "src/novelty.rs", ""),
        ["src/novelty.rs: the module `novelty` has no row in the table"]
    );
    let tested = "#[cfg(test)] mod tests { use crate::etcd::Client; }";
    assert!(of(import_problems, "src/store/mod.rs", tested).is_empty());
    assert_eq!(table_problems(&[("a", &["b"]), ("b", &[])]).len(), 1);
    assert_eq!(table_problems(&[("a", &["a"])]).len(), 1);
}

#[test]
fn a_crate_outside_its_fence_is_found() {
    for text in [
        "use tonic::Code;",
        "use tonic;",
        "fn f(x: tonic::Status) {}",
        "#[derive(clap::Args)] struct A;",
    ] {
        assert_eq!(
            of(fence_problems, "src/jobs/backup.rs", text).len(),
            1,
            "{text}"
        );
    }
    let own = "use crate::toml::X; fn f() { my_tonic::x() } // tonic::Code";
    assert!(of(fence_problems, "src/jobs/backup.rs", own).is_empty());
}

#[test]
fn a_print_outside_the_output_is_found() {
    for text in [
        "fn f() { println!(x) }",
        "fn f() { eprint!(x) }",
        "fn f() { dbg!(x) }",
    ] {
        assert_eq!(
            of(print_problems, "src/jobs/backup.rs", text).len(),
            1,
            "{text}"
        );
        assert!(of(print_problems, PRINTS, text).is_empty());
    }
    let other = "fn f() { pretty_println!(x) } // println!()";
    assert!(of(print_problems, "src/jobs/backup.rs", other).is_empty());
}

#[test]
fn a_name_that_says_nothing_is_found() {
    assert_eq!(of(name_problems, "src/store/utils.rs", "").len(), 1);
    assert_eq!(of(name_problems, "src/helpers/mod.rs", "").len(), 1);
    assert_eq!(
        of(name_problems, "src/store/mod.rs", "pub mod common;").len(),
        1
    );
    assert_eq!(
        of(name_problems, "src/store/mod.rs", "mod misc { }").len(),
        1
    );
}

#[test]
fn what_outgrows_its_budget_is_found() {
    let long_file = "const A: u8 = 1;\n".repeat(FILE_LINES + 1);
    let long_function = format!("fn long() {{\n{}}}\n", "f();\n".repeat(FUNCTION_LINES + 1));
    let problems = |text: &str, longer: &[(&str, usize, &str)]| {
        length_problems(&[Source::new("src/a.rs", text)], longer)
    };
    assert_eq!(problems(&long_file, &[]).len(), 1);
    assert_eq!(
        problems(&long_function, &[]),
        ["src/a.rs: long: 61 lines of code, 60 are the limit"]
    );
    let comments = format!("fn short() {{\n{}}}\n", "// why\n\n".repeat(FUNCTION_LINES));
    assert!(problems(&comments, &[]).is_empty());
    let reason = "one table of many rows";
    assert!(problems(&long_file, &[("src/a.rs", 400, reason)]).is_empty());
    assert_eq!(problems(&long_file, &[("src/a.rs", 400, "")]).len(), 1);
    assert_eq!(problems("", &[("src/a.rs", 400, reason)]).len(), 1);
    assert_eq!(problems("", &[("src/b.rs", 400, reason)]).len(), 1);
}

#[test]
fn a_dependency_without_a_reason_or_a_fence_is_found() {
    let problems = |manifest: &str| dependency_problems("Cargo.toml", manifest, true).len();
    assert_eq!(
        problems("[dependencies]\n# reads TOML\ntoml = \"1\"\nserde = \"1\"\n"),
        0
    );
    assert_eq!(problems("[dependencies]\ntoml = \"1\"\n"), 1);
    assert_eq!(
        problems("[dependencies]\n# reads TOML\ntoml = \"1\"\n\nserde = \"1\"\n"),
        1
    );
    assert_eq!(problems("[dev-dependencies]\nproptest = \"1\"\n"), 1);
    assert_eq!(
        problems("[dependencies]\n# nobody knows\nleftpad = \"1\"\n"),
        1
    );
}

#[test]
fn a_word_of_another_place_is_found() {
    let path = ["see /wo", "rk/notes"].concat();
    assert_eq!(foreign_problems("README.md", &path).len(), 1);
    let lock = "source = \"registry+https://registry.example/index\"\n";
    assert_eq!(foreign_problems("Cargo.lock", lock).len(), 1);
    assert!(foreign_problems("README.md", "It backs up etcd.").is_empty());
}
