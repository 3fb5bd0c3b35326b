//! The sequential oracle: what was accepted, published and delivered, and whether every promise
//! was kept. Written apart from the code that it judges.

use starling_protocol::message::events::{Event, Receipt};
use starling_protocol::space::IPos;
use starling_protocol::units::{ChannelKey, EntityId, MessageId, Offset, Tick};
use std::collections::{BTreeMap, BTreeSet};

/// Enter radius of every client's area of interest, in metres.
pub(crate) const RADIUS_M: f64 = 40.0;
/// Leave radius over enter radius, as the world's default has it.
const HYSTERESIS: f64 = 1.125;
/// The bound that Welcome states, and the snapping of the sample itself.
const BOUND_M: f64 = 0.040;
/// Ticks whose accepted positions are kept.
const HISTORY: usize = 128;
const STEPS: f64 = 1024.0;

type ClientNo = usize;

/// One entity as the server accepted it, after one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) position: IPos,
    /// It was accepted in this very tick.
    pub(crate) fresh: bool,
    /// Owner's number among the clients.
    pub(crate) owner: Option<ClientNo>,
}

/// Everything that was seen of one run.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    accepted: BTreeMap<Tick, BTreeMap<EntityId, Accepted>>,
    newest_state: BTreeMap<(ClientNo, EntityId), Tick>,
    logs: BTreeMap<String, BTreeMap<Offset, (MessageId, Vec<u8>)>>,
    next: BTreeMap<(ClientNo, ChannelKey), Offset>,
    acked: BTreeMap<String, BTreeMap<Offset, MessageId>>,
    heard_cues: BTreeSet<(ClientNo, u64)>,
    pub(crate) checks: Checks,
    pub(crate) broken: Vec<String>,
}

/// How much was checked: a run that checked nothing has shown nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checks {
    pub(crate) positions: u64,
    pub(crate) sets: u64,
    pub(crate) deliveries: u64,
    pub(crate) cues: u64,
    /// Runs in which all that was acknowledged was looked for at the end.
    pub(crate) ends: u64,
}

impl Checks {
    pub(crate) fn add(&mut self, other: &Self) {
        self.positions += other.positions;
        self.sets += other.sets;
        self.deliveries += other.deliveries;
        self.cues += other.cues;
        self.ends += other.ends;
    }
}

impl Witness {
    /// The server ran a tick.
    pub(crate) fn tick(&mut self, tick: Tick, accepted: BTreeMap<EntityId, Accepted>) {
        self.accepted.insert(tick, accepted);
        while self.accepted.len() > HISTORY {
            self.accepted.pop_first();
        }
    }

    pub(crate) fn newest_tick(&self) -> Tick {
        self.accepted.last_key_value().map_or(Tick(0), |(tick, _)| *tick)
    }

    /// P1: the state of an entity never goes back. P2: the copy is within the bound of what was
    /// accepted in the datagram's tick.
    pub(crate) fn position(
        &mut self,
        client: ClientNo,
        entity: EntityId,
        tick: Tick,
        state: Tick,
        copy: IPos,
    ) {
        let newest = self.newest_state.entry((client, entity)).or_insert(state);
        if state < *newest {
            let words = format!("P1 client {client}: {entity} went back from {newest} to {state}");
            self.broken.push(words);
        }
        *newest = (*newest).max(state);
        let truth = self.accepted.get(&tick).and_then(|all| all.get(&entity));
        let Some(truth) = truth.filter(|truth| truth.fresh) else { return };
        self.checks.positions += 1;
        let error = distance_m(copy, truth.position);
        if error > BOUND_M {
            self.broken.push(format!(
                "P2 client {client}: {entity} at tick {tick} is {error:.4} m off (state {state}, \
                 copy {copy:?}, accepted {:?})",
                truth.position
            ));
        }
    }

    /// An entity left a client's view: its next state may start anywhere.
    pub(crate) fn left(&mut self, client: ClientNo, entity: EntityId) {
        self.newest_state.remove(&(client, entity));
    }

    /// I3: nothing is in a view that lies outside of the leave radius. With `complete`, P3: and
    /// everything is that lies inside of the enter radius.
    pub(crate) fn set(
        &mut self,
        client: ClientNo,
        tick: Tick,
        view: &BTreeSet<EntityId>,
        complete: bool,
    ) {
        let Some(all) = self.accepted.get(&tick) else { return };
        let Some(me) = all.values().find(|a| a.owner == Some(client)) else { return };
        self.checks.sets += 1;
        for (entity, other) in all {
            let away = distance_m(me.position, other.position);
            let seen = view.contains(entity);
            let mine = other.owner == Some(client);
            if seen && (mine || away > RADIUS_M * HYSTERESIS + BOUND_M) {
                self.broken.push(format!(
                    "I3 client {client} at tick {tick} sees {entity}, {away:.2} m away"
                ));
            }
            if complete && !seen && !mine && away < RADIUS_M - BOUND_M {
                self.broken.push(format!(
                    "P3 client {client} at tick {tick} lacks {entity}, {away:.2} m away"
                ));
            }
        }
        if let Some(ghost) = view.iter().find(|e| !all.contains_key(e)).filter(|_| complete) {
            self.broken.push(format!("P3 client {client} at tick {tick} sees {ghost}, long gone"));
        }
    }

    /// A subscription starts after this offset.
    pub(crate) fn starts(&mut self, client: ClientNo, key: ChannelKey, after: Offset) {
        self.next.insert((client, key), Offset(after.0 + 1));
    }

    /// P6: what is missing was told.
    pub(crate) fn gap(&mut self, client: ClientNo, key: ChannelKey, from: Offset, to: Offset) {
        let next = self.next.entry((client, key)).or_insert(from);
        if *next != from {
            self.broken.push(format!("P6 client {client}: gap from {from:?}, expected {next:?}"));
        }
        *next = Offset(to.0 + 1);
    }

    /// P4: numbers without holes, the same content for everyone.
    pub(crate) fn delivered(&mut self, client: ClientNo, channel: &str, event: &Event) {
        self.checks.deliveries += 1;
        let next = self.next.entry((client, event.key)).or_insert(event.offset);
        if *next != event.offset {
            self.broken.push(format!(
                "P4 client {client}: {channel} delivered {:?}, expected {next:?}",
                event.offset
            ));
        }
        *next = Offset(event.offset.0 + 1);
        let content = (event.message, event.payload.clone());
        let log = self.logs.entry(channel.into()).or_default();
        let known = log.entry(event.offset).or_insert_with(|| content.clone());
        if *known != content {
            let words = format!("P4 {channel} {:?} has two contents", event.offset);
            self.broken.push(words);
        }
    }

    /// P7: an acknowledged publish has one number, and no other publish has it.
    pub(crate) fn published(&mut self, channel: &str, message: MessageId, receipt: Receipt) {
        let Receipt::Channel(position) = receipt else { return };
        let log = self.acked.entry(channel.into()).or_default();
        if log.insert(position.offset, message).is_some_and(|other| other != message) {
            self.broken.push(format!("P7 {channel} {:?} was given twice", position.offset));
        }
        if log.values().filter(|m| **m == message).count() > 1 {
            self.broken.push(format!("P7 {channel} {message:?} has two numbers"));
        }
    }

    /// P17: once, and in time.
    pub(crate) fn cue(&mut self, client: ClientNo, id: u64, age: u32, life: u32) {
        self.checks.cues += 1;
        if !self.heard_cues.insert((client, id)) {
            self.broken.push(format!("P17 client {client} heard cue {id} twice"));
        }
        if age > life {
            self.broken.push(format!("P17 client {client} heard cue {id} {age} ticks late"));
        }
    }

    /// At the end, of a client that was never reset: it has heard its channel to the top.
    pub(crate) fn reached_top(&mut self, client: ClientNo, key: ChannelKey, channel: &str) {
        let acked = self.acked.get(channel).and_then(|log| log.last_key_value());
        let Some((top, _)) = acked else { return };
        let next = self.next.get(&(client, key)).copied().unwrap_or_default();
        if next.0 <= top.0 {
            let words = format!("P6 client {client}: {channel} stands at {next:?}, top is {top:?}");
            self.broken.push(words);
        }
    }

    /// At the end: everything acknowledged was delivered to those who listened throughout.
    pub(crate) fn end(&mut self) {
        self.checks.ends += 1;
        for (channel, acked) in &self.acked {
            let log = self.logs.get(channel);
            for (offset, message) in acked {
                let heard = log.and_then(|log| log.get(offset));
                if heard.is_none_or(|(m, _)| m != message) {
                    self.broken.push(format!("P6 {channel} {offset:?} was acked and never heard"));
                }
            }
        }
    }
}

fn distance_m(a: IPos, b: IPos) -> f64 {
    let squares = (0..3).map(|axis| {
        let d = (f64::from(a.0[axis]) - f64::from(b.0[axis])) / STEPS;
        d * d
    });
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::message::events::Action;
    use starling_protocol::units::{ChannelPosition, Epoch};

    const ME: EntityId = EntityId { index: 1, generation: 0 };
    const OTHER: EntityId = EntityId { index: 2, generation: 0 };

    /// Me at the origin, the other `away_m` to the east, both accepted in tick 5.
    fn witness(away_m: f64) -> Witness {
        let at = |x: f64, owner| Accepted {
            position: IPos([(x * STEPS) as i32, 0, 0]),
            fresh: true,
            owner: Some(owner),
        };
        let mut witness = Witness::default();
        witness.tick(Tick(5), BTreeMap::from([(ME, at(0.0, 0)), (OTHER, at(away_m, 1))]));
        witness
    }

    fn event(key: u32, offset: u64, message: u64) -> Event {
        Event {
            key: ChannelKey(key),
            offset: Offset(offset),
            tick: Tick(1),
            publisher: None,
            message: MessageId(message),
            action: Action::Message,
            state_key: None,
            payload: vec![message as u8],
        }
    }

    /// Exactly one promise is broken, and it is this one.
    fn breaks(witness: &Witness, promise: &str) {
        assert_eq!(witness.broken.len(), 1, "{:?}", witness.broken);
        assert!(witness.broken[0].starts_with(promise), "{:?}", witness.broken);
    }

    #[test]
    fn a_state_that_goes_back_breaks_p1() {
        let mut witness = witness(10.0);
        witness.position(0, OTHER, Tick(4), Tick(4), IPos::default());
        witness.position(0, OTHER, Tick(4), Tick(3), IPos::default());
        breaks(&witness, "P1");
    }

    #[test]
    fn a_copy_a_hand_off_breaks_p2() {
        let mut witness = witness(10.0);
        witness.position(0, OTHER, Tick(5), Tick(5), IPos([10_240 + 30, 0, 0]));
        assert_eq!(witness.broken.len(), 0);
        witness.position(0, OTHER, Tick(5), Tick(5), IPos([10_240 + 102, 0, 0]));
        breaks(&witness, "P2");
    }

    #[test]
    fn seeing_too_far_and_missing_what_is_near_are_told_apart() {
        let mut far = witness(46.0);
        far.set(0, Tick(5), &BTreeSet::from([OTHER]), false);
        breaks(&far, "I3");
        let mut near = witness(39.0);
        near.set(0, Tick(5), &BTreeSet::new(), true);
        breaks(&near, "P3");
        let mut between = witness(43.0);
        between.set(0, Tick(5), &BTreeSet::from([OTHER]), true);
        between.set(0, Tick(5), &BTreeSet::new(), true);
        assert_eq!(between.broken.len(), 0, "inside the band both are right");
    }

    #[test]
    fn a_hole_a_repeat_and_two_contents_break_p4() {
        let mut hole = Witness::default();
        hole.delivered(0, "a", &event(1, 1, 7));
        hole.delivered(0, "a", &event(1, 3, 8));
        breaks(&hole, "P4");
        let mut repeat = Witness::default();
        repeat.delivered(0, "a", &event(1, 1, 7));
        repeat.delivered(0, "a", &event(1, 1, 7));
        breaks(&repeat, "P4");
        let mut contents = Witness::default();
        contents.delivered(0, "a", &event(1, 1, 7));
        contents.delivered(1, "a", &event(1, 1, 9));
        breaks(&contents, "P4");
    }

    #[test]
    fn an_acknowledged_event_that_nobody_heard_breaks_p6() {
        let mut witness = Witness::default();
        let position = ChannelPosition { epoch: Epoch(1), offset: Offset(1) };
        witness.published("a", MessageId(7), Receipt::Channel(position));
        witness.end();
        breaks(&witness, "P6");
    }

    #[test]
    fn a_listener_that_stops_short_of_the_top_breaks_p6() {
        let mut witness = Witness::default();
        let position = ChannelPosition { epoch: Epoch(1), offset: Offset(2) };
        witness.delivered(0, "a", &event(1, 1, 7));
        witness.published("a", MessageId(8), Receipt::Channel(position));
        witness.reached_top(0, ChannelKey(1), "a");
        breaks(&witness, "P6");
    }

    #[test]
    fn a_cue_twice_or_late_breaks_p17() {
        let mut twice = Witness::default();
        twice.cue(0, 9, 1, 4);
        twice.cue(0, 9, 2, 4);
        breaks(&twice, "P17");
        let mut late = Witness::default();
        late.cue(0, 9, 5, 4);
        breaks(&late, "P17");
    }
}
