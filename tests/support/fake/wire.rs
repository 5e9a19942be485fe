//! The TLS connections of the fake server, which can end in a TCP reset.

use std::fs;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::super::pki::{Pair, Pki};
use super::service::State;

/// How long the TLS handshake of a client may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

pub(super) fn tls(pki: &Pki, server: &Pair) -> ServerConfig {
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

pub(super) async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<io::Result<Connection>>,
    state: State,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        state.lock().asked.connections += 1;
        let (acceptor, connections, reset) =
            (acceptor.clone(), connections.clone(), Reset::default());
        tokio::spawn(async move {
            // a client that does not like our certificate, or we not its, is the client's story to tell
            if let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
                let _ = connections.send(Ok(Connection { tls, reset })).await;
            }
        });
    }
}

/// The receiving end of a channel, as the streams that tonic wants.
pub(super) struct Inbox<T>(pub(super) mpsc::Receiver<T>);

impl<T> Stream for Inbox<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

/// The flag that resets one connection; each request carries that of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Reset(Arc<AtomicBool>);

impl Reset {
    /// From the next write on, there is only the reset.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A connection that ends with a TCP reset once its flag is set and something is to be written.
pub(super) struct Connection {
    tls: TlsStream<TcpStream>,
    reset: Reset,
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if !self.reset.0.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.tls.get_ref().0.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl Connected for Connection {
    type ConnectInfo = Reset;

    fn connect_info(&self) -> Reset {
        self.reset.clone()
    }
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
