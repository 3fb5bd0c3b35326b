//! Whose a world is.

use super::worlds::WorldEntry;
use crate::auth::jwt::{TENANT_BYTES_MAX, is_tenant};
use starling_world::config::Owner;

/// Whose a world is as written.
pub(super) fn owner(entry: &WorldEntry) -> Result<Owner, String> {
    match &entry.tenant {
        Some(_) if entry.shared => Err("a shared world is no tenant's".into()),
        Some(tenant) if !is_tenant(tenant) => {
            Err(format!("a tenant has at most {TENANT_BYTES_MAX} bytes and neither `/` nor `@`"))
        }
        None if entry.shared => Ok(Owner::Shared),
        tenant => Ok(Owner::Tenant(tenant.clone().unwrap_or_default())),
    }
}

/// Would worlds of one name and these owners have one label?
pub(super) fn meets(one: &Owner, other: &Owner) -> bool {
    let plain = |owner: &Owner| match owner {
        Owner::Tenant(tenant) => tenant.is_empty(),
        Owner::Shared => true,
    };
    one == other || (plain(one) && plain(other))
}
