//! The first thing that a session is told.

use super::SessionIdx;
use crate::World;
use crate::mail::{MAIL_BYTES_HOST, MAIL_BYTES_MAX, MAIL_BYTES_PER_ENTITY};
use crate::session::Session;
use starling_protocol::codec;
use starling_protocol::limits::{MESSAGE_BYTES_MAX, RESUME_TOKEN_BYTES};
use starling_protocol::message::control::{ControlDown, OwnEntity, ResumeAnswer, Welcome};
use starling_protocol::units::Handle;
use starling_protocol::version::{TABLES, VERSION};

/// What an entity in a Welcome takes beside its name, at most.
const OWN_ENTITY_BYTES: usize = 24;
/// Left free in a Welcome, for the message round it.
const WELCOME_SPARE_BYTES: usize = 1_024;
impl World {
    /// Sends the Welcome.
    ///
    /// Of a gateway's entities it names as many as fit. For the rest the gateway spawns again what
    /// it misses, under the same name, and is answered with what stands.
    pub(super) fn welcome(
        &mut self,
        idx: SessionIdx,
        resumed: ResumeAnswer,
        token: &[u8; RESUME_TOKEN_BYTES],
        now_us: u64,
    ) {
        let mut welcome = self.bare_welcome(idx, resumed, token, now_us);
        let mut room =
            MESSAGE_BYTES_MAX.saturating_sub(WELCOME_SPARE_BYTES + codec::encode(&welcome).len());
        for (handle, entity) in self.sessions[idx].owned.iter() {
            let own = self.own_entity(handle, entity);
            let Some(left) = room.checked_sub(OWN_ENTITY_BYTES + own.name.len()) else { break };
            room = left;
            welcome.entities.push(own);
        }
        self.sessions.control(idx, &ControlDown::Welcome(Box::new(welcome)), self.now);
        let level = self.shed.step();
        if level > 0 {
            self.sessions.control(idx, &ControlDown::Shed { level }, self.now);
        }
    }

    fn bare_welcome(
        &self,
        idx: SessionIdx,
        resumed: ResumeAnswer,
        token: &[u8; RESUME_TOKEN_BYTES],
        now_us: u64,
    ) -> Welcome {
        let config = &self.config;
        Welcome {
            version: VERSION,
            tables: TABLES,
            session: self.sessions[idx].id,
            resume_token: *token,
            world: config.name.clone(),
            space: config.space,
            track: config.track(),
            authority: config.authority,
            epoch: config.epoch,
            tick: self.now,
            tick_rate: config.tick_rate,
            server_time_us: now_us,
            error_bound_mm: config.error_bound_mm(),
            hysteresis_permille: config.hysteresis_permille,
            rings: config.rings.clone(),
            presence_ms: config.presence_ms,
            park_ms: config.park_ms,
            heartbeat_ticks: config.tick_rate.ticks_in_ms(config.heartbeat_ms.into()),
            schema: config.schema.clone(),
            resumed,
            entities: Vec::new(),
        }
    }

    fn own_entity(&self, handle: Handle, entity: crate::entity::EntityIdx) -> OwnEntity {
        OwnEntity {
            handle,
            entity: self.entities.id(entity),
            name: self.entities.name(entity).into(),
            sequence: self.entities.sequence(entity).unwrap_or(0),
        }
    }
}

impl Session {
    /// Bytes of mail that may wait for it.
    pub(crate) fn mail_bytes_max(&self) -> usize {
        let host = if self.is_host() { MAIL_BYTES_HOST } else { 0 };
        // A Welcome alone may be as long as a message may be.
        MESSAGE_BYTES_MAX + MAIL_BYTES_MAX + MAIL_BYTES_PER_ENTITY * self.owned.len() + host
    }
}
