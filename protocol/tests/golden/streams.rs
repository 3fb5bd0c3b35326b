//! Vectors of the bulk and host streams, and of frames.

use crate::{Line, check, check_messages};
use starling_protocol::frame::{self, Frames};
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::bulk::{BulkDown, BulkUp};
use starling_protocol::message::host::{HostDown, HostUp, PlayerInput};
use starling_protocol::units::{Handle, SessionId, Tick};

#[test]
fn bulk_messages_keep_their_bytes() {
    let enters = BulkDown::Enters { sequence: 1, tick: Tick(100), count: 1, records: vec![1, 2] };
    check_messages("bulk_down.tsv", &[("enters", enters)]);
    check_messages("bulk_up.tsv", &[("ack", BulkUp::Ack { sequence: 70_000 })]);
}

#[test]
fn host_messages_keep_their_bytes() {
    let session = SessionId(42);
    let input = PlayerInput { session, number: 300, payload: vec![1, 2] };
    check_messages(
        "host_down.tsv",
        &[
            ("joined", HostDown::Joined { session, subject: "ann".into() }),
            ("left", HostDown::Left { session }),
            ("inputs", HostDown::Inputs { tick: Tick(70_000), inputs: vec![input] }),
        ],
    );
    check_messages(
        "host_up.tsv",
        &[
            ("avatar", HostUp::Avatar { handle: Handle(1), session }),
            ("applied", HostUp::Applied { session, number: 65_535 }),
        ],
    );
}

#[test]
fn frames_keep_their_bytes() {
    let lines: Vec<Line> = [1, 63, 64, 300]
        .iter()
        .map(|len| {
            let mut bytes = Vec::new();
            frame::write(&vec![0xab; *len], &mut bytes);
            Line { name: format!("frame_of_{len}"), bytes, says: format!("{len} times ab") }
        })
        .collect();
    check("frame.tsv", &lines);
    let mut longest = Vec::new();
    frame::write(&vec![0; MESSAGE_BYTES_MAX], &mut longest);
    assert_eq!(longest[..4], [0x80, 0x01, 0x00, 0x00]);
    let mut frames = Frames::new(MESSAGE_BYTES_MAX);
    frames.push(&longest);
    let body = frames.next_frame().expect("well formed").expect("complete");
    assert_eq!(body.len(), MESSAGE_BYTES_MAX);
}
