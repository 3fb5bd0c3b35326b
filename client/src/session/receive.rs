//! What arrives on the streams.

use super::{Phase, Session};
use crate::channel::{Heard, PresenceCount, PublishStatus};
use crate::event::ClientEvent;
use crate::session::own::OwnKey;
use starling_protocol::close::CloseCode;
use starling_protocol::codec::{DecodeError, decode};
use starling_protocol::frame::{FrameError, Frames};
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::bulk::{BulkDown, BulkUp};
use starling_protocol::message::control::{ControlDown, ControlUp, Rejection};
use starling_protocol::message::events::EventDown;
use starling_protocol::message::host::HostDown;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{MessageId, Nanos, Tick};

/// Bytes of streams that may wait because the application takes no events.
const BACKLOG_BYTES_MAX: usize = 1024 * 1024;

/// The receiving ends of the four streams.
#[derive(Debug)]
pub(super) struct Inlets {
    frames: [Frames; StreamKind::ALL.len()],
    /// Bytes that arrived since every complete frame was last read.
    backlog: usize,
}

/// One message from any stream.
enum Message {
    Control(ControlDown),
    Event(EventDown),
    Bulk(BulkDown),
    Host(HostDown),
}

/// Bytes that are no message.
struct Garbage;

impl From<FrameError> for Garbage {
    fn from(_: FrameError) -> Self {
        Self
    }
}

impl From<DecodeError> for Garbage {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

impl Inlets {
    pub(super) const fn new() -> Self {
        let frames = [const { Frames::new(MESSAGE_BYTES_MAX) }; StreamKind::ALL.len()];
        Self { frames, backlog: 0 }
    }

    fn push(&mut self, stream: StreamKind, bytes: &[u8]) {
        self.frames[stream as usize].push(bytes);
        self.backlog += bytes.len();
    }

    /// The next complete message of any stream, control first; before the Welcome, which the other
    /// streams may overtake, of the control stream only.
    fn next(&mut self, joining: bool) -> Result<Option<Message>, Garbage> {
        let open = if joining { 1 } else { StreamKind::ALL.len() };
        for stream in StreamKind::ALL.into_iter().take(open) {
            let Some(body) = self.frames[stream as usize].next_frame()? else { continue };
            return Ok(Some(match stream {
                StreamKind::Control => Message::Control(decode(body)?),
                StreamKind::Events => Message::Event(decode(body)?),
                StreamKind::Bulk => Message::Bulk(decode(body)?),
                StreamKind::Host => Message::Host(decode(body)?),
            }));
        }
        self.backlog = if joining { self.backlog } else { 0 };
        Ok(None)
    }
}

impl Session {
    /// The next bytes of a stream arrived.
    pub fn handle_stream(&mut self, now: Nanos, stream: StreamKind, bytes: &[u8]) {
        if !matches!(self.phase, Phase::Joining { .. } | Phase::Live | Phase::Leaving { .. }) {
            return;
        }
        self.note_life(now);
        self.counts.stream_bytes_in += bytes.len() as u64;
        self.inlets.push(stream, bytes);
        self.receive(now);
        if self.inlets.backlog > BACKLOG_BYTES_MAX {
            // The server keeps what was not taken: it is resumed once there is room.
            self.counts.slow_consumer += 1;
            self.hang_up(now, CloseCode::SLOW_CONSUMER);
        }
    }

    /// Reads messages as long as the application takes what comes of them.
    pub(super) fn receive(&mut self, now: Nanos) {
        while self.queue.has_room() && self.inlets.backlog > 0 {
            let joining = matches!(self.phase, Phase::Joining { .. });
            match self.inlets.next(joining) {
                Ok(Some(message)) => self.handle_message(now, message), // may end the connection
                Ok(None) => return,
                Err(Garbage) => return self.breach_of_protocol(),
            }
        }
    }

    fn handle_message(&mut self, now: Nanos, message: Message) {
        match (&self.phase, message) {
            (Phase::Joining { .. }, Message::Control(ControlDown::Welcome(welcome))) => {
                self.welcomed(now, *welcome);
            }
            (Phase::Joining { .. }, Message::Control(ControlDown::Refused(refused))) => {
                self.refused(now, refused);
            }
            (Phase::Joining { .. }, _) => self.breach_of_protocol(),
            (_, Message::Control(message)) => self.handle_control(now, message),
            (_, Message::Event(message)) => self.handle_event(now, message),
            (_, Message::Bulk(message)) => self.handle_bulk(&message),
            (_, Message::Host(message)) => self.handle_host(message),
        }
    }

    fn handle_control(&mut self, now: Nanos, message: ControlDown) {
        match message {
            ControlDown::Spawned { request, handle, entity, name } => {
                let key = OwnKey::from_request(request);
                if self.owned.stands(key, handle, entity) {
                    self.queue.push(ClientEvent::Spawned { key, handle, entity, name });
                } else if self.outbox.control(&ControlUp::Despawn { handle }).is_err() {
                    self.counts.breaches += 1;
                }
                self.flush();
            }
            ControlDown::SpawnRefused { request, code } => {
                let key = OwnKey::from_request(request);
                self.owned.refuse(key, code);
                self.queue.push(ClientEvent::SpawnRefused { key, code });
            }
            ControlDown::Despawned { handle, code } => {
                if let Some(key) = self.owned.by_handle(handle) {
                    self.owned.refuse(key, code);
                    self.queue.push(ClientEvent::Despawned { key, code });
                }
            }
            ControlDown::Rejected { tick, samples } => self.rejected(tick, &samples),
            ControlDown::InterestSet { id } => self.queue.push(ClientEvent::InterestSet { id }),
            ControlDown::RequestRefused { request, code } => {
                self.queue.push(ClientEvent::RequestRefused { request, code });
            }
            ControlDown::TokenAccepted => self.queue.push(ClientEvent::TokenAccepted),
            ControlDown::GoingAway { deadline_ms, jitter_ms } => {
                self.going_away(now, deadline_ms, jitter_ms);
            }
            ControlDown::Avatar { entity } => self.set_avatar(entity),
            ControlDown::Shed { level } => self.queue.push(ClientEvent::Shed { level }),
            ControlDown::Refused(refused) => self.refused(now, refused),
            ControlDown::Welcome(_) => self.breach_of_protocol(),
            _ => {} // of a later minor version: not for us
        }
    }

    fn rejected(&mut self, tick: Tick, samples: &[Rejection]) {
        for Rejection { handle, sequence, reason } in samples {
            if let Some(key) = self.owned.by_handle(*handle) {
                let (sequence, reason) = (*sequence, *reason);
                self.queue.push(ClientEvent::Rejected { tick, key, sequence, reason });
            }
        }
    }

    /// The server drains: it closes the connection once it has done all that it accepted, and then
    /// the session comes back, within the jitter and once (P14).
    fn going_away(&mut self, now: Nanos, deadline_ms: u32, jitter_ms: u32) {
        self.leave_at = Some(now + u64::from(deadline_ms) * Nanos::MILLISECOND);
        self.spread_ms = jitter_ms;
        self.queue.push(ClientEvent::GoingAway { deadline_ms });
    }

    fn handle_event(&mut self, now: Nanos, message: EventDown) {
        let heard = match message {
            EventDown::Subscribed { key, answer, top, class } => {
                self.subscriptions.subscribed(now, key, answer, top, class)
            }
            EventDown::Members { key, members, last } => {
                self.subscriptions.members(key, members, last)
            }
            EventDown::Deliver(event) => self.subscriptions.deliver(event),
            EventDown::DeliverDelta { event, bytes } => {
                self.subscriptions.deliver_delta(event, bytes)
            }
            EventDown::Gap { key, from, to } => self.subscriptions.gap(key, from, to),
            EventDown::MembersChanged { key, from, to, here, left } => {
                self.subscriptions.members_changed(key, (from, to), here, left)
            }
            EventDown::Count { key, users, sessions } => {
                self.subscriptions.counted(key, PresenceCount { users, sessions })
            }
            EventDown::Unsubscribed { key, code } => self.subscriptions.ended(key, code),
            EventDown::Published { message, receipt } => {
                self.published(message, PublishStatus::Accepted(receipt))
            }
            EventDown::PublishRefused { message, code, retry_after_ms } => {
                self.published(message, PublishStatus::Refused { code, retry_after_ms })
            }
            EventDown::Tops { tops } => {
                self.subscriptions.tops(&tops);
                Heard::Nothing
            }
            EventDown::State { key, entries, last } => {
                self.subscriptions.state_page(key, entries, last)
            }
            EventDown::Leases { key, leases } => self.subscriptions.leases_told(now, key, leases),
            message => self.hear_beside(message),
        };
        self.tell(heard);
        self.subscriptions.flush(&mut self.outbox); // one with a hole is taken up again
    }

    fn published(&mut self, message: MessageId, status: PublishStatus) -> Heard {
        if !self.publishes.answer(message, status) {
            // P7: repeated on this connection while the first was on its way to the disk, it is
            // answered when it is there, and once more when the repeat arrives.
            let known = self.publishes.status(message) == status;
            return if known { Heard::Nothing } else { Heard::Breach };
        }
        match status {
            PublishStatus::Accepted(receipt) => {
                self.queue.push(ClientEvent::Published { message, receipt });
            }
            PublishStatus::Refused { code, retry_after_ms } => {
                self.queue.push(ClientEvent::PublishRefused { message, code, retry_after_ms });
            }
            _ => {}
        }
        Heard::Nothing
    }

    fn tell(&mut self, heard: Heard) {
        let event = match heard {
            Heard::Nothing => return,
            Heard::Breach => return self.counts.breaches += 1,
            Heard::Subscribed { key, answer } => ClientEvent::Subscribed { key, answer },
            Heard::Delivered(event) => ClientEvent::Delivered(event),
            Heard::Joined { key, member } => ClientEvent::Joined { key, member },
            Heard::Changed { key, member } => ClientEvent::MemberChanged { key, member },
            Heard::Left { key, session } => ClientEvent::Left { key, session },
            Heard::Run { key, here, left } => ClientEvent::MembersChanged { key, here, left },
            Heard::Counted { key, count } => ClientEvent::Count { key, count },
            Heard::MembersComplete { key } => ClientEvent::Members { key },
            Heard::StateComplete { key } => ClientEvent::State { key },
            Heard::Leases { key, leases } => ClientEvent::Leases { key, leases },
            Heard::Gap { key, from, to } => ClientEvent::Gap { key, from, to },
            Heard::Ended { key, channel, code } => ClientEvent::Unsubscribed { key, channel, code },
        };
        self.queue.push(event);
    }

    fn handle_bulk(&mut self, message: &BulkDown) {
        let BulkDown::Enters { sequence, .. } = *message else { return };
        match self.view.apply_bulk(message) {
            Ok(()) => {
                let acked = self.outbox.bulk(&BulkUp::Ack { sequence });
                self.counts.breaches += u64::from(acked.is_err());
            }
            Err(_) => {
                self.counts.decode_errors += 1;
                self.breach_of_protocol();
            }
        }
    }

    fn handle_host(&mut self, message: HostDown) {
        self.queue.push(match message {
            HostDown::Joined { session, subject } => ClientEvent::PlayerJoined { session, subject },
            HostDown::Left { session } => ClientEvent::PlayerLeft { session },
            HostDown::Inputs { tick, inputs } => ClientEvent::PlayerInputs { tick, inputs },
            _ => return,
        });
    }
}
