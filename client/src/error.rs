//! Why there is no session, or why a request could not be made: each with what to do next.

use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::message::control::Refused;
use thiserror::Error;

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No protocol version, or no code tables, in common.
    #[error("the server speaks another version of the protocol: upgrade the older side")]
    Version,
    /// The token was refused.
    #[error("the token was refused ({reason}): get a fresh token; the server's log says more")]
    Unauthorized {
        /// The server's words.
        reason: String,
    },
    /// The token does not grant this.
    #[error("the token does not grant this world or role ({reason}): ask for a wider token")]
    Forbidden {
        /// The server's words.
        reason: String,
    },
    /// Built for another schema.
    #[error("this program was built for another schema: rebuild it, or leave `schema_hash` out")]
    SchemaMismatch,
    /// No such world.
    #[error("no such world, and it may not be created: check its name, or set `create`")]
    UnknownWorld,
    /// The world exists with another space.
    #[error("the world has another space: connect with the right `create`, or without")]
    SpaceMismatch,
    /// The server is full, drains or sheds load.
    #[error("the server cannot take this session now ({code}): try again later")]
    Busy {
        /// Which limit.
        code: CloseCode,
        /// Milliseconds to wait, where the server said.
        retry_after_ms: Option<u32>,
    },
    /// No answer.
    #[error("the server cannot be reached: check address, port and firewall (`starling check`)")]
    Unreachable,
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: check the fingerprint or the roots")]
    Untrusted,
    /// A newer connection resumed this session.
    #[error("a newer connection of this client took the session over")]
    Replaced,
    /// Any other refusal.
    #[error("refused: {code} {reason}")]
    Refused {
        /// Why.
        code: CloseCode,
        /// The server's words.
        reason: String,
    },
}

impl ConnectError {
    /// From the server's refusal.
    #[must_use]
    pub fn from_refused(refused: Refused) -> Self {
        let Refused { code, reason, retry_after_ms } = refused;
        match code {
            CloseCode::VERSION => Self::Version,
            CloseCode::UNAUTHORIZED | CloseCode::EXPIRED => Self::Unauthorized { reason },
            CloseCode::FORBIDDEN => Self::Forbidden { reason },
            CloseCode::SCHEMA_MISMATCH => Self::SchemaMismatch,
            CloseCode::UNKNOWN_WORLD => Self::UnknownWorld,
            CloseCode::SPACE_MISMATCH => Self::SpaceMismatch,
            CloseCode::LOST => Self::Unreachable,
            CloseCode::UNTRUSTED => Self::Untrusted,
            CloseCode::REPLACED => Self::Replaced,
            CloseCode::GOING_AWAY => Self::Busy { code, retry_after_ms },
            _ if code.retry() == Retry::Later => Self::Busy { code, retry_after_ms },
            _ => Self::Refused { code, reason },
        }
    }

    /// From a close without a refusal.
    #[must_use]
    pub fn from_code(code: CloseCode) -> Self {
        Self::from_refused(Refused { code, reason: String::new(), retry_after_ms: None })
    }

    /// The code behind it.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::Version => CloseCode::VERSION,
            Self::Unauthorized { .. } => CloseCode::UNAUTHORIZED,
            Self::Forbidden { .. } => CloseCode::FORBIDDEN,
            Self::SchemaMismatch => CloseCode::SCHEMA_MISMATCH,
            Self::UnknownWorld => CloseCode::UNKNOWN_WORLD,
            Self::SpaceMismatch => CloseCode::SPACE_MISMATCH,
            Self::Unreachable => CloseCode::LOST,
            Self::Untrusted => CloseCode::UNTRUSTED,
            Self::Replaced => CloseCode::REPLACED,
            Self::Busy { code, .. } | Self::Refused { code, .. } => *code,
        }
    }
}

/// Why a request was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The session is closed for good.
    #[error("the session is closed: make a new one")]
    Closed,
    /// The world is not known yet.
    #[error("the session does not stand yet: wait for `Connected`")]
    NotLive,
    /// A bounded queue is full.
    #[error("too much waits to be sent: advance the session and try again")]
    Busy,
    /// More than one session may hold.
    #[error("a limit of the protocol is reached: release something first")]
    Limit,
    /// A name, payload or list is larger than its limit.
    #[error("larger than the protocol allows: make it smaller")]
    TooLarge,
    /// No such own entity, channel or kind.
    #[error("no such own entity, channel or kind: it was never made, or it is gone")]
    Unknown,
    /// Not a position of this world.
    #[error("not a position of this world: {0}")]
    Position(#[from] starling_protocol::space::PositionError),
    /// A value does not fit its field.
    #[error("the value does not fit its field: check the schema of the Welcome")]
    BadField,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_keeps_its_number_through_the_typed_error() {
        for &code in CloseCode::ALL {
            if code == CloseCode::EXPIRED {
                continue; // an expired token is told as any token that is refused
            }
            assert_eq!(ConnectError::from_code(code).code(), code, "{code}");
        }
    }
}
