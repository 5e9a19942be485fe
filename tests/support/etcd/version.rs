//! The versions of etcd that `tests/install.sh` provides, and their tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::command::{Output, run};
use super::path;

/// An etcd that `tests/install.sh` provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.4.23, of Debian 12; has no etcdutl.
    V3_4,
    /// 3.5.1, the oldest 3.5 that can be had.
    V3_5_1,
    /// The newest 3.5 of Debian.
    V3_5,
}

impl Version {
    pub(crate) const ALL: [Self; 3] = [Self::V3_4, Self::V3_5_1, Self::V3_5];

    /// The version that `name` stands for: `3.4`, `3.5.1` or `3.5`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.label() == name)
    }

    /// The name of its directory.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::V3_4 => "3.4",
            Self::V3_5_1 => "3.5.1",
            Self::V3_5 => "3.5",
        }
    }

    /// The path of its `etcd`, `etcdctl` or `etcdutl`.
    pub(crate) fn binary(self, name: &str) -> PathBuf {
        let directory = std::env::var_os("HCE_ETCD_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/etcd"),
            |directory| Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
        );
        directory.join(self.label()).join(name)
    }

    /// What `etcd --version` says, for example `3.5.30`.
    pub(crate) fn exact(self) -> String {
        let said = run(Command::new(self.binary("etcd")).arg("--version"))
            .expect_success()
            .stdout;
        let version = said
            .lines()
            .find_map(|line| line.strip_prefix("etcd Version: "));
        version
            .unwrap_or_else(|| panic!("etcd --version says {said}"))
            .trim()
            .to_owned()
    }

    /// Runs its etcdutl, or, of 3.4, its etcdctl: both know `snapshot status` and `snapshot restore`.
    pub(crate) fn etcdutl(self, args: &[&str]) -> Output {
        let tool = if self == Self::V3_4 {
            "etcdctl"
        } else {
            "etcdutl"
        };
        run(Command::new(self.binary(tool))
            .env("ETCDCTL_API", "3")
            .args(args))
    }

    /// What `snapshot status -w json` says about a file.
    pub(crate) fn snapshot_status(self, file: &Path) -> serde_json::Value {
        self.etcdutl(&["snapshot", "status", path(file), "-w", "json"])
            .expect_success()
            .json()
    }

    /// Restores a file with etcd's own tool into a new data directory, as the only member.
    pub(crate) fn snapshot_restore(self, file: &Path, data_dir: &Path) -> Output {
        self.etcdutl(&[
            "snapshot",
            "restore",
            path(file),
            "--data-dir",
            path(data_dir),
        ])
    }
}

/// The versions that are there. One that is missing is a failure where `HCE_REQUIRE` names `etcd`.
pub(crate) fn versions() -> Vec<Version> {
    let required = std::env::var("HCE_REQUIRE")
        .is_ok_and(|names| names.split(',').any(|name| name.trim() == "etcd"));
    let (there, missing): (Vec<_>, Vec<_>) = Version::ALL
        .into_iter()
        .partition(|version| version.binary("etcd").exists());
    for version in missing {
        let at = version.binary("etcd");
        assert!(
            !required,
            "etcd {} is not at {}: run tests/install.sh",
            version.label(),
            at.display()
        );
        eprintln!(
            "skipped: there is no etcd {}; tests/install.sh provides it",
            version.label()
        );
    }
    there
}
