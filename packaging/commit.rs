//! Tells the binary which commit it is of, for `--version`: what `HCE_COMMIT` says, as `packaging/build.sh` sets it,
//! else what git says. Only release builds ask git, so that a commit makes no other build stale.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is how a build script is asked and answers"
)]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=HCE_COMMIT");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let given = env::var("HCE_COMMIT").ok().filter(|text| !text.is_empty());
    let commit = match given {
        Some(commit) => format!("commit {commit}"),
        None if is_release => of_git().unwrap_or_else(|| "commit unknown".into()),
        None => "development build".into(),
    };
    println!("cargo::rustc-env=HCE_COMMIT={commit}");
}

/// The commit that is checked out, and whether anything was changed since.
fn of_git() -> Option<String> {
    // its log grows with every commit and checkout
    println!(
        "cargo::rerun-if-changed={}",
        git(&["rev-parse", "--git-path", "logs/HEAD"])?
    );
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.toml");
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(format!(
        "commit {commit}{}",
        if changed { ", changed since" } else { "" }
    ))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
