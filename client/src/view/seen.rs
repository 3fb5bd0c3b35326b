//! One entity as it is seen.

use super::World;
use super::drawn::Drawn;
use crate::pose::Pose;
use starling_protocol::motion::VELOCITY_STEP;
use starling_protocol::schema::{Kind, Value};
use starling_protocol::snapshot::{EntityView, State};
use starling_protocol::space::METRIC_STEPS;
use starling_protocol::units::{EntityId, KindId, Slot};

/// One entity, as it was last drawn and as the server last said.
///
/// ```
/// use starling_client::{Seen, Session};
///
/// fn label(seen: &Seen<'_>) -> String {
///     let [x, y, _] = seen.pose().position;
///     let level = seen.field_named("level"); // where its kind has such a field
///     format!("{} at {x:.1}, {y:.1} ({level:?})", seen.name().unwrap_or("somebody"))
/// }
///
/// fn labels(session: &Session) -> Vec<String> {
///     session.view().iter().map(|seen| label(&seen)).collect()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub(super) entity: EntityView<'a>,
    pub(super) drawn: &'a Drawn,
    pub(super) world: &'a World,
}

impl<'a> Seen<'a> {
    /// Who.
    #[must_use]
    pub const fn id(&self) -> EntityId {
        self.entity.entity
    }

    /// Where in the table.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.entity.slot
    }

    /// Its kind.
    #[must_use]
    pub const fn kind_id(&self) -> KindId {
        self.entity.kind
    }

    /// Its kind, as the world declares it.
    #[must_use]
    pub fn kind(&self) -> Option<&'a Kind> {
        self.world.schema.kind(self.entity.kind)
    }

    /// Its name, where the interest asked for names.
    #[must_use]
    pub const fn name(&self) -> Option<&'a str> {
        self.entity.name
    }

    /// The value of its field number `index`; `None` when its kind has no such field.
    #[must_use]
    pub fn field(&self, index: usize) -> Option<Value> {
        let declared = self.kind()?.fields.get(index)?;
        Some(declared.ty.decode(*self.entity.fields.get(index)?))
    }

    /// The value of its field of this name.
    #[must_use]
    pub fn field_named(&self, name: &str) -> Option<Value> {
        let index = self.kind()?.fields.iter().position(|field| field.name == name)?;
        self.field(index)
    }

    /// Its opaque block.
    #[must_use]
    pub const fn block(&self) -> &'a [u8] {
        self.entity.block
    }

    /// Where it was drawn at the last [`Session::advance`](crate::Session::advance).
    #[must_use]
    pub fn pose(&self) -> Pose {
        let velocity = self.velocity();
        Pose { velocity, ..self.world.pose(self.drawn.shown) }
    }

    /// Metres per second, in games.
    #[must_use]
    pub fn velocity(&self) -> Option<[f64; 3]> {
        let State::Knot(knot) = self.entity.state else { return None };
        let per_tick = VELOCITY_STEP as f64 / METRIC_STEPS;
        Some(knot.vel.map(|v| f64::from(v) * per_tick * f64::from(self.world.rate.hz())))
    }

    /// The newest that the server said of it.
    #[must_use]
    pub const fn state(&self) -> &'a State {
        self.entity.state
    }
}
