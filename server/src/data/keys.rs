//! The secret and the development certificate.

use super::files::{read, write};
use super::{DataError, Folder};
use crate::entropy::Entropy;
use starling_transport::quic::ServerSecret;
use starling_transport::tls::{Identity, TlsError, development_certificate};
use std::fmt::Write;
use std::time::Duration;

/// Browsers pin a certificate of at most fourteen days.
pub(crate) const CERTIFICATE_LIFE: Duration = Duration::from_secs(13 * 86_400);
/// A certificate that ends sooner is not begun with.
const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(86_400);

impl Folder {
    /// The secret of connection ids, resets and retry tokens, made where there is none. With it a
    /// client learns at once that the server it talked to is gone, instead of by silence.
    ///
    /// # Errors
    /// [`DataError`] names the file.
    pub fn secret(&self, entropy: &mut impl Entropy) -> Result<ServerSecret, DataError> {
        let path = self.keys.join("secret");
        if let Some(text) = read(&path)? {
            let secret = unhex(text.trim_end());
            let why = "it should hold 64 hexadecimal digits; without it a new one is made, and \
                       clients learn of a restart by silence";
            return secret.map(ServerSecret).ok_or(DataError::Damaged { path, why });
        }
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        write(&path, &format!("{}\n", hex(&secret)))?;
        Ok(ServerSecret(secret))
    }

    /// The development certificate for these names: the one of before, so that whoever pinned it
    /// comes in again, unless it ends within a day or was for other names.
    ///
    /// # Errors
    /// [`DataError`] names the file.
    pub fn development(&self, names: &[String]) -> Result<Identity, DataError> {
        let path = self.keys.join("development");
        let head = format!("names: {}\n", names.join(" "));
        let kept = read(&path)?.filter(|text| text.starts_with(&head));
        match kept.map(|text| Identity::from_pem(&text, &text)) {
            Some(Ok(identity)) if identity.left() >= CERTIFICATE_LEFT_MIN => return Ok(identity),
            Some(Ok(_) | Err(TlsError::Expired { .. })) => {
                tracing::warn!("the development certificate ends: clients must pin a new one");
            }
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
        let made = development_certificate(names, CERTIFICATE_LIFE)?;
        write(&path, &format!("{head}{}{}", made.certificate, made.key))?;
        Ok(Identity::from_pem(&made.certificate, &made.key)?)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text can be appended to");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
