//! What a Starling token says.
//!
//! ```json
//! { "iss": "starling", "aud": "starling", "sub": "player-7", "jti": "b1c9...",
//!   "tenant": "acme", "iat": 1767225600, "exp": 1767229200,
//!   "worlds": ["arena", "test/*"], "see": true, "move": true, "host": false,
//!   "subscribe": ["chat/*"], "publish": ["chat/*", "@near"], "history": ["chat/lobby"],
//!   "presence": ["chat/*"], "annotate": ["chat/*"], "delete_any": ["chat/*/offers"],
//!   "admin": false }
//! ```
//! What is not granted is denied. Claims that Starling does not know are ignored, as RFC 7519
//! section 4 asks; a claim that it knows and that is there twice is refused.

use serde::{Deserialize, Serialize};
use starling_world::grants::{Grants, Pattern};

/// The claims of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made the token.
    pub iss: String,
    /// For whom it is meant.
    pub aud: Audience,
    /// Whom it speaks of.
    pub sub: String,
    /// Its own name, for the log.
    pub jti: String,
    /// Whose worlds it is for; those without an owner where it is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// Unix seconds at which it was made.
    pub iat: u64,
    /// Unix seconds at which it ends.
    pub exp: u64,
    /// Unix seconds before which it is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Names of worlds, or prefixes that end in `*`.
    #[serde(default)]
    pub worlds: Vec<String>,
    /// May look.
    #[serde(default)]
    pub see: bool,
    /// May own entities and say where they are.
    #[serde(default)]
    pub r#move: bool,
    /// May host a world.
    #[serde(default)]
    pub host: bool,
    /// May erase what a subject published.
    #[serde(default)]
    pub admin: bool,
    /// Channels that it may subscribe to, as [`Pattern`]s.
    #[serde(default)]
    pub subscribe: Vec<String>,
    /// Channels that it may publish to, or scopes: `@near`, `@watchers`, `@session`, `@world`,
    /// `@user`.
    #[serde(default)]
    pub publish: Vec<String>,
    /// Channels whose history it may read; those of `subscribe` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<String>>,
    /// Channels whose members it may see and be among; by `subscribe` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Vec<String>>,
    /// Channels on whose events it may set notes; those of `publish` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotate: Option<Vec<String>>,
    /// Channels in which it may change events of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update_any: Vec<String>,
    /// Channels in which it may delete events of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete_any: Vec<String>,
}

/// One audience or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::One(String::new())
    }
}

impl Audience {
    /// Is this one of them?
    #[must_use]
    pub fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

impl std::fmt::Display for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(one) => f.write_str(one),
            Self::Several(several) => f.write_str(&several.join(" ")),
        }
    }
}

impl Claims {
    /// What the claims grant.
    #[must_use]
    pub fn grants(&self) -> Grants {
        Grants {
            see: self.see,
            r#move: self.r#move,
            host: self.host,
            admin: self.admin,
            subscribe: patterns(&self.subscribe),
            publish: patterns(&self.publish),
            history: self.history.as_deref().map(patterns),
            presence: self.presence.as_deref().map(patterns),
            annotate: self.annotate.as_deref().map(patterns),
            update_any: patterns(&self.update_any),
            delete_any: patterns(&self.delete_any),
        }
    }
}

/// Names and prefixes as the core takes them.
#[must_use]
pub fn patterns(names: &[String]) -> Vec<Pattern> {
    names.iter().cloned().map(Pattern).collect()
}
