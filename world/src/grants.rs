//! What a principal may do, checked at the moment of doing it.

/// Who is behind a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// Subject of the token; empty in open mode.
    pub subject: String,
    /// What it may do in this world.
    pub grants: Grants,
    /// The token ends here, in microseconds since the world's epoch; `None` in open mode.
    pub expires_us: Option<u64>,
}

/// What a session may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// May look: set areas of interest and get snapshots.
    pub see: bool,
    /// May own entities and say where they are.
    pub r#move: bool,
    /// May host the world.
    pub host: bool,
    /// Channels it may subscribe to.
    pub subscribe: Vec<Pattern>,
    /// Channels it may publish to, and `@near`, `@watchers`, `@session`, `@world` for scopes.
    pub publish: Vec<Pattern>,
}

/// A channel name, or a prefix that ends in `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(pub String);

impl Pattern {
    /// Does the pattern cover this name?
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.0 == name,
        }
    }
}

impl Grants {
    /// Everything but hosting: what open mode gives.
    #[must_use]
    pub fn open() -> Self {
        let all = vec![Pattern("*".into())];
        Self { see: true, r#move: true, host: false, subscribe: all.clone(), publish: all }
    }

    /// May it subscribe to this channel?
    #[must_use]
    pub fn may_subscribe(&self, channel: &str) -> bool {
        self.subscribe.iter().any(|p| p.matches(channel))
    }

    /// May it publish to this channel or scope?
    #[must_use]
    pub fn may_publish(&self, target: &str) -> bool {
        self.publish.iter().any(|p| p.matches(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_its_name_or_its_prefix() {
        assert!(Pattern("chat/*".into()).matches("chat/lobby"));
        assert!(!Pattern("chat/*".into()).matches("chat"));
        assert!(Pattern("news".into()).matches("news"));
        assert!(!Pattern("news".into()).matches("newspaper"));
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let none = Grants::default();
        assert!(!none.see && !none.r#move && !none.host);
        assert!(!none.may_subscribe("a") && !none.may_publish("a"));
    }
}
