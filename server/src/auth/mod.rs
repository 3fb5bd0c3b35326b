//! Who may come in, decided before the core hears of it.
//!
//! The client is told one thing only, that it was refused; the reason is for the log.

pub mod barred;
pub mod claims;
pub mod jwt;
pub mod keys;
pub mod mint;
pub mod revoke;

use starling_world::grants::{Grants, Pattern};
use thiserror::Error;

/// Who a token says it is, and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Tenant of the token; empty for those without one, as in open mode.
    pub tenant: String,
    /// Subject of the token; empty in open mode.
    pub subject: String,
    /// Name of the token (`jti`); empty in open mode.
    pub token: String,
    /// Unix seconds at which the token was made; `None` where it does not say.
    pub issued_s: Option<u64>,
    /// Worlds that it may enter.
    pub worlds: Vec<Pattern>,
    /// What it may do in them.
    pub grants: Grants,
    /// Unix seconds at which the right ends; `None` where it does not.
    pub expires_s: Option<u64>,
}

impl Verified {
    /// May it enter this world?
    #[must_use]
    pub fn may_enter(&self, world: &str) -> bool {
        self.worlds.iter().any(|pattern| pattern.matches(world))
    }
}

/// The longest life of a token, with all that clocks may differ, unless a verifier says otherwise.
const LIFE_MAX_S: u64 = 3_660;

/// Decides whether a token is good. The way to other kinds of token.
pub trait Verifier: Send + Sync {
    /// Judges a token at a moment, in Unix seconds.
    ///
    /// # Errors
    /// [`Refusal`], whose text is for the log and never for the client.
    fn verify(&self, token: &str, now_s: u64) -> Result<Verified, Refusal>;

    /// The longest life of a token in seconds: for so long a revoked one is remembered.
    fn life_max_s(&self) -> u64 {
        LIFE_MAX_S
    }

    /// Whether everyone may come in.
    fn is_open(&self) -> bool {
        false
    }
}

/// Why a token was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is none.
    #[error("no token was shown")]
    Missing,
    /// More bytes than a token may have.
    #[error("a token of {0} bytes is too large")]
    TooLarge(usize),
    /// Not three parts of base64 and JSON, a header that is not understood, or claims of a wrong
    /// type, missing or given twice.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Its header demands an extension; none is supported.
    #[error("the header demands `crit` extensions")]
    Critical,
    /// Its key is not among ours, or it names none.
    #[error("unknown key `{0}`")]
    UnknownKey(String),
    /// Signed with another algorithm than its key is for, or not at all.
    #[error("signed with {0}, the key is for EdDSA")]
    Algorithm(String),
    /// The signature is not by the key named.
    #[error("the signature is wrong")]
    Signature,
    /// Meant for someone else.
    #[error("the audience is `{0}`")]
    Audience(String),
    /// From someone else.
    #[error("the issuer is `{0}`")]
    Issuer(String),
    /// Its time is over.
    #[error("expired {0} s ago")]
    Expired(u64),
    /// Its time has not come.
    #[error("not valid for another {0} s")]
    Early(u64),
    /// It lives longer than allowed.
    #[error("a life of {0} s is too long")]
    TooLong(u64),
}

/// Lets everyone do everything but host. For development.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Verifier for Open {
    fn verify(&self, _token: &str, _now_s: u64) -> Result<Verified, Refusal> {
        Ok(Verified {
            worlds: vec![Pattern("*".into())],
            grants: Grants::open(),
            ..Verified::default()
        })
    }

    fn is_open(&self) -> bool {
        true
    }
}
