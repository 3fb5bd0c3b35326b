//! "Why did client C get entity E at tick n?", answered from what replication decides by.

use crate::World;
use crate::entity::EntityIdx;
use crate::interest::{Area, Side};
pub use crate::replicate::{Matter, Outcome, Told};
use crate::session::{Session, SessionIdx};
use crate::space::{Cartesian, distance2};
use starling_protocol::message::control::Audience;
use starling_protocol::message::interest::Target;
use starling_protocol::units::{EntityId, SessionId, Tick};
use thiserror::Error;

/// Seconds for which news of a session are kept after somebody asked.
const TRACE_SECONDS: u32 = 60;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WhyError {
    /// No session of this world has this id.
    #[error("no such session")]
    UnknownSession,
    /// No connection carries it: it is told nothing.
    #[error("the session is parked: no connection carries it")]
    Parked,
    /// No entity of this world has this id or name.
    #[error("no such entity")]
    UnknownEntity,
}

/// An answer, as of the newest tick.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Why {
    /// The newest tick.
    pub tick: Tick,
    /// Of whom it speaks.
    pub entity: EntityId,
    /// Its name.
    pub name: String,
    /// Why the session may not see it at all, wherever it is.
    pub hidden: Option<&'static str>,
    /// Each area of interest of the session, by number.
    pub areas: Vec<WhyArea>,
    /// What the session's table says of it; `None` while it is not there.
    pub slot: Option<WhySlot>,
    /// The tick that first carries what is newest of it.
    pub stirred: Tick,
    /// What the session's link may carry.
    pub link: WhyLink,
    /// News of it, oldest first, from the tick `told_from` on.
    pub told: Vec<Told>,
    /// Since when news of this session are kept; they begin with the first question.
    pub told_from: Tick,
}

/// One area of interest and the entity.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct WhyArea {
    /// Its number.
    pub id: u8,
    /// Its shape, in a word.
    pub shape: &'static str,
    /// `inside`: it enters. `margin`: it stays if it was seen. `outside`: it leaves.
    pub side: Option<&'static str>,
    /// From the middle of the area, in metres.
    pub distance_m: Option<f64>,
    /// The area lets its kind and team pass.
    pub passes: bool,
}

/// A slot of the session's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhySlot {
    /// Its number.
    pub slot: u16,
    /// `entering`, `held`, `bulk`, `leaving`.
    pub state: &'static str,
    /// Since when it means this entity, or that it left.
    pub since: Tick,
    /// The newest tick that the client is known to hold it as of; tick 0 is none.
    pub base: Tick,
    /// How hungry it is, 0 to 255: the hungriest are told first where not all can be.
    pub hunger: u8,
    /// Bits of the code that would tell it now; `None` where nothing or a record would.
    pub code_bits: Option<u32>,
}

/// What a link may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhyLink {
    /// Bytes of datagrams per tick.
    pub datagram_bytes: u32,
    /// Round-trip time in microseconds.
    pub rtt_us: u32,
    /// In the last tick it could not carry all.
    pub is_full: bool,
    /// Where it was full: who is hungrier than this was told.
    pub threshold: u8,
    /// When the last datagram was written.
    pub last_sent: Tick,
}

impl World {
    /// Says why a session is told of an entity or not, and keeps the session's news from now on
    /// for a minute, so that the next question can be about a tick of it.
    ///
    /// # Errors
    /// [`WhyError`] when there is nothing to say.
    pub fn why(&mut self, session: SessionId, entity: &Target) -> Result<Why, WhyError> {
        let idx = self.sessions.by_id(session).ok_or(WhyError::UnknownSession)?;
        let entity = self.entities.target(entity).ok_or(WhyError::UnknownEntity)?;
        let until = self.now + TRACE_SECONDS * u32::from(self.config.tick_rate.hz());
        let view = self.replication.view_mut(idx).ok_or(WhyError::Parked)?;
        view.trace_until(self.now + 1, until);
        let id = self.entities.id(entity);
        let (told_from, told) = view.told_of(id);
        let (is_full, threshold, last_sent) = view.link_state();
        let session = &self.sessions[idx];
        let (datagram_bytes, rtt_us) = (session.link.datagram_bytes, session.link.rtt_us);
        let areas = self.interests.areas(idx).iter();
        Ok(Why {
            tick: self.now,
            entity: id,
            name: self.entities.name(entity).to_owned(),
            hidden: self.why_hidden(idx, session, entity),
            areas: areas.map(|(id, area)| self.why_area(*id, area, session, entity)).collect(),
            slot: self.why_slot(idx, entity),
            stirred: self.entities.stirred()[entity.at()],
            link: WhyLink { datagram_bytes, rtt_us, is_full, threshold, last_sent },
            told,
            told_from,
        })
    }

    fn why_hidden(
        &self,
        idx: SessionIdx,
        session: &Session,
        entity: EntityIdx,
    ) -> Option<&'static str> {
        let traits = self.entities.traits(entity);
        if traits.owner == idx.0 {
            return Some("it is the session's own");
        }
        match traits.audience {
            Audience::Team if session.team == 0 || traits.team != session.team => {
                Some("it is for another team")
            }
            Audience::Private if traits.avatar_of != idx.0 => Some("it is private"),
            _ => None,
        }
    }

    fn why_area(&self, id: u8, area: &Area, session: &Session, entity: EntityIdx) -> WhyArea {
        let space = self.config.space;
        let place = |at: EntityIdx| self.atlas.place(at).point;
        let centre = |handle| match handle {
            Some(handle) => session.owned.get(handle).map(place),
            None => session.avatar.or_else(|| session.owned.first()).map(place),
        };
        let region = area.region(centre);
        let side = region.as_ref().map(|r| match r.side(space, &self.atlas.place(entity)) {
            Side::Inside => "inside",
            Side::Margin => "margin",
            Side::Outside => "outside",
        });
        let middle: Option<Cartesian> = region.map(|r| r.middle()).or_else(|| area.middle(space));
        let traits = self.entities.traits(entity);
        WhyArea {
            id,
            shape: area.shape_name(),
            side,
            distance_m: middle.map(|from| distance2(from, place(entity)).sqrt()),
            passes: area.kinds >> traits.kind.0 & 1 == 1
                && area.team.is_none_or(|team| team == traits.team),
        }
    }

    fn why_slot(&self, idx: SessionIdx, entity: EntityIdx) -> Option<WhySlot> {
        let row = self.replication.view(idx)?.row_of(entity)?;
        let moved = row.base > Tick(0) && self.entities.stirred()[entity.at()] > row.base;
        let code =
            |base| self.replication.code(entity, base, self.now, &self.tracks, &self.entities);
        let code = if moved && self.now > row.base { code(row.base) } else { None };
        Some(WhySlot { code_bits: code.map(starling_protocol::snapshot::Code::len), ..row })
    }
}
