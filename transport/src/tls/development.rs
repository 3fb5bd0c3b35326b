//! Certificates for development: made on the spot, signed by themselves, soon over.

use super::TlsError;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::time::{Duration, SystemTime};

/// Thirteen days: browsers pin a certificate of at most fourteen.
pub(super) const LIFETIME: Duration = Duration::from_secs(13 * 86_400);
/// Clocks differ; a certificate is valid from a little before it was made.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

/// A certificate and its key, as files hold them.
#[derive(Clone, Debug)]
pub struct CertificatePem {
    /// `BEGIN CERTIFICATE`.
    pub certificate: String,
    /// `BEGIN PRIVATE KEY`: a secret.
    pub key: String,
}

/// Makes an ECDSA P-256 certificate for `names` (DNS names or addresses) that signs itself.
///
/// # Errors
/// [`TlsError::Generate`] when a name is not one.
pub fn development_certificate(
    names: &[String],
    lifetime: Duration,
) -> Result<CertificatePem, TlsError> {
    let failed = |error: rcgen::Error| TlsError::Generate(error.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + lifetime - CLOCK_SKEW).into();
    params.distinguished_name.push(DnType::CommonName, "Starling development");
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(CertificatePem { certificate: certificate.pem(), key: key.serialize_pem() })
}
