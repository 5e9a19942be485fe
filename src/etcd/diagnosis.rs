//! Why no connection came about, as a sentence that a person can act on.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::Endpoint;
use crate::certificate::Certificate;

/// The client certificate that was presented, and where it came from.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The file that holds it.
    pub file: PathBuf,
    /// What it says.
    pub certificate: Certificate,
}

/// Why no connection came about.
#[derive(Debug)]
pub enum Diagnosis {
    /// Nothing listens on the port.
    Refused,
    /// The host name has no address.
    UnknownHost {
        /// What the resolver said.
        reason: String,
    },
    /// The network or the system refused before any byte was exchanged.
    NoRoute {
        /// What the system said.
        reason: String,
    },
    /// The peer went silent.
    Silent {
        /// What it did not answer.
        stage: &'static str,
        /// The time it was given.
        after: Duration,
    },
    /// The endpoint says https, the server speaks without TLS.
    PlainServer,
    /// The endpoint says http, the server wants TLS.
    TlsServer,
    /// Something answers, but not with etcd's API.
    NotEtcd {
        /// How it answered.
        reason: String,
    },
    /// The server's certificate is signed by none of our authorities.
    UntrustedServer {
        /// The server's certificate.
        server: Box<Certificate>,
        /// The CA file.
        ca_file: PathBuf,
        /// The subjects in the CA file.
        authorities: Vec<String>,
        /// Whether one of them has the issuer's name and another key (a CA that was made anew).
        namesake: bool,
    },
    /// The server's certificate is out of its time.
    ServerExpired {
        /// The server's certificate.
        server: Box<Certificate>,
    },
    /// The time of the server's certificate has not come.
    ServerNotYetValid {
        /// The server's certificate.
        server: Box<Certificate>,
    },
    /// The host of the endpoint is not in the server's certificate.
    WrongName {
        /// The server's certificate.
        server: Box<Certificate>,
    },
    /// The server's certificate was rejected for another reason.
    ServerRejected {
        /// The server's certificate.
        server: Box<Certificate>,
        /// What the TLS library said.
        reason: String,
    },
    /// The server refused our certificate, whose time is over.
    ClientExpired(Box<Presented>),
    /// The server refused our certificate, whose time has not come.
    ClientNotYetValid(Box<Presented>),
    /// The server refused our certificate because it does not trust the issuer.
    ClientUntrusted(Box<Presented>),
    /// The server refused our certificate, which is not meant for clients.
    ClientPurpose(Box<Presented>),
    /// The server refused our certificate for another reason.
    ClientRefused {
        /// Our certificate.
        presented: Box<Presented>,
        /// The TLS alert.
        alert: String,
    },
    /// The server closed the connection once it had seen our certificate, without a word.
    ClientDropped(Box<Presented>),
    /// None of the above.
    Broken {
        /// The transport's reasons, outermost first.
        cause: String,
    },
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "connection refused"),
            Self::UnknownHost { reason } => write!(f, "the host name has no address: {reason}"),
            Self::NoRoute { reason } => write!(f, "{reason}"),
            Self::Silent { stage, after } => {
                write!(f, "it did not answer {stage} within {after:?}")
            }
            Self::PlainServer => write!(
                f,
                "the endpoint says https, but the server speaks plain HTTP"
            ),
            Self::TlsServer => write!(f, "the endpoint says http, but the server wants TLS"),
            Self::NotEtcd { reason } => write!(
                f,
                "something answers there, but not with etcd's API: {reason}"
            ),
            Self::UntrustedServer {
                server,
                ca_file,
                authorities,
                namesake,
            } => {
                write!(
                    f,
                    "its certificate ({}) is signed by `{}`, ",
                    describe(server),
                    server.issuer
                )?;
                if *namesake {
                    write!(
                        f,
                        "and {} holds a CA of that name with another key",
                        ca_file.display()
                    )
                } else {
                    write!(
                        f,
                        "which is not in {} (that holds: {})",
                        ca_file.display(),
                        authorities.join("; ")
                    )
                }
            }
            Self::ServerExpired { server } => {
                write!(
                    f,
                    "its certificate ({}) expired at {}",
                    describe(server),
                    server.not_after
                )
            }
            Self::ServerNotYetValid { server } => {
                write!(
                    f,
                    "its certificate ({}) is not valid before {}",
                    describe(server),
                    server.not_before
                )
            }
            Self::WrongName { server } => {
                write!(
                    f,
                    "its certificate ({}) is valid only for {}",
                    describe(server),
                    server.names()
                )
            }
            Self::ServerRejected { server, reason } => {
                write!(
                    f,
                    "its certificate ({}) was rejected: {reason}",
                    describe(server)
                )
            }
            Self::ClientExpired(presented) => {
                write!(
                    f,
                    "it refused {presented}, which expired at {}",
                    presented.certificate.not_after
                )
            }
            Self::ClientNotYetValid(presented) => {
                write!(
                    f,
                    "it refused {presented}, which is not valid before {}",
                    presented.certificate.not_before
                )
            }
            Self::ClientUntrusted(presented) => {
                write!(
                    f,
                    "it does not trust `{}`, the issuer of {presented}",
                    presented.certificate.issuer
                )
            }
            Self::ClientPurpose(presented) => {
                write!(
                    f,
                    "it refused {presented}, whose extended key usage does not name clients"
                )
            }
            Self::ClientRefused { presented, alert } => {
                write!(f, "it refused {presented}: {alert}")
            }
            Self::ClientDropped(presented) => {
                write!(
                    f,
                    "it closed the connection without a word once it had seen {presented}"
                )
            }
            Self::Broken { cause } => write!(f, "{cause}"),
        }
    }
}

impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "our client certificate ({}, {})",
            self.certificate.whose(),
            self.file.display()
        )
    }
}

impl Diagnosis {
    /// What to do about it, as a full sentence.
    #[must_use]
    pub fn hint(&self, endpoint: &Endpoint) -> Option<String> {
        let (host, port) = (endpoint.host(), endpoint.port());
        Some(match self {
            Self::Refused => format!("See what listens there with: ss -ltnp 'sport = :{port}'"),
            Self::UnknownHost { .. } => format!("Test the name with: getent ahosts {host}"),
            Self::Silent { .. } | Self::NoRoute { .. } => {
                format!("A firewall or an overloaded member can be the cause; test with: nc -vz {host} {port}")
            }
            Self::PlainServer => format!("Write http://{endpoint} only if etcd is meant to run without TLS.").replace("https://", ""),
            Self::TlsServer => format!("Write https in the endpoint: https{}", endpoint.to_string().trim_start_matches("http")),
            Self::NotEtcd { .. } => {
                "Use the client port of etcd (2379), not the one of its peers (2380) or metrics (2381).".to_owned()
            }
            Self::UntrustedServer { .. } => {
                "Set etcd.ca_file to the CA of etcd; on a kubeadm host that is /etc/kubernetes/pki/etcd/ca.crt.".to_owned()
            }
            Self::ServerExpired { .. } => {
                "Renew it on that host; under kubeadm with: kubeadm certs renew etcd-server".to_owned()
            }
            Self::ServerNotYetValid { .. } | Self::ClientNotYetValid(_) => {
                "Compare the clocks of both hosts with: date -u".to_owned()
            }
            Self::WrongName { .. } => {
                format!("Use one of these in the endpoint, or add {host} to the certificate of the server.")
            }
            Self::ClientExpired(_) => {
                "Renew it; under kubeadm with: kubeadm certs renew etcd-healthcheck-client".to_owned()
            }
            Self::ClientUntrusted(_) | Self::ClientPurpose(_) | Self::ClientRefused { .. } => {
                "Use a client certificate of etcd's CA, as /etc/kubernetes/pki/etcd/healthcheck-client.crt.".to_owned()
            }
            Self::ClientDropped(_) => {
                "A client certificate with names or addresses must hold the address it is used from; the member's log has the reason.".to_owned()
            }
            Self::ServerRejected { .. } | Self::Broken { .. } => return None,
        })
    }
}

/// A certificate in a few words: whose, and enough of its fingerprint to find it.
fn describe(certificate: &Certificate) -> String {
    format!(
        "{}, SHA-256 {}",
        certificate.whose(),
        certificate.fingerprint
    )
}

/// Why our certificate was refused, by what it says itself and by the server's alert.
pub(super) fn refusal(
    presented: Presented,
    alert: rustls::AlertDescription,
    now: Timestamp,
) -> Diagnosis {
    use crate::certificate::Validity;
    use rustls::AlertDescription as Alert;
    let validity = presented.certificate.validity(now);
    let for_client = presented.certificate.for_client;
    let presented = Box::new(presented);
    match (validity, alert) {
        (Validity::Expired { .. }, _) => Diagnosis::ClientExpired(presented),
        (Validity::NotYetValid { .. }, _) => Diagnosis::ClientNotYetValid(presented),
        (Validity::Valid, Alert::UnknownCA) => Diagnosis::ClientUntrusted(presented),
        (Validity::Valid, _) if !for_client => Diagnosis::ClientPurpose(presented),
        (Validity::Valid, alert) => Diagnosis::ClientRefused {
            presented,
            alert: format!("TLS alert {alert:?}"),
        },
    }
}
