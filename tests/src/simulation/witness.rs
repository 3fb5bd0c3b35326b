//! The sequential oracle: what was accepted, published and delivered, and whether every promise
//! was kept. Written apart from the code that it judges.

mod spoken;

use super::sight::{Sight, Word};
use spoken::Spoken;
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::{Event, Receipt};
use starling_protocol::space::IPos;
use starling_protocol::units::{
    ChannelKey, ChannelPosition, EntityId, Epoch, MessageId, Offset, Tick,
};
use std::collections::{BTreeMap, BTreeSet};

/// Enter radius of every client's area of interest, in metres.
pub(crate) const RADIUS_M: f64 = 40.0;
/// Leave radius over enter radius, as the world's default has it.
pub(crate) const HYSTERESIS: f64 = 1.125;
/// The bound that Welcome states, and the snapping of the sample itself.
const BOUND_M: f64 = 0.040;
/// Ticks whose accepted positions are kept.
const HISTORY: usize = 128;
/// A quarter of a second at 20 Hz: so long a line is followed without a sample, then the entity is
/// held where it was last accepted.
const FOLLOW_TICKS: u32 = 5;
const STEPS: f64 = 1024.0;
/// A sample is snapped by no more than this.
const SNAP_M: f64 = 0.002;

pub(crate) type ClientNo = usize;

/// One entity as the server accepted it, after one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) position: IPos,
    /// In which tick it was accepted.
    pub(crate) tick: Tick,
    /// Owner's number among the clients.
    pub(crate) owner: Option<ClientNo>,
}

/// One life of a channel.
type Life = (String, Epoch);

/// Everything that was seen of one run.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// The life of the world that is judged.
    epoch: Epoch,
    accepted: BTreeMap<Tick, BTreeMap<EntityId, Accepted>>,
    /// As of the newest tick, and as of the one before.
    sight: [Sight; 2],
    newest_state: BTreeMap<(ClientNo, EntityId), Tick>,
    logs: BTreeMap<Life, BTreeMap<Offset, (MessageId, Vec<u8>)>>,
    next: BTreeMap<(ClientNo, ChannelKey), ChannelPosition>,
    acked: BTreeMap<Life, BTreeMap<Offset, MessageId>>,
    /// Each channel's life in this life of the world, as the server told it last.
    lives: BTreeMap<String, Epoch>,
    /// The least position from which anyone listened, and what was told to be gone.
    heard_from: BTreeMap<Life, Offset>,
    gone: BTreeMap<Life, Vec<(Offset, Offset)>>,
    /// Every place that a client said it was at, in order.
    ways: BTreeMap<ClientNo, Vec<[f64; 3]>>,
    /// Who sent them, to whom, and who was in then.
    sent_cues: BTreeMap<u64, (ClientNo, CueReach, Vec<ClientNo>)>,
    heard_cues: BTreeSet<(ClientNo, u64)>,
    spoken: Spoken,
    pub(crate) checks: Checks,
    pub(crate) broken: Vec<String>,
}

/// How much was checked: a run that checked nothing has shown nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Positions of datagrams.
    pub positions: u64,
    /// Sets of visible entities.
    pub sets: u64,
    /// Events.
    pub deliveries: u64,
    /// Cues.
    pub cues: u64,
    /// Views that were judged whole after the faults.
    pub views: u64,
    /// Positions in them, and those among them that stood still.
    pub copies: [u64; 2],
    /// Cues of quiet runs that everyone had to hear.
    pub calls: u64,
    /// Runs in which all that was acknowledged was looked for at the end.
    pub ends: u64,
    /// Events that had to be on the disk when a life of the server began.
    pub kept: u64,
    /// Ends of durable channels that were read from their first event.
    pub audits: u64,
    /// Clients that knew at the end who was in the lobby.
    pub lobbies: u64,
    /// The longest time from the end of the faults until a client was in again, in milliseconds.
    pub slowest_ms: u64,
}

impl Checks {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.positions += other.positions;
        self.sets += other.sets;
        self.deliveries += other.deliveries;
        self.cues += other.cues;
        self.views += other.views;
        self.copies = [0, 1].map(|i| self.copies[i] + other.copies[i]);
        self.calls += other.calls;
        self.ends += other.ends;
        self.kept += other.kept;
        self.audits += other.audits;
        self.lobbies += other.lobbies;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
    }
}

/// A cue as it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) tick: Tick,
    /// Where its sender was.
    pub(crate) place: [f64; 3],
}

/// To whom a cue of the simulation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CueReach {
    World,
    /// Those within [`RADIUS_M`] of its sender.
    Near,
}

impl Witness {
    /// A life of the world begins: what was accepted in the one before is of no account.
    pub(crate) fn begin(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.accepted.clear();
        self.sight = <[Sight; 2]>::default();
        self.newest_state.clear();
        let Self { lives, spoken, .. } = self;
        lives.retain(|channel, _| spoken.durable.contains(channel));
    }

    /// The life of the world that is judged now.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The server ran a tick.
    pub(crate) fn tick(&mut self, tick: Tick, accepted: BTreeMap<EntityId, Accepted>) {
        let owners: Vec<_> = accepted.values().filter_map(|a| a.owner).collect();
        let distinct: BTreeSet<_> = owners.iter().collect();
        if distinct.len() < owners.len() {
            self.broken.push(format!("P11 someone has two entities in tick {tick}: {owners:?}"));
        }
        self.sight[1] = self.sight[0].clone();
        self.sight[0].tick(&accepted);
        self.accepted.insert(tick, accepted);
        while self.accepted.len() > HISTORY {
            self.accepted.pop_first();
        }
    }

    pub(crate) fn newest_tick(&self) -> Option<Tick> {
        self.accepted.last_key_value().map(|(tick, _)| *tick)
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
        let Some(truth) = truth.filter(|truth| truth.tick == tick) else { return };
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

    /// I3, of every datagram: nothing is in a view that lies outside of the leave radius.
    pub(crate) fn set(&mut self, client: ClientNo, tick: Tick, view: &BTreeSet<EntityId>) {
        let Some(all) = self.accepted.get(&tick) else { return };
        let Some(me) = all.values().find(|a| a.owner == Some(client)) else { return };
        self.checks.sets += 1;
        for (entity, other) in all.iter().filter(|(entity, _)| view.contains(entity)) {
            let away = distance_m(me.position, other.position);
            if other.owner == Some(client) || away > RADIUS_M * HYSTERESIS + BOUND_M {
                self.broken.push(format!(
                    "I3 client {client} at tick {tick} sees {entity}, {away:.2} m away"
                ));
            }
        }
    }

    /// P3, of every moment once the faults are over: the view is what the oracle says, and each
    /// position in it the latest accepted one. `arrived` says that what the newest tick sent must
    /// be here; until then a view may be that of the tick before.
    pub(crate) fn view(
        &mut self,
        client: ClientNo,
        arrived: bool,
        view: &BTreeSet<EntityId>,
        copy: impl Fn(EntityId, Tick) -> Option<IPos>,
    ) {
        let mut newest = self.accepted.iter().rev();
        let Some((&tick, all)) = newest.nth(usize::from(!arrived)) else { return };
        self.checks.views += 1;
        let words = if arrived { &self.sight[..1] } else { &self.sight };
        let known = all.keys().filter(|entity| !view.contains(entity));
        for entity in known.chain(view) {
            let wrong = if view.contains(entity) { Word::Out } else { Word::In };
            if words.iter().all(|sight| sight.of(client, *entity) == wrong) {
                self.broken.push(format!("P3 client {client}: {entity} is not {wrong:?} {tick}"));
            }
        }
        for entity in view {
            let Some(truth) = all.get(entity) else { continue };
            if !arrived && self.sight[1].of(client, *entity) != Word::In {
                continue; // it entered with the newest tick
            }
            let still = tick.since(truth.tick).is_some_and(|ticks| ticks > FOLLOW_TICKS);
            self.checks.copies[usize::from(still)] += 1;
            let at = if still { tick } else { truth.tick };
            let error = copy(*entity, at).map_or(f64::INFINITY, |p| distance_m(p, truth.position));
            if error > BOUND_M {
                self.broken.push(format!(
                    "P3 client {client} at tick {tick}: {entity}, accepted in tick {}, is \
                     {error:.4} m off",
                    truth.tick
                ));
            }
        }
    }

    /// The server began anew with a client.
    pub(crate) fn reconnected(&mut self, client: ClientNo) {
        self.sight.iter_mut().for_each(|sight| sight.forget(client));
    }

    /// A subscription starts after this position.
    pub(crate) fn starts(
        &mut self,
        client: ClientNo,
        key: ChannelKey,
        channel: &str,
        after: ChannelPosition,
    ) {
        let first = Offset(after.offset.0 + 1);
        self.goes_on(client, key, channel, after);
        self.next.insert((client, key), ChannelPosition { offset: first, ..after });
        self.lives.insert(channel.into(), after.epoch);
        let from = self.heard_from.entry((channel.into(), after.epoch)).or_insert(first);
        *from = (*from).min(first);
    }

    /// A subscription started in a life of the world that is over.
    pub(crate) fn starts_late(
        &mut self,
        client: ClientNo,
        key: ChannelKey,
        after: ChannelPosition,
    ) {
        let first = Offset(after.offset.0 + 1);
        self.next.insert((client, key), ChannelPosition { offset: first, ..after });
    }

    /// What came to a session that is no more.
    pub(crate) fn forgets_inbox(&mut self, client: ClientNo) {
        self.next.remove(&(client, INBOX));
    }

    /// P6: what is missing was told.
    pub(crate) fn gap(
        &mut self,
        client: ClientNo,
        key: ChannelKey,
        channel: &str,
        from: Offset,
        to: Offset,
    ) {
        let next = self.next_of(client, key, from);
        if next.offset != from {
            self.broken.push(format!("P6 client {client}: gap from {from:?}, expected {next:?}"));
        }
        self.is_kept_back(channel, from, to);
        self.gone.entry((channel.into(), next.epoch)).or_default().push((from, to));
        let after = ChannelPosition { offset: Offset(to.0 + 1), ..next };
        self.next.insert((client, key), after);
    }

    /// P4: numbers without holes, the same content for everyone.
    pub(crate) fn delivered(&mut self, client: ClientNo, channel: &str, event: &Event) {
        self.checks.deliveries += 1;
        let next = self.next_of(client, event.key, event.offset);
        if next.offset != event.offset {
            self.broken.push(format!(
                "P4 client {client}: {channel} delivered {:?}, expected {next:?}",
                event.offset
            ));
        }
        let after = ChannelPosition { offset: Offset(event.offset.0 + 1), ..next };
        self.next.insert((client, event.key), after);
        self.is_once(&(channel.into(), next.epoch), event);
        let content = (event.message, event.payload.clone());
        let log = self.logs.entry((channel.into(), next.epoch)).or_default();
        let known = log.entry(event.offset).or_insert_with(|| content.clone());
        if *known != content {
            let words = format!("P4 {channel} {:?} has two contents", event.offset);
            self.broken.push(words);
        }
    }

    fn next_of(&self, client: ClientNo, key: ChannelKey, offset: Offset) -> ChannelPosition {
        // An inbox, which has no beginning that is told, lives as long as the world.
        let unknown = ChannelPosition { epoch: self.epoch, offset };
        self.next.get(&(client, key)).copied().unwrap_or(unknown)
    }

    /// P7: an acknowledged publish has one number, and no other publish has it.
    pub(crate) fn published(&mut self, channel: &str, message: MessageId, receipt: Receipt) {
        let Receipt::Channel(position) = receipt else { return };
        let log = self.acked.entry((channel.into(), position.epoch)).or_default();
        if log.insert(position.offset, message).is_some_and(|other| other != message) {
            self.broken.push(format!("P7 {channel} {:?} was given twice", position.offset));
        }
        if log.values().filter(|m| **m == message).count() > 1 {
            self.broken.push(format!("P7 {channel} {message:?} has two numbers"));
        }
    }

    /// A client says where it is.
    pub(crate) fn sampled(&mut self, client: ClientNo, place: [f64; 3]) {
        self.ways.entry(client).or_default().push(place);
    }

    /// A client sent a cue.
    pub(crate) fn cue_sent(
        &mut self,
        client: ClientNo,
        id: u64,
        reach: CueReach,
        listeners: Vec<ClientNo>,
    ) {
        self.sent_cues.insert(id, (client, reach, listeners));
    }

    /// Whether an honest client sent it.
    pub(crate) fn knows_cue(&self, id: u64) -> bool {
        self.sent_cues.contains_key(&id)
    }

    /// P17: once, in time, and only to those for whom it is. `tick` is the newest that the client
    /// had heard of when it came.
    pub(crate) fn cue(&mut self, client: ClientNo, id: u64, cue: &Told, tick: Tick, life: u32) {
        self.checks.cues += 1;
        if !self.heard_cues.insert((client, id)) {
            self.broken.push(format!("P17 client {client} heard cue {id} twice"));
        }
        let age = tick.since(cue.tick).unwrap_or(0);
        if age > life {
            self.broken.push(format!("P17 client {client} heard cue {id} {age} ticks late"));
        }
        let meant = match self.sent_cues.get(&id) {
            None => false,
            Some((sender, CueReach::World, _)) => *sender != client,
            Some((sender, CueReach::Near, _)) => {
                let came = |who, within_m| self.came_near(who, cue.place, cue.tick, within_m);
                *sender != client && came(*sender, 0.0) && came(client, RADIUS_M)
            }
        };
        if !meant {
            let sent = self.sent_cues.get(&id).map(|(sender, reach, _)| (*sender, *reach));
            self.broken.push(format!(
                "P17 client {client} heard cue {id}, not meant for it: {cue:?}, sent {sent:?}"
            ));
        }
    }

    /// Was a client within a distance of a place at some moment of a tick? It may have caught up
    /// with many samples in that tick, and the cue may have come with any of them.
    fn came_near(&self, client: ClientNo, place: [f64; 3], tick: Tick, within_m: f64) -> bool {
        let of = |all: &BTreeMap<_, Accepted>| {
            all.values().find(|a| a.owner == Some(client)).map(|a| metres(a.position))
        };
        // Of two ticks that made up for lost time only the second was seen.
        let ended = self.accepted.range(tick..).next().and_then(|(_, all)| of(all));
        let (Some(end), Some(way)) = (ended, self.ways.get(&client)) else {
            return false;
        };
        // The tick before may have been long ago: a process that did not run skips ticks.
        let before = self.accepted.range(..tick).next_back();
        // Who was not there then began with its first sample, and may have gone on in the same tick.
        let start = before.and_then(|(_, all)| of(all));
        let is = |place| move |sample: &[f64; 3]| away_m(*sample, place) < SNAP_M;
        let first = start.and_then(|start| way.iter().position(is(start))).unwrap_or(0);
        let last = way.iter().rposition(is(end)).unwrap_or(way.len() - 1);
        let mut between = way[first.min(last)..=last].iter();
        between.any(|sample| away_m(*sample, place) <= within_m + BOUND_M)
    }

    /// P17, at the end of a run without faults: all heard what was for everyone while they were in.
    pub(crate) fn all_heard(&mut self) {
        for (id, (sender, reach, listeners)) in &self.sent_cues {
            let meant = listeners.iter().filter(|c| *c != sender && *reach == CueReach::World);
            for client in meant {
                self.checks.calls += 1;
                if !self.heard_cues.contains(&(*client, *id)) {
                    self.broken.push(format!("P17 client {client} never heard cue {id}"));
                }
            }
        }
    }

    /// P6, at the end: a client has heard its channel to the top of the life that it is in now.
    pub(crate) fn reached_top(&mut self, client: ClientNo, key: ChannelKey, channel: &str) {
        let Some(epoch) = self.lives.get(channel).copied() else { return };
        let acked = self.acked.get(&(channel.into(), epoch)).and_then(|log| log.last_key_value());
        let Some((top, _)) = acked else { return };
        let stands = self.next_of(client, key, Offset(0));
        if stands.offset <= *top || stands.epoch != epoch {
            self.broken.push(format!(
                "P6 client {client}: {channel} stands at {stands:?}, top is {top:?} of {epoch:?}"
            ));
        }
    }

    /// At the end: everything acknowledged in a life of a channel that goes on was delivered to
    /// those who listened.
    pub(crate) fn end(&mut self) {
        self.checks.ends += 1;
        for (channel, epoch) in &self.lives {
            let life = (channel.clone(), *epoch);
            let (Some(acked), Some(from)) = (self.acked.get(&life), self.heard_from.get(&life))
            else {
                continue;
            };
            let (log, gone) = (self.logs.get(&life), self.gone.get(&life));
            for (offset, message) in acked.range(from..) {
                let told = |(from, to): &(_, _)| (from..=to).contains(&offset);
                let heard = log.and_then(|log| log.get(offset));
                let excused = gone.is_some_and(|gaps| gaps.iter().any(told));
                if heard.is_none_or(|(m, _)| m != message) && !excused {
                    self.broken.push(format!("P6 {channel} {offset:?} was acked and never heard"));
                }
            }
        }
    }
}

pub(crate) fn distance_m(a: IPos, b: IPos) -> f64 {
    away_m(metres(a), metres(b))
}

fn metres(position: IPos) -> [f64; 3] {
    position.0.map(|steps| f64::from(steps) / STEPS)
}

fn away_m(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests;
