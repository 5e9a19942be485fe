//! The hash of the keys, computed from the file, is the one that the members compute; whatever was deleted and
//! compacted, and whenever.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::backup::{assert_proven, detail, outcome};
use crate::support::command::{DEADLINE, Host};
use crate::support::etcd::{Etcd, Objects, Options, Version, versions};
use crate::support::fake::{Behaviour, Fake, LiveHash, Script};
use crate::support::poll_until;

/// A host with one etcd of this version.
fn host_with(version: Version, arguments: &[&str]) -> (Host, Etcd) {
    let host = Host::new();
    let options = Options {
        arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
        ..Options::default()
    };
    let etcd = Etcd::start_with(version, &host.pki, &options);
    host.configure(&[etcd.endpoint()]);
    (host, etcd)
}

/// A backup that the member confirms; the manifest's hash is the member's own.
#[track_caller]
fn assert_confirmed(host: &Host, etcd: &Etcd) -> Value {
    let manifest = host.backup();
    assert_proven(&manifest);
    let own = etcd.hash_kv(0);
    assert_eq!(manifest["kvHash"]["hash"], own.hash, "{manifest:#}");
    assert_eq!(manifest["kvHash"]["revision"], own.revision, "{manifest:#}");
    manifest
}

#[test]
fn a_store_that_was_never_written_to_is_backed_up() {
    for version in versions() {
        let (host, etcd) = host_with(version, &[]);
        let manifest = host.backup();
        assert_eq!(manifest["verified"], true);
        assert_eq!(outcome(&manifest, "live"), "skipped", "{manifest:#}");
        assert!(detail(&manifest, "live").contains("the store is empty"));
        assert_eq!(manifest["totalKey"], 0);
        assert_eq!(manifest["kvHash"]["hash"], etcd.hash_kv(0).hash);
        let said = version.snapshot_status(&host.snapshot_of(&manifest));
        assert_eq!(said["hash"], manifest["hash"]);
        assert_eq!(said["revision"], manifest["revision"]);
        host.run(&["verify", "latest"]).expect_success();
        host.run(&["status"]).expect_success();
    }
}

#[test]
fn a_store_compacted_at_its_newest_revision_is_confirmed() {
    for version in versions() {
        let (host, etcd) = host_with(version, &[]);
        etcd.put("/registry/pods/default/a", b"1");
        etcd.put("/registry/pods/default/a", b"2");
        let newest = etcd.put("/registry/pods/default/b", b"1");
        etcd.compact(newest);
        let manifest = assert_confirmed(&host, &etcd);
        assert_eq!(manifest["revision"], newest);
        assert_eq!(manifest["compactRevision"], newest);
    }
}

#[test]
fn a_deletion_at_the_compacted_revision_is_confirmed() {
    for version in versions() {
        let (host, etcd) = host_with(version, &[]);
        etcd.put("/registry/pods/default/a", b"1");
        etcd.put("/registry/pods/default/b", b"1");
        let deleted = etcd.delete("/registry/pods/default/a");
        assert_confirmed(&host, &etcd);
        etcd.compact(deleted);
        assert_confirmed(&host, &etcd);
        etcd.put("/registry/pods/default/c", b"1");
        assert_confirmed(&host, &etcd);
        etcd.put("/registry/pods/default/a", b"again");
        assert_confirmed(&host, &etcd);
    }
}

/// Where no key lives, releases treat a deletion at the compacted revision differently; the proof knows each one's way.
#[test]
fn a_store_whose_keys_are_all_deleted_is_confirmed() {
    for version in versions() {
        let (host, etcd) = host_with(version, &[]);
        etcd.put("/registry/pods/default/a", b"1");
        let first = etcd.delete("/registry/pods/default/a");
        assert_proven(&host.backup());
        etcd.compact(first - 1);
        assert_proven(&host.backup());
        etcd.compact(first);
        assert_proven(&host.backup());
        etcd.put("/registry/pods/default/b", b"1");
        assert_proven(&host.backup());
        let second = etcd.delete("/registry/pods/default/b");
        let manifest = host.backup();
        assert_proven(&manifest);
        assert_eq!(manifest["totalKey"], 0, "{manifest:#}");
        etcd.compact(second);
        assert_proven(&host.backup());
        host.run(&["verify", "--all"]).expect_success();
    }
}

/// A made-up history, the same in every run, of single and of manifold changes.
#[test]
fn any_history_of_changes_and_compactions_is_confirmed() {
    for version in versions() {
        let (host, etcd) = host_with(version, &[]);
        let mut random = Objects::new(11);
        let mut below = move |limit: u64| {
            let bytes = random.value(40)[33..40].to_vec();
            bytes
                .iter()
                .fold(0, |sum, byte| sum * 251 + u64::from(*byte))
                % limit
        };
        let mut compacted = 1;
        for round in 0..6 {
            for _ in 0..12 {
                let key = format!("/registry/pods/default/{}", below(6));
                match below(6) {
                    0 | 1 => drop(etcd.delete(&key)),
                    2 => change_many(&etcd, below(3)),
                    _ => drop(etcd.put(&key, b"value")),
                }
            }
            let newest = etcd.revision();
            let at = compacted + 1 + i64::try_from(below(12)).unwrap();
            if at <= newest && round > 0 {
                etcd.compact(at);
                compacted = at;
            }
            assert_proven(&host.backup());
        }
    }
}

/// Several changes of one revision.
fn change_many(etcd: &Etcd, first: u64) {
    use etcd_client::{Txn, TxnOp};
    let key = |number: u64| format!("/registry/pods/default/{}", first + number);
    etcd.with_client(async |mut client| {
        let changes = [
            TxnOp::put(key(0), "several", None),
            TxnOp::delete(key(1), None),
            TxnOp::put(key(2), "several", None),
        ];
        client
            .txn(Txn::new().and_then(changes))
            .await
            .expect("a transaction");
    });
}

#[test]
fn a_compaction_that_is_under_way_is_confirmed() {
    for version in versions() {
        // one entry every 10 ms: it takes seconds, and longer where the machine was too busy for a backup meanwhile
        let met = [400, 1600, 6400]
            .into_iter()
            .any(|values| meets_a_compaction(version, values));
        assert!(met, "every compaction was done too early to prove anything");
    }
}

/// Whether a backup was made while so many values of one key were compacted away; it is confirmed in any case.
fn meets_a_compaction(version: Version, values: u64) -> bool {
    let (host, etcd) = host_with(version, &["--experimental-compaction-batch-limit=1"]);
    etcd.with_client(async |mut client| {
        for value in 0..values {
            client
                .put(
                    "/registry/leases/kube-node-lease/node-1",
                    value.to_string(),
                    None,
                )
                .await
                .expect("a put");
        }
    });
    let newest = etcd.put("/registry/pods/default/a", b"1");
    // only its beginning is waited for
    etcd.with_client(async |mut client| {
        client
            .compact(newest - 1, None)
            .await
            .expect("a compaction");
    });
    let during = host.backup();
    assert_proven(&during);
    assert_eq!(during["compactRevision"], newest - 1);
    etcd.compact(newest);
    let after = assert_confirmed(&host, &etcd);
    assert_eq!(after["totalKey"], during["totalKey"]);
    after["totalEntries"].as_u64() < during["totalEntries"].as_u64()
}

/// A follower applies a compaction a little later than the member that gave the snapshot. Until then it hashes entries
/// that the file no longer has.
#[test]
fn a_member_that_has_yet_to_compact_is_waited_for_and_never_taken_for_a_corrupt_one() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots/3.5.30.db");
    let known = fs::read(golden.with_extension("json")).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    let number = |field: &str| known["hashKv"][field].as_i64().unwrap();
    let answer = |hash, compact_revision| LiveHash::Answer {
        hash,
        compact_revision,
        hash_revision: number("revision"),
    };
    let host = Host::new();
    let behaviour = Behaviour::new(&fs::read(&golden).unwrap(), Script::Faithful)
        .hash_kv(answer(1, number("compactRevision") - 1));
    let fake = Fake::start_with(&host.pki, &host.pki.server, behaviour);
    host.configure(&[fake.endpoint()]);

    let backup = host.start(&["backup", "--json"]);
    poll_until("it was asked more than once", DEADLINE, || {
        fake.asked().hash_kv > 4
    });
    let hash = u32::try_from(number("hash")).unwrap();
    fake.change(|behaviour| behaviour.hash_kv = answer(hash, number("compactRevision")));
    assert_proven(&backup.output(DEADLINE).expect_success().json());

    fake.change(|behaviour| behaviour.hash_kv = answer(1, number("compactRevision")));
    let contradicted = host.run(&["backup", "--json"]).expect_code(65).json();
    assert_eq!(outcome(&contradicted, "live"), "failed");
}

/// Says stop when dropped, by a panic too.
struct Stop<'f>(&'f AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The newest revision is compacted away over and over: each snapshot may be overtaken, none is ever contradicted.
#[test]
fn a_compaction_that_overtakes_the_snapshot_is_never_taken_for_a_difference() {
    for version in versions() {
        let (host, etcd) = host_with(version, &[]);
        let access = etcd.access();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                access.with_client(async |mut client| {
                    while !done.load(Ordering::Relaxed) {
                        let put = client.put("/registry/pods/default/a", "1", None);
                        let at = put.await.unwrap().header().unwrap().revision();
                        client.compact(at, None).await.unwrap();
                    }
                });
            });
            let _guard = Stop(&done);
            for _ in 0..3 {
                let manifest = host.backup();
                assert_ne!(outcome(&manifest, "live"), "failed", "{manifest:#}");
                assert_eq!(manifest["verified"], true);
            }
        });
    }
}
