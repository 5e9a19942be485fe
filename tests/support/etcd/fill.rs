//! Fills a server with keys as Kubernetes writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use etcd_client::{Client, PutOptions, Txn, TxnOp};
use tokio::task::JoinSet;

use super::super::poll_until;
use super::client::once_led;
use super::{Access, Etcd};

/// How many puts one transaction has at most; etcd's own limit is 128.
const PUTS: usize = 100;
/// How many bytes one transaction has at most; etcd's own limit is 1.5 MiB.
const TXN_BYTES: usize = 1 << 20;
/// How many transactions are under way at once.
const PIPELINE: usize = 8;

/// What [`Etcd::fill`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) keys: u64,
    /// Bytes of all keys and values.
    pub(crate) bytes: u64,
}

/// Objects of a made-up cluster, always the same for the same seed.
pub(crate) struct Objects {
    state: u64,
    count: u64,
}

impl Objects {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed ^ 0x9e37_79b9_7f4a_7c15,
            count: 0,
        }
    }

    /// The next pseudo-random number (xorshift64*).
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// The next object: a key that was not there before, and its value.
    pub(crate) fn object(&mut self) -> (String, Vec<u8>) {
        self.count += 1;
        let (count, namespace) = (self.count, self.next() % 20);
        let (key, size) = match self.next() % 20 {
            0..=6 => (
                format!("/registry/pods/team-{namespace:02}/web-{count:07}"),
                self.between(3_000, 9_000),
            ),
            7..=8 => (
                format!("/registry/secrets/team-{namespace:02}/token-{count:07}"),
                self.between(1_000, 6_000),
            ),
            9..=10 => (
                format!("/registry/configmaps/team-{namespace:02}/settings-{count:07}"),
                self.between(500, 12_000),
            ),
            11 => (
                format!("/registry/leases/kube-node-lease/node-{count:07}"),
                self.between(300, 500),
            ),
            _ => (
                format!("/registry/events/team-{namespace:02}/web-{count:07}.17f2"),
                self.between(600, 1_200),
            ),
        };
        (key, self.value(usize::try_from(size).unwrap_or(0)))
    }

    /// A value of this size: the API server's prefix, then words and random bytes by turns, as dense as real ones.
    pub(crate) fn value(&mut self, size: usize) -> Vec<u8> {
        let mut value = Vec::with_capacity(size + 64);
        value.extend_from_slice(b"k8s\0\n");
        while value.len() < size {
            value.extend_from_slice(b"kubernetes.io/metadata.name");
            for _ in 0..4 {
                value.extend_from_slice(&self.next().to_le_bytes());
            }
        }
        value.truncate(size);
        value
    }
}

impl Etcd {
    /// Writes Kubernetes-like objects until their keys and values make `bytes`. Fast: several transactions at once,
    /// so the revisions differ from run to run, the keys and values do not.
    pub(crate) fn fill(&self, bytes: u64) -> Filled {
        self.with_client(async |client| fill(client, bytes).await)
    }

    /// Keeps writing, on a thread of its own and one small transaction after the other, until the value is dropped.
    pub(crate) fn write_load(&self) -> WriteLoad {
        WriteLoad::start(self.access())
    }
}

async fn fill(client: Client, bytes: u64) -> Filled {
    let mut under_way = JoinSet::new();
    let mut objects = Objects::new(bytes);
    let mut filled = Filled { keys: 0, bytes: 0 };
    while filled.bytes < bytes {
        let (mut puts, mut size) = (Vec::with_capacity(PUTS), 0);
        while puts.len() < PUTS && size < TXN_BYTES - 16_384 && filled.bytes + (size as u64) < bytes
        {
            let (key, value) = objects.object();
            size += key.len() + value.len();
            puts.push(TxnOp::put(key, value, None::<PutOptions>));
        }
        filled.keys += puts.len() as u64;
        filled.bytes += size as u64;
        if under_way.len() == PIPELINE {
            under_way
                .join_next()
                .await
                .expect("a transaction under way")
                .expect("a transaction");
        }
        let client = client.clone();
        under_way.spawn(async move {
            once_led(&client, "a transaction", |mut client| {
                let puts = Txn::new().and_then(puts.clone());
                async move { client.txn(puts).await }
            })
            .await
        });
    }
    under_way.join_all().await;
    filled
}

/// Writes to a server until dropped.
pub(crate) struct WriteLoad {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl WriteLoad {
    fn start(access: Access) -> Self {
        let (stop, written) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = thread::spawn(move || {
            access.with_client(async |client| {
                let mut objects = Objects::new(1);
                while !stopped.load(Ordering::Relaxed) {
                    // a few keys again and again, as leases and status updates are
                    let number = counter.load(Ordering::Relaxed) % 50;
                    let value = objects.value(1_000);
                    let key = format!("/registry/load/{number:02}");
                    let put = async |mut client: Client| {
                        client.put(key.as_str(), value.as_slice(), None).await
                    };
                    once_led(&client, "a put under load", put).await;
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        let load = Self {
            stop,
            written,
            thread: Some(thread),
        };
        poll_until("the load has begun", Duration::from_secs(30), || {
            load.written() > 0
        });
        load
    }

    /// How many puts are done so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Drop for WriteLoad {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // a load that failed says so itself; a second panic here would abort
            let _ = thread.join();
        }
    }
}
