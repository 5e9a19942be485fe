//! A backup is proven, is what etcd's own tools say it is, and restores to exactly the keys of its revision.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::backup::{assert_proven, text};
use crate::support::command::{Host, run};
use crate::support::etcd::{Entry, Etcd, Objects, Options, Version, versions};
use crate::support::poll_until;

/// Revisions that are there before the compactions begin; they never catch up with the newest one.
const HISTORY: u64 = 1_000;
/// Keys that are written and deleted again and again.
const KEYS: u64 = 60;

/// What happened to one key.
#[derive(Debug, Clone)]
enum Change {
    Put(Vec<u8>, Vec<u8>),
    Deletion(Vec<u8>),
}

/// Everything that happened, and where it began: what the store holds at any revision.
struct History {
    before: Vec<Entry>,
    changes: Vec<(i64, Change)>,
}

impl History {
    /// What etcd answers at `revision`, in key order.
    fn entries(&self, revision: i64) -> Vec<Entry> {
        let mut living: BTreeMap<Vec<u8>, Entry> = self
            .before
            .iter()
            .map(|entry| (entry.key.clone(), entry.clone()))
            .collect();
        for (at, change) in self.changes.iter().filter(|(at, _)| *at <= revision) {
            match change.clone() {
                Change::Deletion(key) => drop(living.remove(&key)),
                Change::Put(key, value) => {
                    let known = living.get(&key);
                    let entry = Entry {
                        create_revision: known.map_or(*at, |entry| entry.create_revision),
                        version: known.map_or(0, |entry| entry.version) + 1,
                        mod_revision: *at,
                        lease: 0,
                        key: key.clone(),
                        value,
                    };
                    living.insert(key, entry);
                }
            }
        }
        living.into_values().collect()
    }
}

/// Puts, deletes and compacts until stopped, and remembers what it did.
struct Churn {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: JoinHandle<Vec<(i64, Change)>>,
    before: Vec<Entry>,
}

impl Churn {
    fn start(etcd: &Etcd) -> Self {
        let (stop, rounds) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counter, access) = (Arc::clone(&stop), Arc::clone(&rounds), etcd.access());
        let before = etcd.entries(0);
        let thread = thread::spawn(move || {
            access.with_client(async |client| churn(client, &stopped, &counter).await)
        });
        poll_until("there is some history", Duration::from_mins(5), || {
            rounds.load(Ordering::Relaxed) > HISTORY + 100
        });
        Self {
            stop,
            rounds,
            thread,
            before,
        }
    }

    fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    fn stop(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        History {
            before: self.before,
            changes: self.thread.join().expect("the churn"),
        }
    }
}

/// A key of one of several types; one of them is of none.
fn key(number: u64) -> String {
    match number % 4 {
        0 => format!("/registry/leases/kube-node-lease/node-{number:02}"),
        1 => format!("/registry/events/default/web-{number:02}.17f2"),
        2 => format!("/registry/cert-manager.io/certificates/default/tls-{number:02}"),
        _ => format!("/compact_rev_key/{number:02}"),
    }
}

async fn churn(
    mut client: etcd_client::Client,
    stop: &AtomicBool,
    rounds: &AtomicU64,
) -> Vec<(i64, Change)> {
    let (mut changes, mut objects) = (Vec::new(), Objects::new(3));
    let mut compacted = None;
    while !stop.load(Ordering::Relaxed) {
        let round = rounds.fetch_add(1, Ordering::Relaxed);
        let key = key(round * 7 % KEYS);
        if round % 5 == 3 {
            let done = client.delete(key.clone(), None).await.expect("a deletion");
            if done.deleted() > 0 {
                let at = done.header().expect("a header").revision();
                changes.push((at, Change::Deletion(key.into())));
            }
        } else {
            let value = objects.value(300);
            let done = client
                .put(key.clone(), value.clone(), None)
                .await
                .expect("a put");
            let at = done.header().expect("a header").revision();
            changes.push((at, Change::Put(key.into(), value)));
        }
        if round > HISTORY && round.is_multiple_of(10) {
            // half as fast as the writes
            let next = compacted.map_or(changes[0].0, |last| last + 5);
            client.compact(next, None).await.expect("a compaction");
            compacted = Some(next);
        }
    }
    changes
}

#[test]
fn a_backup_under_writes_deletions_and_compactions_is_proven_and_restores_every_key() {
    for version in versions() {
        let host = Host::new();
        let etcd = Etcd::start(version, &host.pki);
        host.configure(&[etcd.endpoint()]);
        etcd.fill(2 << 20);
        let churn = Churn::start(&etcd);
        let rounds = churn.rounds();
        let manifest = host.backup();
        assert!(churn.rounds() > rounds, "nothing was written meanwhile");
        let history = churn.stop();

        assert_proven(&manifest);
        assert!(
            manifest["compactRevision"].as_u64() > Some(0),
            "{manifest:#}"
        );
        is_described_by_its_manifest(&host, &etcd, &manifest);
        is_what_the_tools_of_etcd_say(&host, version, &manifest);
        counts_what_lived(&history, &manifest);
        restores_to_what_lived(&host, version, &history, &manifest);
    }
}

/// The manifest tells the source, the members, the file's size and digest; `show --file` finds the same.
fn is_described_by_its_manifest(host: &Host, etcd: &Etcd, manifest: &Value) {
    let file = host.snapshot_of(manifest);
    let bytes = std::fs::metadata(&file).unwrap().len();
    assert_eq!(manifest["size"], bytes);
    assert_eq!(manifest["stored"]["size"], bytes);
    let sum = run(Command::new("sha256sum").arg(&file)).expect_success();
    let sum = sum.stdout.split_whitespace().next().unwrap().to_owned();
    assert_eq!(text(manifest, "sha256"), sum);
    assert_eq!(text(&manifest["stored"], "sha256"), sum);

    assert_eq!(manifest["format"], 1);
    assert_eq!(manifest["trigger"], "command");
    assert_eq!(text(&manifest["source"], "endpoint"), etcd.endpoint());
    assert_eq!(
        text(&manifest["source"], "etcdVersion"),
        etcd.version().exact()
    );
    members_are_listed(etcd, manifest);

    let path = file.to_str().unwrap();
    let shown = host
        .run(&["show", "--file", path, "--json"])
        .expect_success()
        .json();
    for (field, value) in shown.as_object().unwrap() {
        if field != "verification" {
            assert_eq!(value, &manifest[field], "{field}");
        }
    }
    for field in ["hash", "revision", "totalKey", "totalSize", "version"] {
        assert!(shown.get(field).is_some(), "{field} is missing: {shown:#}");
    }
}

fn members_are_listed(etcd: &Etcd, manifest: &Value) {
    // 8e9e05c52164694d, started, NAME, PEER URLS, CLIENT URLS, false
    let listed = etcd.etcdctl(&["member", "list"]).expect_success().stdout;
    let fields: Vec<&str> = listed.trim().split(", ").collect();
    assert_eq!(text(&manifest["source"], "memberId"), fields[0]);
    // etcd 3.5.1 keeps what a member advertises to clients out of its database
    let client_urls = match etcd.version() {
        Version::V3_5_1 => json!([]),
        _ => json!([fields[4]]),
    };
    assert_eq!(
        manifest["members"],
        json!([{
            "id": fields[0],
            "name": fields[2],
            "peerUrls": [fields[3]],
            "clientUrls": client_urls,
            "isLearner": false,
        }])
    );
}

/// Up to 3.5 the tools count every entry of every bucket as a key.
fn is_what_the_tools_of_etcd_say(host: &Host, version: Version, manifest: &Value) {
    let said = version.snapshot_status(&host.snapshot_of(manifest));
    let ours = json!({
        "hash": manifest["hash"],
        "revision": manifest["revision"],
        "totalKey": manifest["totalEntries"],
        "totalSize": manifest["totalSize"],
    });
    assert_eq!(ours, said, "etcd {}", version.label());
}

fn counts_what_lived(history: &History, manifest: &Value) {
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let entries = history.entries(manifest["revision"].as_i64().unwrap());
    for entry in &entries {
        let key = String::from_utf8_lossy(&entry.key);
        let parts: Vec<&str> = key.split('/').collect();
        let kind = match parts[..] {
            ["", "registry", group, kind, ..] if group.contains('.') => {
                format!("/registry/{group}/{kind}")
            }
            ["", "registry", kind, ..] => format!("/registry/{kind}"),
            _ => "other".to_owned(),
        };
        *expected.entry(kind).or_default() += 1;
    }
    let counted: BTreeMap<String, u64> = manifest["types"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(kind, count)| (kind.clone(), count["keys"].as_u64().unwrap()))
        .collect();
    assert_eq!(counted, expected);
    assert_eq!(manifest["totalKey"], entries.len());
}

fn restores_to_what_lived(host: &Host, version: Version, history: &History, manifest: &Value) {
    let data_dir = host.directory().join("restored");
    version
        .snapshot_restore(&host.snapshot_of(manifest), &data_dir)
        .expect_success();
    let options = Options {
        data_dir: Some(data_dir),
        ..Options::default()
    };
    let restored = Etcd::start_with(version, &host.pki, &options);
    let revision = manifest["revision"].as_i64().unwrap();
    assert_eq!(restored.revision(), revision);
    let same = restored.entries(0) == history.entries(revision);
    assert!(same, "the keys differ, etcd {}", version.label());
    let hashed = restored.hash_kv(revision);
    assert_eq!(
        manifest["kvHash"],
        json!({
            "hash": hashed.hash,
            "revision": hashed.revision,
            "compactRevision": hashed.compact_revision,
        }),
        "etcd {}",
        version.label()
    );
}
