//! How a client decides to believe a server.

use super::identity::certificates;
use super::{ALPN, Fingerprint, TlsError, provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::sync::Arc;

/// What makes a server believable.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// Its certificate has this fingerprint; names and dates do not matter.
    Fingerprint(Fingerprint),
    /// Its certificate leads to one of these roots, in PEM, and names the server.
    Roots(String),
    /// Anything goes: whoever sits on the path can be the server. For experiments only.
    Insecure,
}

/// The TLS side of a client, made once and shared by its connections.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// TLS 1.3 that trusts as told and asks for Starling's protocol.
    ///
    /// # Errors
    /// [`TlsError`] when the roots are not certificates.
    pub fn new(trust: &ServerTrust) -> Result<Self, TlsError> {
        Self::with_alpn(trust, ALPN)
    }

    /// The same, asking for another protocol.
    ///
    /// # Errors
    /// As [`ClientTls::new`].
    pub fn with_alpn(trust: &ServerTrust, alpn: &[u8]) -> Result<Self, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier(trust)?)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.enable_early_data = false;
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

fn verifier(trust: &ServerTrust) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let algorithms = provider().signature_verification_algorithms;
    match trust {
        ServerTrust::Fingerprint(pin) => Ok(Arc::new(Pinned { pin: Some(*pin), algorithms })),
        ServerTrust::Insecure => Ok(Arc::new(Pinned { pin: None, algorithms })),
        ServerTrust::Roots(pem) => rooted(pem),
    }
}

fn rooted(pem: &str) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let origin = "the list of roots";
    let unusable = |reason: String| TlsError::Unusable { origin: origin.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for root in certificates(pem.as_bytes(), origin)? {
        roots.add(root).map_err(|error| unusable(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    Ok(verifier.map_err(|error| unusable(error.to_string()))?)
}

/// Believes one certificate, or any; in both cases the server has to hold its key.
#[derive(Debug)]
struct Pinned {
    pin: Option<Fingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.pin {
            Some(pin) if pin != Fingerprint::of(end_entity) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
