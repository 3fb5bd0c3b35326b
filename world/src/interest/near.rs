//! Who is near a place.

use crate::World;
use crate::interest::{Region, Side};
use crate::session::SessionIdx;
use starling_protocol::space::IPos;

impl World {
    /// Puts into `sessions` those with an entity or an avatar within so many metres of a place, in
    /// order, as of the last tick.
    pub(crate) fn sessions_near(
        &self,
        center: IPos,
        radius_m: f64,
        sessions: &mut Vec<SessionIdx>,
    ) {
        sessions.clear();
        let place = self.atlas.locate(center);
        let region = Region::sphere(place.point, radius_m, 1.0, false);
        let probe = region.probe(&self.atlas, place.grid);
        self.atlas.probe(&probe, u64::MAX, |entity, _| {
            let near = region.side(self.config.space, &self.atlas.place(entity)) == Side::Inside;
            if near && self.entities.is_live(entity) {
                sessions.extend(self.entities.owner(entity).map(|owner| owner.session));
                sessions.extend(self.entities.avatar_of(entity));
            }
        });
        sessions.sort_unstable();
        sessions.dedup();
    }
}
