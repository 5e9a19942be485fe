use std::collections::BTreeMap;

use super::*;
use crate::catalog::tests::manifest;

/// The defaults of the configuration; a test there holds them to the documented ones.
fn settings() -> Settings {
    let ignore = [
        "events",
        "leases",
        "masterleases",
        "pods",
        "jobs",
        "endpointslices",
        "minions",
        "csinodes",
        "certificatesigningrequests",
    ];
    Settings {
        enabled: true,
        max_fall: 50,
        min_keys: 50,
        ignore: ignore.map(|name| format!("/registry/{name}")).to_vec(),
    }
}

/// A cluster as a backup finds it.
#[derive(Clone)]
struct Cluster {
    manifest: Manifest,
    /// Keys of each type, and the bytes of each key.
    types: BTreeMap<&'static str, (u64, u64)>,
}

const SYSTEM: [(&str, u64, u64); 5] = [
    ("clusterroles", 120, 1500),
    ("customresourcedefinitions", 90, 40_000),
    ("namespaces", 60, 700),
    ("minions", 40, 9000),
    ("masterleases", 3, 60),
];
/// What stands in namespaces, and goes with them.
const NAMESPACED: [(&str, u64, u64); 10] = [
    ("configmaps", 1563, 6300),
    ("secrets", 1503, 3500),
    ("deployments", 800, 5000),
    ("replicasets", 2400, 4000),
    ("services", 600, 1200),
    ("pods", 5203, 6100),
    ("endpointslices", 600, 1500),
    ("events", 6057, 970),
    ("leases", 742, 470),
    ("jobs", 400, 3000),
];

impl Cluster {
    fn new() -> Self {
        let types = SYSTEM.into_iter().chain(NAMESPACED);
        Cluster {
            manifest: manifest("20261101T000000Z", 1_000_000),
            types: types
                .map(|(name, keys, bytes)| (name, (keys, bytes)))
                .collect(),
        }
    }

    /// One of a laboratory: a dozen keys of each type.
    fn small() -> Self {
        let mut cluster = Cluster::new();
        cluster.types = ["configmaps", "secrets", "pods"]
            .map(|name| (name, (12, 900)))
            .into();
        cluster
    }

    /// A small one with many events.
    fn busy() -> Self {
        let mut cluster = Cluster::new();
        cluster.types = [("configmaps", (60, 900)), ("events", (900, 970))].into();
        cluster
    }

    /// An hour later, a few thousand revisions on.
    fn later(mut self) -> Self {
        let next = self.manifest.started + SignedDuration::from_hours(1);
        let revision = self.manifest.facts.revision + 4000;
        self.manifest.id = crate::catalog::BackupId::at(next);
        (self.manifest.started, self.manifest.facts.revision) = (next, revision);
        self
    }

    /// As many hundredths of these types are left.
    fn left(mut self, names: &[&'static str], percent: u64) -> Self {
        for name in names {
            if let Some((keys, _)) = self.types.get_mut(name) {
                *keys = *keys * percent / 100;
            }
        }
        self
    }

    /// As many hundredths of everything in namespaces are left.
    fn namespaces(self, percent: u64) -> Self {
        let names = NAMESPACED.map(|(name, _, _)| name);
        self.left(&names, percent)
    }

    fn all(self, percent: u64) -> Self {
        let names = SYSTEM.map(|(name, _, _)| name);
        self.namespaces(percent).left(&names, percent)
    }

    fn with(mut self, change: impl FnOnce(&mut Manifest)) -> Self {
        change(&mut self.manifest);
        self
    }

    fn revision(self, revision: u64) -> Self {
        self.with(|manifest| manifest.facts.revision = revision)
    }

    fn id(self, cluster_id: &str) -> Self {
        self.with(|manifest| manifest.source.cluster_id = cluster_id.into())
    }

    fn value_bytes(mut self, percent: u64) -> Self {
        for (_, bytes) in self.types.values_mut() {
            *bytes = *bytes * percent / 100;
        }
        self
    }

    fn backup(&self) -> Manifest {
        let mut manifest = self.manifest.clone();
        let count = |(keys, bytes): &(u64, u64)| TypeCount {
            keys: *keys,
            bytes: keys * bytes,
        };
        let types = self.types.iter().filter(|(_, (keys, _))| *keys > 0);
        manifest.facts.types = types
            .map(|(name, tally)| (format!("/registry/{name}"), count(tally)))
            .collect();
        manifest.facts.total_key = self.types.values().map(|(keys, _)| keys).sum();
        manifest
    }
}

/// What happens between two backups.
type Event = fn(Cluster) -> Cluster;

/// One history: its name, the cluster before, what happens before each further backup, and what the
/// suspicions of each say. Where one is raised it is accepted at once.
struct History(
    &'static str,
    fn() -> Cluster,
    &'static [Event],
    &'static [&'static str],
);

#[rustfmt::skip]
const HISTORIES: &[History] = &[
    // what nobody wants to hear about
    History("nothing happens, not even a write", Cluster::new, &[|c| c], &[""]),
    History("a normal quiet week", Cluster::new, &[
        |c| c.later().left(&["events", "pods"], 80),
        |c| c.later().left(&["configmaps", "replicasets"], 97),
        |c| c.later().left(&["events"], 250),
        |c| c.later().left(&["secrets", "events"], 98),
        |c| c.later().left(&["leases", "deployments"], 103),
        |c| c.later().left(&["events", "jobs"], 20),
        |c| c.later().left(&["events", "jobs", "pods"], 300),
    ], &["", "", "", "", "", "", ""]),
    History("all events expire", Cluster::new, &[|c| c.later().left(&["events"], 0)], &[""]),
    History("all events of a small cluster expire", Cluster::busy,
        &[|c| c.later().left(&["events"], 0)], &[""]),
    History("a node pool is drained: nodes, leases and pods go", Cluster::new,
        &[|c| c.later().left(&["minions", "leases", "pods"], 10)], &[""]),
    History("the night scales everything down, the morning up", Cluster::new, &[
        |c| c.later().left(&["pods", "endpointslices"], 10),
        |c| c.later().left(&["pods", "endpointslices"], 1000),
    ], &["", ""]),
    History("a batch of jobs ends", Cluster::new,
        &[|c| c.later().left(&["jobs", "pods", "events"], 5)], &[""]),
    History("a namespace is deleted on purpose", Cluster::new, &[|c| c.later().namespaces(85)], &[""]),
    History("a third of all namespaces is deleted on purpose", Cluster::new,
        &[|c| c.later().namespaces(65)], &[""]),
    History("the store shrinks by a tenth each week, for a quarter", Cluster::new, &[
        |c| c.later().all(90), |c| c.later().all(90), |c| c.later().all(90), |c| c.later().all(90),
        |c| c.later().all(90), |c| c.later().all(90), |c| c.later().all(90), |c| c.later().all(90),
    ], &["", "", "", "", "", "", "", ""]),
    History("the store grows tenfold", Cluster::new, &[|c| c.later().all(1000)], &[""]),
    History("a defragmentation makes the file a tenth of its size", Cluster::new,
        &[|c| c.later().with(|m| (m.size, m.facts.total_size) = (m.size / 10, 409))], &[""]),
    History("etcd is upgraded", Cluster::new, &[|c| c.later().with(|m| {
        m.source.etcd_version = "3.6.5".into();
        (m.facts.version, m.facts.hash) = ("3.6.0".into(), 77);
    })], &[""]),
    History("a restore with a revision bump", Cluster::new,
        &[|c| c.later().revision(1_001_000_000)], &[""]),
    History("a laboratory loses half of its few keys", Cluster::small,
        &[|c| c.later().left(&["configmaps", "secrets"], 10)], &[""]),
    History("the only release of a rare type is removed", || {
        let mut cluster = Cluster::new();
        cluster.types.insert("example.com/widgets", (12, 1000));
        cluster
    }, &[|c| c.later().left(&["example.com/widgets"], 0)], &[""]),
    History("a follower that is a little behind serves the second of two backups in a minute",
        Cluster::new, &[|c| c.revision(999_990)], &[""]),
    History("the clock was set back", Cluster::new, &[|c| c.later().with(|m| {
        m.started = "2026-10-01T00:00:00Z".parse().unwrap();
    })], &[""]),
    // what somebody should look at, once
    History("the namespace that holds nearly everything is deleted on purpose, and that is accepted",
        Cluster::new, &[|c| c.later().namespaces(20), Cluster::later],
        &["the keys fell from 7136 to 1642; keys are gone: /registry/replicasets from 2400 to 480, \
           /registry/configmaps from 1563 to 312, /registry/secrets from 1503 to 300, and 2 types more", ""]),
    History("all secrets are gone", Cluster::new, &[|c| c.later().left(&["secrets"], 0)],
        &["keys are gone: /registry/secrets from 1503 to 0"]),
    History("two types lose most of their keys", Cluster::new,
        &[|c| c.later().left(&["secrets", "services"], 40)],
        &["keys are gone: /registry/secrets from 1503 to 601, /registry/services from 600 to 240"]),
    History("everything is deleted", Cluster::new, &[|c| c.later().all(0)],
        &["the store is almost empty: from 20181 to 0"]),
    History("nearly everything is deleted", Cluster::new, &[|c| c.later().all(5)],
        &["the store is almost empty: from 20181 to 1007"]),
    History("a member starts on an empty disk as a cluster of its own", Cluster::new,
        &[|c| c.later().all(0).revision(1).id("2")],
        &["the cluster's id is 2, and was 1 in backup 20261101T000000Z; the revision went back to 1, \
           from 1000000 in backup 20261101T000000Z; the store is almost empty: from 20181 to 0"]),
    History("a restore of yesterday, and work goes on", Cluster::new, &[
        |c| c.later().revision(900_000), Cluster::later, Cluster::later,
    ], &["the revision went back to 900000, from 1000000 in backup 20261101T000000Z", "", ""]),
    History("the cluster is built anew from its manifests", Cluster::new,
        &[|c| c.later().id("2"), Cluster::later],
        &["the cluster's id is 2, and was 1 in backup 20261101T000000Z", ""]),
    History("every value is cut to a tenth", Cluster::new, &[|c| c.later().value_bytes(10)],
        &["the values shrank from 33 MB to 3.3 MB"]),
];

#[test]
fn of_these_histories_some_raise_a_suspicion_and_the_rest_are_left_in_peace() {
    for History(name, before, events, expected) in HISTORIES {
        let mut cluster = before();
        let mut last_good = cluster.backup();
        let mut said = Vec::new();
        for event in *events {
            cluster = event(cluster);
            let backup = cluster.backup();
            said.push(suspicions(&settings(), &last_good, &backup).join("; "));
            last_good = backup;
        }
        assert_eq!(said, *expected, "{name}");
    }
    let raising = |history: &&History| history.3.iter().any(|said| !said.is_empty());
    let raised = HISTORIES.iter().filter(raising).count();
    assert_eq!((HISTORIES.len(), raised), (27, 9));
}

#[test]
fn what_the_operator_sets_is_obeyed() {
    let before = Cluster::new();
    let after = before.clone().later().left(&["secrets"], 80).backup();
    let before = before.backup();
    let said = |settings: &Settings| suspicions(settings, &before, &after);
    let strict = Settings {
        max_fall: 10,
        ..settings()
    };
    assert_eq!(
        said(&strict),
        ["keys are gone: /registry/secrets from 1503 to 1202"]
    );
    assert!(said(&settings()).is_empty());
    for tolerant in [
        Settings {
            enabled: false,
            ..strict.clone()
        },
        Settings {
            min_keys: 10_000,
            ..strict.clone()
        },
        Settings {
            ignore: vec!["/registry/secrets".into()],
            ..strict
        },
    ] {
        assert!(said(&tolerant).is_empty(), "{tolerant:?}");
    }
}

#[test]
fn figures_that_no_store_has_do_no_harm() {
    let mut huge = Cluster::new().backup();
    for count in huge.facts.types.values_mut() {
        (count.keys, count.bytes) = (u64::MAX, u64::MAX);
    }
    huge.facts.total_key = u64::MAX;
    let empty = manifest("20261122T060000Z", 0);
    for (before, now) in [(&huge, &empty), (&empty, &huge), (&huge, &huge)] {
        let said = suspicions(&settings(), before, now);
        assert!(said.len() < 5, "{said:?}");
    }
}
