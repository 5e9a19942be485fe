//! What a test does to the data of a server, and how it looks at it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use tokio::time::Instant;
use tonic::Code;

use super::super::pki::Pair;
use super::{Etcd, READY};

/// How long one job of a client may take, filling gigabytes included.
const JOB: Duration = Duration::from_mins(15);

/// The state of the whole key space at a revision, as a member reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashKv {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    /// What was compacted away; -1 if nothing was.
    pub(crate) compact_revision: i64,
}

/// One key as it is at some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

/// How to reach one member with the health check's certificate.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    endpoint: String,
    tls: Option<(PathBuf, Pair)>,
    login: Option<(String, String)>,
}

impl Access {
    /// To the member at `endpoint`.
    pub(crate) fn to(endpoint: String, ca: &Path, client: &Pair) -> Self {
        Self {
            endpoint,
            tls: Some((ca.to_owned(), client.clone())),
            login: None,
        }
    }

    /// Runs a job with a client; the client may be cloned.
    pub(crate) fn with_client<T>(&self, job: impl AsyncFnOnce(Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let work = async { job(self.connect().await).await };
            tokio::time::timeout(JOB, work)
                .await
                .expect("a job within its deadline")
        })
    }

    async fn connect(&self) -> Client {
        let mut options = ConnectOptions::new().with_connect_timeout(Duration::from_secs(10));
        if let Some((ca, client)) = &self.tls {
            let read = |file: &Path| fs::read(file).expect("a PKI file");
            options = options.with_tls(
                TlsOptions::new()
                    .ca_certificate(Certificate::from_pem(read(ca)))
                    .identity(Identity::from_pem(read(&client.cert), read(&client.key)))
                    .timeout(Duration::from_secs(10)),
            );
        }
        if let Some((user, password)) = &self.login {
            options = options.with_user(user, password);
        }
        Client::connect([&self.endpoint], Some(options))
            .await
            .expect("a client")
    }
}

/// Asks until there is an answer, where the members of a cluster are just choosing another leader. What was asked may
/// have been done twice then.
pub(super) async fn once_led<T, F>(client: &Client, what: &str, ask: impl Fn(Client) -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    let deadline = Instant::now() + READY;
    loop {
        match ask(client.clone()).await {
            Ok(answer) => return answer,
            Err(Error::GRpcStatus(status))
                if status.code() == Code::Unavailable && Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

impl Etcd {
    /// Runs a job with a client of this member; the client may be cloned.
    pub(crate) fn with_client<T>(&self, job: impl AsyncFnOnce(Client) -> T) -> T {
        self.access().with_client(job)
    }

    /// What a client needs, for another thread.
    pub(crate) fn access(&self) -> Access {
        Access {
            endpoint: self.endpoint(),
            tls: (!self.plain_http).then(|| (self.ca.clone(), self.client.clone())),
            login: self.login.lock().expect("the login").clone(),
        }
    }

    /// Puts one key; returns the new revision.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> i64 {
        self.with_client(async |client| {
            let put = async |mut client: Client| client.put(key, value, None).await;
            let done = once_led(&client, "a put", put).await;
            done.header().expect("a header").revision()
        })
    }

    /// Deletes one key; returns the new revision.
    pub(crate) fn delete(&self, key: &str) -> i64 {
        self.with_client(async |client| {
            let delete = async |mut client: Client| client.delete(key, None).await;
            let done = once_led(&client, "a delete", delete).await;
            done.header().expect("a header").revision()
        })
    }

    /// Puts one key that ends with a lease of its own; returns the lease.
    pub(crate) fn put_leased(&self, key: &str, value: &[u8], ttl: Duration) -> i64 {
        let ttl = i64::try_from(ttl.as_secs()).expect("a lease time");
        self.with_client(async |client| {
            let grant = async |mut client: Client| client.lease_grant(ttl, None).await;
            let lease = once_led(&client, "a lease", grant).await.id();
            let options = etcd_client::PutOptions::new().with_lease(lease);
            let put =
                async |mut client: Client| client.put(key, value, Some(options.clone())).await;
            once_led(&client, "a put", put).await;
            lease
        })
    }

    /// Compacts everything before `revision` away and waits until it is gone.
    pub(crate) fn compact(&self, revision: i64) {
        self.with_client(async |mut client| {
            let physical = etcd_client::CompactionOptions::new().with_physical();
            client
                .compact(revision, Some(physical))
                .await
                .expect("a compaction");
        });
    }

    /// The revision it is at.
    pub(crate) fn revision(&self) -> i64 {
        self.with_client(async |mut client| {
            let got = client.get("\0", None).await.expect("a get");
            got.header().expect("a header").revision()
        })
    }

    /// Its own hash over all keys up to `revision`; 0: the newest.
    pub(crate) fn hash_kv(&self, revision: i64) -> HashKv {
        self.with_client(async |mut client| {
            let hashed = client.hash_kv(revision).await.expect("a hash");
            let at = if revision == 0 {
                hashed.header().expect("a header").revision()
            } else {
                revision
            };
            HashKv {
                hash: hashed.hash(),
                revision: at,
                compact_revision: hashed.compact_version(),
            }
        })
    }

    /// Every key there was at `revision` (0: now), in key order.
    pub(crate) fn entries(&self, revision: i64) -> Vec<Entry> {
        self.with_client(async |mut client| {
            let mut entries: Vec<Entry> = Vec::new();
            let mut from = vec![0];
            loop {
                // small enough for the client's limit on one message
                let page = etcd_client::GetOptions::new()
                    .with_from_key()
                    .with_limit(100)
                    .with_revision(revision);
                let got = client.get(from, Some(page)).await.expect("a range");
                entries.extend(got.kvs().iter().map(Entry::from));
                if !got.more() {
                    return entries;
                }
                from = entries
                    .last()
                    .map_or_else(Vec::new, |last| [&last.key[..], &[0]].concat());
            }
        })
    }

    /// Turns auth on: user `root` with this password, who may do everything. Its own helpers log in from then on.
    pub(crate) fn enable_auth(&self, password: &str) {
        self.with_client(async |mut client| {
            client
                .user_add("root", password, None)
                .await
                .expect("a user");
            client.role_add("root").await.expect("a role");
            client
                .user_grant_role("root", "root")
                .await
                .expect("a grant");
            client.auth_enable().await.expect("auth");
        });
        self.log_in(password);
    }

    /// Makes the helpers log in as `root`, where auth is on already.
    pub(crate) fn log_in(&self, password: &str) {
        *self.login.lock().expect("the login") = Some(("root".to_owned(), password.to_owned()));
    }
}

impl From<&etcd_client::KeyValue> for Entry {
    fn from(kv: &etcd_client::KeyValue) -> Self {
        Self {
            key: kv.key().to_vec(),
            value: kv.value().to_vec(),
            create_revision: kv.create_revision(),
            mod_revision: kv.mod_revision(),
            version: kv.version(),
            lease: kv.lease(),
        }
    }
}
