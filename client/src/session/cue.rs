//! Cues on their way up: repeated until an uplink with them was folded, or they expired.

use crate::error::RequestError;
use starling_protocol::limits::{CUE_BYTES_MAX, CUE_TICKS_MAX, CUES_PENDING_MAX};
use starling_protocol::units::Tick;
use starling_protocol::uplink::{CueScope, CueUp};

/// To whom a cue goes, in the units of the API.
///
/// ```
/// use starling_client::{CueTo, OwnKey, RequestError, Session};
///
/// const SHOT: u8 = 1;
///
/// /// Heard by whoever has an entity within 60 m of mine, within three ticks or not at all.
/// fn shoot(session: &mut Session, me: OwnKey) -> Result<u16, RequestError> {
///     session.send_cue(CueTo::NearMine(me, 60.0), SHOT, 3, b"pistol")
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CueTo {
    /// Sessions with an entity within a distance of one of mine, in metres.
    NearMine(crate::OwnKey, f32),
    /// Sessions that see one of mine.
    WatchersOfMine(crate::OwnKey),
    /// Sessions with an entity within a distance of a point, in metres.
    Near([f64; 3], f32),
    /// Every session of the world.
    World,
}

#[derive(Debug)]
struct Cue {
    id: u16,
    kind: u8,
    born: Tick,
    life: u8,
    scope: CueScope,
    len: u8,
    bytes: [u8; CUE_BYTES_MAX],
    /// The last uplink that carried it.
    sent: Option<u16>,
}

/// The cues that one session sends.
#[derive(Debug, Default)]
pub(crate) struct CuesUp {
    waiting: Vec<Cue>,
    next_id: u16,
}

impl CuesUp {
    pub(crate) fn push(
        &mut self,
        now: Tick,
        kind: u8,
        life: u8,
        scope: CueScope,
        payload: &[u8],
    ) -> Result<u16, RequestError> {
        if payload.len() > CUE_BYTES_MAX || u32::from(life) > CUE_TICKS_MAX {
            return Err(RequestError::TooLarge);
        }
        if self.waiting.len() == CUES_PENDING_MAX {
            return Err(RequestError::Busy);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let mut bytes = [0; CUE_BYTES_MAX];
        bytes[..payload.len()].copy_from_slice(payload);
        let len = payload.len() as u8;
        self.waiting.push(Cue { id, kind, born: now, life, scope, len, bytes, sent: None });
        Ok(id)
    }

    /// Lets go of what has expired or has arrived. A cue that was never sent is sent once.
    pub(crate) fn settle(&mut self, now: Tick, folded: impl Fn(u16) -> bool) {
        self.waiting.retain(|cue| match cue.sent {
            None => true,
            Some(uplink) => !folded(uplink) && now.0 <= cue.born.0 + u32::from(cue.life),
        });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those to send now, each with what is left of its life.
    pub(crate) fn to_send(&self, now: Tick) -> impl Iterator<Item = CueUp<'_>> {
        self.waiting.iter().map(move |cue| CueUp {
            id: cue.id,
            kind: cue.kind,
            life: cue.life.saturating_sub(now.since(cue.born).unwrap_or(0).min(255) as u8),
            scope: cue.scope,
            payload: &cue.bytes[..usize::from(cue.len)],
        })
    }

    /// The first so many went out with this uplink.
    pub(crate) fn sent(&mut self, count: usize, uplink: u16) {
        self.waiting.iter_mut().take(count).for_each(|cue| cue.sent = Some(uplink));
        // Those that did not fit come first the next time.
        let waiting = self.waiting.len();
        self.waiting.rotate_left(count.min(waiting));
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cues(count: u16) -> CuesUp {
        let mut cues = CuesUp::default();
        for n in 0..count {
            let id = cues.push(Tick(100), 1, 3, CueScope::World, &[n as u8]);
            assert_eq!(id, Ok(n));
        }
        cues
    }

    #[test]
    fn a_cue_is_repeated_until_an_uplink_with_it_was_folded() {
        let mut cues = cues(1);
        cues.sent(1, 7);
        cues.settle(Tick(101), |_| false);
        assert_eq!(cues.to_send(Tick(101)).map(|c| c.life).collect::<Vec<_>>(), [2]);
        cues.sent(1, 8);
        cues.settle(Tick(102), |uplink| uplink == 8);
        assert!(cues.is_empty());
    }

    #[test]
    fn a_cue_that_expired_is_not_sent_again() {
        let mut cues = cues(1);
        cues.sent(1, 7);
        cues.settle(Tick(103), |_| false);
        assert!(!cues.is_empty());
        cues.settle(Tick(104), |_| false);
        assert!(cues.is_empty());
    }

    #[test]
    fn what_did_not_fit_comes_first_the_next_time() {
        let mut cues = cues(20);
        cues.sent(15, 7);
        let next: Vec<u16> = cues.to_send(Tick(100)).map(|c| c.id).take(6).collect();
        assert_eq!(next, [15, 16, 17, 18, 19, 0]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut cues = cues(CUES_PENDING_MAX as u16);
        let one_more = cues.push(Tick(100), 1, 3, CueScope::World, &[]);
        assert_eq!(one_more, Err(RequestError::Busy));
        let long = cues.push(Tick(100), 1, 3, CueScope::World, &[0; CUE_BYTES_MAX + 1]);
        assert_eq!(long, Err(RequestError::TooLarge));
    }
}
