//! Whatever a server sends, and in whatever order things happen, a session does not panic, does
//! not grow without bound, and ends with a code or goes on.

mod support;

use proptest::prelude::*;
use starling_client::{
    ClientEvent, ConnectOptions, CueTo, LinkWish, OwnKey, Pose, Publication, Session, SpawnSpec,
    SubscribeOptions,
};
use starling_protocol::close::CloseCode;
use starling_protocol::codec::encode;
use starling_protocol::frame;
use starling_protocol::message::control::{ControlDown, INBOX, ResumeAnswer};
use starling_protocol::message::events::{Action, Answer, DeliveryClass, Event, EventDown};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{
    ChannelKey, ChannelPosition, Epoch, Handle, MessageId, Nanos, Offset, Tick,
};
use support::{Snapshot, entity, knot, own, welcome};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Garbage(u8, Vec<u8>),
    Datagram(Vec<u8>),
    Snapshot(u32, u8),
    Welcome(u8, bool),
    Spawned(u32, u16),
    Despawned(u16),
    GoingAway(u32),
    Subscribed(u32, u64, u8),
    Deliver(u32, u64),
    Gap(u32, u64, u64),
    Published(u64),
    Connected,
    Closed(u16),
    RivalClosed,
    Spawn,
    Despawn(u8),
    Move(u8, f64),
    Input(u8),
    Cue(u8),
    Subscribe(u8),
    Unsubscribe(u32),
    Publish(u8),
    TakeEvents,
    Goodbye,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let server = prop_oneof![
        (any::<u8>(), bytes()).prop_map(|(stream, bytes)| Step::Garbage(stream, bytes)),
        bytes().prop_map(Step::Datagram),
        (90u32..130, 0u8..4).prop_map(|(tick, slot)| Step::Snapshot(tick, slot)),
        (0u8..4, any::<bool>()).prop_map(|(answer, owned)| Step::Welcome(answer, owned)),
        (0u32..4, 0u16..4).prop_map(|(request, handle)| Step::Spawned(request, handle)),
        (0u16..4).prop_map(Step::Despawned),
        (0u32..5_000).prop_map(Step::GoingAway),
        (0u32..3, 0u64..5, 0u8..4).prop_map(|(k, o, a)| Step::Subscribed(k, o, a)),
        (0u32..3, 0u64..6).prop_map(|(k, o)| Step::Deliver(k, o)),
        (0u32..3, 0u64..6, 0u64..6).prop_map(|(k, a, b)| Step::Gap(k, a, b)),
        (0u64..4).prop_map(Step::Published),
    ];
    let link = prop_oneof![
        3 => Just(Step::Connected),
        1 => any::<u16>().prop_map(Step::Closed),
        1 => Just(Step::Closed(1001)),
        1 => Just(Step::RivalClosed),
        6 => any::<u16>().prop_map(Step::Wait),
    ];
    let program = prop_oneof![
        Just(Step::Spawn),
        any::<u8>().prop_map(Step::Despawn),
        (any::<u8>(), any::<f64>()).prop_map(|(key, x)| Step::Move(key, x)),
        any::<u8>().prop_map(Step::Input),
        any::<u8>().prop_map(Step::Cue),
        (0u8..3).prop_map(Step::Subscribe),
        (0u32..3).prop_map(Step::Unsubscribe),
        any::<u8>().prop_map(Step::Publish),
        Just(Step::TakeEvents),
    ];
    prop_oneof![4 => server, 3 => link, 3 => program, 1 => Just(Step::Wait(50))]
}

struct Play {
    session: Session,
    now: Nanos,
    keys: Vec<OwnKey>,
    ended: bool,
    sequence: u32,
}

impl Play {
    fn new() -> Self {
        let session = Session::new(Nanos(0), ConnectOptions::new("plaza").seed(3));
        Self { session, now: Nanos(0), keys: Vec::new(), ended: false, sequence: 0 }
    }

    fn say(&mut self, message: &ControlDown) {
        let mut bytes = Vec::new();
        frame::write(&encode(message), &mut bytes);
        self.session.handle_stream(self.now, StreamKind::Control, &bytes);
    }

    fn tell(&mut self, message: &EventDown) {
        let mut bytes = Vec::new();
        frame::write(&encode(message), &mut bytes);
        self.session.handle_stream(self.now, StreamKind::Events, &bytes);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Garbage(stream, bytes) => {
                let stream = StreamKind::ALL[usize::from(stream) % 4];
                self.session.handle_stream(self.now, stream, &bytes);
            }
            Step::Datagram(bytes) => {
                self.session.handle_datagram(self.now, &bytes);
            }
            Step::Snapshot(tick, slot) => self.snapshot(tick, slot),
            Step::Welcome(answer, owned) => {
                let mut message = welcome();
                message.resumed = [
                    ResumeAnswer::New,
                    ResumeAnswer::Resumed,
                    ResumeAnswer::Reset,
                    ResumeAnswer::Denied,
                ][usize::from(answer)];
                message.entities = if owned { vec![own(0, 0, "a")] } else { Vec::new() };
                self.say(&ControlDown::Welcome(Box::new(message)));
            }
            Step::Spawned(request, handle) => {
                let (handle, entity, name) = (Handle(handle), entity(request), "a".into());
                self.say(&ControlDown::Spawned { request, handle, entity, name });
            }
            Step::Despawned(handle) => {
                let code = CloseCode::LOST;
                self.say(&ControlDown::Despawned { handle: Handle(handle), code });
            }
            Step::GoingAway(jitter_ms) => {
                self.say(&ControlDown::GoingAway { deadline_ms: 3_000, jitter_ms });
            }
            step => self.take_event(step),
        }
    }

    fn take_event(&mut self, step: Step) {
        let at = |offset| ChannelPosition { epoch: Epoch(1), offset: Offset(offset) };
        match step {
            Step::Subscribed(key, offset, answer) => {
                let answer = match answer {
                    0 => Answer::Resumed,
                    1 => Answer::Reset(at(offset)),
                    2 => Answer::Denied(CloseCode::FORBIDDEN),
                    _ => Answer::Denied(CloseCode::RATE_LIMITED),
                };
                let (key, top) = (ChannelKey(key), at(offset));
                self.tell(&EventDown::Subscribed {
                    key,
                    answer,
                    top,
                    class: DeliveryClass::Ordered,
                });
            }
            Step::Deliver(key, offset) => self.tell(&EventDown::Deliver(Box::new(Event {
                key: ChannelKey(key),
                offset: Offset(offset),
                tick: Tick(1),
                unix_ms: 0,
                publisher: None,
                message: MessageId(0),
                action: Action::Message,
                state_key: None,
                parent: None,
                payload: Vec::new(),
            }))),
            Step::Gap(key, from, to) => {
                let (key, from, to) = (ChannelKey(key), Offset(from), Offset(to));
                self.tell(&EventDown::Gap { key, from, to });
            }
            Step::Published(message) => self.tell(&EventDown::PublishRefused {
                message: MessageId(message),
                code: CloseCode::FORBIDDEN,
                retry_after_ms: None,
            }),
            step => self.take_link(step),
        }
    }

    fn take_link(&mut self, step: Step) {
        match step {
            Step::Connected => self.session.handle_connected(self.now),
            Step::Closed(code) => self.session.handle_closed(self.now, CloseCode(code)),
            Step::RivalClosed => self.session.handle_rival_closed(self.now),
            Step::Wait(ms) => self.now = self.now + u64::from(ms) * support::MS / 10,
            step => self.take_program(step),
        }
    }

    /// What a program asks may be refused; that is the point.
    fn take_program(&mut self, step: Step) {
        let session = &mut self.session;
        let key = |n: u8, keys: &[OwnKey]| keys.get(usize::from(n) % keys.len().max(1)).copied();
        match step {
            Step::Spawn => self.keys.extend(session.spawn(SpawnSpec::at(Pose::default())).ok()),
            Step::Despawn(n) => {
                let _refused = key(n, &self.keys).map(|key| session.despawn(key));
            }
            Step::Move(n, x) => {
                let pose = Pose::at([x, 0.0, 0.0]);
                let _refused = key(n, &self.keys).map(|key| session.set_pose(key, pose));
            }
            Step::Input(byte) => {
                let _refused = session.send_input(&[byte]);
            }
            Step::Cue(kind) => {
                let _refused = session.send_cue(CueTo::World, kind, kind % 20, &[kind]);
            }
            Step::Subscribe(n) => {
                let name = ["a", "b", "presence/a"][usize::from(n)];
                let _refused = session.subscribe(name, SubscribeOptions::default());
            }
            Step::Unsubscribe(key) => {
                let _refused = session.unsubscribe(ChannelKey(key));
            }
            Step::Publish(byte) => {
                let _refused = session.publish(Publication::to_channel("a", [byte]));
            }
            Step::TakeEvents => self.take_events(),
            Step::Goodbye => session.goodbye(self.now),
            _ => {}
        }
    }

    fn snapshot(&mut self, tick: u32, slot: u8) {
        let enters = vec![(slot, entity(slot.into()), "n", knot(tick, 1.0, 0.0))];
        let snapshot = Snapshot { enters, ..Snapshot::at(tick) };
        let bytes = snapshot.encode(&welcome(), self.sequence);
        self.sequence += 1;
        self.session.handle_datagram(self.now, &bytes);
    }

    /// Exactly one of the ends is told, and nothing after it.
    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.ended, "{event:?} after the end");
            self.ended = matches!(event, ClientEvent::Closed { .. } | ClientEvent::Goodbye);
        }
    }

    fn drive(&mut self) {
        self.session.advance(self.now);
        let mut out = Vec::new();
        let mut sent = 0;
        while self.session.poll_datagram(self.now, &mut out) {
            sent += 1;
            assert!(sent < 10, "a round of uplinks ends");
        }
        for stream in StreamKind::ALL {
            let bytes = self.session.poll_stream(stream).len();
            assert!(bytes < 300_000, "what waits is bounded");
            self.session.stream_written(stream, bytes.min(100));
        }
        while let Some(wish) = self.session.poll_link() {
            assert!(!self.session.is_closed() || matches!(wish, LinkWish::Close(_)), "{wish:?}");
        }
        let due = self.session.next_timeout(self.now);
        assert_eq!(due.is_none(), self.session.is_closed());
        assert!(self.session.view().iter().count() <= 4);
        assert!(self.session.subscription(INBOX).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_session_survives_any_server(steps in prop::collection::vec(step(), 1..120)) {
        let mut play = Play::new();
        play.session.handle_connected(Nanos(0));
        for step in steps {
            play.take(step);
            play.drive();
        }
        play.take(Step::Goodbye);
        play.now = play.now + 5 * Nanos::SECOND;
        play.drive();
        prop_assert!(play.session.is_closed(), "a goodbye always ends it");
        play.take_events();
        prop_assert!(play.ended, "and is told");
    }
}
