//! Which snapshot datagrams have arrived, as a client keeps it.

use crate::limits::{ACK_BITS, FOLD_TICKS};
use crate::planted::{self, Bug};
use crate::units::Tick;
use crate::uplink::Ack;

/// The newest datagram that was applied, and the 32 before it.
///
/// Sequences travel as eight bits. Within [`FOLD_TICKS`] ticks a server sends at most 128
/// datagrams, so these are clear; after a longer silence the older bits are forgotten, which costs
/// a baseline and never a lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct AckState {
    newest: Option<(Tick, u8)>,
    bits: u32,
}

impl AckState {
    /// What the next uplink datagram says; `None` before the first snapshot.
    #[must_use]
    pub fn ack(&self) -> Option<Ack> {
        let (tick, sequence) = self.newest?;
        Some(Ack { tick: tick.low16(), sequence, bits: self.bits })
    }

    /// Was this datagram noted?
    #[must_use]
    pub fn has(&self, tick: Tick, sequence: u8) -> bool {
        match self.place(tick, sequence) {
            Place::Newest => true,
            Place::Bit(bit) => self.bits >> bit & 1 == 1,
            Place::Newer(_) | Place::Unknown => false,
        }
    }

    /// Notes a datagram that was applied.
    pub fn note(&mut self, tick: Tick, sequence: u8) {
        match self.place(tick, sequence) {
            Place::Bit(bit) => self.bits |= 1 << bit,
            Place::Newer(ahead) => {
                self.bits = match ahead {
                    Some(ahead) if u32::from(ahead) < ACK_BITS => {
                        (self.bits << 1 | 1) << (ahead - 1)
                    }
                    Some(ahead) if u32::from(ahead) == ACK_BITS => 1 << (ACK_BITS - 1),
                    _ => 0,
                };
                let before = u8::from(planted::is(Bug::AckLost) && ahead == Some(2));
                let tick = Tick(tick.0 - u32::from(before));
                self.newest = Some((tick, sequence.wrapping_sub(before)));
            }
            Place::Newest | Place::Unknown => {}
        }
    }

    fn place(&self, tick: Tick, sequence: u8) -> Place {
        let Some((newest_tick, newest)) = self.newest else { return Place::Newer(None) };
        let ticks = i64::from(tick.0) - i64::from(newest_tick.0);
        if ticks > FOLD_TICKS as i64 {
            return Place::Newer(None);
        }
        let ahead = sequence.wrapping_sub(newest);
        let behind = newest.wrapping_sub(sequence);
        match ticks {
            1.. => Place::Newer((ahead > 0).then_some(ahead)),
            0 if ahead == 0 => Place::Newest,
            0 if ahead < 128 => Place::Newer(Some(ahead)),
            _ if ticks < -(FOLD_TICKS as i64) || behind == 0 => Place::Unknown,
            _ if u32::from(behind) <= ACK_BITS => Place::Bit(u32::from(behind) - 1),
            _ => Place::Unknown,
        }
    }
}

/// Where a datagram stands against the newest.
enum Place {
    Newest,
    /// By so many sequences; `None` where that cannot be known.
    Newer(Option<u8>),
    Bit(u32),
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acked(state: &AckState) -> Vec<u8> {
        let Some(ack) = state.ack() else { return Vec::new() };
        let before = (0..32).filter(|i| ack.bits >> i & 1 == 1);
        let before = before.map(|i| ack.sequence.wrapping_sub(1 + i as u8));
        std::iter::once(ack.sequence).chain(before).collect()
    }

    fn noted(datagrams: &[(u32, u8)]) -> AckState {
        let mut state = AckState::default();
        datagrams.iter().for_each(|(tick, sequence)| state.note(Tick(*tick), *sequence));
        state
    }

    #[test]
    fn datagrams_in_order_fill_the_bits() {
        assert_eq!(acked(&noted(&[(5, 254), (6, 255), (7, 0), (7, 1)])), [1, 0, 255, 254]);
    }

    #[test]
    fn a_hole_is_filled_by_a_late_datagram() {
        assert_eq!(acked(&noted(&[(5, 10), (7, 12)])), [12, 10]);
        assert_eq!(acked(&noted(&[(5, 10), (7, 12), (6, 11)])), [12, 11, 10]);
    }

    #[test]
    fn a_duplicate_changes_nothing() {
        let once = noted(&[(5, 10), (6, 11)]);
        let twice = noted(&[(5, 10), (6, 11), (6, 11), (5, 10)]);
        assert_eq!(once.ack(), twice.ack());
        assert!(twice.has(Tick(5), 10) && twice.has(Tick(6), 11) && !twice.has(Tick(6), 12));
    }

    #[test]
    fn the_bits_reach_32_datagrams_back_and_no_further() {
        assert_eq!(acked(&noted(&[(5, 10), (8, 42)])), [42, 10]);
        assert_eq!(acked(&noted(&[(5, 10), (8, 43)])), [43]);
        assert_eq!(acked(&noted(&[(8, 43), (5, 10)])), [43]);
    }

    #[test]
    fn after_a_long_silence_older_bits_are_forgotten() {
        assert_eq!(acked(&noted(&[(5, 10), (21, 11)])), [11, 10]);
        assert_eq!(acked(&noted(&[(5, 10), (22, 11)])), [11]);
        assert_eq!(acked(&noted(&[(5, 10), (22, 10)])), [10]);
    }

    proptest! {
        /// A server that sends up to eight datagrams a tick, of which some arrive, in any order
        /// within a few ticks: what is acknowledged has arrived.
        #[test]
        fn nothing_is_acknowledged_that_did_not_arrive(
            ticks in prop::collection::vec((1u32..20, 1usize..=8, any::<u8>(), any::<u8>()), 1..60),
        ) {
            let mut sent = Vec::new();
            let (mut tick, mut sequence) = (0, 0u32);
            for (gap, count, arrives, late) in ticks {
                tick += gap;
                for i in 0..count {
                    sent.push((tick, sequence, arrives >> i & 1 == 1, late >> i & 1 == 1));
                    sequence += 1;
                }
            }
            let mut order: Vec<_> = sent.iter().filter(|d| d.2).collect();
            order.sort_by_key(|d| (d.1 + if d.3 { 9 } else { 0 }, d.1));
            let mut state = AckState::default();
            let mut arrived = Vec::new();
            for (tick, sequence, ..) in order {
                state.note(Tick(*tick), *sequence as u8);
                arrived.push(*sequence);
                let newest = *arrived.iter().max().expect("just pushed");
                for low in acked(&state) {
                    let full = newest - u32::from((newest as u8).wrapping_sub(low));
                    prop_assert!(arrived.contains(&full), "{} was acknowledged", full);
                }
            }
        }
    }
}
