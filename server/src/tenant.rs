//! Whose is what, by type: what belongs to a tenant cannot be asked for by a name alone.
//!
//! A world is one tenant's, or shared. Everything else (channels, members, sessions, the inboxes of
//! users) lives in a world, and a world knows no other. So there is one place at which tenants could
//! meet, the directory of worlds, and it is asked with a [`Scoped`] name only. One of those is made
//! from a token that was verified, and carries its tenant (P12: nothing crosses tenants):
//!
//! ```
//! use starling_server::auth::Verified;
//! let acme = Verified { tenant: "acme".into(), ..Verified::default() };
//! assert_eq!(acme.scope("arena").value(), &"arena");
//! ```
//!
//! Nobody can make one for another tenant:
//!
//! ```compile_fail,E0451
//! use starling_server::tenant::Scoped;
//! let stolen = Scoped { tenant: "acme".to_owned(), value: "arena" };
//! ```
//!
//! and nobody can look a world up without one:
//!
//! ```compile_fail,E0308
//! # fn look(directory: &starling_server::room::directory::Directory) {
//! directory.find("arena");
//! # }
//! ```

use crate::auth::Verified;
use starling_world::config::Owner;
use std::fmt;

/// Something as one tenant means it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scoped<T> {
    tenant: String,
    value: T,
}

impl Verified {
    /// The value as whoever has this token means it.
    pub fn scope<T>(&self, value: T) -> Scoped<T> {
        Scoped { tenant: self.tenant.clone(), value }
    }
}

impl<T> Scoped<T> {
    /// The value as a tenant means it that the operator of the server names.
    pub(crate) fn of_operator(tenant: &str, value: T) -> Self {
        Self { tenant: tenant.to_owned(), value }
    }

    /// Is it this tenant's?
    pub(crate) fn is_of(&self, tenant: &str) -> bool {
        self.tenant == tenant
    }

    /// What it is.
    pub const fn value(&self) -> &T {
        &self.value
    }
}

/// The key of a world: whose it is and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorldKey {
    owner: Owner,
    name: String,
}

impl WorldKey {
    /// Of a world that the configuration names.
    pub(crate) fn listed(owner: &Owner, name: &str) -> Self {
        Self { owner: owner.clone(), name: name.to_owned() }
    }

    /// What a name can mean to a tenant: a world of its own first, then a shared one.
    pub(crate) fn meant(name: &Scoped<&str>) -> [Self; 2] {
        let own = Owner::Tenant(name.tenant.clone());
        [own, Owner::Shared].map(|owner| Self { owner, name: name.value.to_owned() })
    }

    /// Whose it is.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }
}

impl WorldKey {
    /// Whose rows its rows are in a store. P12: no two worlds are one there, whatever their names.
    pub(crate) fn kept_as(&self) -> String {
        match &self.owner {
            Owner::Tenant(tenant) => format!("{}:{tenant}{}", tenant.len(), self.name),
            Owner::Shared => format!("shared:{}", self.name),
        }
    }
}

impl fmt::Display for WorldKey {
    /// For operators: `arena`, or `arena@acme` where a tenant has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Owner::Tenant(tenant) if !tenant.is_empty() => write!(f, "{}@{tenant}", self.name),
            _ => f.write_str(&self.name),
        }
    }
}

/// The subject of a token within a world. Where tenants meet, each has its own names, so that none
/// can pass for one of another's.
pub(crate) fn subject_in(owner: &Owner, tenant: &str, subject: &str) -> String {
    match owner {
        Owner::Shared if !subject.is_empty() => format!("{}{subject}", beginning(tenant)),
        _ => subject.to_owned(),
    }
}

/// The beginning of every subject of a tenant in a shared world.
pub(crate) fn beginning(tenant: &str) -> String {
    format!("{tenant}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tenant: &str) -> Verified {
        Verified { tenant: tenant.into(), ..Verified::default() }
    }

    #[test]
    fn the_same_name_is_another_world_to_another_tenant() {
        let [own, shared] = WorldKey::meant(&of("acme").scope("arena"));
        let [other, same] = WorldKey::meant(&of("umbra").scope("arena"));
        assert!(own != other && shared == same);
        assert_eq!((own.to_string(), shared.to_string()), ("arena@acme".into(), "arena".into()));
    }

    #[test]
    fn where_tenants_meet_their_subjects_differ() {
        let shared = |tenant: &str| subject_in(&Owner::Shared, tenant, "eve");
        assert_ne!(shared("acme"), shared("umbra"));
        assert_eq!((shared("acme"), shared("")), ("acme/eve".into(), "/eve".into()));
        assert_eq!(subject_in(&Owner::Tenant("acme".into()), "acme", "eve"), "eve");
    }
}
