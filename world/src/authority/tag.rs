//! A small game for tests and the demo: tag, in a yard with walls.
//!
//! An input is two bytes: a direction (0 stands, 1 to 8 run, clockwise from +y) and a flag that is
//! 1 to dash. The newest direction holds until the next, so that a player who sends more inputs is
//! no faster. Whoever is *it* passes it on by touch and cannot be touched back for a second.

use super::{CueTo, Game, GameContext, Motion, NewEntity, PlayerEvent};
use crate::checksum::Checksum;
use starling_protocol::message::control::Audience;
use starling_protocol::message::events::Scope;
use starling_protocol::sample::Orientation;
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::units::{EntityId, KindId, SessionId, Tick};
use std::collections::BTreeMap;

/// Metres per second.
const RUN_MPS: f64 = 6.0;
const DASH_MPS: f64 = 18.0;
const DASH_MS: u64 = 200;
const DASH_REST_MS: u64 = 2_000;
const SAFE_MS: u64 = 1_000;
/// Metres between two players that touch.
const REACH_M: f64 = 1.2;
/// Half the side of the yard, in metres.
const YARD_M: f64 = 30.0;
/// Walls within the yard: west, south, east, north, in metres.
const WALLS: [[f64; 4]; 3] =
    [[-10.0, 8.0, 10.0, 9.0], [-10.0, -9.0, 10.0, -8.0], [14.0, -6.0, 15.0, 6.0]];
/// The eight directions, clockwise from +y.
const DIRECTIONS: [[f64; 2]; 8] = [
    [0.0, 1.0],
    [DIAGONAL, DIAGONAL],
    [1.0, 0.0],
    [DIAGONAL, -DIAGONAL],
    [0.0, -1.0],
    [-DIAGONAL, -DIAGONAL],
    [-1.0, 0.0],
    [-DIAGONAL, DIAGONAL],
];
const DIAGONAL: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// The channel where tags are announced: eight bytes of the one who is it from now on.
pub const CHANNEL: &str = "tag";
/// The cue that is played where somebody was touched, and its life in ticks.
pub const CUE_TAGGED: u8 = 1;
const CUE_LIFE: u8 = 6;
/// Index of the field that says who is it.
const FIELD_IT: u8 = 0;

/// A game of tag.
#[derive(Debug, Default)]
pub struct Tag {
    players: BTreeMap<SessionId, Player>,
    it: Option<SessionId>,
    safe: Option<(SessionId, Tick)>,
}

#[derive(Debug)]
struct Player {
    entity: EntityId,
    position: [f64; 2],
    direction: u8,
    dash_until: Tick,
    rested_at: Tick,
}

impl Tag {
    /// The kinds of a world that plays tag: `player`, with a heading and whether it is it.
    #[must_use]
    pub fn schema() -> Schema {
        let it = Field { name: "it".into(), ty: FieldType::Bool, visibility: Visibility::All };
        let player = Kind {
            name: "player".into(),
            orientation: OrientationKind::Heading,
            fields: vec![it],
            block: false,
        };
        Schema { kinds: vec![player] }
    }

    fn welcome(&mut self, context: &mut GameContext<'_>, id: SessionId) {
        let [x, y] = [0, 1].map(|_| (context.random() % 1_000) as f64 / 1_000.0 * 10.0 - 5.0);
        let new = NewEntity {
            name: None,
            kind: KindId(0),
            team: 0,
            audience: Audience::All,
            motion: Motion { position: [x, y, 0.0], ..Motion::default() },
            fields: Vec::new(),
            block: Vec::new(),
            avatar_of: Some(id),
        };
        // A world that is full has no room in the yard either: the player looks on.
        let Ok(entity) = context.spawn(new) else { return };
        let now = context.tick();
        let player =
            Player { entity, position: [x, y], direction: 0, dash_until: now, rested_at: now };
        self.players.insert(id, player);
    }

    fn farewell(&mut self, context: &mut GameContext<'_>, id: SessionId) {
        if let Some(player) = self.players.remove(&id) {
            // The avatar may be gone already, with its player's session.
            let _ = context.despawn(player.entity);
        }
        if self.it == Some(id) {
            self.it = None;
        }
    }

    fn steer(&mut self, context: &GameContext<'_>) {
        let (now, rate) = (context.tick(), context.tick_rate());
        for input in context.inputs() {
            let Some(player) = self.players.get_mut(&input.session) else { continue };
            let [direction @ 0..=8, dash @ 0..=1] = input.payload[..] else { continue };
            player.direction = direction;
            if dash == 1 && now >= player.rested_at {
                player.dash_until = now + rate.ticks_in_ms(DASH_MS);
                player.rested_at = now + rate.ticks_in_ms(DASH_REST_MS);
            }
        }
    }

    fn run(&mut self, context: &mut GameContext<'_>) {
        let (now, hz) = (context.tick(), f64::from(context.tick_rate().hz()));
        for player in self.players.values_mut() {
            let velocity = player.velocity(now);
            let before = player.position;
            player.position = stride(before, [velocity[0] / hz, velocity[1] / hz]);
            let moved = [0, 1].map(|axis| (player.position[axis] - before[axis]) * hz);
            let motion = Motion {
                position: [player.position[0], player.position[1], 0.0],
                velocity: Some([moved[0], moved[1], 0.0]),
                orientation: Orientation::Heading(player.direction.saturating_sub(1) * 32),
            };
            // An avatar that is gone is forgotten when its player leaves.
            let _ = context.move_to(player.entity, &motion);
        }
    }

    fn pass_it_on(&mut self, context: &mut GameContext<'_>) {
        let next = match self.it {
            None => self.players.keys().next().copied(),
            Some(it) => self.touched_by(it, context.tick()),
        };
        let Some(next) = next else { return };
        let previous = self.it.replace(next);
        let safe_ticks = context.tick_rate().ticks_in_ms(SAFE_MS);
        self.safe = previous.map(|id| (id, context.tick() + safe_ticks));
        for (id, is_it) in previous.map(|id| (id, 0)).into_iter().chain([(next, 1)]) {
            if let Some(player) = self.players.get(&id) {
                let _ = context.set_fields(player.entity, &[(FIELD_IT, is_it)]);
            }
        }
        if let Some(player) = self.players.get(&next) {
            let _ = context.cue(&CueTo::Watchers(player.entity), CUE_TAGGED, CUE_LIFE, &[]);
        }
        let _ = context.publish(&Scope::Channel(CHANNEL.into()), &next.0.to_le_bytes());
    }

    /// The nearest in reach, and of equals the first by session.
    fn touched_by(&self, it: SessionId, now: Tick) -> Option<SessionId> {
        let from = self.players.get(&it)?.position;
        let safe = self.safe.filter(|(_, until)| now < *until).map(|(id, _)| id);
        let others = self.players.iter().filter(|(id, _)| **id != it && Some(**id) != safe);
        let near = others.map(|(id, player)| (distance_squared(from, player.position), *id));
        let in_reach = near.filter(|(squared, _)| *squared <= REACH_M * REACH_M);
        in_reach.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, id)| id)
    }
}

impl Game for Tag {
    fn step(&mut self, context: &mut GameContext<'_>) {
        for coming in context.comings() {
            match coming {
                PlayerEvent::Joined { player, .. } => self.welcome(context, *player),
                PlayerEvent::Left { player } => self.farewell(context, *player),
            }
        }
        self.steer(context);
        self.run(context);
        self.pass_it_on(context);
    }

    fn checksum(&self) -> u64 {
        let mut sum = Checksum::new();
        for (id, player) in &self.players {
            sum.add(id.0).add(player.direction);
            sum.add(player.dash_until.0).add(player.rested_at.0);
            sum.add(player.position[0].to_bits()).add(player.position[1].to_bits());
        }
        sum.add(self.it.map_or(0, |id| id.0));
        sum.add(self.safe.map_or(0, |(id, until)| id.0 ^ u64::from(until.0)));
        sum.value()
    }
}

impl Player {
    fn velocity(&self, now: Tick) -> [f64; 2] {
        let Some(way) = usize::from(self.direction).checked_sub(1) else { return [0.0; 2] };
        let speed = if now < self.dash_until { DASH_MPS } else { RUN_MPS };
        DIRECTIONS[way].map(|c| c * speed)
    }
}

/// One step, axis by axis, so that a wall stops only the way into it.
fn stride(from: [f64; 2], step: [f64; 2]) -> [f64; 2] {
    let mut at = from;
    for axis in 0..2 {
        let mut next = at;
        next[axis] = (at[axis] + step[axis]).clamp(-YARD_M, YARD_M);
        if !in_wall(next) {
            at = next;
        }
    }
    at
}

fn in_wall([x, y]: [f64; 2]) -> bool {
    WALLS
        .iter()
        .any(|[west, south, east, north]| x > *west && x < *east && y > *south && y < *north)
}

fn distance_squared(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [dx, dy] = [a[0] - b[0], a[1] - b[1]];
    dx * dx + dy * dy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_stops_only_the_way_into_it() {
        let before = [0.0, 7.9];
        assert_eq!(stride(before, [0.3, 0.3]), [0.3, 7.9]);
        assert_eq!(stride([0.0, 29.9], [0.0, 1.0]), [0.0, YARD_M]);
    }
}
