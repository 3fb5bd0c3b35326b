//! One world: all of its state in one place.

use crate::admission::{Arrivals, Judges};
use crate::atlas::Atlas;
use crate::authority::{Game, Rules};
use crate::channel::Channels;
use crate::config::WorldConfig;
use crate::counters::Counters;
use crate::cue::CueBook;
use crate::durable::Durable;
use crate::entity::Entities;
use crate::erasure::Erasures;
use crate::interest::Interests;
use crate::replicate::Replication;
use crate::session::Sessions;
use crate::shed::Shed;
use crate::track::Tracks;
use starling_protocol::units::Tick;

/// One world. See the crate's documentation for its two doors, `step` and `tick`.
#[derive(Debug)]
pub struct World {
    /// How it behaves; fixed for its life.
    pub(crate) config: WorldConfig,
    /// The newest tick that was run; 0 before the first.
    pub(crate) now: Tick,
    /// The server's clock as of the newest tick, in milliseconds since 1970; 0 without one.
    pub(crate) unix_ms: u64,
    /// Everything that has a position.
    pub(crate) entities: Entities,
    /// The datagrams of the tick.
    pub(crate) arrivals: Arrivals,
    /// What was believed and doubted of each entity's samples.
    pub(crate) judges: Judges,
    /// What clients are told of each entity's movement.
    pub(crate) tracks: Tracks,
    /// Where everything is.
    pub(crate) atlas: Atlas,
    /// What each session looks at.
    pub(crate) interests: Interests,
    /// What each session was told.
    pub(crate) replication: Replication,
    /// What happened in the last few ticks.
    pub(crate) cues: CueBook,
    /// Who is connected, or was and may come back.
    pub(crate) sessions: Sessions,
    /// Named runs of events.
    pub(crate) channels: Channels,
    /// What is kept beyond the world's life.
    pub(crate) durable: Durable,
    /// Subjects whose events are being erased.
    pub(crate) erasures: Erasures,
    /// What it does without for now.
    pub(crate) shed: Shed,
    /// The game, where the server decides.
    pub(crate) rules: Rules,
    /// What is counted.
    pub(crate) counters: Counters,
}

impl World {
    /// An empty world before its first tick.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self {
            now: Tick(0),
            unix_ms: 0,
            entities: Entities::new(&config),
            arrivals: Arrivals::default(),
            judges: Judges::default(),
            tracks: Tracks::new(&config),
            atlas: Atlas::new(&config),
            interests: Interests::new(&config),
            replication: Replication::new(&config),
            cues: CueBook::default(),
            sessions: Sessions::default(),
            channels: Channels::new(&config),
            durable: Durable::default(),
            erasures: Erasures::default(),
            shed: Shed::default(),
            rules: Rules::none(),
            counters: Counters::default(),
            config,
        }
    }

    /// An empty world whose server decides by the rules of `game`.
    #[must_use]
    pub fn with_game(config: WorldConfig, game: Box<dyn Game>) -> Self {
        let rules = Rules::of(game, config.seed);
        Self { rules, ..Self::new(config) }
    }

    /// Who is connected, or was and may come back.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// How it behaves.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The newest tick that was run; 0 before the first.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Passes over ticks for which there was no time, so that the number of a tick tells the time.
    ///
    /// Nothing happens in them: samples wait for the next tick. What silence ends is put off by as
    /// long, for nobody could be heard (P8), and so is what slow reading ends, for nothing was
    /// written (P13): a server that stood still takes it out on no one. What age ends, such as tokens
    /// and kept events, is not.
    pub fn skip(&mut self, ticks: u32) {
        self.now = self.now + ticks;
        self.sessions.forgive(ticks);
        self.entities.forgive(ticks);
    }

    /// What was counted since the world began.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Everything that has a position.
    #[must_use]
    pub fn entities(&self) -> &Entities {
        &self.entities
    }
}
