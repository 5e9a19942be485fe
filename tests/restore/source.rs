//! Clusters with a past, one of each version: what is backed up here is restored by the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use etcd_client::{LeaseTimeToLiveOptions, PermissionType};
use serde_json::Value;

use crate::support::backup::{assert_proven, text};
use crate::support::command::Host;
use crate::support::etcd::{Cluster, Entry, Etcd, HashKv, Options, Version, versions};

const PASSWORD: &str = "correct horse";
/// The user that may do one thing only.
const USER: &str = "scheduler";

/// A backup that was taken from a cluster with a past, and what the cluster held.
pub(super) struct Source {
    pub(super) version: Version,
    /// Its configuration and its one backup.
    pub(super) host: Host,
    pub(super) manifest: Value,
    pub(super) state: State,
    /// The members' own hash at the backup's revision.
    pub(super) hash: HashKv,
}

/// All that a client can ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) entries: Vec<Entry>,
    /// The time that each lease was granted, and its keys.
    leases: BTreeMap<i64, (i64, BTreeSet<Vec<u8>>)>,
    /// Each user's roles.
    users: BTreeMap<String, Vec<String>>,
    /// What each role may do.
    roles: BTreeMap<String, String>,
}

impl State {
    /// What a member answers at `revision` (0: now).
    pub(super) fn of(etcd: &Etcd, revision: i64) -> Self {
        let (leases, users, roles) = etcd.with_client(async |mut client| {
            let mut leases = BTreeMap::new();
            for lease in client.leases().await.expect("the leases").leases() {
                let with_keys = LeaseTimeToLiveOptions::new().with_keys();
                let told = client.lease_time_to_live(lease.id(), Some(with_keys)).await;
                let told = told.expect("a lease");
                let keys = told.keys().iter().cloned().collect();
                leases.insert(lease.id(), (told.granted_ttl(), keys));
            }
            let (mut users, mut roles) = (BTreeMap::new(), BTreeMap::new());
            for user in client.user_list().await.expect("the users").users() {
                let told = client.user_get(user.clone()).await.expect("a user");
                users.insert(user.clone(), told.roles().to_vec());
            }
            for role in client.role_list().await.expect("the roles").roles() {
                let told = client.role_get(role.clone()).await.expect("a role");
                roles.insert(role.clone(), format!("{:?}", told.permissions()));
            }
            (leases, users, roles)
        });
        State {
            entries: etcd.entries(revision),
            leases,
            users,
            roles,
        }
    }
}

impl Source {
    /// The backup of a cluster of this version; it is made once. `None` where that version is not there.
    pub(super) fn of(version: Version) -> Option<&'static Self> {
        static SOURCES: [OnceLock<Source>; Version::ALL.len()] =
            [const { OnceLock::new() }; Version::ALL.len()];
        if !versions().contains(&version) {
            return None;
        }
        let place = Version::ALL.iter().position(|other| *other == version);
        Some(SOURCES[place.expect("a version")].get_or_init(|| Self::make(version)))
    }

    /// All of them, made at the same time.
    pub(super) fn all() -> Vec<&'static Self> {
        thread::scope(|scope| {
            let made: Vec<_> = versions()
                .into_iter()
                .map(|version| scope.spawn(move || Self::of(version)))
                .collect();
            made.into_iter()
                .filter_map(|one| one.join().expect("a source"))
                .collect()
        })
    }

    fn make(version: Version) -> Self {
        let host = Host::new();
        let mut cluster = Cluster::start(version, 3, &host.pki);
        let leader = cluster.leader();
        let etcd = &cluster.members[leader];
        etcd.fill(1 << 20);
        have_a_past(etcd);
        cluster.add_and_remove_a_member();
        cluster.add_learner();
        let etcd = &cluster.members[leader];
        have_users(etcd);
        let password = host.directory().join("password");
        std::fs::write(&password, PASSWORD).expect("the password");
        host.configure_as(
            &[etcd.endpoint()],
            &host.pki.client,
            &format!(
                "username = \"root\"\npassword_file = {}",
                serde_json::json!(password)
            ),
        );
        let load = etcd.write_load();
        let written = load.written();
        let manifest = host.backup();
        assert!(load.written() > written, "nothing was written meanwhile");
        drop(load);
        assert_proven(&manifest);
        let members = manifest["members"].as_array().expect("the members");
        assert_eq!(members.len(), 4, "{manifest:#}");
        let revision = manifest["revision"].as_i64().expect("a revision");
        Self {
            version,
            state: State::of(etcd, revision),
            hash: etcd.hash_kv(revision),
            manifest,
            host,
        }
    }

    pub(super) fn revision(&self) -> i64 {
        self.hash.revision
    }

    pub(super) fn id(&self) -> &str {
        text(&self.manifest, "id")
    }

    /// The snapshot's path.
    pub(super) fn file(&self) -> String {
        let path = self.host.snapshot_of(&self.manifest);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// A server of `version`, the only member of a cluster that was restored by our command and `more` options.
    pub(super) fn restored(&self, version: Version, more: &[&str]) -> Etcd {
        self.restored_cluster(version, 1, more).members.remove(0)
    }

    /// As many, of a cluster that was restored on each of its hosts.
    pub(super) fn restored_cluster(&self, version: Version, size: usize, more: &[&str]) -> Cluster {
        let restore = |members: &[Etcd], peers: &str| {
            for member in members {
                let data_dir = member.data_dir().to_str().expect("a path in UTF-8");
                let own = member.peer_url();
                let mut arguments = vec![
                    "restore",
                    self.id(),
                    "--data-dir",
                    data_dir,
                    "--name",
                    member.name(),
                    "--initial-cluster",
                    peers,
                    "--initial-advertise-peer-urls",
                    &own,
                ];
                arguments.extend(more);
                self.host.run(&arguments).expect_success();
            }
        };
        let options = if size == 1 {
            quick()
        } else {
            Options::steady()
        };
        let cluster = Cluster::start_prepared(version, size, &self.host.pki, &options, &restore);
        log_in(&cluster.members);
        cluster
    }
}

/// Lets the helpers of members that were restored from a source log in.
pub(super) fn log_in(members: &[Etcd]) {
    for member in members {
        member.log_in(PASSWORD);
    }
}

/// Members that elect at once, being alone.
pub(super) fn quick() -> Options {
    Options {
        arguments: ["--heartbeat-interval=50", "--election-timeout=500"]
            .map(String::from)
            .to_vec(),
        ..Options::default()
    }
}

/// Deletions, compactions and leases, before and after one another.
fn have_a_past(etcd: &Etcd) {
    let key = |number: u64| format!("/registry/pods/default/web-{number:02}");
    for number in 0..30 {
        etcd.put(&key(number), b"first");
    }
    for number in (0..30).step_by(3) {
        etcd.delete(&key(number));
    }
    let hour = Duration::from_hours(1);
    etcd.put_leased("/registry/masterleases/10.0.0.1", b"kept", hour);
    etcd.put_leased("/registry/masterleases/10.0.0.2", b"deleted", hour);
    etcd.compact(etcd.revision() - 5);
    etcd.delete("/registry/masterleases/10.0.0.2");
    for number in (0..30).step_by(6) {
        etcd.put(&key(number), b"again");
        etcd.put(&key(number), b"and again");
    }
    etcd.delete(&key(1));
    etcd.with_client(async |mut client| {
        client.lease_grant(7200, None).await.expect("a lease");
    });
}

/// Auth is on; one user may read one prefix.
fn have_users(etcd: &Etcd) {
    etcd.with_client(async |mut client| {
        client.role_add("reader").await.expect("a role");
        let read = etcd_client::Permission::new(PermissionType::Read, "/registry/pods/");
        client
            .role_grant_permission("reader", read.with_prefix())
            .await
            .expect("a permission");
        client
            .user_add(USER, "battery staple", None)
            .await
            .expect("a user");
        client
            .user_grant_role(USER, "reader")
            .await
            .expect("a grant");
    });
    etcd.enable_auth(PASSWORD);
}
