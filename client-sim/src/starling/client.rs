//! One simulated client: a session of the SDK, and what the swarm knows about it.

use super::own::Own;
use super::registry::Registry;
use super::target::StarlingOptions;
use super::uplinks::Uplinks;
use super::words::{
    channel_name, cue_no, cue_payload, event_no, interest, payload, resumption, wire_pose,
};
use crate::space::Space;
use crate::target::{
    ChannelNo, ClientPlan, Clock, CueNo, Delivery, EntityNo, EventNo, EventScope, Frame, GivenCue,
    HeardCue, Held, Link, Publish, Received, Sample, View,
};
use crate::truth::Area;
use starling_client::{
    ClientEvent, ConnectOptions, CueTo, Publication, Session, SessionState, SpawnSpec,
    SubscribeOptions,
};
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::Event;
use starling_protocol::snapshot::Table;
use starling_protocol::space::Space as WireSpace;
use starling_protocol::units::{ChannelKey, Handle, MessageId, Nanos, Tick};
use starling_protocol::uplink::Uplink;
use starling_transport::ConnKey;
use std::collections::BTreeMap;

/// Ticks without any datagram after which one is taken to be predicted.
const OVERDUE_TICKS: u32 = 2;
/// Ticks of silence that are made up for at once.
const FRAMES_MAX: u32 = 64;
/// The kind of the swarm's cues.
const SHOT: u8 = 1;
/// After a despawn was asked for it is taken to be done after this long and two round trips.
const DESPAWN_NS: u64 = 500_000_000;

/// One client.
pub(super) struct SimClient {
    pub plan: ClientPlan,
    /// Marks what this run publishes.
    run: u64,
    pub session: Session,
    pub conn: Option<ConnKey>,
    /// Samples are wanted of this moment before the next datagram leaves.
    pub wants_ns: Option<u64>,
    own: Vec<Own>,
    uplinks: Uplinks,
    /// The newest tick that a frame was made of.
    frame_tick: Option<u32>,
    /// When the datagram was decoded that was applied since.
    decoded_at: Option<Nanos>,
    /// The newest tick that is through, of which there is no frame yet.
    through: Option<u32>,
    channels: Vec<(ChannelKey, ChannelNo)>,
    messages: BTreeMap<MessageId, EventNo>,
    /// Events that the session itself refused.
    unpublished: Vec<EventNo>,
    /// Cues that the session refused.
    ungiven: Vec<CueNo>,
    removing: Vec<(EntityNo, u64)>,
    was_connected: bool,
    /// It was connected and is not.
    is_down: bool,
    last_rtt_ns: u64,
    pub records: u64,
    pub rejected: u64,
}

impl SimClient {
    pub(super) fn new(
        now: Nanos,
        common: &StarlingOptions,
        plan: ClientPlan,
        options: ConnectOptions,
    ) -> Self {
        let own = plan.entities.iter().map(|e| Own::new(e.entity, e.name.clone()));
        let mut client = Self {
            run: common.seed,
            own: own.collect(),
            session: Session::new(now, options),
            conn: None,
            wants_ns: None,
            uplinks: Uplinks::new(common.faulted),
            frame_tick: None,
            decoded_at: None,
            through: None,
            channels: Vec::new(),
            messages: BTreeMap::new(),
            unpublished: Vec::new(),
            ungiven: Vec::new(),
            removing: Vec::new(),
            was_connected: false,
            is_down: false,
            last_rtt_ns: 0,
            records: 0,
            rejected: 0,
            plan,
        };
        client.subscribe();
        client
    }

    fn subscribe(&mut self) {
        for channel in &self.plan.channels {
            let name = channel_name(*channel);
            if let Ok(key) = self.session.subscribe(&name, SubscribeOptions::default()) {
                self.channels.push((key, *channel));
            }
        }
    }

    /// Tells what this client looks at, as far as it can be told yet.
    pub(super) fn look(&mut self, names: &[String]) {
        for (id, area) in self.plan.areas.iter().enumerate() {
            if let Some(interest) = interest(area, None, names) {
                // Eight areas at most: the plan was made from a command line of less.
                let _ = self.session.set_interest(id as u8, interest);
            }
        }
    }

    /// Areas round the first entity can be told now that it stands.
    fn look_round(&mut self, handle: Handle, names: &[String]) {
        for (id, area) in self.plan.areas.iter().enumerate() {
            if let (Area::Around { .. }, Some(shape)) = (area, interest(area, Some(handle), names))
            {
                let _ = self.session.set_interest(id as u8, shape);
            }
        }
    }

    /// Asks whether samples are wanted, once per datagram.
    pub(super) fn ask(&mut self, now: Nanos) {
        if self.wants_ns.is_none() {
            self.wants_ns = self.session.wants_samples(now).map(|sampling| sampling.at.0);
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.session.state() == SessionState::Live
    }

    /// A datagram arrived.
    pub(super) fn hear(
        &mut self,
        clock: &dyn Clock,
        bytes: &[u8],
        registry: &Registry,
        into: &mut Received,
    ) {
        let at = Nanos(clock.now_ns());
        // Ticks before its own are over: what the client holds in them is what it holds now.
        if let Some(tick) = self.tick_of(bytes) {
            let over = tick.0.saturating_sub(1);
            self.close(over, into);
            self.frames_to(over, at, registry, into);
        }
        if !self.session.handle_datagram(at, bytes) {
            return;
        }
        // Staleness ends here, not before decoding.
        self.decoded_at = Some(Nanos(clock.now_ns()));
        self.hear_cues(into);
        let heard = self.session.view().heard();
        self.records += (heard.updated.len() + heard.left.len()) as u64;
        if let Some(fold) = heard.fold {
            let tick = heard.tick.0;
            self.uplinks.report(self.plan.client, tick, &fold, into);
        }
        if let Some(rtt_ns) = self.session.clock().and_then(|clock| clock.rtt_ns())
            && rtt_ns != self.last_rtt_ns
        {
            self.last_rtt_ns = rtt_ns;
            into.rtt_ns.push((self.plan.client, rtt_ns));
        }
    }

    fn hear_cues(&mut self, into: &mut Received) {
        let newest = self.session.view().table().and_then(Table::newest_tick).unwrap_or_default();
        while let Some(cue) = self.session.poll_cue() {
            let Some(number) = cue_no(self.run, cue.payload()) else { continue };
            into.heard.push(HeardCue {
                client: self.plan.client,
                cue: number,
                tick: cue.tick.0,
                expires: cue.tick.0 + u32::from(cue.life),
                at_tick: newest.0,
            });
        }
    }

    /// Takes what happened out of the session.
    pub(super) fn drain(
        &mut self,
        now: Nanos,
        registry: &Registry,
        names: &[String],
        into: &mut Received,
    ) {
        while let Some(event) = self.session.poll_event() {
            self.note(event, now, registry, names, into);
        }
        into.refused_events.append(&mut self.unpublished);
        into.refused_cues.append(&mut self.ungiven);
        self.settle_removals(now, into);
    }

    /// Entities of which nothing more is to be expected.
    pub(super) fn settle_removals(&mut self, now: Nanos, into: &mut Received) {
        self.removing.retain(|(entity, due_ns)| {
            let waits = now.0 < *due_ns;
            if !waits {
                into.removed.push(*entity);
            }
            waits
        });
    }

    fn note(
        &mut self,
        event: ClientEvent,
        now: Nanos,
        registry: &Registry,
        names: &[String],
        into: &mut Received,
    ) {
        let client = self.plan.client;
        match event {
            ClientEvent::Connected { .. } => {
                self.was_connected = true;
                into.links.push((client, Link::Connected));
            }
            ClientEvent::Reconnecting { code, .. } if self.was_connected => {
                self.lose(format!("{code}"), into);
            }
            ClientEvent::Reconnected { answer, .. } => {
                self.is_down = false;
                into.links.push((client, Link::Resumed(resumption(answer))));
            }
            ClientEvent::Closed { error } => match self.was_connected {
                true => self.lose(error.to_string(), into),
                false => into.links.push((client, Link::Refused(error.to_string()))),
            },
            ClientEvent::Spawned { key, entity, handle, .. } => {
                if let Some(at) = self.own.iter().position(|own| own.key == Some(key)) {
                    registry.enter(entity, self.own[at].entity);
                    if at == 0 {
                        self.look_round(handle, names);
                    }
                }
            }
            ClientEvent::SpawnRefused { key, code } => {
                let own = self.own.iter().find(|own| own.key == Some(key));
                let name = own.map_or("?", |own| own.name.as_str());
                into.links.push((client, Link::Refused(format!("spawn of {name}: {code}"))));
            }
            ClientEvent::Rejected { key, .. } => {
                self.rejected += 1;
                if let Some(own) = self.own.iter().find(|own| own.key == Some(key)) {
                    self.uplinks.doubt(own.entity, into);
                }
            }
            ClientEvent::Delivered(event) => self.deliver(&event, now, into),
            ClientEvent::Published { message, .. } => {
                into.acked.extend(self.messages.remove(&message).map(|event| (event, now.0)));
            }
            ClientEvent::PublishRefused { message, .. }
            | ClientEvent::PublishUncertain { message } => {
                into.refused_events.extend(self.messages.remove(&message));
            }
            _ => {}
        }
    }

    fn lose(&mut self, why: String, into: &mut Received) {
        if !std::mem::replace(&mut self.is_down, true) {
            into.links.push((self.plan.client, Link::Lost(why)));
        }
        self.uplinks.restart();
        self.frame_tick = None;
        (self.decoded_at, self.through) = (None, None);
    }

    fn deliver(&self, event: &Event, now: Nanos, into: &mut Received) {
        let Some(number) = event_no(self.run, &event.payload) else { return };
        let channel = self.channels.iter().find(|(key, _)| *key == event.key);
        if event.key != INBOX && channel.is_none() {
            return;
        }
        into.deliveries.push(Delivery {
            client: self.plan.client,
            event: number,
            channel: channel.map(|(_, channel)| *channel),
            offset: event.offset.0,
            at_ns: now.0,
        });
    }

    /// Says where an entity is; the first time it appears there.
    pub(super) fn move_to(&mut self, now: Nanos, unix_ms: u64, space: Space, sample: &Sample) {
        let Some(own) = self.own.iter_mut().find(|own| own.entity == sample.entity) else { return };
        let pose = wire_pose(&sample.pose, space, unix_ms + now.0 / 1_000_000);
        if own.key.is_none() {
            let spec = SpawnSpec::at(pose).named(own.name.clone());
            own.key = self.session.spawn(spec).ok();
        }
        let Some(key) = own.key else { return };
        if self.session.set_pose(key, pose).is_err() {
            return;
        }
        if let Some(sequence) = self.session.sample_sequence(key) {
            own.note(sequence, sample.number);
        }
    }

    pub(super) fn remove(&mut self, now: Nanos, entity: EntityNo) {
        let Some(own) = self.own.iter_mut().find(|own| own.entity == entity) else { return };
        if let Some(key) = own.key.take() {
            // An outbox that is full keeps the entity, which then shows as still present.
            let _ = self.session.despawn(key);
        }
        own.forget();
        self.uplinks.forget(entity);
        self.removing.push((entity, now.0 + DESPAWN_NS + 2 * self.last_rtt_ns));
    }

    pub(super) fn publish(&mut self, event: &Publish) {
        let payload = payload(self.run, event.event);
        let publication = match event.scope {
            EventScope::Channel(channel) => Publication::to_channel(channel_name(channel), payload),
            EventScope::Near { radius_m } => Publication::near_mine(radius_m as f32, payload),
        };
        match self.session.publish(publication) {
            Ok(message) => {
                self.messages.insert(message, event.event);
            }
            Err(_) => self.unpublished.push(event.event),
        }
    }

    pub(super) fn give(&mut self, given: &GivenCue) {
        let payload = cue_payload(self.run, given.cue);
        let key = self.own.first().and_then(|own| own.key);
        let to = key.map(|key| CueTo::NearMine(key, given.radius_m as f32));
        let sent = to.map(|to| self.session.send_cue(to, SHOT, given.life_ticks, &payload));
        if !matches!(sent, Some(Ok(_))) {
            self.ungiven.push(given.cue);
        }
    }

    /// A datagram is about to leave: remembers which samples it carries.
    pub(super) fn note_uplink(&mut self, space: WireSpace, bytes: &[u8]) {
        let Ok(uplink) = Uplink::decode(space, bytes) else { return };
        let (own, session) = (&mut self.own, &self.session);
        let samples = uplink.samples().filter_map(|up| {
            let own = own.iter_mut().find(|own| own.handle(session) == Some(up.handle))?;
            own.last_sent = Some(up.sequence);
            Some((own.entity, own.number(up.sequence)?))
        });
        let samples: Vec<_> = samples.collect();
        if !samples.is_empty() {
            self.uplinks.sent(uplink.sequence, samples);
        }
    }

    /// The tick of a snapshot datagram: its second and third byte hold the low half.
    fn tick_of(&self, bytes: &[u8]) -> Option<Tick> {
        let newest = self.session.view().table()?.newest_tick()?;
        let low = [*bytes.get(1)?, *bytes.get(2)?];
        Some(newest.unwrap16(u16::from_le_bytes(low)))
    }

    /// Finds out which ticks are through: the newest heard, and those that should have been.
    pub(super) fn conclude(&mut self, now: Nanos, into: &mut Received) {
        let Some(clock) = self.session.clock().filter(|_| self.is_live()) else { return };
        let arrival = Nanos(clock.server_time(now).0.saturating_sub(self.last_rtt_ns / 2));
        let expected = clock.tick_of(arrival).0.0.saturating_sub(OVERDUE_TICKS);
        let newest = self.heard_tick().unwrap_or(expected).max(expected);
        self.through = Some(newest);
        self.close(newest, into);
    }

    /// Frames of the ticks that are through.
    pub(super) fn frames(&mut self, now: Nanos, registry: &Registry, into: &mut Received) {
        if let Some(newest) = self.through.take() {
            self.frames_to(newest, now, registry, into);
            self.session.view_mut().clear_changes();
        }
    }

    /// The newest tick of which something was heard since the last frame.
    fn heard_tick(&self) -> Option<u32> {
        let newest = self.session.view().table()?.newest_tick();
        newest.filter(|_| self.decoded_at.is_some()).map(|tick| tick.0)
    }

    /// The first tick that has no frame yet, if it is not after `newest`.
    fn first_to(&self, newest: u32) -> Option<u32> {
        let first = self.frame_tick.map_or(newest, |tick| tick + 1);
        (first <= newest && self.is_live()).then_some(first)
    }

    /// Ticks up to this one are over. To be called before anything new is sent.
    fn close(&mut self, newest: u32, into: &mut Received) {
        if self.first_to(newest).is_some() {
            self.uplinks.quiet(self.plan.client, newest, into);
        }
    }

    fn frames_to(&mut self, newest: u32, now: Nanos, registry: &Registry, into: &mut Received) {
        let Some(first) = self.first_to(newest) else { return };
        let heard = self.heard_tick();
        let session = &self.session;
        let (Some(table), Some(welcome)) = (session.view().table(), session.welcome()) else {
            return;
        };
        for tick in first.max(newest.saturating_sub(FRAMES_MAX))..=newest {
            let decoded_at = self.decoded_at.filter(|_| heard == Some(tick));
            let moment = Moment { tick, now, decoded_at, space: welcome.space };
            frame(&self.plan, table, moment, registry, into);
        }
        self.decoded_at = self.decoded_at.filter(|_| heard > Some(newest));
        self.frame_tick = Some(newest);
    }

    /// What this client would draw now.
    pub(super) fn draw(&mut self, now: Nanos, registry: &Registry, into: &mut Received) {
        self.session.advance(now);
        let view = self.session.view();
        let (Some(clock), Some((tick, part))) = (self.session.clock(), view.drawn_tick()) else {
            return;
        };
        let period = clock.rate().period_ns();
        let drawn_ns = clock.rate().deadline_ns(tick) + (f64::from(part) * period as f64) as u64;
        let age_ns = clock.server_time(now).0.saturating_sub(drawn_ns);
        let views = view.iter().filter_map(|seen| {
            let (entity, position) = (registry.find(seen.id())?, seen.pose().position);
            Some(View { entity, at_ns: now.0, position, age_ns })
        });
        into.views.extend(views);
    }
}

/// The tick that a frame is made of.
#[derive(Clone, Copy)]
struct Moment {
    tick: u32,
    now: Nanos,
    /// When something of this tick was decoded.
    decoded_at: Option<Nanos>,
    space: WireSpace,
}

/// What a client holds at one tick.
fn frame(
    plan: &ClientPlan,
    table: &Table,
    moment: Moment,
    registry: &Registry,
    into: &mut Received,
) {
    let first = into.copies.len();
    let mut visible = 0;
    let tick = Tick(moment.tick);
    for (slot, id, state) in table.states_at(tick) {
        let Some(entity) = registry.find(id) else { continue };
        visible += 1;
        if plan.judged {
            into.copies.push(Held {
                entity,
                position: moment.space.point(state.position(tick)),
                state_tick: state.tick().0,
                changed: state.tick() == tick,
                told: table.covered(slot) == Some(tick),
            });
        }
    }
    into.frames.push(Frame {
        client: plan.client,
        tick: moment.tick,
        at_ns: moment.decoded_at.unwrap_or(moment.now).0,
        decoded: moment.decoded_at.is_some(),
        visible,
        first,
        len: into.copies.len() - first,
    });
}
