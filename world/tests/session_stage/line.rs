//! One client's connection, as a random test plays it.

use super::dice::Dice;
use super::{Guest, Stage};
use starling_protocol::message::events::EventDown;
use std::collections::VecDeque;

/// A connection, and what it was told and nobody read yet: lost if the connection is.
pub struct Line {
    pub guest: Guest,
    pub online: bool,
    pub unread: VecDeque<EventDown>,
}

impl Line {
    pub const fn of(guest: Guest) -> Self {
        Self { guest, online: true, unread: VecDeque::new() }
    }

    /// It stands again, on another connection.
    pub fn again(&mut self, guest: Guest) {
        (self.guest, self.online) = (guest, true);
    }

    /// The connection is gone, and what was not read.
    pub fn cut(&mut self) {
        self.online = false;
        self.unread.clear();
    }

    /// The same, and the world hears of it or does not.
    pub fn lose(&mut self, stage: &mut Stage, dice: &mut Dice) {
        self.cut();
        if dice.roll(2) == 0 {
            stage.detach(self.guest.conn);
        }
    }

    /// From now on it takes one of these numbers of bytes in a tick.
    pub fn narrow(&self, stage: &mut Stage, dice: &mut Dice, bytes: &[u32]) {
        stage.allow(self.guest.conn, bytes[dice.roll(bytes.len() as u64) as usize]);
    }

    /// Takes what was written; a connection that the world closed is lost.
    pub fn listen(&mut self, stage: &mut Stage) {
        let told = stage.events(self.guest.conn);
        if self.online {
            self.unread.extend(told);
            if stage.closed(self.guest.conn).is_some() {
                self.cut();
            }
        }
    }
}
