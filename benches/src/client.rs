//! A client without a network: it moves its entities, and keeps and acknowledges what it hears.

use crate::motion::Mover;
use starling_protocol::codec;
use starling_protocol::frame::Frames;
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::bulk::{BulkDown, BulkUp};
use starling_protocol::message::control::{Audience, ControlDown, ControlUp, Spawn};
use starling_protocol::motion::TrackKind;
use starling_protocol::sample::Sample;
use starling_protocol::schema::Schema;
use starling_protocol::snapshot::Table;
use starling_protocol::space::Space;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{EntityId, Handle, KindId, SessionId, Tick};
use starling_protocol::uplink::{SampleUp, UplinkWriter};
use starling_world::grants::{Grants, Principal};
use starling_world::input::{Attach, Command, ConnId, Datagram, TickInputs};
use std::ops::Range;

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) conn: ConnId,
    /// As its Welcome named it.
    pub(crate) session: Option<SessionId>,
    pub(crate) table: Table,
    /// Its entities among all that move.
    pub(crate) movers: Range<usize>,
    handles: Vec<Handle>,
    /// What it owns, by the world's names, in the order in which it asked.
    pub(crate) entities: Vec<EntityId>,
    /// Of its newest uplink datagram, and of the newest sample of each entity.
    sequence: u16,
    control: Frames,
    bulk: Frames,
}

impl Client {
    /// The client of a connection, before it attached.
    pub(crate) fn new(conn: ConnId, movers: Range<usize>) -> Self {
        Self {
            conn,
            session: None,
            table: Table::new(TrackKind::Knots, Space::Metric, Tick(0), 0),
            movers,
            handles: Vec::new(),
            entities: Vec::new(),
            sequence: 0,
            control: Frames::new(MESSAGE_BYTES_MAX),
            bulk: Frames::new(MESSAGE_BYTES_MAX),
        }
    }

    pub(crate) fn attach(&self) -> Command {
        self.attach_as(Grants::open(), 0)
    }

    /// The same with more grants than anyone has, for a host.
    pub(crate) fn attach_as(&self, grants: Grants, capabilities: u32) -> Command {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&self.conn.0.to_le_bytes());
        Command::Attach(Box::new(Attach {
            conn: self.conn,
            principal: Principal { grants, ..Principal::default() },
            token,
            token_digest: token,
            resume: None,
            schema_hash: None,
            capabilities,
        }))
    }

    pub(crate) fn say(&self, message: ControlUp) -> Command {
        Command::Control { conn: self.conn, message }
    }

    pub(crate) fn spawn(&self, sample: Sample) -> Command {
        self.say(ControlUp::Spawn(Box::new(Spawn {
            request: 1,
            name: None,
            kind: KindId(0),
            team: 0,
            audience: Audience::All,
            sample,
            fields: Vec::new(),
            block: Vec::new(),
            avatar_of: None,
        })))
    }

    /// One datagram with an acknowledgement and as many samples as fit.
    pub(crate) fn send(&mut self, movers: &[Mover], tick: Tick, inputs: &mut TickInputs) {
        self.sequence = self.sequence.wrapping_add(1);
        let start = inputs.arena.len();
        let mut writer = UplinkWriter::new(&mut inputs.arena, Space::Metric, self.sequence, tick);
        if let Some(ack) = self.table.ack() {
            writer.ack(ack);
        }
        for (handle, mover) in self.handles.iter().zip(&movers[self.movers.clone()]) {
            let sample = mover.sample();
            let up = SampleUp { handle: *handle, sequence: self.sequence, sample };
            assert!(writer.sample(&up), "the samples of a bench's client fit one datagram");
        }
        let bytes = start..start + writer.finish();
        let at_us = inputs.now_us.saturating_sub(10_000);
        inputs.datagrams.push(Datagram { conn: self.conn, bytes, at_us });
    }

    /// Samples of all that it owns, in as many datagrams as that takes, with no acknowledgement.
    pub(crate) fn send_all(&mut self, samples: &[Sample], tick: Tick, inputs: &mut TickInputs) {
        let mut rest = self.handles.iter().zip(samples).peekable();
        while rest.peek().is_some() {
            self.sequence = self.sequence.wrapping_add(1);
            let start = inputs.arena.len();
            let mut writer =
                UplinkWriter::new(&mut inputs.arena, Space::Metric, self.sequence, tick);
            while let Some((handle, sample)) = rest.peek() {
                let up = SampleUp { handle: **handle, sequence: tick.low16(), sample: **sample };
                if !writer.sample(&up) {
                    break;
                }
                rest.next();
            }
            let bytes = start..start + writer.finish();
            inputs.datagrams.push(Datagram { conn: self.conn, bytes, at_us: inputs.now_us });
        }
    }

    /// An acknowledgement of what it has applied, as the bytes of a datagram.
    pub(crate) fn acknowledge(&mut self, tick: Tick) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        let mut writer = UplinkWriter::new(&mut bytes, Space::Metric, self.sequence, tick);
        if let Some(ack) = self.table.ack() {
            writer.ack(ack);
        }
        writer.finish();
        bytes
    }

    /// Takes in what came on a stream; says what there is to answer.
    pub(crate) fn hear(
        &mut self,
        stream: StreamKind,
        bytes: &[u8],
        schema: &Schema,
        answers: &mut Vec<Command>,
    ) {
        match stream {
            StreamKind::Control => self.hear_control(bytes),
            StreamKind::Bulk => self.hear_bulk(bytes, schema, answers),
            _ => {}
        }
    }

    fn hear_control(&mut self, bytes: &[u8]) {
        self.control.push(bytes);
        while let Some(body) = self.control.next_frame().expect("the world writes frames") {
            match codec::decode(body).expect("the world writes messages") {
                ControlDown::Welcome(welcome) => {
                    self.session = Some(welcome.session);
                    self.table = Table::new(welcome.track, welcome.space, welcome.tick, 0);
                }
                ControlDown::Spawned { handle, entity, .. } => {
                    self.handles.push(handle);
                    self.entities.push(entity);
                }
                ControlDown::InterestSet { .. } => {}
                other => panic!("a bench's client expects no {other:?}"),
            }
        }
    }

    fn hear_bulk(&mut self, bytes: &[u8], schema: &Schema, answers: &mut Vec<Command>) {
        self.bulk.push(bytes);
        while let Some(body) = self.bulk.next_frame().expect("the world writes frames") {
            let message: BulkDown = codec::decode(body).expect("the world writes messages");
            self.table.apply_bulk(schema, &message).expect("the world writes what tables take");
            if let BulkDown::Enters { sequence, .. } = message {
                let message = BulkUp::Ack { sequence };
                answers.push(Command::Bulk { conn: self.conn, message });
            }
        }
    }
}
