//! TLS 1.3 by rustls: who the server is, and how a client decides to believe it.
//!
//! A server proves its [`Identity`] from certificate files or from a development certificate made
//! on the spot. A client trusts it by [`ServerTrust`]: by its [`Fingerprint`], by roots, or, for
//! experiments only, by not looking.

mod client;
mod development;
mod fingerprint;
mod identity;
mod validity;

pub use client::{ClientTls, ServerTrust};
pub use development::{CertificatePem, development_certificate};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use identity::Identity;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{NamedGroup, SupportedCipherSuite};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// The name by which Starling's protocol is chosen in the TLS handshake (RFC 7301).
pub const ALPN: &[u8] = b"starling/1";

/// Why there is no TLS.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file holds something that is no PEM.
    #[error("{origin} is not PEM: {reason}")]
    BadPem {
        /// Where the text came from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No `CERTIFICATE` section.
    #[error("{0} holds no certificate")]
    NoCertificate(String),
    /// No `PRIVATE KEY` section.
    #[error("{0} holds no private key")]
    NoKey(String),
    /// The certificate was issued for another key.
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    KeyMismatch {
        /// Where the certificate came from.
        certificate: String,
        /// Where the key came from.
        key: String,
    },
    /// The certificate has run out.
    #[error("the certificate in {origin} expired {days} days ago")]
    Expired {
        /// Where the certificate came from.
        origin: String,
        /// Whole days since.
        days: u64,
    },
    /// The certificate is for later, or the clock is wrong.
    #[error(
        "the certificate in {origin} is not valid for another {days} days: is the clock right?"
    )]
    NotYetValid {
        /// Where the certificate came from.
        origin: String,
        /// Whole days until then.
        days: u64,
    },
    /// The certificate or the key is of a kind that cannot be used.
    #[error("{origin} cannot be used: {reason}")]
    Unusable {
        /// Where it came from.
        origin: String,
        /// What rustls says.
        reason: String,
    },
    /// A development certificate could not be made.
    #[error("cannot make a development certificate: {0}")]
    Generate(String),
}

/// AES-128-GCM and X25519 first: fastest where it counts, and what every peer has.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let first = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.suite();
    provider.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != first);
    provider
        .kx_groups
        .sort_by_key(|group: &&dyn SupportedKxGroup| group.name() != NamedGroup::X25519);
    Arc::new(provider)
}

#[cfg(test)]
mod tests;
