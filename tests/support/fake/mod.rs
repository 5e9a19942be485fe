//! A TLS gRPC server that looks like an etcd member and misbehaves on purpose, in one scripted way.
//!
//! It answers `Status`, `Alarm`, `HashKV`, `MemberList` and `Snapshot`, and refuses everything else as unimplemented. It lives
//! on a thread of its own and ends with its value.

mod player;
mod service;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use etcd_client::proto::{
    PbClusterServer, PbMaintenanceServer, PbMember, PbResponseHeader, PbStatusResponse,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tonic::Code;
use tonic::transport::Server;

use super::pki::{Pair, Pki};
use service::State;
use wire::{Inbox, accept, tls};

/// What `Snapshot` does. Offsets count the bytes of the database, without the digest.
#[derive(Debug, Clone, Default)]
pub(crate) enum Script {
    /// What etcd does.
    #[default]
    Faithful,
    /// The stream ends, without an error, after this many bytes (the digest's 32 count as the last ones).
    CutAt(usize),
    /// One bit of this blob is another; the digest is that of the true bytes.
    FlipBit { blob: usize },
    /// The digest is that of something else.
    WrongDigest,
    /// Every `remaining_bytes` is too high by this.
    RemainingTooHigh(u64),
    /// Every `remaining_bytes` is too low by this, but never below 0.
    RemainingTooLow(u64),
    /// Every `remaining_bytes` is `u64::MAX / 2`.
    RemainingAbsurd,
    /// After this many bytes, messages without a blob for ever.
    EmptyForEver { after: usize },
    /// After this many bytes nothing more, and the connection stays open.
    Silence { after: usize },
    /// Blobs of this many bytes, a pause before each.
    Trickle { blob: usize, pause: Duration },
    /// After this many bytes, a gRPC error.
    ErrorAt {
        after: usize,
        code: Code,
        message: &'static str,
    },
    /// After this many bytes, a TCP reset.
    ResetAt(usize),
    /// No stream at all, but this error.
    Refuse { code: Code, message: &'static str },
}

/// What `HashKV` answers.
#[derive(Debug, Clone, Default)]
pub(crate) enum LiveHash {
    /// Not at all: an error as from an etcd that does not know the method.
    #[default]
    Unimplemented,
    /// This.
    Answer {
        hash: u32,
        compact_revision: i64,
        hash_revision: i64,
    },
    /// This error.
    Refuse { code: Code, message: &'static str },
    /// Never; the connection stays open.
    Silence,
}

/// Everything the server does; may be changed while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// The database that `Snapshot` sends, without a trailer.
    pub(crate) database: Vec<u8>,
    pub(crate) script: Script,
    pub(crate) hash_kv: LiveHash,
    pub(crate) status: PbStatusResponse,
    /// Refuse `Status` with this instead.
    pub(crate) status_error: Option<(Code, &'static str)>,
    pub(crate) members: Vec<PbMember>,
    /// The `version` in each message of the stream; etcd sends one since 3.6.
    pub(crate) storage_version: String,
}

impl Behaviour {
    /// A healthy leader, alone, that serves this snapshot file (with or without etcd's trailer) as `script` says.
    pub(crate) fn new(file: &[u8], script: Script) -> Self {
        let database = if file.len() % 512 == 32 {
            &file[..file.len() - 32]
        } else {
            file
        };
        let member_id = 0x8e9e_05c5_2164_694d;
        let header = PbResponseHeader {
            cluster_id: 0xcdf8_18194e3a8c32,
            member_id,
            revision: 1,
            raft_term: 2,
        };
        let status = PbStatusResponse {
            header: Some(header),
            version: "3.5.30".to_owned(),
            db_size: i64::try_from(database.len()).unwrap_or(i64::MAX),
            leader: member_id,
            raft_index: 100,
            raft_term: 2,
            raft_applied_index: 100,
            ..PbStatusResponse::default()
        };
        Self {
            database: database.to_vec(),
            script,
            hash_kv: LiveHash::default(),
            status,
            status_error: None,
            members: Vec::new(),
            storage_version: String::new(),
        }
    }

    /// Another `HashKV` answer.
    pub(crate) fn hash_kv(self, hash_kv: LiveHash) -> Self {
        Self { hash_kv, ..self }
    }
}

/// How often each method was asked, and how much was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) connections: usize,
    pub(crate) status: usize,
    pub(crate) alarm: usize,
    pub(crate) hash_kv: usize,
    pub(crate) member_list: usize,
    pub(crate) snapshot: usize,
    /// Bytes of all blobs that went out, digests included.
    pub(crate) sent: usize,
}

/// A running server.
pub(crate) struct Fake {
    address: SocketAddr,
    state: State,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// A server with the PKI's server certificate that serves `file` as `script` says.
    pub(crate) fn start(pki: &Pki, file: &[u8], script: Script) -> Self {
        Self::start_with(pki, &pki.server, Behaviour::new(file, script))
    }

    /// A server that shows this certificate; it wants one of the PKI's etcd CA from its clients.
    pub(crate) fn start_with(pki: &Pki, server: &Pair, behaviour: Behaviour) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls(pki, server)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = State::new(behaviour, address);
        let (stop, stopped) = oneshot::channel();
        let shared = state.clone();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let (connections, incoming) = mpsc::channel(1);
                let accepting =
                    tokio::spawn(accept(listener, acceptor, connections, shared.clone()));
                let server = Server::builder()
                    .add_service(PbMaintenanceServer::new(shared.clone()))
                    .add_service(PbClusterServer::new(shared))
                    .serve_with_incoming(Inbox(incoming));
                tokio::select! {
                    ended = server => ended.expect("the server"),
                    _ = stopped => {}
                }
                accepting.abort();
            });
            // what is still under way sits in scripts without an end
            runtime.shutdown_background();
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How often it was asked what.
    pub(crate) fn asked(&self) -> Asked {
        self.state.lock().asked
    }

    /// Behaves otherwise from now on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.lock().behaviour);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // a server that panicked has said so; a second panic here would abort
            let _ = thread.join();
        }
    }
}
