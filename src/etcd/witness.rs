//! A certificate verifier that remembers what the server presented.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use crate::certificate::Certificate;

/// Passes the verdict on to the library's own verifier and remembers what it was about.
#[derive(Debug)]
pub(super) struct Witness {
    /// `None` trusts nobody.
    judge: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    /// The server's certificate, and when the handshake took place by the TLS library's clock.
    seen: OnceLock<(CertificateDer<'static>, UnixTime)>,
}

impl Witness {
    pub(super) fn new(
        judge: Option<Arc<WebPkiServerVerifier>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self {
            judge,
            provider,
            seen: OnceLock::new(),
        }
    }

    /// Whether the server presented a certificate.
    pub(super) fn saw_a_server(&self) -> bool {
        self.seen.get().is_some()
    }

    pub(super) fn server(&self) -> Option<Certificate> {
        Certificate::from_der(self.seen.get()?.0.to_vec()).ok()
    }

    /// When the handshake took place, by the TLS library's clock.
    pub(super) fn time(&self) -> Option<Timestamp> {
        Timestamp::from_second(i64::try_from(self.seen.get()?.1.as_secs()).ok()?).ok()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // a server shows its certificate once per handshake; only the first is kept
        self.seen
            .get_or_init(|| (end_entity.clone().into_owned(), now));
        match &self.judge {
            Some(judge) => {
                judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
