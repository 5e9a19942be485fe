//! Why no connection came about, as a sentence that a person can act on.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rustls::AlertDescription;

use super::Endpoint;
use crate::certificate::{Certificate, Validity};

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
    /// We do not accept the server's certificate.
    Server {
        /// The certificate that the server presented.
        certificate: Box<Certificate>,
        /// What is wrong with it.
        fault: ServerFault,
    },
    /// The server does not accept our certificate.
    Client {
        /// The certificate that we presented.
        presented: Box<Presented>,
        /// What is wrong with it.
        fault: ClientFault,
    },
    /// None of the above.
    Broken {
        /// The transport's reasons, outermost first.
        cause: String,
    },
}

/// What is wrong with the server's certificate.
#[derive(Debug)]
pub enum ServerFault {
    /// None of our authorities signed it.
    Untrusted {
        /// The CA file.
        ca_file: PathBuf,
        /// The subjects in the CA file.
        authorities: Vec<String>,
        /// Whether one of them has the issuer's name and another key (a CA that was made anew).
        namesake: bool,
    },
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// The host of the endpoint is not among its names and addresses.
    WrongName,
    /// Something else, in the TLS library's words.
    Other {
        /// What the TLS library said.
        reason: String,
    },
}

/// What the server has against our certificate.
#[derive(Debug)]
pub enum ClientFault {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// The server does not trust its issuer.
    Untrusted,
    /// It is not meant for clients.
    Purpose,
    /// The server closed the connection once it had seen it, without a word.
    Dropped,
    /// Something else, which the server told by a TLS alert only.
    Alert {
        /// The name of the alert.
        alert: String,
    },
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::UnknownHost { reason } => write!(f, "the host name has no address: {reason}"),
            Self::NoRoute { reason } => f.write_str(reason),
            Self::Silent { stage, after } => {
                write!(f, "it did not answer {stage} within {after:?}")
            }
            Self::PlainServer => {
                f.write_str("the endpoint says https, but the server speaks plain HTTP, not TLS")
            }
            Self::TlsServer => f.write_str("the endpoint says http, but the server wants TLS"),
            Self::NotEtcd { reason } => {
                write!(
                    f,
                    "something answers there, but not with etcd's API: {reason}"
                )
            }
            Self::Server { certificate, fault } => fault.write(f, certificate),
            Self::Client { presented, fault } => fault.write(f, presented),
            Self::Broken { cause } => f.write_str(cause),
        }
    }
}

impl ServerFault {
    fn write(&self, f: &mut fmt::Formatter<'_>, server: &Certificate) -> fmt::Result {
        write!(
            f,
            "its certificate ({}, SHA-256 {}) ",
            server.whose(),
            server.fingerprint
        )?;
        match self {
            Self::Untrusted {
                ca_file,
                namesake: true,
                ..
            } => write!(
                f,
                "is signed by another `{}` than the one in {}: same name, other key",
                server.issuer,
                ca_file.display()
            ),
            Self::Untrusted {
                ca_file,
                authorities,
                ..
            } => write!(
                f,
                "is signed by `{}`, which is not in {} (there: {})",
                server.issuer,
                ca_file.display(),
                authorities.join("; ")
            ),
            Self::Expired => write!(f, "expired at {}", server.not_after),
            Self::NotYetValid => write!(f, "is not valid before {}", server.not_before),
            Self::WrongName => write!(f, "is valid only for {}", server.names()),
            Self::Other { reason } => write!(f, "was rejected: {reason}"),
        }
    }

    fn hint(&self, host: &str) -> Option<String> {
        Some(match self {
            Self::Untrusted { .. } => {
                "Set etcd.ca_file to the CA of etcd; on a kubeadm host that is /etc/kubernetes/pki/etcd/ca.crt.".to_owned()
            }
            Self::Expired => "Renew it on that host; under kubeadm with: kubeadm certs renew etcd-server".to_owned(),
            Self::NotYetValid => "Compare the clocks of both hosts with: date -u".to_owned(),
            Self::WrongName => {
                format!("Use one of these in the endpoint, or add {host} to the certificate of the server.")
            }
            Self::Other { .. } => return None,
        })
    }
}

impl ClientFault {
    fn write(&self, f: &mut fmt::Formatter<'_>, presented: &Presented) -> fmt::Result {
        let ours = &presented.certificate;
        match self {
            Self::Expired => write!(
                f,
                "it refused {presented}, which expired at {}",
                ours.not_after
            ),
            Self::NotYetValid => {
                write!(
                    f,
                    "it refused {presented}, which is not valid before {}",
                    ours.not_before
                )
            }
            Self::Untrusted => write!(
                f,
                "it does not trust `{}`, the issuer of {presented}",
                ours.issuer
            ),
            Self::Purpose => {
                write!(
                    f,
                    "it refused {presented}, whose extended key usage does not name clients"
                )
            }
            Self::Dropped => {
                write!(
                    f,
                    "it closed the connection without a word once it had seen {presented}"
                )
            }
            Self::Alert { alert } => write!(f, "it refused {presented} with the TLS alert {alert}"),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Expired => "Renew it; under kubeadm with: kubeadm certs renew etcd-healthcheck-client",
            Self::NotYetValid => "Compare the clocks of both hosts with: date -u",
            Self::Untrusted | Self::Purpose | Self::Alert { .. } => {
                "Use a client certificate of etcd's CA, as /etc/kubernetes/pki/etcd/healthcheck-client.crt."
            }
            Self::Dropped => {
                "It may be revoked there (--client-crl-file); the log of etcd on that host has the reason."
            }
        }
        .to_owned()
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
        let other_scheme = endpoint.with_other_scheme();
        Some(match self {
            Self::Refused => format!("See on that host what listens there with: ss -ltn 'sport = :{port}'"),
            Self::UnknownHost { .. } => format!("Test the name with: getent ahosts {host}"),
            Self::Silent { .. } | Self::NoRoute { .. } => {
                format!("A firewall or an overloaded member can be the cause; test with: nc -vz {host} {port}")
            }
            Self::PlainServer => format!("Where etcd is meant to run without TLS, write {other_scheme}."),
            Self::TlsServer => format!("Write {other_scheme} in etcd.endpoints."),
            Self::NotEtcd { .. } => {
                "Use the client port of etcd (2379), not the one of its peers (2380) or metrics (2381).".to_owned()
            }
            Self::Server { fault, .. } => return fault.hint(host),
            Self::Client { fault, .. } => fault.hint(),
            Self::Broken { .. } => return None,
        })
    }
}

/// Why our certificate was refused, by what it says itself and by the server's alert.
///
/// `stranger`: none of the authorities that we trust signed it. etcd built with an older Go says
/// "bad certificate" where a newer one says "unknown CA", and one CA for both sides is the rule.
pub(super) fn refusal(
    presented: Presented,
    stranger: bool,
    alert: AlertDescription,
    now: Timestamp,
) -> Diagnosis {
    let fault = match (presented.certificate.validity(now), alert) {
        (Validity::Expired { .. }, _) => ClientFault::Expired,
        (Validity::NotYetValid { .. }, _) => ClientFault::NotYetValid,
        (Validity::Valid, AlertDescription::UnknownCA) => ClientFault::Untrusted,
        (Validity::Valid, _) if !presented.certificate.for_client => ClientFault::Purpose,
        (Validity::Valid, AlertDescription::BadCertificate) if stranger => ClientFault::Untrusted,
        (Validity::Valid, alert) => ClientFault::Alert {
            alert: format!("{alert:?}"),
        },
    };
    Diagnosis::Client {
        presented: Box::new(presented),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

    fn presented(purpose: ExtendedKeyUsagePurpose) -> Presented {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "backup");
        params.extended_key_usages = vec![purpose];
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        let der = params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec();
        let certificate = Certificate::from_der(der).unwrap();
        Presented {
            file: "client.crt".into(),
            certificate,
        }
    }

    #[test]
    fn a_refused_client_certificate_is_explained_by_what_it_says_itself() {
        use AlertDescription as Alert;
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let ours = "our client certificate (CN=backup, client.crt)";
        let cases = [
            (
                ClientAuth,
                true,
                Alert::BadCertificate,
                "2028-01-01T00:00:00Z",
                format!("it refused {ours}, which expired at 2027-01-01T00:00:00Z"),
            ),
            (
                ClientAuth,
                false,
                Alert::CertificateExpired,
                "2025-01-01T00:00:00Z",
                format!("it refused {ours}, which is not valid before 2026-01-01T00:00:00Z"),
            ),
            (
                ClientAuth,
                false,
                Alert::UnknownCA,
                "2026-06-01T00:00:00Z",
                format!("it does not trust `CN=backup`, the issuer of {ours}"),
            ),
            (
                ClientAuth,
                true,
                Alert::BadCertificate,
                "2026-06-01T00:00:00Z",
                format!("it does not trust `CN=backup`, the issuer of {ours}"),
            ),
            (
                ServerAuth,
                false,
                Alert::BadCertificate,
                "2026-06-01T00:00:00Z",
                format!("it refused {ours}, whose extended key usage does not name clients"),
            ),
            (
                ClientAuth,
                false,
                Alert::BadCertificate,
                "2026-06-01T00:00:00Z",
                format!("it refused {ours} with the TLS alert BadCertificate"),
            ),
        ];
        let endpoint = Endpoint::parse("https://10.0.0.1:2379").unwrap();
        for (purpose, stranger, alert, now, sentence) in cases {
            let diagnosis = refusal(presented(purpose), stranger, alert, now.parse().unwrap());
            assert_eq!(diagnosis.to_string(), sentence);
            assert!(diagnosis.hint(&endpoint).is_some());
        }
    }

    #[test]
    fn a_wrong_scheme_is_answered_with_the_right_endpoint() {
        let endpoint = Endpoint::parse("http://[::1]:2379").unwrap();
        assert_eq!(
            Diagnosis::TlsServer.hint(&endpoint).unwrap(),
            "Write https://[::1]:2379 in etcd.endpoints."
        );
    }
}
