//! Takes a backup of a real TLS etcd and shows every command with its answer; `tests/demo.sh` calls it.
//!
//! ```text
//! demo [run] [--dir DIR] [--version 3.5] [--size 50MiB]     the tour; everything stays in DIR
//! demo serve [--dir DIR] [--version 3.5] [--size 1GiB]      a filled etcd for measuring, until stdin closes
//! demo golden DIR                                           the fixtures of tests/golden/snapshots, made anew
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "this is test code throughout, and it talks to a person"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "most of the support is for the tests"
)]
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use support::command::{Host, binary};
use support::etcd::{Etcd, Objects, Options, Version, versions};
use support::pki::Pki;
use tempfile::TempDir;

/// What the command line asks for.
struct Asked {
    directory: Option<PathBuf>,
    version: Version,
    size: u64,
}

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mode = match args.first() {
        Some(first) if !first.starts_with("--") => args.remove(0),
        _ => "run".to_owned(),
    };
    match mode.as_str() {
        "run" => tour(&Asked::parse(&args, 50 << 20)),
        "serve" => serve(&Asked::parse(&args, 1 << 30)),
        "golden" => golden(Path::new(
            args.first().expect("golden DIR: where the fixtures go"),
        )),
        other => panic!("demo knows run, serve and golden, not {other}"),
    }
}

impl Asked {
    fn parse(args: &[String], size: u64) -> Self {
        let mut asked = Self {
            directory: None,
            version: Version::V3_5,
            size,
        };
        for pair in args.chunks(2) {
            let [flag, value] = pair else {
                panic!("{} needs a value", pair[0])
            };
            match flag.as_str() {
                "--dir" => asked.directory = Some(PathBuf::from(value)),
                "--version" => {
                    asked.version = Version::named(value).expect("--version 3.4, 3.5.1 or 3.5");
                }
                "--size" => asked.size = bytes(value).expect("--size like 50MiB or 2GiB"),
                other => panic!("demo does not know {other}"),
            }
        }
        asked
    }

    /// A host with a filled etcd and a configuration for it.
    fn host(&self) -> (Host, Etcd) {
        let directory = self.directory.clone().unwrap_or_else(|| {
            let fresh = TempDir::with_prefix("hypercloud-etcd-demo-").expect("a directory");
            fresh.keep()
        });
        fs::create_dir_all(&directory).expect("the directory of the demo");
        let directory = directory.canonicalize().expect("the directory of the demo");
        let host = Host::at(&directory);
        let etcd = Etcd::start(self.version, &host.pki);
        let filled = etcd.fill(self.size);
        eprintln!(
            "etcd {} serves {} Kubernetes-like keys ({} MB) over TLS at {}",
            self.version.exact(),
            filled.keys,
            filled.bytes / 1_000_000,
            etcd.endpoint()
        );
        host.configure(&[etcd.endpoint()]);
        (host, etcd)
    }
}

/// `50MiB` and the like, in bytes.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? << shift)
}

fn tour(asked: &Asked) -> ExitCode {
    let (host, etcd) = asked.host();
    for words in [
        vec!["backup"],
        vec!["list"],
        vec!["verify", "latest"],
        vec!["show", "latest"],
        vec!["status"],
    ] {
        let config = host.config.display();
        println!("\n$ hypercloud-etcd {} --config {config}", words.join(" "));
        let status = host
            .command(&words)
            .status()
            .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        if !status.success() {
            eprintln!("demo: hypercloud-etcd {} failed: {status}", words[0]);
            return ExitCode::FAILURE;
        }
    }
    drop(etcd);
    println!(
        "\nThe etcd is stopped. The backup is in {}",
        host.backups.display()
    );
    for name in host.files() {
        println!("    {name}");
    }
    println!(
        "The PKI and the configuration that it was taken with are in {}",
        host.directory().display()
    );
    ExitCode::SUCCESS
}

fn serve(asked: &Asked) -> ExitCode {
    let (host, etcd) = asked.host();
    let tls = &host.pki;
    println!("HCE_CONFIG={}", host.config.display());
    println!("HCE_BACKUPS={}", host.backups.display());
    println!("ETCDCTL={}", asked.version.binary("etcdctl").display());
    println!("ETCDCTL_API=3");
    println!("ETCDCTL_ENDPOINTS={}", etcd.endpoint());
    println!("ETCDCTL_CACERT={}", tls.etcd_ca().cert.display());
    println!("ETCDCTL_CERT={}", tls.client.cert.display());
    println!("ETCDCTL_KEY={}", tls.client.key.display());
    println!("READY=1");
    // whoever started this closes our stdin when it has seen enough
    let mut rest = Vec::new();
    std::io::stdin()
        .read_to_end(&mut rest)
        .expect("a stdin that ends");
    ExitCode::SUCCESS
}

/// One small snapshot of each version, with everything that makes a snapshot interesting, and what the version's own
/// tool and the live member said about it. Member ids, lease ids and certificates differ from run to run, the history
/// of the keys does not.
fn golden(directory: &Path) -> ExitCode {
    fs::create_dir_all(directory).expect("the directory of the fixtures");
    let pki = Pki::new();
    for version in versions() {
        let exact = version.exact();
        let etcd = Etcd::start_with(version, &pki, &Options::default());
        history(&etcd);
        let file = directory.join(format!("{exact}.db"));
        etcd.snapshot_save(&file);
        let live = etcd.hash_kv(0);
        let members: serde_json::Value = etcd
            .etcdctl(&["member", "list", "-w", "json"])
            .expect_success()
            .json()["members"]
            .take();
        let facts = serde_json::json!({
            "etcd": exact,
            "madeBy": "tests/demo.sh golden tests/golden/snapshots",
            // as this version's own tool counts; totalKey is every entry of every bucket
            "status": version.snapshot_status(&file),
            // as etcd 3.6 counts in totalKey
            "liveKeys": etcd.entries(0).len(),
            "hashKv": { "hash": live.hash, "revision": live.revision, "compactRevision": live.compact_revision },
            "members": members,
        });
        let text = serde_json::to_string_pretty(&facts).expect("JSON");
        fs::write(directory.join(format!("{exact}.json")), text + "\n").expect("a fixture");
        let size = fs::metadata(&file).expect("a fixture").len();
        println!("{}: {size} bytes", file.display());
        assert!(size < 200_000, "a fixture is to stay small");
    }
    ExitCode::SUCCESS
}

/// Puts, overwrites, deletes, keys that come again, leases, a compaction, and more of all that after it.
fn history(etcd: &Etcd) {
    let mut objects = Objects::new(7);
    for round in 0..3 {
        for number in 0..8 {
            let value = objects.value(300 + 40 * number);
            etcd.put(&format!("/registry/pods/default/web-{number}"), &value);
        }
        etcd.put(
            &format!("/registry/secrets/kube-system/token-{round}"),
            &objects.value(500),
        );
        etcd.put(
            "/registry/configmaps/kube-system/settings",
            &objects.value(6_000),
        );
        let deleted = etcd.delete(&format!("/registry/pods/default/web-{round}"));
        let lease = format!("/registry/leases/kube-node-lease/node-{round}");
        etcd.put_leased(&lease, &objects.value(350), Duration::from_hours(24));
        if round == 1 {
            // at a deletion: the revision where versions of etcd hash differently
            etcd.compact(deleted);
        }
    }
    etcd.put("/registry/empty", b"");
}
