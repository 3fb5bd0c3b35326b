//! A small but whole server on any transport: one walker, a channel, sessions that resume.
#![allow(unreachable_pub)] // a module of one test

use crate::support::{entity, knot, welcome};
use starling_protocol::codec::{decode, encode};
use starling_protocol::frame::{self, Frames};
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::control::{
    ControlDown, ControlUp, OwnEntity, ResumeAnswer, Welcome,
};
use starling_protocol::message::events::{EventDown, EventUp, Receipt};
use starling_protocol::schema::Kind;
use starling_protocol::snapshot::{Clock, Enter, Fields, Fold, Page, SnapshotWriter};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{Handle, KindId, Nanos, SessionId, Tick, newer16};
use starling_protocol::uplink::Uplink;
use starling_transport::{ConnKey, Event, Transport};
use std::collections::BTreeMap;

/// The walker's speed along x, in metres per second.
pub const WALK: f64 = 2.0;

/// What one connection sent and was sent.
#[derive(Default)]
pub struct Guest {
    frames: Vec<Frames>,
    pub session: Option<SessionId>,
    sequence: u32,
    newest: Option<(u16, Nanos)>,
    received: u32,
    steps: Vec<u16>,
    entered: bool,
    /// Every label of an uplink, in order of arrival, and how many samples it had.
    pub labels: Vec<(Tick, usize)>,
}

/// The server. Its epoch began at the network's time zero less `ahead_ns`.
pub struct Plaza<T: Transport> {
    pub transport: T,
    pub guests: BTreeMap<ConnKey, Guest>,
    pub ahead_ns: u64,
    /// Own entities by session.
    entities: BTreeMap<SessionId, Vec<OwnEntity>>,
    tick: Tick,
    events: Vec<Event>,
}

impl<T: Transport> Plaza<T> {
    pub fn new(transport: T, ahead_ns: u64) -> Self {
        let (guests, entities) = (BTreeMap::new(), BTreeMap::new());
        Self { transport, guests, ahead_ns, entities, tick: Tick(0), events: Vec::new() }
    }

    /// The server's time at a moment of the network.
    pub fn time(&self, now: Nanos) -> Nanos {
        now + self.ahead_ns
    }

    pub fn advance(&mut self, now: Nanos) {
        self.transport.poll(now, 10_000, &mut self.events);
        for event in std::mem::take(&mut self.events) {
            self.handle(now, event);
        }
        let rate = welcome().tick_rate;
        let due = Tick((self.time(now).0 * u64::from(rate.hz()) / Nanos::SECOND) as u32);
        if due > self.tick {
            self.tick = due;
            let late_ns = self.time(now).since(Nanos(rate.deadline_ns(due)));
            self.snapshots(now, late_ns);
        }
        self.transport.flush(now);
    }

    fn handle(&mut self, now: Nanos, event: Event) {
        let conn = event.conn();
        match event {
            Event::Connected { .. } => {
                let frames = (0..4).map(|_| Frames::new(MESSAGE_BYTES_MAX)).collect();
                self.guests.insert(conn, Guest { frames, ..Guest::default() });
            }
            Event::Closed { .. } => {
                self.guests.remove(&conn);
            }
            Event::Stream { stream, bytes, .. } => {
                let guest = self.guests.get_mut(&conn).expect("connected before");
                guest.frames[stream as usize].push(&bytes);
                while let Some(body) = self.next_frame(conn, stream) {
                    self.message(now, conn, stream, &body);
                }
            }
            Event::Datagram { payload, at, .. } => {
                let guest = self.guests.get_mut(&conn).expect("connected before");
                let uplink = Uplink::decode(welcome().space, &payload).expect("an uplink");
                guest.fold(&uplink, at, self.tick);
            }
        }
    }

    fn next_frame(&mut self, conn: ConnKey, stream: StreamKind) -> Option<Vec<u8>> {
        let frames = &mut self.guests.get_mut(&conn)?.frames[stream as usize];
        frames.next_frame().expect("whole frames").map(<[u8]>::to_vec)
    }

    fn message(&mut self, now: Nanos, conn: ConnKey, stream: StreamKind, body: &[u8]) {
        match stream {
            StreamKind::Control => match decode(body).expect("a message") {
                ControlUp::Hello(hello) => {
                    let resumed = hello.resume.map(|resume| resume.session);
                    self.welcome(now, conn, resumed);
                }
                ControlUp::Spawn(spawn) => {
                    let session = self.guests[&conn].session.expect("welcomed before");
                    let own = self.entities.entry(session).or_default();
                    let handle = Handle(own.len() as u16);
                    let entity = entity(1_000 + u32::from(handle.0));
                    let name = spawn.name.unwrap_or_else(|| "unnamed".into());
                    own.push(OwnEntity { handle, entity, name: name.clone(), sequence: 0 });
                    let request = spawn.request;
                    self.say(now, conn, &ControlDown::Spawned { request, handle, entity, name });
                }
                _ => {}
            },
            StreamKind::Events => {
                if let EventUp::Publish(publish) = decode(body).expect("a message") {
                    let message = publish.message;
                    let receipt = Receipt::Inboxes(0);
                    self.tell(now, conn, &EventDown::Published { message, receipt });
                }
            }
            _ => {}
        }
    }

    fn welcome(&mut self, now: Nanos, conn: ConnKey, resumed: Option<SessionId>) {
        let session = resumed.unwrap_or(SessionId(conn.0));
        let old = self.guests.iter().filter(|(_, guest)| guest.session == Some(session));
        let old: Vec<ConnKey> = old.map(|(conn, _)| *conn).collect();
        for conn in old {
            self.guests.remove(&conn);
            let code = starling_protocol::close::CloseCode::REPLACED;
            self.transport.close(now, conn, code, "");
        }
        self.guests.get_mut(&conn).expect("connected before").session = Some(session);
        let message = Welcome {
            session,
            tick: self.tick,
            server_time_us: self.time(now).0 / 1_000,
            resumed: if resumed.is_some() { ResumeAnswer::Resumed } else { ResumeAnswer::New },
            entities: self.entities.get(&session).cloned().unwrap_or_default(),
            ..welcome()
        };
        self.say(now, conn, &ControlDown::Welcome(Box::new(message)));
    }

    fn say(&mut self, now: Nanos, conn: ConnKey, message: &ControlDown) {
        self.write(now, conn, StreamKind::Control, &encode(message));
    }

    fn tell(&mut self, now: Nanos, conn: ConnKey, message: &EventDown) {
        self.write(now, conn, StreamKind::Events, &encode(message));
    }

    fn write(&mut self, now: Nanos, conn: ConnKey, stream: StreamKind, body: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(body, &mut bytes);
        let taken = self.transport.write(now, conn, stream, &bytes);
        assert_eq!(taken, Ok(bytes.len()), "a test says little");
    }

    fn snapshots(&mut self, now: Nanos, late_ns: u64) {
        let kind = welcome().schema.kinds.remove(0);
        for (conn, guest) in &mut self.guests {
            if guest.session.is_some() {
                let bytes = guest.snapshot(now, self.tick, late_ns, &kind);
                let _lost = self.transport.send_datagram(now, *conn, &bytes);
            }
        }
    }
}

impl Guest {
    fn fold(&mut self, uplink: &Uplink<'_>, at: Nanos, tick: Tick) {
        self.labels.push((tick.unwrap16(uplink.tick), uplink.samples().count()));
        self.steps.resize(15, 0);
        match self.newest {
            None => self.newest = Some((uplink.sequence, at)),
            Some((newest, _)) if newer16(uplink.sequence, newest) => {
                let ahead = uplink.sequence.wrapping_sub(newest);
                self.received =
                    (self.received << 1 | 1).checked_shl(u32::from(ahead) - 1).unwrap_or(0);
                self.newest = Some((uplink.sequence, at));
                self.steps[0] += ahead;
            }
            Some((newest, _)) => {
                let behind = newest.wrapping_sub(uplink.sequence);
                self.received |= 1u32.checked_shl(u32::from(behind).wrapping_sub(1)).unwrap_or(0);
            }
        }
    }

    fn snapshot(&mut self, now: Nanos, tick: Tick, late_ns: u64, kind: &Kind) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = SnapshotWriter::new(&mut out, tick, self.sequence, DATAGRAM_BYTES_MAX);
        self.sequence += 1;
        let units = |ns: u64| (ns * 16 / Nanos::MILLISECOND).min(0xffff) as u16;
        if let Some((newest, at)) = self.newest {
            let mut steps = [0; 15];
            steps.copy_from_slice(&self.steps);
            writer.fold(&Fold { newest, received: self.received, steps, applied: None });
            let (hold, late) = (units(now.since(at)), units(late_ns));
            writer.clock(&Clock { echo: newest, hold, late });
            self.steps.insert(0, 0);
            self.steps.truncate(15);
        }
        let mut page = Page::new(welcome().space);
        page.start(0, tick, None);
        let state = knot(tick.0, f64::from(tick.0) / 20.0 * WALK, WALK);
        if std::mem::replace(&mut self.entered, true) && self.newest.is_some() {
            page.absolute(0, &state);
        } else {
            let (entity, name, fields) = (entity(7), Some("walker"), Fields::default());
            page.enter(0, kind, &Enter { entity, kind: KindId(0), name, fields }, &state);
        }
        // Until something was heard of the guest the walker enters again and again.
        self.entered = self.newest.is_some();
        assert!(writer.page(&page), "one walker fits");
        writer.finish(std::iter::empty());
        out
    }
}
