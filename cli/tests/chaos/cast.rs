//! Publishers and followers of one channel, by the SDK, on sockets of their own.

use crate::PATIENCE;
use crate::ledger::{Hearing, Ledger, payload_of};
use crate::server::Server;
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, Publication, SubscribeOptions};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::Answer;
use starling_protocol::units::{ChannelPosition, MessageId, Offset};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The world and the channel that they share.
pub(crate) const WORLD: &str = "yard";
pub(crate) const CHANNEL: &str = "room/1";
/// Publishes of one publisher that wait for their answer at most.
const IN_FLIGHT_MAX: usize = 32;
/// Fewer in a second than a session may publish.
const EVERY: Duration = Duration::from_millis(25);
const NAP: Duration = Duration::from_micros(500);

struct Publisher {
    client: Client,
    name: u64,
    next: u64,
    due: Instant,
    /// The number behind each message id that waits for its answer.
    waiting: BTreeMap<MessageId, u64>,
}

struct Follower {
    client: Client,
    hearing: Hearing,
    ladder: Ladder,
}

/// What a client was told of what its server gives up.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    /// The step that it is on now.
    pub(crate) at: u8,
    pub(crate) highest: u8,
    /// From where to where it went otherwise than by one step.
    pub(crate) leaps: Vec<(u8, u8)>,
    /// It is told where the ladder is as its session goes on, and that is no step.
    unknown: bool,
}

impl Ladder {
    fn is_told(&mut self, level: u8) {
        if !std::mem::take(&mut self.unknown) && self.at.abs_diff(level) != 1 {
            self.leaps.push((self.at, level));
        }
        self.at = level;
        self.highest = self.highest.max(level);
    }

    fn begins(&mut self) {
        (self.at, self.unknown) = (0, true);
    }
}

/// All of them, and what they were promised.
pub(crate) struct Cast {
    clock: MonotonicClock,
    channel: &'static str,
    publishers: Vec<Publisher>,
    followers: Vec<Follower>,
    pub(crate) ledger: Ledger,
    /// Why publishes were refused, and how often.
    pub(crate) refusals: BTreeMap<CloseCode, u64>,
    /// Why followers may follow no longer.
    pub(crate) shut_out: Vec<CloseCode>,
    /// How often sessions were taken up, or not.
    pub(crate) reconnects: u64,
    publishing: bool,
}

impl Cast {
    pub(crate) fn new() -> Self {
        Self {
            clock: MonotonicClock::start(),
            channel: CHANNEL,
            refusals: BTreeMap::new(),
            shut_out: Vec::new(),
            publishers: Vec::new(),
            followers: Vec::new(),
            ledger: Ledger::default(),
            reconnects: 0,
            publishing: false,
        }
    }

    /// So many of each, all of whom get in.
    pub(crate) fn gather(at: SocketAddr, publishers: u64, followers: usize) -> Self {
        Self::gather_on(CHANNEL, at, publishers, followers)
    }

    /// The same on a channel of their own.
    pub(crate) fn gather_on(
        channel: &'static str,
        at: SocketAddr,
        publishers: u64,
        followers: usize,
    ) -> Self {
        let mut cast = Self { channel, ..Self::new() };
        (0..followers).for_each(|_| cast.follows(at, None));
        cast.until("the followers follow", |cast| {
            cast.followers.iter().all(|f| f.hearing.place().is_some())
        });
        for name in 0..publishers {
            let client = cast.connects(at, &format!("publisher-{name}"));
            let (due, waiting) = (Instant::now(), BTreeMap::new());
            cast.publishers.push(Publisher { client, name, next: 0, due, waiting });
        }
        cast.until("the publishers are in", |cast| {
            cast.publishers.iter().all(|p| p.client.welcome().is_some())
        });
        cast
    }

    fn connects(&self, at: SocketAddr, _name: &str) -> Client {
        let mut options = ConnectOptions::new(WORLD);
        options.reconnect.before_first = true;
        Client::connect(self.clock.now(), &Server::place(at), options).expect("it can be tried")
    }

    /// One more follower, from a position on or from now.
    fn follows(&mut self, at: SocketAddr, resume: Option<ChannelPosition>) {
        let mut client = self.connects(at, "follower");
        let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
        client.subscribe(self.channel, options).expect("one subscription is few enough");
        let mut hearing = Hearing::default();
        if let Some(position) = resume {
            hearing.begins(Answer::Reset(position));
            hearing.resets = 0;
        }
        let ladder = Ladder { unknown: true, ..Ladder::default() };
        self.followers.push(Follower { client, hearing, ladder });
    }

    /// Everybody publishes, or nobody.
    pub(crate) fn publish(&mut self, publishing: bool) {
        self.publishing = publishing;
    }

    /// Everybody does what is due.
    pub(crate) fn turn(&mut self) {
        for at in 0..self.publishers.len() {
            self.turn_of_publisher(at);
        }
        for Follower { client, hearing, ladder } in &mut self.followers {
            client.advance(self.clock.now());
            while let Some(event) = client.poll_event() {
                match event {
                    // Every session has an inbox beside the channel.
                    ClientEvent::Subscribed { key, answer } if key != INBOX => {
                        hearing.begins(answer);
                    }
                    ClientEvent::Gap { key, from, to } if key != INBOX => hearing.misses(from, to),
                    ClientEvent::Delivered(event) if event.key != INBOX => hearing.hears(&event),
                    ClientEvent::Unsubscribed { code, .. } => self.shut_out.push(code),
                    ClientEvent::Reconnected { .. } => {
                        ladder.begins();
                        self.reconnects += 1;
                    }
                    ClientEvent::Shed { level } => ladder.is_told(level),
                    ClientEvent::Closed { error } => panic!("a follower is shut out: {error}"),
                    _ => {}
                }
            }
        }
    }

    fn turn_of_publisher(&mut self, at: usize) {
        let Self { publishers, ledger, clock, channel, refusals, .. } = self;
        let Publisher { client, name, next, due, waiting } = &mut publishers[at];
        if self.publishing && waiting.len() < IN_FLIGHT_MAX && *due <= Instant::now() {
            let number = *name << 40 | *next;
            let publication = Publication::to_channel(*channel, payload_of(number));
            if let Ok(message) = client.publish(publication) {
                *next += 1;
                *due = Instant::now() + EVERY;
                ledger.publishes(number);
                waiting.insert(message, number);
            }
        }
        client.advance(clock.now());
        while let Some(event) = client.poll_event() {
            match event {
                ClientEvent::Published { message, receipt } => {
                    let number = waiting.remove(&message).expect("it was asked for");
                    ledger.is_acked(number, receipt);
                }
                ClientEvent::PublishRefused { message, code, .. } => {
                    waiting.remove(&message).expect("it was asked for");
                    ledger.refused += 1;
                    *refusals.entry(code).or_default() += 1;
                }
                ClientEvent::PublishUncertain { message } => {
                    waiting.remove(&message).expect("it was asked for");
                    ledger.uncertain += 1;
                }
                ClientEvent::Reconnected { .. } => self.reconnects += 1,
                ClientEvent::Closed { error } => panic!("a publisher is shut out: {error}"),
                _ => {}
            }
        }
    }

    /// Everybody goes on for a while.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
            std::thread::sleep(NAP);
        }
    }

    /// Everybody goes on until something is so.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}; {self}");
            self.turn();
            std::thread::sleep(NAP);
        }
    }

    /// Nobody publishes any more, and every publish is answered.
    pub(crate) fn settle(&mut self) {
        self.publish(false);
        self.until("every publish is answered", Self::is_settled);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.publishers.iter().all(|p| p.waiting.is_empty())
    }

    /// Has every follower heard about as much as was acknowledged?
    pub(crate) fn is_together(&self) -> bool {
        let acked = self.ledger.acked().saturating_sub(IN_FLIGHT_MAX);
        self.followers.iter().all(|follower| follower.hearing.count() >= acked)
    }

    /// Followers that were there all along heard everything that was acknowledged, in order; and so does
    /// one that reads the channel from its beginning.
    pub(crate) fn judge(&mut self, at: SocketAddr, beginning: ChannelPosition) {
        self.settle();
        self.follows(at, Some(beginning));
        let acked = self.ledger.acked();
        assert!(acked > 0, "nothing was acknowledged: {self}");
        self.until("everybody heard everything", |cast| {
            cast.followers.iter().all(|f| f.hearing.count() >= acked)
                || cast.followers.iter().any(|f| !f.hearing.breaches.is_empty())
                || cast.resets_and_gaps().1 > 0
        });
        for (number, follower) in self.followers.iter().enumerate() {
            let breaches = &follower.hearing.breaches;
            let few = &breaches[..breaches.len().min(5)];
            assert!(breaches.is_empty(), "follower {number}: {few:#?}; {self}");
        }
        for (number, follower) in self.followers.iter().enumerate() {
            let breaches = self.ledger.breaches(&follower.hearing);
            let few = &breaches[..breaches.len().min(5)];
            assert!(breaches.is_empty(), "follower {number}: {few:#?}; {self}");
        }
    }

    /// Where the first follower is: a channel's life begins with its first one.
    pub(crate) fn beginning(&self) -> ChannelPosition {
        let (epoch, _) = self.followers[0].hearing.place().expect("it follows");
        ChannelPosition { epoch, offset: Offset(0) }
    }

    /// What followers were told of what their server gives up.
    pub(crate) fn ladders(&self) -> impl Iterator<Item = &Ladder> {
        self.followers.iter().map(|follower| &follower.ladder)
    }

    /// What followers were told to start anew, and what was gone for them.
    pub(crate) fn resets_and_gaps(&self) -> (u64, u64) {
        let all = self.followers.iter();
        all.fold((0, 0), |(r, g), f| (r + f.hearing.resets, g + f.hearing.gaps))
    }
}

impl std::fmt::Display for Cast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let heard: Vec<usize> = self.followers.iter().map(|f| f.hearing.count()).collect();
        let waiting: Vec<usize> = self.publishers.iter().map(|p| p.waiting.len()).collect();
        let Ledger { refused, uncertain, .. } = &self.ledger;
        let (resets, gaps) = self.resets_and_gaps();
        write!(
            f,
            "acknowledged {}, refused {refused}, uncertain {uncertain}, heard {heard:?}, waiting \
             {waiting:?}, reconnects {}, resets {resets}, gone {gaps}",
            self.ledger.acked(),
            self.reconnects
        )
    }
}
