//! Key pairs of tokens: Ed25519, in PEM.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use std::fmt;
use std::path::Path;
use thiserror::Error;

/// Why a key cannot be used. The text never holds the key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{file}: {why}")]
    Unreadable {
        /// Which file.
        file: String,
        /// Why.
        why: std::io::Error,
    },
    /// Not a PEM file with such a key.
    #[error("not a PEM {0}")]
    NotPem(&'static str),
    /// A key of another kind.
    #[error("not an Ed25519 key")]
    NotEd25519,
    /// The key cannot be made: the system gave no random bytes.
    #[error("no key could be made: {0}")]
    NotMade(String),
    /// A key file that is wrong.
    #[error("{file}: {why}")]
    InFile {
        /// Which file.
        file: String,
        /// Why.
        why: Box<KeyError>,
    },
}

/// A public key with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The name that tokens give it: the first 16 hexadecimal digits of its SHA-256.
    pub id: String,
    /// The key itself (RFC 8032).
    pub bytes: [u8; 32],
}

/// A key pair as PEM texts.
#[derive(Clone)]
pub struct PemPair {
    /// For whoever makes tokens; keep it secret.
    pub private: String,
    /// For servers.
    pub public: String,
}

impl fmt::Debug for PemPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The start of every Ed25519 SubjectPublicKeyInfo (RFC 8410 section 4); the key follows.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// Makes a key pair from the system's random bytes.
///
/// # Errors
/// [`KeyError::NotMade`].
pub fn generate() -> Result<PemPair, KeyError> {
    let pair =
        KeyPair::generate_for(&PKCS_ED25519).map_err(|e| KeyError::NotMade(e.to_string()))?;
    Ok(PemPair { private: pair.serialize_pem(), public: pair.public_key_pem() })
}

impl PublicKey {
    /// The key with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let hash = digest(&SHA256, &bytes);
        let id = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, bytes }
    }

    /// Reads a `PUBLIC KEY` from PEM text.
    ///
    /// # Errors
    /// [`KeyError`] when there is none or it is of another kind.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeyError::NotPem("public key"))?;
        let key = spki.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotEd25519)?;
        key.try_into().map(Self::new).map_err(|_| KeyError::NotEd25519)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`KeyError`] with the name of the file.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let file = path.display().to_string();
        let pem = std::fs::read_to_string(path)
            .map_err(|why| KeyError::Unreadable { file: file.clone(), why })?;
        Self::from_pem(&pem).map_err(|why| KeyError::InFile { file, why: Box::new(why) })
    }
}

/// A private key, for making tokens.
pub struct PrivateKey {
    /// The name of its public half.
    pub id: String,
    pub(super) pkcs8: PrivatePkcs8KeyDer<'static>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PrivateKey {
    /// Reads a `PRIVATE KEY` from PEM text.
    ///
    /// # Errors
    /// [`KeyError`] when there is none or it is of another kind.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeyError::NotPem("private key"))?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)
            .map_err(|_| KeyError::NotEd25519)?;
        let public = pair.der_bytes().try_into().map_err(|_| KeyError::NotEd25519)?;
        Ok(Self { id: PublicKey::new(public).id, pkcs8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_a_pair_have_one_name() {
        let pair = generate().expect("the system has random bytes");
        let public = PublicKey::from_pem(&pair.public).expect("our own");
        let private = PrivateKey::from_pem(&pair.private).expect("our own");
        assert_eq!(public.id, private.id);
        assert_eq!(public.id.len(), 16);
    }

    #[test]
    fn a_pair_shows_no_secret() {
        let pair = generate().expect("the system has random bytes");
        let secret = pair.private.lines().nth(1).expect("a line of base64");
        let private = PrivateKey::from_pem(&pair.private).expect("our own");
        assert!(!format!("{pair:?}").contains(secret));
        assert!(!format!("{private:?}").contains(secret));
    }

    #[test]
    fn other_keys_are_refused_by_cause() {
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("random bytes");
        let wrong = PublicKey::from_pem(&other.public_key_pem());
        assert!(matches!(wrong, Err(KeyError::NotEd25519)));
        assert!(matches!(PublicKey::from_pem("nothing"), Err(KeyError::NotPem(_))));
        assert!(matches!(PrivateKey::from_pem(&other.serialize_pem()), Err(KeyError::NotEd25519)));
        let missing = PublicKey::from_file(Path::new("no/such.pem")).expect_err("no file");
        assert!(missing.to_string().starts_with("no/such.pem: "));
    }
}
