//! Making tokens: what `starling token` does, and tests.

use super::claims::Claims;
use super::keys::PrivateKey;
use aws_lc_rs::rand;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use thiserror::Error;

/// Why no token was made.
#[derive(Debug, Error)]
#[error("no token could be made: {0}")]
pub struct MintError(String);

/// Signs claims.
///
/// # Errors
/// [`MintError`] when the key does not sign.
pub fn mint(key: &PrivateKey, claims: &Claims) -> Result<String, MintError> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key.id.clone());
    let signing = EncodingKey::from_ed_der(key.pkcs8.secret_pkcs8_der());
    jsonwebtoken::encode(&header, claims, &signing).map_err(|e| MintError(e.to_string()))
}

/// A fresh name for a token: 32 hexadecimal digits from the system's random bytes.
///
/// # Errors
/// [`MintError`] when the system gives none.
pub fn token_name() -> Result<String, MintError> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_| MintError("the system gave no random bytes".into()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
