//! What names mean: plain channels, presence lists, inboxes.
//!
//! | name | is |
//! |---|---|
//! | `presence/` | the world's list of sessions; the server alone writes it |
//! | `presence/<channel>` | the members of a channel; the server alone writes it |
//! | `session/...` | inboxes: each is its own session's, under key 0, and nobody else's |
//! | anything else | a plain channel |

use starling_protocol::close::CloseCode;
use starling_protocol::limits::CHANNEL_NAME_BYTES_MAX;

const PRESENCE: &str = "presence/";
const INBOXES: &str = "session/";

/// The world's list of sessions.
pub(crate) const WORLD_PRESENCE: &str = PRESENCE;

/// What a subscriber asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// A channel that is published to.
    Plain(&'a str),
    /// The members of this channel; of the world where empty.
    Presence(&'a str),
}

/// Reads a name that a client gave.
///
/// # Errors
/// [`CloseCode::BAD_NAME`] when it is empty, too long or has characters that names may not have;
/// [`CloseCode::UNKNOWN_CHANNEL`] for an inbox, whether it exists or not.
pub(crate) fn parse(name: &str) -> Result<Name<'_>, CloseCode> {
    if name.starts_with(INBOXES) {
        return Err(CloseCode::UNKNOWN_CHANNEL);
    }
    match name.strip_prefix(PRESENCE) {
        Some("") => Ok(Name::Presence("")),
        Some(channel) if is_plain(channel) => Ok(Name::Presence(channel)),
        None if is_plain(name) => Ok(Name::Plain(name)),
        _ => Err(CloseCode::BAD_NAME),
    }
}

/// The name of a channel's presence list.
pub(crate) fn presence_of(channel: &str) -> String {
    format!("{PRESENCE}{channel}")
}

/// Text without control characters, without a `*` (patterns have it) and not starting with an
/// `@` (scopes do).
fn is_plain(name: &str) -> bool {
    (1..=CHANNEL_NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with(['@'])
        && ![PRESENCE, INBOXES].iter().any(|reserved| name.starts_with(reserved))
        && !name.chars().any(|c| c.is_control() || c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        assert_eq!(parse("chat/lobby"), Ok(Name::Plain("chat/lobby")));
        assert_eq!(parse("presence/chat"), Ok(Name::Presence("chat")));
        assert_eq!(parse("presence/"), Ok(Name::Presence("")));
        assert_eq!(parse("session/7"), Err(CloseCode::UNKNOWN_CHANNEL));
    }

    #[test]
    fn bad_names_are_refused() {
        let long = "x".repeat(CHANNEL_NAME_BYTES_MAX + 1);
        for bad in ["", "@world", "a*", "a\nb", "presence/presence/a", "presence/session/1", &long]
        {
            assert_eq!(parse(bad), Err(CloseCode::BAD_NAME), "{bad:?}");
        }
        assert!(parse(&long[1..]).is_ok());
    }
}
