//! Channels: subscriptions, their positions, what arrives on them, and what is published.

mod presence;
mod publish;
mod subscription;

pub use presence::PresenceList;
pub use publish::{Publication, PublishStatus};
pub use subscription::{SubscribeOptions, Subscription, SubscriptionState};

pub(crate) use publish::Publishes;
pub(crate) use subscription::{Heard, Subscriptions};
