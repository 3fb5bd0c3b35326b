//! The swarm's words in Starling's.

use crate::motion::{Facing as SwarmFacing, Pose as SwarmPose};
use crate::space::Space;
use crate::target::{ChannelNo, ClientNo, CueNo, EventNo, Resumption};
use crate::truth::Area;
use starling_client::{Facing, Pose};
use starling_protocol::message::control::ResumeAnswer;
use starling_protocol::message::interest::{Interest, Shape, Target as Named};
use starling_protocol::sample::{Fix, FixSource};
use starling_protocol::units::Handle;

pub(super) fn interest(area: &Area, own: Option<Handle>, names: &[String]) -> Option<Interest> {
    let (shape, flat) = match *area {
        Area::Around { radius_m, flat } => {
            (Shape::Around { entity: Some(own?), radius_m: radius_m as f32 }, flat)
        }
        Area::Point { centre, radius_m } => {
            (Shape::Point { center: centre, radius_m: radius_m as f32 }, false)
        }
        Area::Viewport { centre, side_m } => {
            (Shape::Viewport { center: centre, side_m: side_m as f32 }, false)
        }
        Area::Follow { entity } => {
            let name = names.get(entity.0 as usize)?.clone();
            (Shape::Follow { entity: Named::Name(name) }, false)
        }
        Area::Nearest { count, centre } => {
            (Shape::Nearest { count: u16::try_from(count).ok()?, center: centre }, false)
        }
    };
    // The swarm knows entities by id: names would be bytes that nobody reads.
    Some(Interest { flat, names: false, ..Interest::new(shape) })
}

pub(super) fn wire_pose(pose: &SwarmPose, space: Space, unix_ms: u64) -> Pose {
    let facing = match pose.facing {
        SwarmFacing::None => Facing::None,
        SwarmFacing::Heading(degrees) => Facing::Heading(degrees as f32),
        SwarmFacing::Quaternion(q) => Facing::Quaternion(q.map(|c| c as f32)),
    };
    let fix = (space == Space::Geodetic).then(|| Fix {
        time_ms: unix_ms,
        accuracy_dm: None,
        speed_cmps: pose.velocity.map(|v| (v[0].hypot(v[1]) * 100.0).min(65_535.0) as u16),
        source: FixSource::Gnss,
    });
    Pose { position: pose.position, velocity: pose.velocity, facing, fix }
}

pub(super) fn resumption(answer: ResumeAnswer) -> Resumption {
    match answer {
        ResumeAnswer::Resumed => Resumption::Resumed,
        ResumeAnswer::New | ResumeAnswer::Reset => Resumption::Reset,
        ResumeAnswer::Denied => Resumption::Denied,
    }
}

pub(super) fn channel_name(channel: ChannelNo) -> String {
    format!("swarm-{}", channel.0)
}

/// Publisher, number and run, and as much again as a short message has. Another swarm may fly in
/// the same world: its events are not this run's.
pub(super) fn payload(run: u64, event: EventNo) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    bytes[..4].copy_from_slice(&event.publisher.0.to_le_bytes());
    bytes[4..8].copy_from_slice(&event.number.to_le_bytes());
    bytes[8..16].copy_from_slice(&run.to_le_bytes());
    bytes
}

/// The event of a payload; `None` for what this run has not published.
pub(super) fn event_no(run: u64, payload: &[u8]) -> Option<EventNo> {
    let word = |at: usize| payload.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let ours = payload.len() == 32 && payload[8..16] == run.to_le_bytes();
    let (publisher, number) = (ClientNo(word(0)?), word(4)?);
    ours.then_some(EventNo { publisher, number })
}

/// Giver, number and run, and no more, for it rides with positions.
pub(super) fn cue_payload(run: u64, cue: CueNo) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&cue.giver.0.to_le_bytes());
    bytes[4..8].copy_from_slice(&cue.number.to_le_bytes());
    bytes[8..].copy_from_slice(&run.to_le_bytes());
    bytes
}

/// The cue of a payload; `None` for what this run has not given.
pub(super) fn cue_no(run: u64, payload: &[u8]) -> Option<CueNo> {
    let bytes: [u8; 16] = payload.try_into().ok()?;
    let [g0, g1, g2, g3, n0, n1, n2, n3, ..] = bytes;
    let giver = ClientNo(u32::from_le_bytes([g0, g1, g2, g3]));
    let number = u32::from_le_bytes([n0, n1, n2, n3]);
    (bytes[8..] == run.to_le_bytes()).then_some(CueNo { giver, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_again_in_its_own_run_only() {
        let event = EventNo { publisher: ClientNo(70_000), number: 9 };
        let bytes = payload(5, event);
        assert_eq!(event_no(5, &bytes), Some(event));
        assert_eq!(event_no(6, &bytes), None);
        assert_eq!(event_no(5, &bytes[..31]), None);
        let cue = CueNo { giver: ClientNo(70_000), number: 9 };
        assert_eq!(cue_no(5, &cue_payload(5, cue)), Some(cue));
        assert_eq!(cue_no(6, &cue_payload(5, cue)), None);
    }
}
