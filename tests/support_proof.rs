//! The ground the other proofs stand on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tonic::Code;

use crate::support::command::{DEADLINE, Output, Running, run};
use crate::support::etcd::{Cluster, Etcd, Options, Version, versions};
use crate::support::fake::{Fake, Script};
use crate::support::pki::{Leaf, Pair, Pki};
use crate::support::poll_until;

#[test]
fn every_etcd_starts_is_filled_and_gives_a_snapshot_that_its_own_tool_accepts() {
    let pki = Pki::new();
    for version in versions() {
        let etcd = Etcd::start(version, &pki);
        let filled = etcd.fill(3 << 20);
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("snapshot.db");
        let load = etcd.write_load();
        etcd.snapshot_save(&file);
        assert!(load.written() > 0);
        drop(load);

        let status = version.snapshot_status(&file);
        assert!(
            status["revision"].as_u64() > Some(1),
            "{}: {status}",
            version.label()
        );
        assert!(
            status["totalKey"].as_u64() >= Some(filled.keys),
            "{}: {status}",
            version.label()
        );

        let restored = directory.path().join("restored");
        version.snapshot_restore(&file, &restored).expect_success();
        let revision = status["revision"].as_i64().unwrap();
        let options = Options {
            data_dir: Some(restored),
            ..Options::default()
        };
        let copy = Etcd::start_with(version, &pki, &options);
        assert_eq!(
            copy.entries(revision),
            etcd.entries(revision),
            "{}",
            version.label()
        );
    }
}

#[test]
fn a_cluster_elects_a_leader_and_a_learner_catches_up() {
    let pki = Pki::new();
    let Some(&version) = versions().last() else {
        return;
    };
    let mut cluster = Cluster::start(version, 3, &pki);
    let revision = cluster.members[cluster.leader()].put("/registry/pods/default/a", b"k8s\0");
    cluster.add_learner();

    // a learner answers neither HashKV nor reads, only Status and Snapshot
    let voters = &cluster.members[..3];
    let hashes: Vec<_> = voters
        .iter()
        .map(|member| member.hash_kv(revision))
        .collect();
    assert!(
        hashes.windows(2).all(|pair| pair[0] == pair[1]),
        "{hashes:?}"
    );
    let learner = &cluster.members[3];
    let learns =
        learner.with_client(async |mut client| client.status().await.unwrap().is_learner());
    assert!(learns);
    learner.snapshot_save(&TempDir::new().unwrap().path().join("snapshot.db"));
    assert_eq!(cluster.endpoints().len(), 4);
}

#[test]
fn a_server_that_was_stopped_or_frozen_goes_on_with_its_data() {
    let pki = Pki::new();
    for version in versions() {
        let mut etcd = Etcd::start(version, &pki);
        etcd.put("/registry/secrets/default/a", b"k8s\0 secret");
        etcd.put_leased(
            "/registry/leases/kube-node-lease/node-1",
            b"k8s\0",
            Duration::from_hours(1),
        );
        let deleted = etcd.delete("/registry/secrets/default/a");
        etcd.compact(deleted);
        let before = (etcd.entries(0), etcd.hash_kv(0));
        etcd.stop();
        etcd.restart();
        etcd.freeze();
        etcd.thaw();
        assert_eq!(
            (etcd.entries(0), etcd.hash_kv(0)),
            before,
            "{}",
            version.label()
        );
    }
}

#[test]
fn helpers_log_in_once_auth_is_on() {
    let pki = Pki::new();
    for version in versions() {
        let etcd = Etcd::start(version, &pki);
        etcd.enable_auth("correct horse");
        etcd.put("/registry/pods/default/a", b"k8s\0");
        etcd.etcdctl(&["get", "/registry/pods/default/a"])
            .expect_success();
        assert_eq!(etcd.entries(0).len(), 1, "{}", version.label());
    }
}

/// A real snapshot, to be served by the fake server.
fn snapshot(pki: &Pki) -> Vec<u8> {
    let etcd = Etcd::start(Version::V3_5, pki);
    etcd.fill(400_000);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("snapshot.db");
    etcd.snapshot_save(&file);
    std::fs::read(file).unwrap()
}

/// Lets etcdctl save a snapshot from the fake server.
fn save(pki: &Pki, fake: &Fake, file: &Path) -> Running {
    let mut command = Command::new(Version::V3_5.binary("etcdctl"));
    command
        .args(["--command-timeout=30s", "--endpoints"])
        .arg(fake.endpoint());
    command
        .arg("--cacert")
        .arg(&pki.etcd_ca().cert)
        .arg("--cert")
        .arg(&pki.client.cert);
    command
        .arg("--key")
        .arg(&pki.client.key)
        .args(["snapshot", "save"])
        .arg(file);
    Running::start(&mut command)
}

#[test]
fn etcdctl_takes_the_fake_server_for_an_etcd() {
    let pki = Pki::new();
    let original = snapshot(&pki);
    let fake = Fake::start(&pki, &original, Script::Faithful);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("saved.db");
    save(&pki, &fake, &file).output(DEADLINE).expect_success();
    assert!(
        std::fs::read(&file).unwrap() == original,
        "the bytes differ"
    );
    assert_eq!(fake.asked().snapshot, 1);
    // it counts a message after it is sent
    poll_until("all is counted", DEADLINE, || {
        fake.asked().sent == original.len()
    });
    Version::V3_5.snapshot_status(&file);
}

#[test]
fn etcdctl_fails_where_the_fake_server_breaks_off() {
    let pki = Pki::new();
    let original = snapshot(&pki);
    let fake = Fake::start(&pki, &original, Script::Faithful);
    let directory = TempDir::new().unwrap();
    for (index, (script, said)) in [
        (Script::CutAt(100_000), "sha256 checksum not found"),
        (
            Script::ErrorAt {
                after: 100_000,
                code: Code::Internal,
                message: "the disk is gone",
            },
            "the disk is gone",
        ),
        // the reset itself, or the end of file behind it where the client's writer met it first
        (Script::ResetAt(100_000), "error reading from server"),
        (
            Script::Refuse {
                code: Code::PermissionDenied,
                message: "permission denied",
            },
            "permission denied",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        fake.change(|behaviour| behaviour.script = script.clone());
        let file = directory.path().join(format!("{index}.db"));
        let output = save(&pki, &fake, &file).output(DEADLINE);
        assert!(
            output.code != Some(0) && output.stderr.contains(said),
            "{script:?}: {output}"
        );
    }
}

#[test]
fn the_fake_server_stays_silent_trickles_and_repeats_nothing_for_ever_until_dropped() {
    let pki = Pki::new();
    let original = snapshot(&pki);
    let directory = TempDir::new().unwrap();
    for (script, least) in [
        (Script::Silence { after: 65_536 }, 65_536),
        (Script::EmptyForEver { after: 32_768 }, 32_768),
        (
            Script::Trickle {
                blob: 1,
                pause: Duration::from_millis(20),
            },
            10,
        ),
    ] {
        let fake = Fake::start(&pki, &original, script.clone());
        let mut running = save(&pki, &fake, &directory.path().join("saved.db"));
        poll_until("bytes arrive", DEADLINE, || fake.asked().sent >= least);
        assert!(running.ended().is_none(), "{script:?}");
        drop(fake);
        assert!(running.output(DEADLINE).code != Some(0), "{script:?}");
    }
}

#[test]
fn the_golden_snapshots_are_what_their_facts_say() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots");
    let mut seen = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let facts = entry.unwrap().path();
        if facts.extension() != Some("json".as_ref()) {
            continue;
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&facts).unwrap()).unwrap();
        for version in versions() {
            let status = version.snapshot_status(&facts.with_extension("db"));
            assert_eq!(status, expected["status"], "{}", facts.display());
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn each_certificate_is_wrong_in_the_way_its_name_says() {
    let pki = Pki::new();
    let Some(&version) = versions().last() else {
        return;
    };
    let good = Etcd::start(version, &pki);
    let clients = [
        (pki.expired_client(), "certificate"),
        (pki.not_yet_valid_client(), "certificate"),
        (pki.foreign_client(), "certificate"),
        (
            pki.mismatched_client(),
            "private key does not match public key",
        ),
    ];
    let expired = "certificate has expired or is not yet valid";
    let servers = [
        (pki.expired_server(), expired),
        (pki.not_yet_valid_server(), expired),
        (
            pki.misnamed_server(),
            "certificate is valid for 192.0.2.7, not 127.0.0.1",
        ),
        (
            pki.foreign("foreign-server", &Leaf::server("etcd")),
            "certificate signed by unknown authority",
        ),
    ];
    // all at once, for etcdctl tries each until its time is up
    let (pki, good) = (&pki, &good);
    std::thread::scope(|scope| {
        for (client, said) in &clients {
            scope.spawn(move || {
                let output = health(pki, client, &good.endpoint());
                assert!(output.code != Some(0), "{client:?}: {output}");
                let told = output.stderr.contains(said) || good.log().contains(said);
                assert!(told, "{client:?}: {output}\n{}", good.log());
            });
        }
        for (server, said) in &servers {
            scope.spawn(move || {
                let options = Options {
                    server: Some(server.clone()),
                    ..Options::default()
                };
                let etcd = Etcd::start_with(version, pki, &options);
                let output = health(pki, &pki.client, &etcd.endpoint());
                assert!(
                    output.code != Some(0) && output.stderr.contains(said),
                    "{said}: {output}"
                );
            });
        }
    });
}

/// What etcdctl says about an endpoint with this client certificate.
fn health(pki: &Pki, client: &Pair, endpoint: &str) -> Output {
    let mut command = Command::new(Version::V3_5.binary("etcdctl"));
    command.args([
        "--dial-timeout=15s",
        "--command-timeout=15s",
        "--endpoints",
        endpoint,
        "--cacert",
    ]);
    command
        .arg(&pki.etcd_ca().cert)
        .arg("--cert")
        .arg(&client.cert)
        .arg("--key")
        .arg(&client.key);
    run(command.args(["endpoint", "health"]))
}

#[test]
fn a_command_that_does_not_end_is_killed_at_its_deadline() {
    let stuck = Running::start(Command::new("sleep").arg("600"));
    let pid = stuck.pid();
    let outcome = std::thread::spawn(move || stuck.output(Duration::from_millis(50))).join();
    assert!(outcome.is_err());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}
