//! What names mean: plain channels, presence lists, counts, inboxes.
//!
//! | name | is |
//! |---|---|
//! | `presence/` | the world's list of sessions; the server alone writes it |
//! | `presence/<channel>` | the members of a channel; the server alone writes it |
//! | `count/`, `count/<channel>` | how many are on such a list; the server alone writes it |
//! | `user/<subject>` | what is for a user, whichever session it has; that user's alone |
//! | `session/...` | inboxes: each is its own session's, under key 0, and nobody else's |
//! | anything else | a plain channel |

use crate::realm::{Realm, User};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::CHANNEL_NAME_BYTES_MAX;

const PRESENCE: &str = "presence/";
const COUNTS: &str = "count/";
const USERS: &str = "user/";
const INBOXES: &str = "session/";
const RESERVED: [&str; 4] = [PRESENCE, COUNTS, USERS, INBOXES];

/// The world's list of sessions.
pub(crate) const WORLD_PRESENCE: &str = PRESENCE;

/// What a subscriber asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// A channel that is published to.
    Plain(&'a str),
    /// The members of this channel; of the world where empty.
    Presence(&'a str),
    /// How many members this channel has; the world where empty.
    Count(&'a str),
    /// What is for this user, who exists for the subscriber.
    User(User<'a>),
}

/// Reads a name that somebody of this realm gave.
///
/// # Errors
/// [`CloseCode::BAD_NAME`] when it is empty, too long or has characters that names may not have;
/// [`CloseCode::UNKNOWN_CHANNEL`] for an inbox, whether it exists or not; [`CloseCode::FORBIDDEN`] for
/// a user of another tenant, whether it exists or not (P12).
pub(crate) fn parse<'a>(name: &'a str, realm: Realm<'_>) -> Result<Name<'a>, CloseCode> {
    if name.starts_with(INBOXES) {
        return Err(CloseCode::UNKNOWN_CHANNEL);
    }
    if let Some(subject) = name.strip_prefix(USERS) {
        let user = realm.user(subject).map(Name::User).ok_or(CloseCode::FORBIDDEN);
        return if is_text(subject) { user } else { Err(CloseCode::BAD_NAME) };
    }
    if let Some(channel) = name.strip_prefix(COUNTS) {
        return of_channel(channel).map(Name::Count);
    }
    match name.strip_prefix(PRESENCE) {
        Some(channel) => of_channel(channel).map(Name::Presence),
        None if is_plain(name) => Ok(Name::Plain(name)),
        None => Err(CloseCode::BAD_NAME),
    }
}

/// The name of the channel of a user.
pub(crate) fn user(subject: &str) -> String {
    format!("{USERS}{subject}")
}

/// The name of a channel's presence list.
pub(crate) fn presence_of(channel: &str) -> String {
    format!("{PRESENCE}{channel}")
}

/// The name of what tells how many are on a presence list.
pub(crate) fn count_of(list: &str) -> String {
    format!("{COUNTS}{}", list.strip_prefix(PRESENCE).unwrap_or(list))
}

/// The name of the presence list that is counted under this name.
pub(crate) fn list_of_count(count: &str) -> String {
    presence_of(count.strip_prefix(COUNTS).unwrap_or(count))
}

/// The channel that a list is of, or nothing for the world.
fn of_channel(name: &str) -> Result<&str, CloseCode> {
    if name.is_empty() || is_plain(name) { Ok(name) } else { Err(CloseCode::BAD_NAME) }
}

/// Text that says nothing else: not starting with an `@` (scopes do), nor as reserved names do.
fn is_plain(name: &str) -> bool {
    is_text(name)
        && !name.starts_with(['@'])
        && !RESERVED.iter().any(|reserved| name.starts_with(reserved))
}

/// Text without control characters and without a `*` (patterns have it).
fn is_text(name: &str) -> bool {
    (1..=CHANNEL_NAME_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|c| c.is_control() || c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Result<Name<'_>, CloseCode> {
        super::parse(name, Realm::World)
    }

    #[test]
    fn names_say_what_they_are() {
        assert_eq!(parse("chat/lobby"), Ok(Name::Plain("chat/lobby")));
        assert_eq!(parse("presence/chat"), Ok(Name::Presence("chat")));
        assert_eq!(parse("presence/"), Ok(Name::Presence("")));
        assert_eq!(parse("count/chat"), Ok(Name::Count("chat")));
        assert_eq!(parse("count/"), Ok(Name::Count("")));
        assert!(matches!(parse("user/bob"), Ok(Name::User(user)) if user.is("bob")));
        assert_eq!(parse("session/7"), Err(CloseCode::UNKNOWN_CHANNEL));
    }

    #[test]
    fn bad_names_are_refused() {
        let long = "x".repeat(CHANNEL_NAME_BYTES_MAX + 1);
        let nested =
            ["presence/presence/a", "presence/session/1", "presence/user/bob", "count/count/a"];
        let others = ["", "@world", "a*", "a\nb", "user/", "user/*", &long];
        for bad in nested.into_iter().chain(others) {
            assert_eq!(parse(bad), Err(CloseCode::BAD_NAME), "{bad:?}");
        }
        assert!(parse(&long[1..]).is_ok());
    }
}
