//! The prediction that both sides share. Integers only: it is wire.

use serde::{Deserialize, Serialize};

/// How the positions of a world are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrackKind {
    /// Games: a canonical line with a dead band, broken by knots.
    Knots,
    /// Fleets: the accepted fixes themselves, predicted along the line through the last two.
    Fixes,
}
