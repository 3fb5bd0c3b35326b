//! The seam between the swarm and a server under load.
//!
//! The swarm moves entities, measures and judges; a [`Target`] knows how one kind of server is
//! spoken to. Whoever implements it can be driven by the same motion and judged by the same
//! rules as Starling.
//!
//! Everything is numbered by the swarm: clients, entities, channels and samples. A target keeps
//! whatever tables it needs to translate. Calls come in batches, one pass over all clients, so
//! that a target can serve thousands of clients on one thread; buffers are handed in and reused.

pub mod loopback;

use crate::motion::Pose;
use crate::space::{Position, Space};
use crate::truth::Area;
use anyhow::Result;

/// A client of the swarm: one session with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNo(pub u32);

/// An entity of the swarm, whoever owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityNo(pub u32);

/// A channel of the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNo(pub u32);

/// Time as the swarm measures it: nanoseconds since the run began. Tests step it.
pub trait Clock {
    /// Now.
    fn now_ns(&self) -> u64;
}

/// What one client is to do.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// Its number.
    pub client: ClientNo,
    /// What it owns.
    pub entities: Vec<EntityPlan>,
    /// What it looks at; empty for one that only reports.
    pub areas: Vec<Area>,
    /// Channels that it subscribes to.
    pub channels: Vec<ChannelNo>,
    /// Are its copies wanted in every [`Frame`]? The truth cannot follow every client of a large
    /// run; of the others only the number of visible entities is wanted.
    pub judged: bool,
}

/// One entity that a client owns.
#[derive(Clone, Debug)]
pub struct EntityPlan {
    /// Its number.
    pub entity: EntityNo,
    /// Its name, unique in the run.
    pub name: String,
}

/// What the server states about its world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How positions are read.
    pub space: Space,
    /// Ticks per second.
    pub tick_hz: f64,
    /// Greatest distance between a right copy and the accepted position, in metres.
    pub error_bound_m: f64,
    /// Greatest distance between a position as reported and as the server keeps it, in metres.
    pub grid_m: f64,
    /// Leave radius over enter radius.
    pub hysteresis: f64,
}

/// A position that a client reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Whose.
    pub entity: EntityNo,
    /// Counts the samples of this entity from 1.
    pub number: u32,
    /// What it says. For an entity that was not submitted before, this is where it appears.
    pub pose: Pose,
}

/// An event that a client publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// By whom.
    pub client: ClientNo,
    /// To whom.
    pub scope: EventScope,
    /// Identifies it; travels in the payload.
    pub event: EventNo,
}

/// An event of the swarm: its publisher and how many that one published before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventNo {
    /// By whom.
    pub publisher: ClientNo,
    /// Counts the publisher's events from 1.
    pub number: u32,
}

/// Whom an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventScope {
    /// The subscribers of a channel.
    Channel(ChannelNo),
    /// Clients with an entity within this many metres of the publisher's first.
    Near {
        /// Metres.
        radius_m: u32,
    },
}

/// A cue of the swarm: its giver and how many that one gave before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CueNo {
    /// By whom.
    pub giver: ClientNo,
    /// Counts the giver's cues from 1.
    pub number: u32,
}

/// A cue that a client gives: a shot at the place of its first entity. It is for the other clients
/// with an entity near there, for a few ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenCue {
    /// Identifies it; travels in the payload.
    pub cue: CueNo,
    /// Metres within which it is heard.
    pub radius_m: u32,
    /// Ticks after which it is of no use.
    pub life_ticks: u8,
}

/// A cue that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardCue {
    /// At whom.
    pub client: ClientNo,
    /// Which.
    pub cue: CueNo,
    /// The tick in which the server took it.
    pub tick: u32,
    /// The last tick in which it is of use, as the client was told.
    pub expires: u32,
    /// The newest tick that the client knew of when it was delivered.
    pub at_tick: u32,
}

/// What one pass over the clients brought. The swarm clears and reuses it.
#[derive(Debug, Default)]
pub struct Received {
    /// What became of connections.
    pub links: Vec<(ClientNo, Link)>,
    /// Clients that would send now, and the moment that samples are wanted of: their intended
    /// sampling instant.
    pub wanted: Vec<(ClientNo, u64)>,
    /// Which samples the server took in which tick.
    pub accepted: Vec<Accepted>,
    /// Up to which tick a client has been told what the server took from it.
    pub known: Vec<Known>,
    /// Entities of which the server may hold something that was not told: they are not judged
    /// until their next accepted sample.
    pub doubtful: Vec<EntityNo>,
    /// What clients hold, tick by tick.
    pub frames: Vec<Frame>,
    /// The copies of all frames, one after another.
    pub copies: Vec<Held>,
    /// Events that arrived.
    pub deliveries: Vec<Delivery>,
    /// Events that the server acknowledged, and when.
    pub acked: Vec<(EventNo, u64)>,
    /// Events that the server refused.
    pub refused_events: Vec<EventNo>,
    /// Cues that arrived.
    pub heard: Vec<HeardCue>,
    /// Cues that were not taken for sending.
    pub refused_cues: Vec<CueNo>,
    /// Entities that have ceased to exist, as the server confirmed.
    pub removed: Vec<EntityNo>,
    /// Round-trip times measured, in nanoseconds.
    pub rtt_ns: Vec<(ClientNo, u64)>,
    /// What clients would draw, for the few that were asked.
    pub views: Vec<View>,
}

/// What became of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// The server let it in.
    Connected,
    /// The server did not, and why.
    Refused(String),
    /// It was connected and is no more, and why.
    Lost(String),
    /// It was lost and is back; the answer to its request to resume.
    Resumed(Resumption),
}

/// What became of a request to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// The session went on.
    Resumed,
    /// A new session had to be set up.
    Reset,
    /// The server refused the request as such.
    Denied,
}

/// The server took a sample in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Whose.
    pub entity: EntityNo,
    /// In which tick it became the entity's position.
    pub tick: u32,
    /// Is it known to be this very tick? What was told may leave it open that it was an earlier one.
    pub exact: bool,
    /// Which sample: [`Sample::number`].
    pub number: u32,
}

/// For these ticks [`Accepted`] is complete for the entities of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The owner.
    pub client: ClientNo,
    /// First tick of the run that is known.
    pub from: u32,
    /// Last.
    pub to: u32,
}

/// What one client holds at one server tick. Every tick brings one for every connected client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The observer.
    pub client: ClientNo,
    /// The server tick that the copies stand for.
    pub tick: u32,
    /// When this was decoded, or passed without anything to decode.
    pub at_ns: u64,
    /// Did something for this tick arrive? If not the copies are predictions.
    pub decoded: bool,
    /// Number of entities that the client holds.
    pub visible: u32,
    /// Its copies in [`Received::copies`]; empty for clients that are not judged.
    pub first: usize,
    /// How many.
    pub len: usize,
}

/// One client's copy of one entity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Of what.
    pub entity: EntityNo,
    /// Where the client takes it to be at the frame's tick.
    pub position: Position,
    /// The tick as of which the server set the state that this follows from.
    pub state_tick: u32,
    /// Did the frame bring a state that differs from what the client predicted?
    pub changed: bool,
    /// Did what arrived for this tick speak of the entity, if only to say that it is as
    /// predicted? If not the copy is the client's own prediction.
    pub told: bool,
}

/// An event that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// At whom.
    pub client: ClientNo,
    /// Which.
    pub event: EventNo,
    /// The stream it came in: a channel, or `None` for what came by place.
    pub channel: Option<ChannelNo>,
    /// Its number in that stream.
    pub offset: u64,
    /// When.
    pub at_ns: u64,
}

/// An entity as a client would draw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// What.
    pub entity: EntityNo,
    /// The moment of drawing.
    pub at_ns: u64,
    /// Where it would be drawn.
    pub position: Position,
    /// Nanoseconds by which what is drawn lies behind the moment of drawing.
    pub age_ns: u64,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// UDP payload received (TCP payload where there is no UDP).
    pub bytes_down: u64,
    /// UDP payload sent.
    pub bytes_up: u64,
    /// UDP datagrams received, each with headers of its own below UDP.
    pub packets_down: u64,
    /// UDP datagrams sent.
    pub packets_up: u64,
    /// State records decoded.
    pub records: u64,
    /// Packets that the swarm's own sockets dropped, as far as the system tells.
    pub socket_drops: u64,
    /// Samples that the server rejected.
    pub rejected: u64,
}

impl Traffic {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes_down: self.bytes_down + other.bytes_down,
            bytes_up: self.bytes_up + other.bytes_up,
            packets_down: self.packets_down + other.packets_down,
            packets_up: self.packets_up + other.packets_up,
            records: self.records + other.records,
            socket_drops: self.socket_drops + other.socket_drops,
            rejected: self.rejected + other.rejected,
        }
    }

    /// What came to pass since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            bytes_down: self.bytes_down.saturating_sub(earlier.bytes_down),
            bytes_up: self.bytes_up.saturating_sub(earlier.bytes_up),
            packets_down: self.packets_down.saturating_sub(earlier.packets_down),
            packets_up: self.packets_up.saturating_sub(earlier.packets_up),
            records: self.records.saturating_sub(earlier.records),
            socket_drops: self.socket_drops.saturating_sub(earlier.socket_drops),
            rejected: self.rejected.saturating_sub(earlier.rejected),
        }
    }
}

/// A server under load, as one thread of the swarm sees it.
pub trait Target {
    /// Begins to connect the clients; [`Received::links`] tells what becomes of each.
    ///
    /// # Errors
    /// Only what makes the whole run impossible, such as an address that does not resolve.
    fn connect(&mut self, clock: &dyn Clock, plans: &[ClientPlan]) -> Result<()>;

    /// What the server states; `None` until the first client is in.
    fn terms(&self) -> Option<Terms>;

    /// Takes in whatever has arrived, for all clients, and appends what it means.
    fn receive(&mut self, clock: &dyn Clock, into: &mut Received);

    /// Hands over samples, grouped by client, and sends whatever is due. Called after every
    /// [`Target::receive`], with samples for the clients that wanted some, perhaps none.
    fn submit(&mut self, clock: &dyn Clock, samples: &[Sample]);

    /// Has more arrived than [`Target::receive`] has taken in? Then the swarm answers that first.
    fn is_pressed(&mut self) -> bool {
        false
    }

    /// Appends whatever [`Target::receive`] left for when there is time: what nobody but the truth
    /// waits for. Called before every wait.
    fn observe(&mut self, _clock: &dyn Clock, _into: &mut Received) {}

    /// Ends the existence of entities.
    fn remove(&mut self, clock: &dyn Clock, entities: &[EntityNo]);

    /// Publishes events.
    fn publish(&mut self, clock: &dyn Clock, events: &[Publish]);

    /// Gives cues.
    fn give(&mut self, clock: &dyn Clock, cues: &[GivenCue]);

    /// Appends what one client would draw at this moment to [`Received::views`].
    fn draw(&mut self, clock: &dyn Clock, client: ClientNo, into: &mut Received);

    /// Waits until something arrives, something is due, or a moment has come, whichever is first.
    fn wait(&mut self, clock: &dyn Clock, until_ns: u64);

    /// Totals since the start.
    fn traffic(&self) -> Traffic;

    /// Says goodbye for all clients.
    fn leave(&mut self, clock: &dyn Clock);
}
