//! The tables that the code is held to. What is not in them is not allowed.

/// Each top-level module and those that it may import. Every module stands below all that it
/// imports, so the table has no cycle.
pub(super) const IMPORTS: &[(&str, &[&str])] = &[
    ("line", &[]),
    ("schedule", &["line"]),
    ("kubeadm", &["line"]),
    // the names that a container runtime tells are shown to people
    ("host", &["line"]),
    ("sha256", &[]),
    ("shell", &[]),
    ("versioned", &[]),
    ("certificate", &["sha256"]),
    ("snapshot", &["sha256"]),
    ("store", &["sha256"]),
    ("etcd", &["certificate"]),
    ("pki", &["sha256", "certificate", "store"]),
    ("catalog", &["sha256", "snapshot", "store", "pki"]),
    ("datadir", &["sha256", "snapshot"]),
    (
        "recovery",
        &[
            "sha256",
            "shell",
            "versioned",
            "snapshot",
            "store",
            "datadir",
        ],
    ),
    (
        "report",
        &["schedule", "versioned", "certificate", "store", "catalog"],
    ),
    ("anomaly", &["snapshot", "catalog", "report"]),
    ("retention", &["sha256", "catalog"]),
    (
        "config",
        &[
            "schedule",
            "store",
            "etcd",
            "pki",
            "report",
            "anomaly",
            "retention",
        ],
    ),
    (
        "cronjob",
        &[
            "line", "schedule", "shell", "store", "etcd", "kubeadm", "config",
        ],
    ),
    (
        "error",
        &[
            "schedule",
            "kubeadm",
            "host",
            "certificate",
            "snapshot",
            "store",
            "etcd",
            "pki",
            "catalog",
            "datadir",
            "recovery",
            "report",
            "config",
            "cronjob",
        ],
    ),
    (
        "jobs",
        &[
            "kubeadm",
            "host",
            "sha256",
            "shell",
            "certificate",
            "snapshot",
            "store",
            "etcd",
            "pki",
            "catalog",
            "datadir",
            "recovery",
            "report",
            "anomaly",
            "retention",
            "config",
            "error",
        ],
    ),
    (
        "daemon",
        &[
            "schedule", "store", "catalog", "report", "config", "error", "jobs",
        ],
    ),
    (
        "cli",
        &[
            "schedule", "kubeadm", "snapshot", "catalog", "recovery", "report", "config",
            "cronjob", "error", "jobs", "daemon",
        ],
    ),
];

/// Of these modules an importer may name types, and call nothing.
pub(super) const TYPES_ONLY: &[(&str, &str)] = &[("cli", "snapshot"), ("cli", "recovery")];

/// External crates and the paths that may name them; `src/` is everywhere.
pub(super) const FENCES: &[(&str, &[&str])] = &[
    ("etcd-client", &["src/etcd/"]),
    // a gRPC client for each of the two that are asked: the member, and the container runtime of its host
    ("tonic", &["src/etcd/", "src/host/runtime"]),
    ("tonic-prost", &["src/host/runtime"]),
    ("prost", &["src/host/runtime"]),
    ("tokio-rustls", &["src/etcd/"]),
    // the probe, and the keys that it shows
    ("rustls", &["src/etcd/", "src/certificate"]),
    ("x509-parser", &["src/certificate"]),
    ("toml", &["src/config/"]),
    ("cron", &["src/schedule/"]),
    ("serde-saphyr", &["src/kubeadm/", "src/cronjob/"]),
    // digests; a schedule's jitter is one, too
    (
        "sha2",
        &[
            "src/sha256.rs",
            "src/snapshot/trailer.rs",
            "src/certificate",
            "src/schedule/",
        ],
    ),
    // the ids of members and clusters
    ("sha1", &["src/datadir/membership.rs"]),
    ("crc32c", &["src/snapshot/", "src/datadir/"]),
    // the system below the files, what its errors are called, and what a command asks of it
    (
        "rustix",
        &[
            "src/store/",
            "src/host/",
            "src/snapshot/spool.rs",
            "src/datadir/",
            "src/error",
            "src/cli/",
        ],
    ),
    ("clap", &["src/cli/", "src/main.rs"]),
    ("clap_complete", &["src/cli/"]),
    ("clap_mangen", &["src/cli/"]),
    ("tracing-subscriber", &["src/cli/"]),
    ("tracing-journald", &["src/cli/"]),
    ("sd-notify", &["src/report/systemd.rs"]),
    ("tokio", &["src/"]),
    ("serde", &["src/"]),
    ("serde_json", &["src/"]),
    ("jiff", &["src/"]),
    ("thiserror", &["src/"]),
    ("tracing", &["src/"]),
];

/// The only file that prints.
pub(super) const PRINTS: &str = "src/cli/output.rs";

/// Names that say nothing of what a module is.
pub(super) const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "types", "manager",
];

/// Lines of code in a file, its tests not counted.
pub(super) const FILE_LINES: usize = 350;
/// Lines of code in a function's body.
pub(super) const FUNCTION_LINES: usize = 60;

/// Files and functions (`file: name`) that may be longer, up to where, and why.
pub(super) const LONGER: &[(&str, usize, &str)] = &[];
