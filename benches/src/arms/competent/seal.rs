//! Keys agreed per client (X25519, HKDF) and packets sealed with them (AES-128-GCM).
//!
//! Nobody proves who they are: this protects against who listens, not against who sits between.

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::SystemRandom;

/// Bytes that a sealed packet is longer than what is in it: the low half of its number, and a tag.
pub(super) const SEAL_BYTES: usize = 4 + 16;

/// Half of a key agreement.
pub(super) struct Offer {
    private: EphemeralPrivateKey,
    pub(super) public: [u8; 32],
}

impl Offer {
    pub(super) fn new() -> Result<Self> {
        let refused = || anyhow!("no key could be made");
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
        let private = private.map_err(|_| refused())?;
        let public = private.compute_public_key().map_err(|_| refused())?;
        let public = public.as_ref().try_into().context("a public key of 32 bytes")?;
        Ok(Self { private, public })
    }

    /// The two directions agreed with a peer. `is_server` decides which is which.
    pub(super) fn agree(self, peer: &[u8], is_server: bool) -> Result<(Sealer, Opener)> {
        let key = agree_ephemeral(
            self.private,
            UnparsedPublicKey::new(&X25519, peer),
            anyhow!("no key could be agreed"),
            |secret| Ok(Salt::new(HKDF_SHA256, b"competent arm").extract(secret)),
        )?;
        let direction = |label: &[u8]| -> Result<LessSafeKey> {
            let labels = [label];
            let okm = key.expand(&labels, &AES_128_GCM).map_err(|_| anyhow!("no key"))?;
            Ok(LessSafeKey::new(UnboundKey::from(okm)))
        };
        let (up, down) = (direction(b"up")?, direction(b"down")?);
        let (out, into) = if is_server { (down, up) } else { (up, down) };
        Ok((Sealer { key: out, number: 0 }, Opener { key: into, newest: 0 }))
    }
}

/// One direction, outward.
pub(super) struct Sealer {
    key: LessSafeKey,
    number: u64,
}

impl Sealer {
    /// Seals what lies in `out` from `from` on, where room was left for the number.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, from: usize) {
        self.number += 1;
        let (head, body) = out[from..].split_at_mut(4);
        head.copy_from_slice(&(self.number as u32).to_le_bytes());
        let tag = self.key.seal_in_place_separate_tag(nonce(self.number), Aad::empty(), body);
        let tag = tag.expect("a packet is far below what the cipher takes");
        out.extend_from_slice(tag.as_ref());
    }
}

/// One direction, inward.
pub(super) struct Opener {
    key: LessSafeKey,
    newest: u64,
}

impl Opener {
    /// The content of a packet, which is opened where it lies.
    pub(super) fn open<'a>(&mut self, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        let (head, body) = packet.split_at_mut_checked(4)?;
        let low = u32::from_le_bytes(head.try_into().ok()?);
        let ahead = i64::from(low.wrapping_sub(self.newest as u32) as i32);
        let number = self.newest.checked_add_signed(ahead)?;
        let content = self.key.open_in_place(nonce(number), Aad::empty(), body).ok()?;
        self.newest = self.newest.max(number);
        Some(content)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_seals_the_other_opens_and_nothing_else() {
        let [a, b] = [0; 2].map(|_| Offer::new().expect("keys can be made"));
        let (of_a, of_b) = (a.public, b.public);
        let (mut sealer, _) = a.agree(&of_b, true).expect("they agree");
        let (_, mut opener) = b.agree(&of_a, false).expect("they agree");
        for word in [b"one", b"two"] {
            let mut packet = vec![0; 4];
            packet.extend_from_slice(word);
            sealer.seal(&mut packet, 0);
            assert_eq!(packet.len(), 3 + SEAL_BYTES);
            let mut broken = packet.clone();
            broken[5] ^= 1;
            assert_eq!(opener.open(&mut broken), None);
            assert_eq!(opener.open(&mut packet), Some(&word[..]));
        }
        assert_eq!(opener.open(&mut [1, 2]), None);
    }
}
