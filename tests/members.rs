//! Clusters of three: who is asked for the snapshot, who stands in for whom, and who is named as corrupt.

mod gate;

use std::fs;
use std::os::unix::fs::FileExt as _;

use etcd_client::{AlarmAction, AlarmType};
use serde_json::Value;

use crate::support::backup::{assert_proven, detail, outcome, text};
use crate::support::command::{DEADLINE, Host};
use crate::support::etcd::{Cluster, Etcd, Version, versions};
use crate::support::poll_until;
use gate::Gate;

/// A host, a cluster of three with a few keys, and the leader's place in it.
fn cluster_of(version: Version) -> (Host, Cluster, usize) {
    let host = Host::new();
    let cluster = Cluster::start(version, 3, &host.pki);
    let leader = cluster.leader();
    cluster.members[leader].fill(200_000);
    (host, cluster, leader)
}

fn newest_cluster() -> Option<(Host, Cluster, usize)> {
    versions().last().map(|&version| cluster_of(version))
}

/// The members' places, the leader's first.
fn leader_first(leader: usize) -> [usize; 3] {
    [leader, (leader + 1) % 3, (leader + 2) % 3]
}

fn endpoints(cluster: &Cluster, order: &[usize]) -> Vec<String> {
    order
        .iter()
        .map(|&place| cluster.members[place].endpoint())
        .collect()
}

fn source(manifest: &Value) -> &str {
    text(&manifest["source"], "endpoint")
}

/// A member's id as etcdctl's tables and our manifests write it.
fn id(member: &Etcd) -> String {
    member.with_client(async |mut client| {
        let status = client.status().await.expect("a status");
        format!("{:x}", status.header().expect("a header").member_id())
    })
}

#[test]
fn a_follower_is_asked_before_the_leader_and_every_member_confirms() {
    for version in versions() {
        let (host, cluster, leader) = cluster_of(version);
        let order = leader_first(leader);
        host.configure(&endpoints(&cluster, &order));
        let manifest = host.backup();
        assert_proven(&manifest);
        assert_eq!(source(&manifest), cluster.members[order[1]].endpoint());
        let confirmed = detail(&manifest, "live");
        assert!(
            confirmed.starts_with("3 of 3 members confirm"),
            "{confirmed}"
        );
        assert_eq!(manifest["members"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn check_shows_the_version_and_role_of_every_member() {
    let Some((host, mut cluster, leader)) = newest_cluster() else {
        return;
    };
    cluster.add_learner();
    host.configure(&cluster.endpoints());
    let checks = host.run(&["check", "--json"]).expect_success().json();
    for (place, member) in cluster.members.iter().enumerate() {
        let found = checks["checks"].as_array().unwrap().iter();
        let check = found
            .clone()
            .find(|check| check["name"] == member.endpoint())
            .unwrap_or_else(|| panic!("{} is missing: {checks:#}", member.endpoint()));
        let role = match place {
            3 => "learner",
            place if place == leader => "leader",
            _ => "follower",
        };
        let said = format!(
            "etcd {}, {role}, member {}",
            member.version().exact(),
            id(member)
        );
        assert!(text(check, "message").starts_with(&said), "{check:#}");
    }
    let lines = host.run(&["check"]).expect_success().stdout;
    for member in &cluster.members {
        assert!(lines.contains(member.name()), "{lines}");
    }
}

#[test]
fn where_the_first_endpoint_is_dead_the_next_one_serves() {
    let Some((host, mut cluster, leader)) = newest_cluster() else {
        return;
    };
    let order = leader_first(leader);
    let [_, dead, next] = order;
    cluster.members[dead].stop();
    host.configure(&endpoints(&cluster, &[dead, next, leader]));
    let manifest = host.backup();
    assert_eq!(manifest["verified"], true);
    assert_eq!(source(&manifest), cluster.members[next].endpoint());
    assert_eq!(outcome(&manifest, "live"), "passed");
    let said = detail(&manifest, "live");
    assert!(said.contains("2 of 3 members confirm"), "{said}");
    assert!(said.contains(&cluster.members[dead].endpoint()), "{said}");
    let check = host.run(&["check"]).expect_code(69);
    assert!(check.stdout.contains("connection refused"), "{check}");

    host.configure(&endpoints(&cluster, &[dead]));
    host.run(&["backup"]).expect_code(69);
    assert_eq!(host.files().len(), 3, "{:?}", host.files());
}

#[test]
fn where_a_member_freezes_in_the_middle_of_the_stream_the_next_one_serves() {
    let Some((host, cluster, leader)) = newest_cluster() else {
        return;
    };
    let [_, frozen, next] = leader_first(leader);
    // more than all buffers between it and us hold
    cluster.members[leader].fill(24 << 20);
    let gate = Gate::before(&cluster.members[frozen].endpoint(), 2 << 20);
    host.configure_as(
        &[gate.endpoint(), cluster.members[next].endpoint()],
        &host.pki.client,
        "connect_timeout = \"8s\"\nstall_timeout = \"8s\"",
    );
    let backup = host.start(&["backup", "--json"]);
    poll_until("the stream is under way", DEADLINE, || gate.is_reached());
    cluster.members[frozen].freeze();
    gate.open();
    let output = backup.output(DEADLINE).expect_success();
    cluster.members[frozen].thaw();
    let manifest = output.json();
    assert_eq!(manifest["verified"], true);
    assert_eq!(source(&manifest), cluster.members[next].endpoint());
    let stalled = format!("the snapshot from etcd at {} stalled", gate.endpoint());
    assert!(output.stderr.contains(&stalled), "{output}");
    assert_eq!(host.files().len(), 3, "{:?}", host.files());
}

#[test]
fn a_learner_is_asked_last() {
    for version in versions() {
        let (host, mut cluster, leader) = cluster_of(version);
        let learner = cluster.add_learner().endpoint();
        host.configure(&[learner.clone(), cluster.members[leader].endpoint()]);
        let manifest = host.backup();
        assert_eq!(manifest["verified"], true);
        assert_eq!(source(&manifest), cluster.members[leader].endpoint());
        assert_eq!(outcome(&manifest, "live"), "passed");
        let members = manifest["members"].as_array().unwrap().iter();
        assert_eq!(
            members.filter(|member| member["isLearner"] == true).count(),
            1
        );
    }
}

#[test]
fn a_member_with_an_alarm_is_asked_after_the_leader() {
    let Some((host, cluster, leader)) = newest_cluster() else {
        return;
    };
    let [_, alarmed, other] = leader_first(leader);
    let member = u64::from_str_radix(&id(&cluster.members[alarmed]), 16).unwrap();
    cluster.members[leader].with_client(async |mut client| {
        let mut options = etcd_client::AlarmOptions::new();
        options.with_member(member);
        client
            .alarm(AlarmAction::Activate, AlarmType::Nospace, Some(options))
            .await
            .expect("an alarm");
    });
    host.configure(&endpoints(&cluster, &[alarmed, leader]));
    let manifest = host.backup();
    assert_proven(&manifest);
    assert_eq!(source(&manifest), cluster.members[leader].endpoint());
    host.configure(&endpoints(&cluster, &[alarmed, leader, other]));
    assert_eq!(source(&host.backup()), cluster.members[other].endpoint());
    // but asked it is, where there is no other
    host.configure(&endpoints(&cluster, &[alarmed]));
    assert_proven(&host.backup());
    let check = host.run(&["check"]).expect_success();
    assert!(check.stdout.contains("NoSpace of member"), "{check}");
}

const TRUE_VALUE: &[u8] = b"the-one-and-only-true-value-of-this-key";

/// Changes a byte of that value wherever the member's database file has it; the pages stay as sound as they were.
fn alter_value(member: &Etcd) -> usize {
    let path = member.data_dir().join("member/snap/db");
    let bytes = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let mut altered = 0;
    for (at, window) in bytes.windows(TRUE_VALUE.len()).enumerate() {
        if window == TRUE_VALUE {
            file.write_all_at(b"X", at as u64 + 8).unwrap();
            altered += 1;
        }
    }
    altered
}

fn has_stored_the_value(member: &Etcd) -> bool {
    fs::read(member.data_dir().join("member/snap/db"))
        .unwrap()
        .windows(TRUE_VALUE.len())
        .any(|window| window == TRUE_VALUE)
}

#[test]
fn a_member_whose_data_differs_is_named_and_its_snapshot_is_not_the_one_that_is_kept() {
    for version in versions() {
        let (host, mut cluster, leader) = cluster_of(version);
        let [_, corrupt, other] = leader_first(leader);
        cluster.members[leader].put("/registry/secrets/default/a", TRUE_VALUE);
        poll_until("the member has stored the value", DEADLINE, || {
            has_stored_the_value(&cluster.members[corrupt])
        });
        cluster.members[corrupt].stop();
        assert!(alter_value(&cluster.members[corrupt]) > 0);
        cluster.members[corrupt].restart();
        let named = id(&cluster.members[corrupt]);
        let leader = cluster.leader();

        // a member alone with its data is believed by nobody else, and asked first all the same
        host.configure(&endpoints(&cluster, &[corrupt, other, leader]));
        let output = host.run(&["backup", "--json"]).expect_success();
        let manifest = output.json();
        assert_eq!(manifest["verified"], true, "{manifest:#}");
        assert_ne!(source(&manifest), cluster.members[corrupt].endpoint());
        let contradicting = manifest["contradictingMembers"].as_array().unwrap();
        assert_eq!(contradicting.len(), 1, "{manifest:#}");
        assert!(contradicting[0].as_str().unwrap().starts_with(&named));
        let said = detail(&manifest, "live");
        assert!(said.starts_with("2 of 3 members confirm"), "{said}");
        assert!(
            said.contains(&format!("different data in member {named}")),
            "{said}"
        );
        let bytes = fs::read(host.snapshot_of(&manifest)).unwrap();
        assert!(
            bytes
                .windows(TRUE_VALUE.len())
                .any(|window| window == TRUE_VALUE)
        );

        let status = host.run(&["status"]).expect_code(1);
        assert!(
            status.stdout.contains(&format!("member {named}")),
            "{status}"
        );
        assert!(host.run(&["list"]).stdout.contains("a member differs"));
        host.run(&["verify"]).expect_success();

        // one against one: nobody can say who is right
        host.configure(&endpoints(&cluster, &[corrupt, other]));
        let undecided = host.run(&["backup", "--json"]).expect_code(65).json();
        assert_eq!(undecided["verified"], false);
        assert_eq!(outcome(&undecided, "live"), "failed");
        host.run(&["verify"]).expect_code(65);
        let status = host.run(&["status"]).expect_code(1);
        assert!(status.stdout.contains("not verified"), "{status}");
    }
}
