//! Tokens: compact JWTs (RFC 7519) signed with Ed25519 (RFC 8037).

use super::claims::{Claims, patterns};
use super::keys::{KeyError, PublicKey};
use super::{Refusal, Verified, Verifier};
use crate::config::TokenSettings;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use starling_protocol::limits::TOKEN_BYTES_MAX;
use std::collections::BTreeMap;

/// Name of a tenant.
pub(crate) const TENANT_BYTES_MAX: usize = 64;

/// Takes tokens of known keys, for one audience, from one issuer.
pub struct Tokens {
    keys: BTreeMap<String, DecodingKey>,
    audience: String,
    issuer: String,
    leeway_s: u64,
    life_max_s: u64,
    signature_only: Validation,
}

impl Tokens {
    /// Reads the keys that the settings name.
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn from_settings(settings: &TokenSettings) -> Result<Self, KeyError> {
        let keys = settings.keys.iter().map(|file| PublicKey::from_file(file));
        Ok(Self::new(keys.collect::<Result<Vec<_>, _>>()?, settings))
    }

    /// Takes tokens signed by any of these keys; `settings.keys` is not read.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>, settings: &TokenSettings) -> Self {
        let key = |key: PublicKey| (key.id, DecodingKey::from_ed_der(&key.bytes));
        Self {
            keys: keys.into_iter().map(key).collect(),
            audience: settings.audience.clone(),
            issuer: settings.issuer.clone(),
            leeway_s: settings.leeway_s,
            life_max_s: settings.life_max_s,
            signature_only: signature_only(),
        }
    }

    fn key(&self, header: &Header) -> Result<&DecodingKey, Refusal> {
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        if header.alg != Algorithm::EdDSA {
            return Err(Refusal::Algorithm(format!("{:?}", header.alg)));
        }
        let name = header.kid.as_deref().unwrap_or("");
        self.keys.get(name).ok_or_else(|| Refusal::UnknownKey(name.into()))
    }

    fn check(&self, claims: &Claims, now_s: u64) -> Result<(), Refusal> {
        if !claims.aud.names(&self.audience) {
            return Err(Refusal::Audience(claims.aud.to_string()));
        }
        if claims.iss != self.issuer {
            return Err(Refusal::Issuer(claims.iss.clone()));
        }
        if claims.sub.is_empty() || claims.jti.is_empty() {
            return Err(Refusal::Malformed("an empty `sub` or `jti`".into()));
        }
        check_tenant(&claims.tenant)?;
        self.check_times(claims, now_s)
    }

    fn check_times(&self, claims: &Claims, now_s: u64) -> Result<(), Refusal> {
        let latest = now_s.saturating_add(self.leeway_s);
        let start = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
        if start > latest {
            return Err(Refusal::Early(start - now_s));
        }
        if claims.exp.saturating_add(self.leeway_s) <= now_s {
            return Err(Refusal::Expired(now_s - claims.exp));
        }
        match claims.exp.saturating_sub(claims.iat) {
            life if life > self.life_max_s => Err(Refusal::TooLong(life)),
            _ => Ok(()),
        }
    }
}

impl Verifier for Tokens {
    fn life_max_s(&self) -> u64 {
        self.life_max_s + 2 * self.leeway_s
    }

    fn verify(&self, token: &str, now_s: u64) -> Result<Verified, Refusal> {
        match token.len() {
            0 => return Err(Refusal::Missing),
            1..=TOKEN_BYTES_MAX => {}
            size => return Err(Refusal::TooLarge(size)),
        }
        let header = jsonwebtoken::decode_header(token).map_err(refusal)?;
        let key = self.key(&header)?;
        let token = jsonwebtoken::decode::<Claims>(token, key, &self.signature_only);
        let claims = token.map_err(refusal)?.claims;
        self.check(&claims, now_s)?;
        Ok(Verified {
            tenant: claims.tenant.clone(),
            subject: claims.sub.clone(),
            token: claims.jti.clone(),
            issued_s: Some(claims.iat),
            worlds: patterns(&claims.worlds),
            grants: claims.grants(),
            expires_s: Some(claims.exp),
        })
    }
}

/// A tenant's name stands before subjects and after names of worlds.
pub(crate) fn is_tenant(name: &str) -> bool {
    name.len() <= TENANT_BYTES_MAX && !name.chars().any(|c| c.is_control() || "/@".contains(c))
}

fn check_tenant(tenant: &str) -> Result<(), Refusal> {
    if !is_tenant(tenant) {
        return Err(Refusal::Malformed("a `tenant` that is too long, or has `/` or `@`".into()));
    }
    Ok(())
}

/// The library checks form and signature; claims are checked here, against the caller's clock.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    validation
}

fn refusal(error: jsonwebtoken::errors::Error) -> Refusal {
    match error.kind() {
        ErrorKind::InvalidSignature => Refusal::Signature,
        _ => Refusal::Malformed(error.to_string()),
    }
}
