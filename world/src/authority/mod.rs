//! Who moves what: clients, the world's own game, or a host.
//!
//! | authority | positions come from | players' numbered inputs go to |
//! |---|---|---|
//! | client | each owner | nobody: they are refused |
//! | server | [`Game::step`] | [`Game::step`] of the next tick |
//! | host | the hosting session | the hosting session, with the next tick |
//!
//! Inputs are taken from datagrams when a tick begins (`World::take_input`) and handed on in the
//! same tick, in order of session and number, each once.

mod context;
mod host;
pub(crate) mod inputs;
pub mod tag;

pub use context::{CueTo, GameContext, Motion, NewEntity};

use crate::World;
use crate::output::Output;
use crate::session::SessionIdx;
use inputs::Arrival;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{Authority, RequestKind};
use starling_protocol::message::host::PlayerInput;
use starling_protocol::units::{SessionId, Tick};

/// The rules of a world whose server decides.
///
/// The same inputs in the same ticks must give the same moves: no clock, no threads, and no random
/// numbers but the context's.
pub trait Game: std::fmt::Debug + Send {
    /// Runs one tick.
    fn step(&mut self, context: &mut GameContext<'_>);

    /// A number for all of its state, so that two runs can be compared. A game whose state is in
    /// its entities has none of its own.
    fn checksum(&self) -> u64 {
        0
    }
}

/// A player came or left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayerEvent {
    /// It is here from this tick on.
    Joined {
        /// Its session.
        player: SessionId,
        /// Subject of its token; empty in open mode.
        subject: String,
    },
    /// It is here no more: it ended, or was silent for too long. It may join again.
    Left {
        /// Its session.
        player: SessionId,
    },
}

/// The game of a world, and what waits for its next step.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    game: Option<Box<dyn Game>>,
    /// Comings and goings since the last tick; at most two for each session and tick.
    comings: Vec<PlayerEvent>,
    random: u64,
}

impl Rules {
    /// No game: clients or a host decide.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// This game decides.
    pub(crate) fn of(game: Box<dyn Game>, seed: u64) -> Self {
        Self { game: Some(game), comings: Vec::new(), random: seed }
    }

    /// One step of splitmix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The game's own sum, and how far the seed was used.
    pub(crate) fn checksum(&self) -> u64 {
        self.random ^ self.game.as_ref().map_or(0, |game| game.checksum())
    }
}

impl World {
    /// Takes in one numbered input of a datagram; repeats and late ones are counted only.
    pub(crate) fn take_input(&mut self, idx: SessionIdx, number: u16, payload: &[u8]) {
        let hosts = self.sessions.host == Some(idx);
        if self.config.authority == Authority::Client || hosts {
            return self.refuse_input(idx, CloseCode::WRONG_AUTHORITY);
        }
        if !self.sessions[idx].principal.grants.r#move {
            return self.refuse_input(idx, CloseCode::FORBIDDEN);
        }
        let counter = match self.sessions[idx].inputs.push(number, payload) {
            Arrival::Taken => &mut self.counters.inputs_taken,
            Arrival::Old => &mut self.counters.inputs_repeated,
            Arrival::Dropped => &mut self.counters.inputs_dropped,
        };
        *counter += 1;
    }

    /// Hands the inputs of this tick to whoever decides. After admission, before anything moves.
    pub(crate) fn run_authority(&mut self, out: &mut Output) {
        match self.config.authority {
            Authority::Client => self.rules.comings.clear(),
            Authority::Server => self.run_game(out),
            Authority::Host => self.forward_inputs(),
        }
    }

    /// A player is here.
    pub(crate) fn player_arrived(&mut self, idx: SessionIdx) {
        let session = &self.sessions[idx];
        let (player, subject) = (session.id, session.principal.subject.clone());
        match self.config.authority {
            Authority::Client => {}
            Authority::Server => self.rules.comings.push(PlayerEvent::Joined { player, subject }),
            Authority::Host => self.tell_host_joined(idx),
        }
    }

    /// A player is here no more.
    pub(crate) fn player_left(&mut self, idx: SessionIdx) {
        let player = self.sessions[idx].id;
        match self.config.authority {
            Authority::Client => {}
            Authority::Server => self.rules.comings.push(PlayerEvent::Left { player }),
            Authority::Host => self.tell_host_left(idx),
        }
    }

    fn run_game(&mut self, out: &mut Output) {
        let inputs = self.drain_inputs();
        // Taken out for the call, so that the game and its context do not share a borrow.
        let Some(mut game) = self.rules.game.take() else { return };
        let comings = std::mem::take(&mut self.rules.comings);
        game.step(&mut GameContext::new(self, &comings, &inputs, out));
        self.rules.game = Some(game);
        for PlayerInput { session, number, .. } in inputs {
            if let Some(idx) = self.sessions.by_id(session) {
                self.sessions[idx].inputs.apply(number);
            }
        }
    }

    /// Every input that waits, in order of session row and number.
    fn drain_inputs(&mut self) -> Vec<PlayerInput> {
        let mut inputs = Vec::new();
        for (id, queue) in self.sessions.queues() {
            while let Some(input) = queue.pop() {
                let (number, payload) = (input.number, input.payload);
                inputs.push(PlayerInput { session: id, number, payload });
            }
        }
        inputs
    }

    /// Told at most once a second, however many inputs are sent.
    fn refuse_input(&mut self, idx: SessionIdx, code: CloseCode) {
        self.counters.inputs_refused += 1;
        let second = u32::from(self.config.tick_rate.hz());
        let told = &mut self.sessions[idx].input_refusal_told;
        let due = told.is_none_or(|at: Tick| self.now.since(at).is_some_and(|t| t >= second));
        if due {
            *told = Some(self.now);
            self.refuse_request(idx, RequestKind::Input, code);
        }
    }
}
