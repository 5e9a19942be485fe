//! The TLS files of one connection, read anew each time so that renewed certificates are used.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::transport::{
    Certificate as TonicCertificate, ClientTlsConfig, Identity as TonicIdentity,
};

use super::diagnosis::Presented;
use super::{Endpoint, Error, Settings};
use crate::certificate::{self, Certificate};

/// What we show to a member and whom we trust, proved to fit together.
pub(super) struct Identity {
    /// Who signed the members' certificates.
    pub(super) authorities: Vec<Certificate>,
    /// Our certificate.
    pub(super) presented: Presented,
    /// `authorities`, as the TLS library trusts them.
    pub(super) roots: Arc<RootCertStore>,
    chain: Vec<Certificate>,
    ca_pem: Vec<u8>,
    cert_pem: Vec<u8>,
    key_pem: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("presented", &self.presented)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the three files and proves that every CA can be trusted and that the key fits.
    pub(super) fn read(settings: &Settings, endpoint: &Endpoint) -> Result<Self, Error> {
        Self::read_files(settings).map_err(|cause| Error::Identity {
            endpoint: endpoint.clone(),
            cause: Box::new(cause),
        })
    }

    fn read_files(settings: &Settings) -> Result<Self, certificate::Error> {
        let ca_pem = certificate::read_file(&settings.ca_file)?;
        let cert_pem = certificate::read_file(&settings.cert_file)?;
        let key_pem = certificate::read_file(&settings.key_file)?;
        let authorities = certificate::parse(&settings.ca_file, &ca_pem)?;
        let mut roots = RootCertStore::empty();
        for (index, authority) in authorities.iter().enumerate() {
            // the client's own reader would pass over such a CA in silence
            roots
                .add(authority.der().clone())
                .map_err(|error| certificate::Error::Entry {
                    path: settings.ca_file.clone(),
                    entry: index + 1,
                    reason: format!("it cannot serve as a CA: {error}"),
                })?;
        }
        let chain = certificate::parse(&settings.cert_file, &cert_pem)?;
        let own = chain
            .first()
            .cloned()
            .ok_or_else(|| certificate::Error::Missing {
                path: settings.cert_file.clone(),
                wanted: "certificate",
            })?;
        if !own.is_version_3() {
            return Err(certificate::Error::Entry {
                path: settings.cert_file.clone(),
                entry: 1,
                reason: "it is of an old X.509 version, TLS needs version 3".to_owned(),
            });
        }
        certificate::check_key(&own, &settings.key_file, &key_pem)?;
        Ok(Self {
            authorities,
            presented: Presented {
                file: settings.cert_file.clone(),
                certificate: own,
            },
            roots: Arc::new(roots),
            chain,
            ca_pem,
            cert_pem,
            key_pem,
        })
    }

    /// Whether none of our authorities signed our own certificate (intermediates would vouch for it).
    pub(super) fn is_stranger(&self) -> bool {
        self.chain.len() == 1
            && self
                .presented
                .certificate
                .signer(&self.authorities)
                .is_none()
    }

    /// For the gRPC client.
    pub(super) fn for_client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(TonicCertificate::from_pem(&self.ca_pem))
            .identity(TonicIdentity::from_pem(&self.cert_pem, &self.key_pem))
    }

    /// For a handshake of our own: the chain and the key.
    pub(super) fn for_handshake(
        &self,
    ) -> Option<(
        Vec<rustls::pki_types::CertificateDer<'static>>,
        PrivateKeyDer<'static>,
    )> {
        let chain = self
            .chain
            .iter()
            .map(|certificate| certificate.der().clone())
            .collect();
        PrivateKeyDer::from_pem_slice(&self.key_pem)
            .ok()
            .map(|key| (chain, key))
    }
}
