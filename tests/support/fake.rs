//! A TLS gRPC server that looks like an etcd member and misbehaves on purpose, in one scripted way.
//!
//! It answers Status, Alarm, HashKV, MemberList and Snapshot, and refuses everything else as unimplemented. It lives
//! on a thread of its own and ends with its value.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbClusterServer, PbClusterService, PbDefragmentRequest,
    PbDefragmentResponse, PbDowngradeRequest, PbDowngradeResponse, PbHashKvRequest,
    PbHashKvResponse, PbHashRequest, PbHashResponse, PbMaintenanceServer, PbMaintenanceService,
    PbMember, PbMemberAddRequest, PbMemberAddResponse, PbMemberListRequest, PbMemberListResponse,
    PbMemberPromoteRequest, PbMemberPromoteResponse, PbMemberRemoveRequest, PbMemberRemoveResponse,
    PbMemberUpdateRequest, PbMemberUpdateResponse, PbMoveLeaderRequest, PbMoveLeaderResponse,
    PbResponseHeader, PbSnapshotRequest, PbSnapshotResponse, PbStatusRequest, PbStatusResponse,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status};

use super::pki::{Pair, Pki};

/// How many bytes etcd puts into one message.
const BLOB: usize = 32 * 1024;
/// How long the TLS handshake of a client may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

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
        let served = state.clone();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let (connections, incoming) = mpsc::channel(1);
                let accepting =
                    tokio::spawn(accept(listener, acceptor, connections, served.clone()));
                let server = Server::builder()
                    .add_service(PbMaintenanceServer::new(served.clone()))
                    .add_service(PbClusterServer::new(served))
                    .serve_with_incoming(Inbox(incoming));
                tokio::select! {
                    served = server => served.expect("the server"),
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

fn tls(pki: &Pki, server: &Pair) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let certs = |file| -> Vec<CertificateDer<'static>> {
        let pem = CertificateDer::pem_file_iter(file).expect("a PEM file");
        pem.map(|cert| cert.expect("a certificate")).collect()
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certs(&pki.etcd_ca().cert));
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key =
        PrivateKeyDer::from_pem_slice(&fs::read(&server.key).expect("a key file")).expect("a key");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_client_cert_verifier(verifier.build().expect("a client verifier"))
        .with_single_cert(certs(&server.cert), key)
        .expect("a server certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<io::Result<Connection>>,
    state: State,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        state.lock().asked.connections += 1;
        let (acceptor, connections, reset) = (acceptor.clone(), connections.clone(), state.reset());
        tokio::spawn(async move {
            // a client that does not like our certificate, or we not its, is the client's story to tell
            if let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
                let _ = connections.send(Ok(Connection { tls, reset })).await;
            }
        });
    }
}

/// The receiving end of a channel, as the streams that tonic wants.
struct Inbox<T>(mpsc::Receiver<T>);

impl<T> Stream for Inbox<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

/// A connection that ends with a TCP reset once its flag is set and something is to be written.
struct Connection {
    tls: TlsStream<TcpStream>,
    reset: Arc<AtomicBool>,
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if !self.reset.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.tls.get_ref().0.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(context, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tls).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.check().is_err() {
            // dropped without a goodbye, so that the kernel sends a reset
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.tls).poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}

/// What the services share with the test.
#[derive(Clone)]
struct State {
    shared: Arc<Mutex<Shared>>,
    reset: Arc<AtomicBool>,
}

struct Shared {
    behaviour: Behaviour,
    asked: Asked,
}

impl State {
    fn new(mut behaviour: Behaviour, address: SocketAddr) -> Self {
        if behaviour.members.is_empty() {
            let id = behaviour.status.header.map_or(0, |header| header.member_id);
            behaviour.members.push(PbMember {
                id,
                name: "fake".to_owned(),
                peer_ur_ls: vec!["https://127.0.0.1:2380".to_owned()],
                client_ur_ls: vec![format!("https://{address}")],
                is_learner: false,
            });
        }
        let shared = Shared {
            behaviour,
            asked: Asked::default(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            reset: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("the state of the server")
    }

    /// The flag that resets a connection. One for all of them: a script that resets means every client.
    fn reset(&self) -> Arc<AtomicBool> {
        self.reset.store(false, Ordering::SeqCst);
        Arc::clone(&self.reset)
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn unimplemented<T>() -> Answer<T> {
    Err(Status::unimplemented(
        "this member only knows what a backup asks for",
    ))
}

#[tonic::async_trait]
impl PbMaintenanceService for State {
    type SnapshotStream = Inbox<Result<PbSnapshotResponse, Status>>;

    async fn status(&self, _: Request<PbStatusRequest>) -> Answer<PbStatusResponse> {
        let mut shared = self.lock();
        shared.asked.status += 1;
        match shared.behaviour.status_error {
            Some((code, message)) => Err(Status::new(code, message)),
            None => Ok(Response::new(shared.behaviour.status.clone())),
        }
    }

    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Answer<PbAlarmResponse> {
        let mut shared = self.lock();
        shared.asked.alarm += 1;
        Ok(Response::new(PbAlarmResponse {
            header: shared.behaviour.status.header,
            alarms: Vec::new(),
        }))
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Answer<PbHashKvResponse> {
        let mut shared = self.lock();
        shared.asked.hash_kv += 1;
        let header = shared.behaviour.status.header;
        match shared.behaviour.hash_kv.clone() {
            LiveHash::Unimplemented => unimplemented(),
            LiveHash::Refuse { code, message } => Err(Status::new(code, message)),
            LiveHash::Answer {
                hash,
                compact_revision,
                hash_revision,
            } => Ok(Response::new(PbHashKvResponse {
                header,
                hash,
                compact_revision,
                hash_revision,
            })),
        }
    }

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Answer<Self::SnapshotStream> {
        let behaviour = {
            let mut shared = self.lock();
            shared.asked.snapshot += 1;
            shared.behaviour.clone()
        };
        if let Script::Refuse { code, message } = behaviour.script {
            return Err(Status::new(code, message));
        }
        let (messages, stream) = mpsc::channel(1);
        let player = Player {
            behaviour,
            messages,
            state: self.clone(),
            offset: 0,
        };
        tokio::spawn(player.play());
        Ok(Response::new(Inbox(stream)))
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Answer<PbDefragmentResponse> {
        unimplemented()
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Answer<PbHashResponse> {
        unimplemented()
    }

    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Answer<PbMoveLeaderResponse> {
        unimplemented()
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Answer<PbDowngradeResponse> {
        unimplemented()
    }
}

#[tonic::async_trait]
impl PbClusterService for State {
    async fn member_list(&self, _: Request<PbMemberListRequest>) -> Answer<PbMemberListResponse> {
        let mut shared = self.lock();
        shared.asked.member_list += 1;
        let header = shared.behaviour.status.header;
        Ok(Response::new(PbMemberListResponse {
            header,
            members: shared.behaviour.members.clone(),
        }))
    }

    async fn member_add(&self, _: Request<PbMemberAddRequest>) -> Answer<PbMemberAddResponse> {
        unimplemented()
    }

    async fn member_remove(
        &self,
        _: Request<PbMemberRemoveRequest>,
    ) -> Answer<PbMemberRemoveResponse> {
        unimplemented()
    }

    async fn member_update(
        &self,
        _: Request<PbMemberUpdateRequest>,
    ) -> Answer<PbMemberUpdateResponse> {
        unimplemented()
    }

    async fn member_promote(
        &self,
        _: Request<PbMemberPromoteRequest>,
    ) -> Answer<PbMemberPromoteResponse> {
        unimplemented()
    }
}

/// The client has gone.
struct Gone;

/// Plays one script to one client.
struct Player {
    behaviour: Behaviour,
    messages: mpsc::Sender<Result<PbSnapshotResponse, Status>>,
    state: State,
    /// Bytes of the database sent so far.
    offset: usize,
}

impl Player {
    async fn play(mut self) {
        // a client that went away is what most scripts are about
        let _ = self.acts().await;
    }

    async fn acts(&mut self) -> Result<(), Gone> {
        let total = self.behaviour.database.len();
        let end = self.last_offset().min(total);
        while self.offset < end {
            let blob = self.blob(end);
            self.send(blob).await?;
        }
        match self.behaviour.script.clone() {
            Script::EmptyForEver { .. } => loop {
                self.message(Vec::new()).await?;
                // so that this thread stays able to stop
                tokio::task::yield_now().await;
            },
            Script::Silence { .. } => {
                self.messages.closed().await;
                Err(Gone)
            }
            Script::ErrorAt { code, message, .. } => {
                self.post(Err(Status::new(code, message))).await
            }
            Script::ResetAt(_) => {
                self.state.reset.store(true, Ordering::SeqCst);
                // whatever is written next meets the reset
                self.message(vec![0; BLOB]).await
            }
            Script::CutAt(at) => {
                let mut digest = self.digest();
                digest.truncate(at.saturating_sub(total));
                if digest.is_empty() {
                    Ok(())
                } else {
                    self.message(digest).await
                }
            }
            _ => {
                let digest = self.digest();
                self.message(digest).await
            }
        }
    }

    /// Where the script leaves the path of a faithful server.
    fn last_offset(&self) -> usize {
        match self.behaviour.script {
            Script::CutAt(at) | Script::ResetAt(at) => at,
            Script::EmptyForEver { after }
            | Script::Silence { after }
            | Script::ErrorAt { after, .. } => after,
            _ => usize::MAX,
        }
    }

    fn blob(&self, end: usize) -> Vec<u8> {
        let size = if let Script::Trickle { blob, .. } = self.behaviour.script {
            blob
        } else {
            BLOB
        };
        let mut blob = self.behaviour.database[self.offset..end.min(self.offset + size)].to_vec();
        if let Script::FlipBit { blob: index } = self.behaviour.script
            && self.offset / BLOB == index
        {
            let middle = blob.len() / 2;
            blob[middle] ^= 0x10;
        }
        blob
    }

    fn digest(&self) -> Vec<u8> {
        let mut hasher = Sha256::new();
        hasher.update(&self.behaviour.database);
        if matches!(self.behaviour.script, Script::WrongDigest) {
            hasher.update(b"something else");
        }
        hasher.finalize().to_vec()
    }

    async fn send(&mut self, blob: Vec<u8>) -> Result<(), Gone> {
        if let Script::Trickle { pause, .. } = self.behaviour.script {
            tokio::time::sleep(pause).await;
        }
        self.offset += blob.len();
        self.message(blob).await
    }

    async fn message(&self, blob: Vec<u8>) -> Result<(), Gone> {
        let remaining = (self.behaviour.database.len() - self.offset) as u64;
        let remaining_bytes = match self.behaviour.script {
            Script::RemainingTooHigh(by) => remaining.saturating_add(by),
            Script::RemainingTooLow(by) => remaining.saturating_sub(by),
            Script::RemainingAbsurd => u64::MAX / 2,
            _ => remaining,
        };
        let sent = blob.len();
        let version = self.behaviour.storage_version.clone();
        self.post(Ok(PbSnapshotResponse {
            header: None,
            remaining_bytes,
            blob,
            version,
        }))
        .await?;
        self.state.lock().asked.sent += sent;
        Ok(())
    }

    async fn post(&self, message: Result<PbSnapshotResponse, Status>) -> Result<(), Gone> {
        self.messages.send(message).await.map_err(|_| Gone)
    }
}
