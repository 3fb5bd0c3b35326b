//! Who a server is: a chain of certificates and the key of the first.

use super::validity::Validity;
use super::{ALPN, Fingerprint, TlsError, development, development_certificate, provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{Error, InconsistentKeys, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_SECONDS: u64 = 86_400;

/// A checked certificate chain with its key.
#[derive(Clone, Debug)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    /// Seconds since 1970.
    not_after: i64,
}

impl Identity {
    /// Reads the chain and the key from PEM files, the server's own certificate first.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it: missing, without a certificate or
    /// key, of another key, expired.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
        };
        let (chain_text, key_text) = (read(certificate)?, read(key)?);
        let origin = Origin {
            certificate: certificate.display().to_string(),
            key: key.display().to_string(),
        };
        Self::from_text(&chain_text, &key_text, &origin)
    }

    /// Reads the chain and the key from PEM text.
    ///
    /// # Errors
    /// As [`Identity::from_files`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, TlsError> {
        Self::from_text(certificate.as_bytes(), key.as_bytes(), &Origin::given())
    }

    /// Takes a chain in DER and a key in PKCS #8: the same identity each time, for tests.
    ///
    /// # Errors
    /// As [`Identity::from_files`].
    pub fn from_der(chain: Vec<Vec<u8>>, key_pkcs8: Vec<u8>) -> Result<Self, TlsError> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Self::new(chain, PrivatePkcs8KeyDer::from(key_pkcs8).into(), &Origin::given())
    }

    /// Makes a fresh development certificate for this machine: `localhost`, 127.0.0.1 and ::1,
    /// valid for 13 days.
    ///
    /// # Errors
    /// [`TlsError::Generate`] when the system has no randomness to give.
    pub fn development() -> Result<Self, TlsError> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = development_certificate(&names, development::LIFETIME)?;
        Self::from_pem(&made.certificate, &made.key)
    }

    /// By which a client can pin this server.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// How long its certificate is valid from now on.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_secs(self.not_after.saturating_sub(unix_s()).max(0).cast_unsigned())
    }

    /// TLS 1.3, no tickets, no early data: a resumed handshake saves less than it costs to keep.
    pub(crate) fn server_config(&self) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.certified.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        config
    }

    fn from_text(chain: &[u8], key: &[u8], origin: &Origin) -> Result<Self, TlsError> {
        let chain = certificates(chain, &origin.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey(origin.key.clone()),
            error => bad_pem(&origin.key, &error),
        })?;
        Self::new(chain, key, origin)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        origin: &Origin,
    ) -> Result<Self, TlsError> {
        let first =
            chain.first().ok_or_else(|| TlsError::NoCertificate(origin.certificate.clone()))?;
        let fingerprint = Fingerprint::of(first);
        let not_after = check_validity(first, origin)?;
        let certified = CertifiedKey::from_der(chain, key, &provider());
        let certified = certified.map_err(|error| origin.explain(&error))?;
        Ok(Self { certified: Arc::new(certified), fingerprint, not_after })
    }
}

/// All certificates of a PEM text, at least one.
pub(super) fn certificates(
    text: &[u8],
    origin: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| bad_pem(origin, &error))?;
    if chain.is_empty() { Err(TlsError::NoCertificate(origin.to_owned())) } else { Ok(chain) }
}

fn bad_pem(origin: &str, error: &pem::Error) -> TlsError {
    TlsError::BadPem { origin: origin.to_owned(), reason: error.to_string() }
}

/// Seconds since 1970.
fn unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

/// The last second in which a certificate is valid, which it must be now.
fn check_validity(certificate: &[u8], origin: &Origin) -> Result<i64, TlsError> {
    let origin = origin.certificate.clone();
    let Some(validity) = Validity::of(certificate) else {
        return Err(TlsError::Unusable { origin, reason: "not an X.509 certificate".to_owned() });
    };
    let now = unix_s();
    if now > validity.not_after {
        let days = now.abs_diff(validity.not_after) / DAY_SECONDS;
        return Err(TlsError::Expired { origin, days });
    }
    if now < validity.not_before {
        let days = now.abs_diff(validity.not_before) / DAY_SECONDS;
        return Err(TlsError::NotYetValid { origin, days });
    }
    Ok(validity.not_after)
}

/// Where the parts came from, for messages.
struct Origin {
    certificate: String,
    key: String,
}

impl Origin {
    fn given() -> Self {
        Self { certificate: "the certificate given".to_owned(), key: "the key given".to_owned() }
    }

    fn explain(&self, error: &Error) -> TlsError {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::KeyMismatch { certificate, key }
            }
            Error::InvalidCertificate(_) => {
                TlsError::Unusable { origin: certificate, reason: error.to_string() }
            }
            _ => TlsError::Unusable { origin: key, reason: error.to_string() },
        }
    }
}
