//! What the packages are made from: the version, the configuration that never changes, the list of files.

use std::fs;
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

/// What a step of the packages' scripts says of this configuration: its words, or whether it holds.
fn step(step: &str, configuration: &str) -> Output {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("config.toml");
    fs::write(&config, configuration).unwrap();
    let script = format!(". packaging/steps.sh; config=$1; {step}");
    run(Command::new("sh")
        .args(["-euc", &script, "sh"])
        .arg(&config))
}

#[test]
fn the_scripts_know_a_configuration_that_sets_nothing() {
    for nothing in [
        "",
        "\n",
        "# a word\n\n  # another",
        &text("packaging/config.toml"),
    ] {
        step("is_untouched", nothing).expect_success();
    }
    for something in [
        "schedule = \"@daily\"",
        "# a word\n[etcd]\nendpoints = []",
        &text("config/examples/local.toml"),
    ] {
        step("is_untouched", something).expect_code(1);
    }
}

#[test]
fn the_scripts_find_the_directory_of_the_backups() {
    for (configuration, dir) in [
        ("", "/mnt/backup"),
        ("[backup]\n#dir = \"/srv/a\"\n", "/mnt/backup"),
        (
            "[pki]\ndir = \"/srv/a\"\n[backup]\nreserve = \"1GiB\"\n",
            "/mnt/backup",
        ),
        (
            "schedule = \"@daily\"\n[backup]\ndir = \"/srv/a b\"  # there\n",
            "/srv/a b",
        ),
        ("  [ backup ]\n  dir='/srv/b'\n[etcd]\n", "/srv/b"),
        ("backup.dir = \"/srv/c\"\n", "/srv/c"),
    ] {
        let said = step("backup_dir", configuration).expect_success().stdout;
        assert_eq!(said.trim_end(), dir, "{configuration}");
    }
}
