//! Close and refusal codes.
//!
//! The range says what a client does next, so that a code it does not know is still useful:
//!
//! | range | meaning |
//! |---|---|
//! | 1000-1999 | retry now, with resume where a token is held |
//! | 2000-2999 | retry later: wait for `retry_after`, or back off |
//! | 3000-3999 | never: the same request would be refused again |

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a client does after a close or a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Connect again at once.
    Now,
    /// Connect again after the time stated, or with back-off.
    Later,
    /// Do not connect again without a change.
    Never,
}

/// A reason for which a connection ended or a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CloseCode(pub u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $label:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every documented code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The documented short name, or `unknown`.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self.0 { $($number => $label,)* _ => "unknown" }
            }
        }
    };
}

codes! {
    /// The peer said goodbye.
    GOODBYE = 1000, "goodbye";
    /// The connection was lost: silence beyond the idle timeout, or a reset.
    LOST = 1001, "lost";
    /// The server is draining.
    GOING_AWAY = 1002, "going_away";
    /// A newer connection resumed this session.
    REPLACED = 1003, "replaced";
    /// The session could not keep up and was closed with its state parked.
    SLOW_CONSUMER = 1004, "slow_consumer";

    /// The server is full or sheds load.
    OVERLOADED = 2000, "overloaded";
    /// This client sent more than its rate allows.
    RATE_LIMITED = 2001, "rate_limited";
    /// The server holds as many worlds as it may.
    TOO_MANY_WORLDS = 2002, "too_many_worlds";
    /// The world holds as many sessions as it may.
    WORLD_FULL = 2003, "world_full";
    /// The first message did not arrive in time.
    HELLO_TIMEOUT = 2004, "hello_timeout";
    /// Something broke inside the server; the session was given up.
    INTERNAL = 2005, "internal";
    /// The access token expired in mid-session and was not refreshed.
    EXPIRED = 2006, "expired";
    /// The disk is full: durable channels take nothing until there is room.
    STORE_FULL = 2007, "store_full";
    /// The disk is behind, or failed: durable channels take nothing now.
    STORE_BUSY = 2008, "store_busy";

    /// The bytes do not follow the protocol.
    PROTOCOL_ERROR = 3000, "protocol_error";
    /// No version in common.
    VERSION = 3001, "version";
    /// The token was refused; the server's log says why.
    UNAUTHORIZED = 3002, "unauthorized";
    /// The token does not grant this.
    FORBIDDEN = 3003, "forbidden";
    /// The client was built for another schema.
    SCHEMA_MISMATCH = 3004, "schema_mismatch";
    /// No such world, and it may not be created.
    UNKNOWN_WORLD = 3005, "unknown_world";
    /// The world exists with another space.
    SPACE_MISMATCH = 3006, "space_mismatch";
    /// A message was larger than its limit.
    TOO_LARGE = 3007, "too_large";
    /// A limit on what one session may hold was reached.
    LIMIT = 3008, "limit";
    /// The name is taken, empty, too long or not allowed.
    BAD_NAME = 3009, "bad_name";
    /// No such channel, or none that may be seen.
    UNKNOWN_CHANNEL = 3010, "unknown_channel";
    /// No such entity, or none that may be touched.
    UNKNOWN_ENTITY = 3011, "unknown_entity";
    /// The position is not finite or not in the world's range.
    BAD_POSITION = 3012, "bad_position";
    /// No such kind in the world's schema.
    UNKNOWN_KIND = 3013, "unknown_kind";
    /// A field's value does not fit its type.
    BAD_FIELD = 3014, "bad_field";
    /// The expected offset was not the channel's top.
    CONFLICT = 3015, "conflict";
    /// The area of interest is malformed.
    BAD_INTEREST = 3016, "bad_interest";
    /// The world's authority does not take this input from this session.
    WRONG_AUTHORITY = 3017, "wrong_authority";
    /// Sustained abuse: floods, garbage or resets.
    ABUSE = 3018, "abuse";
    /// The server's certificate is not the one that the client trusts. Said by the client only.
    UNTRUSTED = 3019, "untrusted";
    /// What the disk holds of this channel is damaged: it stands still.
    STORE_DAMAGED = 3020, "store_damaged";
    /// The grant was withdrawn.
    REVOKED = 3021, "revoked";
}

impl CloseCode {
    /// What a client does next.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self.0 {
            0..2000 => Retry::Now,
            2000..3000 => Retry::Later,
            _ => Retry::Never,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.label(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_its_own_number_and_label() {
        let numbers: BTreeSet<_> = CloseCode::ALL.iter().map(|c| c.0).collect();
        let labels: BTreeSet<_> = CloseCode::ALL.iter().map(|c| c.label()).collect();
        assert_eq!(numbers.len(), CloseCode::ALL.len());
        assert_eq!(labels.len(), CloseCode::ALL.len());
    }

    #[test]
    fn the_range_says_what_to_do_next() {
        assert_eq!(CloseCode::REPLACED.retry(), Retry::Now);
        assert_eq!(CloseCode::OVERLOADED.retry(), Retry::Later);
        assert_eq!(CloseCode::VERSION.retry(), Retry::Never);
        assert_eq!(CloseCode(9999).retry(), Retry::Never);
    }
}
