//! The host stream: what a trusted session needs to run a world for others.

use crate::units::{Handle, SessionId, Tick};
use serde::{Deserialize, Serialize};

/// Server to host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HostDown {
    /// A player came.
    Joined {
        /// Its session.
        session: SessionId,
        /// Subject of its token; empty in open mode.
        subject: String,
    },
    /// A player left.
    Left {
        /// Its session.
        session: SessionId,
    },
    /// The inputs that arrived for this tick, in order of session and number.
    Inputs {
        /// The tick that folds them.
        tick: Tick,
        /// Each once.
        inputs: Vec<PlayerInput>,
    },
}

/// One numbered input of a player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerInput {
    /// Whose.
    pub session: SessionId,
    /// The player's own number, counting up by one.
    pub number: u16,
    /// The game's bytes.
    pub payload: Vec<u8>,
}

/// Host to server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HostUp {
    /// This entity of mine is that player's avatar: its areas of interest centre here.
    Avatar {
        /// Which of mine.
        handle: Handle,
        /// Whose.
        session: SessionId,
    },
    /// The newest input of a player that the host has applied, for its prediction.
    Applied {
        /// Whose.
        session: SessionId,
        /// The newest number.
        number: u16,
    },
}
