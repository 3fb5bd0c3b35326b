//! Channels: subscriptions, their positions, what arrives on them, and what is published.

mod erasures;
mod history;
mod leases;
mod presence;
mod publish;
mod receipts;
mod state;
mod subscription;

pub use erasures::EraseStatus;
pub use history::{History, PageStatus};
pub use presence::PresenceList;
pub use publish::{Note, Publication, PublishStatus};
pub use receipts::UnreadStatus;
pub use state::KeyedState;
pub use subscription::{PresenceCount, SubscribeOptions, Subscription, SubscriptionState};

pub(crate) use erasures::{Erasures, FIRST_ERASURE};
pub(crate) use history::{FIRST_PAGE, Pages};
pub(crate) use presence::OwnPresence;
pub(crate) use publish::Publishes;
pub(crate) use receipts::{FIRST_REQUEST, Receipts};
pub(crate) use subscription::{Heard, Subscriptions};
