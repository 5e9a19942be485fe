//! What the packages are made from: the version, the configuration that never changes, the list of files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use hypercloud_etcd::config;
use tempfile::TempDir;

use crate::support::command::{Host, Output, run};

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_first_entry_of_the_changelog_is_this_version_with_its_day() {
    let changelog = text("packaging/CHANGELOG.md");
    let entry = changelog.lines().find_map(|line| line.strip_prefix("## "));
    let (version, day) = entry.unwrap().split_once(" - ").unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    day.parse::<jiff::civil::Date>().unwrap();
}

/// dpkg asks an operator who has changed a configuration whenever a package brings another one. On a kubeadm host
/// the first install changes it, so the packaged one says nothing that a later version would have to say otherwise.
#[test]
fn the_packaged_configuration_sets_nothing_and_is_the_same_for_ever() {
    let packaged = config::PACKAGED;
    assert!(
        packaged.lines().all(|line| line.starts_with('#')),
        "{packaged}"
    );
    let sum = run(Command::new("sha256sum").arg("packaging/config.toml"))
        .expect_success()
        .stdout;
    assert_eq!(
        sum.split_whitespace().next(),
        Some("d43f2ed2218b2ff9e84008d6666207150c3001535ea890b58c439f675731aee6"),
        "every host would be asked about it: document in config/hypercloud-etcd.toml instead"
    );
    let host = Host::new();
    fs::write(&host.config, packaged).unwrap();
    host.run(&["daemon", "--check-config"]).expect_success();
}

#[test]
fn every_file_that_the_packages_take_is_there() {
    let manifest = text("Cargo.toml");
    let rows: Vec<&str> = manifest
        .lines()
        .filter(|line| line.trim_start().starts_with("{ source = "))
        .collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let source = row.split('"').nth(1).unwrap();
        let directory = source.split('*').next().unwrap();
        let there = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(directory)
            .exists();
        // what build.sh makes is looked for in the packages, by tests/packages.sh
        assert!(there || source.starts_with("target/package/"), "{row}");
    }
}

/// What the packages' scripts ask the program about this configuration.
fn asked(question: &str, configuration: Option<&str>) -> Output {
    let host = Host::new();
    if let Some(text) = configuration {
        fs::write(&host.config, text).unwrap();
    }
    host.run(&["generate", question])
}

#[test]
fn the_scripts_are_told_whether_a_configuration_sets_anything() {
    for nothing in [
        "",
        "\n",
        "# a word\n\n  # another",
        "[etcd]\n# endpoints = []\n",
        config::PACKAGED,
        config::INSTALLED,
    ] {
        asked("is-configured", Some(nothing)).expect_code(1);
    }
    asked("is-configured", None).expect_code(1);
    for something in [
        "schedule = \"@daily\"",
        "# a word\n[etcd]\nendpoints = []",
        "[[remote]]",
        "no = [TOML",
        &text("config/examples/local.toml"),
    ] {
        asked("is-configured", Some(something)).expect_success();
    }
}

#[test]
fn the_scripts_are_told_the_directory_of_the_backups_however_it_is_written() {
    let default = "/mnt/backup";
    assert_eq!(
        asked("backup-dir", None).expect_success().stdout.trim_end(),
        default
    );
    for (configuration, dir) in [
        ("", default),
        ("[backup]\n#dir = \"/srv/a\"\n", default),
        ("[pki]\ndir = \"/srv/a\"\n[backup]\n", default),
        ("not TOML", default),
        ("[backup]\ndir = \"/srv/a b\"  # there\n", "/srv/a b"),
        ("  [ backup ]\n  dir='/srv/b'\n[etcd]\n", "/srv/b"),
        ("backup.dir = \"/srv/c\"\n", "/srv/c"),
        ("backup = { dir = \"/srv/d\" }\n", "/srv/d"),
        ("[\"backup\"]\n\"dir\" = \"/srv/e\"\n", "/srv/e"),
        ("[backup]\ndir = \"\"\"/srv/f\"\"\"\n", "/srv/f"),
        ("[backup]\ndir = '/srv/it\"s'\n", "/srv/it\"s"),
        ("[backup]\ndir = \"/srv/\\u00e9\"\n", "/srv/\u{e9}"),
        // and whatever is wrong elsewhere
        ("schedule = 61\n[backup]\ndir = \"/srv/g\"\n", "/srv/g"),
    ] {
        let said = asked("backup-dir", Some(configuration))
            .expect_success()
            .stdout;
        assert_eq!(said.trim_end(), dir, "{configuration}");
    }
}

#[test]
fn what_the_scripts_ask_is_offered_to_nobody() {
    let host = Host::new();
    for args in [
        &["generate", "--help"][..],
        &["generate", "completions", "bash"],
        &["generate", "completions", "zsh"],
        &["generate", "completions", "fish"],
    ] {
        let said = host.run(args).expect_success().stdout;
        assert!(said.contains("completions"), "{args:?}: {said}");
        for hidden in ["backup-dir", "is-configured"] {
            assert!(!said.contains(hidden), "{args:?}: {said}");
        }
    }
}

/// A step of the packages' scripts, on a program that is not there.
fn step(step: &str) -> Output {
    let script = format!(". packaging/steps.sh; {step}");
    run(Command::new("sh")
        .args(["-euc", &script])
        .env("PATH", "/usr/bin:/bin"))
}

#[test]
fn an_install_makes_the_directory_or_says_how_it_stands() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("the backups");
    let make = || {
        let asked = format!("backup_dir() {{ echo '{}'; }}", path.display());
        step(&format!("{asked}; make_backup_dir"))
            .expect_success()
            .stdout
    };
    let said = make();
    assert!(
        said.contains("made ") && !said.contains("WARNING"),
        "{said}"
    );
    let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
    assert_eq!(mode(), 0o700);
    let said = make();
    assert!(
        said.contains("stays as it is (root:root, mode 700)"),
        "{said}"
    );
    assert!(!said.contains("WARNING"), "{said}");
    for (user, mode) in [(1, 0o755), (1, 0o700), (0, 0o555)] {
        chown(&path, Some(user), Some(user)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let said = make();
        assert!(
            said.contains("WARNING: the daemon is root without capabilities"),
            "{said}"
        );
        let now = fs::metadata(&path).unwrap();
        assert_eq!(
            (now.uid(), now.mode() & 0o7777),
            (user, mode),
            "nothing is changed"
        );
    }
}

#[test]
fn what_stays_is_told_only_where_something_is() {
    let dir = TempDir::new().unwrap();
    let tell = || {
        let step = step(&format!("tell_what_stays '{}'", dir.path().display()));
        step.expect_success().stdout
    };
    assert_eq!(tell(), "");
    fs::write(dir.path().join(".lock"), "").unwrap();
    assert!(tell().contains("stay where they are"));
}
