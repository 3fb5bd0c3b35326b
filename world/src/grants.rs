//! What a principal may do, checked at the moment of doing it and of telling it.

use serde::{Deserialize, Serialize};

/// Who is behind a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Subject of the token; empty in open mode.
    pub subject: String,
    /// Name of the token (`jti`), by which it can be revoked; empty in open mode.
    pub token: String,
    /// What it may do in this world.
    pub grants: Grants,
    /// The token ends here, in microseconds since the world's epoch; `None` in open mode.
    pub expires_us: Option<u64>,
}

/// What a session may do. What is not granted is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// May look: set areas of interest and get snapshots.
    pub see: bool,
    /// May own entities and say where they are.
    pub r#move: bool,
    /// May host the world.
    pub host: bool,
    /// May erase what a subject published, everywhere in the world.
    pub admin: bool,
    /// Channels it may subscribe to.
    pub subscribe: Vec<Pattern>,
    /// Channels it may publish to, and `@near`, `@watchers`, `@session`, `@world`, `@user` for
    /// scopes.
    pub publish: Vec<Pattern>,
    /// Channels whose history it may read; `None` for those it may subscribe to.
    pub history: Option<Vec<Pattern>>,
    /// Channels whose members it may see and be among, `presence/` for the world's; `None` for
    /// lists that it may subscribe to by their own name, and to be among the members of every
    /// channel that it may subscribe to.
    pub presence: Option<Vec<Pattern>>,
    /// Channels on whose events it may set notes; `None` for those it may publish to.
    pub annotate: Option<Vec<Pattern>>,
    /// Channels in which it may change events of others.
    pub update_any: Vec<Pattern>,
    /// Channels in which it may delete events of others.
    pub delete_any: Vec<Pattern>,
}

/// Names of channels, segment by segment as a `/` parts them.
///
/// A segment `*` covers any one segment; a `*` at the end covers all that follows, however many
/// segments that is: `chat/*/typing`, `chat/*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pattern(pub String);

impl Pattern {
    /// Does the pattern cover this name?
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(head) => covers(head, true, name),
            None => covers(&self.0, false, name),
        }
    }
}

/// Does a pattern, without the `*` at its end where it is `open`, cover this name?
fn covers(mut pattern: &str, open: bool, mut name: &str) -> bool {
    while let Some((segment, rest)) = pattern.split_once('/') {
        match name.split_once('/') {
            Some((first, after)) if segment == "*" || segment == first => {
                (pattern, name) = (rest, after);
            }
            _ => return false,
        }
    }
    if open { name.starts_with(pattern) } else { name == pattern }
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

impl Grants {
    /// Everything but hosting, erasing and what is of others: what open mode gives.
    #[must_use]
    pub fn open() -> Self {
        let all = vec![Pattern("*".into())];
        let (see, r#move) = (true, true);
        Self { see, r#move, subscribe: all.clone(), publish: all, ..Self::default() }
    }

    /// May it subscribe to this channel?
    #[must_use]
    pub fn may_subscribe(&self, channel: &str) -> bool {
        any(&self.subscribe, channel)
    }

    /// May it subscribe to this channel by a pattern that names the kind of it, up to its first
    /// `/`?
    pub(crate) fn may_subscribe_by_name(&self, channel: &str) -> bool {
        let kind = channel.find('/').map_or(channel, |at| &channel[..=at]);
        self.subscribe.iter().any(|p| p.0.starts_with(kind) && p.matches(channel))
    }

    /// May it publish to this channel or scope?
    #[must_use]
    pub fn may_publish(&self, target: &str) -> bool {
        any(&self.publish, target)
    }

    /// May it read this channel's history?
    #[must_use]
    pub fn may_read(&self, channel: &str) -> bool {
        any(self.history.as_ref().unwrap_or(&self.subscribe), channel)
    }

    /// May it be among this channel's members?
    #[must_use]
    pub fn may_be_among(&self, channel: &str) -> bool {
        any(self.presence.as_ref().unwrap_or(&self.subscribe), channel)
    }

    /// May it see the members of this channel, whose list has the name `list`?
    #[must_use]
    pub fn may_see_members(&self, channel: &str, list: &str) -> bool {
        match &self.presence {
            Some(presence) => any(presence, channel),
            None => any(&self.subscribe, channel) && any(&self.subscribe, list),
        }
    }

    /// May it set notes on this channel's events?
    #[must_use]
    pub fn may_annotate(&self, channel: &str) -> bool {
        any(self.annotate.as_ref().unwrap_or(&self.publish), channel)
    }

    /// May it change this channel's events of others?
    #[must_use]
    pub fn may_update_any(&self, channel: &str) -> bool {
        any(&self.update_any, channel)
    }

    /// May it delete this channel's events of others?
    #[must_use]
    pub fn may_delete_any(&self, channel: &str) -> bool {
        any(&self.delete_any, channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern(pattern.into()).matches(name)
    }

    #[test]
    fn a_star_at_the_end_covers_all_that_follows() {
        assert!(matches("chat/*", "chat/lobby") && matches("chat/*", "chat/a/b"));
        assert!(!matches("chat/*", "chat") && !matches("chat/*", "chatter/a"));
        assert!(matches("news", "news") && !matches("news", "newspaper"));
        assert!(matches("*", "anything/at/all") && matches("*", ""));
    }

    #[test]
    fn a_star_between_covers_one_whole_segment() {
        assert!(matches("chat/*/typing", "chat/lobby/typing"));
        for other in ["chat/typing", "chat/a/b/typing", "chat/lobby/typing/x", "chat/lobby/typin"] {
            assert!(!matches("chat/*/typing", other), "{other}");
        }
        assert!(matches("*/news", "sports/news") && !matches("*/news", "news"));
        assert!(matches("*/rooms/*", "a/rooms/b/c") && !matches("*/rooms/*", "a/b/rooms/c"));
        assert!(!matches("a*b/c", "axb/c"), "a star is a whole segment or the end");
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let none = Grants::default();
        assert!(!none.see && !none.r#move && !none.host && !none.admin);
        assert!(!none.may_subscribe("a") && !none.may_publish("a") && !none.may_read("a"));
        assert!(!none.may_be_among("a") && !none.may_see_members("a", "presence/a"));
        assert!(!none.may_annotate("a") && !none.may_update_any("a") && !none.may_delete_any("a"));
    }

    #[test]
    fn what_is_named_narrows_what_follows_from_the_rest() {
        let open = Grants::open();
        assert!(open.may_read("a") && open.may_annotate("a") && open.may_be_among("a"));
        assert!(open.may_see_members("a", "presence/a") && !open.may_delete_any("a"));
        let only = |name: &str| Some(vec![Pattern(name.into())]);
        let narrow =
            Grants { history: only("b"), presence: only("b"), annotate: only("b"), ..open };
        assert!(!narrow.may_read("a") && narrow.may_read("b"));
        assert!(!narrow.may_be_among("a") && !narrow.may_see_members("a", "presence/a"));
        assert!(narrow.may_see_members("b", "presence/b") && !narrow.may_annotate("a"));
    }
}
