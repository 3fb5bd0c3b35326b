//! Whose users somebody can name, by type.
//!
//! Where tenants meet, a subject begins with its tenant, and a user belongs to the two together.
//! A name that a client gave says `user/` and any subject; what a look-up takes is a [`User`], and only
//! the [`Realm`] of who asks makes one. So no grant, however wide, reaches the mail of another tenant,
//! and a look-up that forgot to ask does not compile (P12: nothing crosses tenants).

use crate::World;
use crate::config::Owner;
use crate::session::SessionIdx;

/// The users that exist for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realm<'a> {
    /// Of a world that is one tenant's, and for the server itself: all.
    World,
    /// Where tenants meet: those of this one.
    Tenant(&'a str),
    /// Where tenants meet, for who comes without a subject: none.
    Nobody,
}

/// A user that exists for who named it. Nothing but a realm makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User<'a>(&'a str);

impl<'a> Realm<'a> {
    /// The realm of a subject, as it is called in a world.
    pub(crate) fn of(owner: &Owner, subject: &'a str) -> Self {
        match (owner, subject.split_once('/')) {
            (Owner::Tenant(_), _) => Self::World,
            (Owner::Shared, Some((tenant, _))) => Self::Tenant(tenant),
            (Owner::Shared, None) => Self::Nobody,
        }
    }

    /// The user of this subject, if there is one here.
    pub(crate) fn user<'n>(self, subject: &'n str) -> Option<User<'n>> {
        let here = match self {
            Self::World => true,
            Self::Tenant(own) => subject.split_once('/').is_some_and(|(of, _)| of == own),
            Self::Nobody => false,
        };
        here.then_some(User(subject))
    }

    /// The subject that its people call so, who leave their tenant out.
    pub(crate) fn subject(self, called: String) -> Option<String> {
        match self {
            Self::World => Some(called),
            Self::Tenant(tenant) if !called.is_empty() => Some(format!("{tenant}/{called}")),
            Self::Tenant(_) | Self::Nobody => None,
        }
    }
}

impl User<'_> {
    /// Is it whoever has this subject?
    pub(crate) fn is(self, subject: &str) -> bool {
        self.0 == subject
    }
}

impl World {
    /// The users that exist for a session.
    pub(crate) fn realm(&self, idx: SessionIdx) -> Realm<'_> {
        Realm::of(&self.config.owner, &self.sessions[idx].principal.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tenants_meet_each_has_its_own_users() {
        let acme = Realm::of(&Owner::Shared, "acme/eve");
        assert!(acme.user("acme/bob").is_some_and(|user| user.is("acme/bob")));
        for other in ["umbra/bob", "bob", "/bob", "acme", "acmes/bob", ""] {
            assert_eq!(acme.user(other), None, "{other:?}");
        }
        assert_eq!(Realm::of(&Owner::Shared, ""), Realm::Nobody);
        assert_eq!(Realm::Nobody.user("acme/bob"), None);
        let unnamed = Realm::of(&Owner::Shared, "/eve");
        assert!(unnamed.user("/bob").is_some() && unnamed.user("acme/bob").is_none());
    }

    #[test]
    fn a_world_of_one_tenant_has_all_its_users() {
        let realm = Realm::of(&Owner::Tenant("acme".into()), "eve");
        assert!(realm.user("bob").is_some() && realm.user("a/b").is_some());
    }
}
