//! The short name of a certificate, by which a client can pin it.

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate_der).as_ref());
        Self(bytes)
    }

    /// The fingerprint of the first certificate in PEM text; `None` where there is none.
    #[must_use]
    pub fn of_pem(pem: &[u8]) -> Option<Self> {
        CertificateDer::from_pem_slice(pem).ok().map(|der| Self::of(&der))
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fingerprint is 64 hexadecimal digits, with or without colons")]
pub struct ParseFingerprintError;

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    /// Reads hexadecimal digits of either case; colons between them are ignored.
    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        let mut bytes = [0; 32];
        let mut digits = text.chars().filter(|&c| c != ':').map(|c| c.to_digit(16));
        let mut digit = || digits.next().flatten().ok_or(ParseFingerprintError);
        for byte in &mut bytes {
            *byte = (digit()? << 4 | digit()?) as u8;
        }
        if digits.next().is_some() { Err(ParseFingerprintError) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_sha256_of_its_bytes() {
        assert_eq!(
            Fingerprint::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_fingerprint_reads_back_in_either_case_and_with_colons() {
        let print = Fingerprint::of(b"abc");
        let text = print.to_string();
        assert_eq!(text.parse(), Ok(print));
        assert_eq!(text.to_uppercase().parse(), Ok(print));
        let pairs: Vec<_> = text.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        assert_eq!(pairs.join(":").parse(), Ok(print));
    }

    #[test]
    fn anything_else_is_refused() {
        let text = Fingerprint::of(b"abc").to_string();
        for bad in [&text[1..], &format!("{text}0"), "", "xyz", &text.replace('a', "g")] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(ParseFingerprintError), "{bad}");
        }
    }
}
