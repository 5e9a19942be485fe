//! A second, bare connection that finds out why the first one failed.
//!
//! The gRPC client hides causes: a refused client certificate, for one, reaches it only as "connection
//! closed", because TLS 1.3 sends the alert after the handshake. So: connect, shake hands with a
//! verifier that remembers what the server presented, then read once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::diagnosis::{ClientFault, Diagnosis, ServerFault, refusal};
use super::identity::Identity;
use super::witness::Witness;
use super::{Endpoint, Settings};
use crate::certificate::Certificate;

/// The longest a single step of the probe may take.
const STEP: Duration = Duration::from_secs(3);
/// What an HTTP/2 client says first: the preface and an empty SETTINGS frame.
const HTTP2_HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// What the failed connection was to be, and how it failed.
pub(super) struct Failed<'a> {
    pub(super) settings: &'a Settings,
    pub(super) endpoint: &'a Endpoint,
    /// `None` on an http endpoint.
    pub(super) identity: Option<&'a Identity>,
    /// The transport's reasons; `None` where the time ran out.
    pub(super) cause: Option<String>,
}

impl Failed<'_> {
    /// Finds out why, in at most a few times [`STEP`].
    pub(super) async fn diagnose(self) -> Diagnosis {
        match self.connect().await {
            Err(diagnosis) => diagnosis,
            Ok(stream) => match self.identity {
                Some(identity) => self.examine_tls(identity, stream).await,
                None => self.examine_plain(stream).await,
            },
        }
    }

    fn step(&self) -> Duration {
        STEP.min(self.settings.connect_timeout)
    }

    fn silent(&self, stage: &'static str) -> Diagnosis {
        Diagnosis::Silent {
            stage,
            after: self.settings.connect_timeout,
        }
    }

    fn unexplained(&self) -> Diagnosis {
        match &self.cause {
            Some(cause) => Diagnosis::Broken {
                cause: cause.clone(),
            },
            None => self.silent("the first call"),
        }
    }

    async fn connect(&self) -> Result<TcpStream, Diagnosis> {
        let address = (self.endpoint.host(), self.endpoint.port());
        let attempt = async {
            let addresses: Vec<_> = tokio::net::lookup_host(address)
                .await
                .map_err(|error| Diagnosis::UnknownHost {
                    reason: error.to_string(),
                })?
                .collect();
            TcpStream::connect(addresses.as_slice())
                .await
                .map_err(|error| match error.kind() {
                    io::ErrorKind::ConnectionRefused => Diagnosis::Refused,
                    _ => Diagnosis::NoRoute {
                        reason: error.to_string(),
                    },
                })
        };
        timeout(self.step(), attempt)
            .await
            .unwrap_or_else(|_| Err(self.silent("the TCP connection")))
    }

    async fn examine_tls(&self, identity: &Identity, stream: TcpStream) -> Diagnosis {
        let Some((connector, witness, name)) = self.handshake(Some(identity)) else {
            return self.unexplained();
        };
        match timeout(self.step(), connector.connect(name, stream)).await {
            Err(_) => self.silent("the TLS handshake"),
            Ok(Ok(mut stream)) => {
                let mut byte = [0];
                match timeout(self.step(), stream.read(&mut byte)).await {
                    Ok(Err(error)) => judge_answer(identity, &witness, &error),
                    Ok(Ok(0)) => dropped(identity),
                    Ok(Ok(_)) | Err(_) => self.unexplained(),
                }
            }
            Ok(Err(error)) if !witness.saw_a_server() && !is_alert(&error) => {
                // an answer that is no TLS record at all is proof enough; mere silence is not
                if is_no_tls(&error) || self.speaks_plain().await {
                    Diagnosis::PlainServer
                } else {
                    broken(&error)
                }
            }
            Ok(Err(error)) => self.judge_handshake(identity, &witness, &error),
        }
    }

    async fn examine_plain(&self, stream: TcpStream) -> Diagnosis {
        if let Some((connector, witness, name)) = self.handshake(None) {
            let outcome = timeout(self.step(), connector.connect(name, stream)).await;
            let alert = matches!(&outcome, Ok(Err(error)) if is_alert(error));
            if alert || witness.saw_a_server() {
                return Diagnosis::TlsServer;
            }
        }
        match &self.cause {
            Some(reason) => Diagnosis::NotEtcd {
                reason: reason.clone(),
            },
            None => self.silent("the first call"),
        }
    }

    /// Whether the server answers a client that speaks HTTP without TLS.
    async fn speaks_plain(&self) -> bool {
        let exchange = async {
            let mut stream = self.connect().await.ok()?;
            stream.write_all(HTTP2_HELLO).await.ok()?;
            let mut answer = [0; 9];
            let length = stream.read(&mut answer).await.ok()?;
            // an HTTP/1 status line, or the SETTINGS frame of HTTP/2
            Some(answer[..length].starts_with(b"HTTP/") || (length > 3 && answer[3] == 4))
        };
        timeout(self.step(), exchange)
            .await
            .ok()
            .flatten()
            .unwrap_or(false)
    }

    /// A handshake like the client's own; without an identity it trusts nobody.
    fn handshake(
        &self,
        identity: Option<&Identity>,
    ) -> Option<(TlsConnector, Arc<Witness>, ServerName<'static>)> {
        let provider = Arc::new(ring::default_provider());
        let judge = match identity {
            Some(identity) => {
                let roots = identity.roots.clone();
                Some(
                    WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                        .build()
                        .ok()?,
                )
            }
            None => None,
        };
        let witness = Arc::new(Witness::new(judge, provider.clone()));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(witness.clone());
        let mut config = match identity {
            Some(identity) => {
                let (chain, key) = identity.for_handshake()?;
                builder.with_client_auth_cert(chain, key).ok()?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(self.endpoint.host().to_owned()).ok()?;
        Some((TlsConnector::from(Arc::new(config)), witness, name))
    }

    /// The handshake failed after the server said something in TLS.
    fn judge_handshake(
        &self,
        identity: &Identity,
        witness: &Witness,
        error: &io::Error,
    ) -> Diagnosis {
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(reason)) => match witness.server() {
                Some(server) => self.judge_server(identity, server, reason),
                None => broken(error),
            },
            // TLS 1.2 refuses the client within the handshake
            Some(rustls::Error::AlertReceived(_)) if witness.saw_a_server() => {
                judge_answer(identity, witness, error)
            }
            _ => broken(error),
        }
    }

    fn judge_server(
        &self,
        identity: &Identity,
        server: Certificate,
        reason: &CertificateError,
    ) -> Diagnosis {
        let authorities = &identity.authorities;
        let fault = match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ServerFault::Untrusted {
                    ca_file: self.settings.ca_file.clone(),
                    authorities: authorities.iter().map(|ca| ca.whose().to_owned()).collect(),
                    namesake: authorities.iter().any(|ca| ca.subject == server.issuer),
                }
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ServerFault::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ServerFault::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ServerFault::WrongName
            }
            other => ServerFault::Other {
                reason: other.to_string(),
            },
        };
        Diagnosis::Server {
            certificate: Box::new(server),
            fault,
        }
    }
}

/// The server answered our certificate with something other than data.
fn judge_answer(identity: &Identity, witness: &Witness, error: &io::Error) -> Diagnosis {
    match (tls_error(error), witness.time()) {
        (Some(rustls::Error::AlertReceived(alert)), Some(now)) => refusal(
            identity.presented.clone(),
            identity.is_stranger(),
            *alert,
            now,
        ),
        (Some(_), _) => broken(error),
        (None, _) => dropped(identity),
    }
}

fn broken(error: &io::Error) -> Diagnosis {
    Diagnosis::Broken {
        cause: format!("the TLS handshake failed: {error}"),
    }
}

/// The server closed the connection once it had seen our certificate.
fn dropped(identity: &Identity) -> Diagnosis {
    let presented = Box::new(identity.presented.clone());
    Diagnosis::Client {
        presented,
        fault: ClientFault::Dropped,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn is_alert(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::AlertReceived(_)))
}

fn is_no_tls(error: &io::Error) -> bool {
    let invalid = rustls::InvalidMessage::InvalidContentType;
    matches!(tls_error(error), Some(rustls::Error::InvalidMessage(reason)) if *reason == invalid)
}
