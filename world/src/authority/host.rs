//! A trusted session that decides for everyone.

use crate::World;
use crate::output::Output;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::host::{HostDown, HostUp, PlayerInput};
use starling_protocol::units::SessionId;

/// Bytes of inputs in one message, with room for its frame.
const INPUTS_BYTES_MAX: usize = 32 * 1024;
/// What an input takes beside its payload, at most.
const INPUT_OVERHEAD_BYTES: usize = 16;

impl World {
    /// Does what a host says; whoever says it without being the host is closed.
    pub(crate) fn host(&mut self, idx: SessionIdx, message: HostUp, out: &mut Output) {
        if self.sessions.host != Some(idx) {
            return self.close(idx, CloseCode::FORBIDDEN, out);
        }
        let player = |session: SessionId| self.sessions.by_id(session);
        match message {
            HostUp::Avatar { handle, session } => {
                match (self.sessions[idx].owned.get(handle), player(session)) {
                    (Some(entity), Some(player)) => self.set_avatar(player, entity),
                    _ => self.counters.host_messages_unknown += 1,
                }
            }
            HostUp::Applied { session, number } => match player(session) {
                Some(player) => self.sessions[player].inputs.apply(number),
                None => self.counters.host_messages_unknown += 1,
            },
            _ => self.close(idx, CloseCode::PROTOCOL_ERROR, out),
        }
    }

    /// Tells a host that has just come, or come back, who is here.
    pub(crate) fn introduce_players(&mut self, host: SessionIdx) {
        let players: Vec<_> = self.sessions.iter().filter(|(_, s)| s.here).collect();
        let players: Vec<_> = players.into_iter().map(|(idx, _)| idx).collect();
        players.into_iter().filter(|idx| *idx != host).for_each(|idx| self.tell_host_joined(idx));
    }

    pub(super) fn tell_host_joined(&mut self, idx: SessionIdx) {
        let session = &self.sessions[idx];
        let subject = session.principal.subject.clone();
        self.tell_host(idx, &HostDown::Joined { session: session.id, subject });
    }

    pub(super) fn tell_host_left(&mut self, idx: SessionIdx) {
        let session = self.sessions[idx].id;
        self.tell_host(idx, &HostDown::Left { session });
    }

    /// Hands the inputs of this tick to the host, in as many messages as it takes. While there is
    /// no host they go nowhere.
    pub(super) fn forward_inputs(&mut self) {
        let tick = self.now;
        let inputs = self.drain_inputs();
        let Some(host) = self.sessions.host.filter(|_| !inputs.is_empty()) else { return };
        for part in in_parts(inputs) {
            self.sessions.host_message(host, &HostDown::Inputs { tick, inputs: part }, tick);
        }
    }

    /// A host is told of players, not of itself.
    fn tell_host(&mut self, about: SessionIdx, message: &HostDown) {
        if let Some(host) = self.sessions.host.filter(|host| *host != about) {
            self.sessions.host_message(host, message, self.now);
        }
    }
}

/// Cuts inputs into runs that fit one message each.
fn in_parts(inputs: Vec<PlayerInput>) -> Vec<Vec<PlayerInput>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for input in inputs {
        bytes += INPUT_OVERHEAD_BYTES + input.payload.len();
        if bytes > INPUTS_BYTES_MAX {
            parts.push(Vec::new());
            bytes = INPUT_OVERHEAD_BYTES + input.payload.len();
        }
        if let Some(part) = parts.last_mut() {
            part.push(input);
        }
    }
    parts
}
