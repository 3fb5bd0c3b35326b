//! P10 behind what memory holds: history reads on from the disk, names nothing as gone that is
//! there, and tells nothing of what is damaged (P16).

mod session_stage;

use session_stage::{Guest, Stage, message};
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::*;
use starling_protocol::units::Offset;
use starling_world::journal::Table;
use std::ops::RangeInclusive;

const CHAT: &str = "kept/chat";
/// More than memory holds of them.
const MANY: u64 = 90;
const LARGE: usize = 14 * 1024;

fn said() -> (Stage, Guest) {
    let mut stage = Stage::durable();
    let guest = stage.guest_named("alice");
    say_large(&mut stage, &guest, 1..=MANY);
    (stage, guest)
}

fn say_large(stage: &mut Stage, guest: &Guest, ids: RangeInclusive<u64>) {
    for id in ids {
        let large = Publish { payload: vec![id as u8; LARGE], ..message(CHAT, id) };
        stage.event(guest.conn, EventUp::Publish(Box::new(large)));
        stage.commit();
        let told = stage.events(guest.conn);
        assert!(matches!(told[..], [EventDown::Published { .. }]), "{told:?}");
        stage.breathe(guest.conn);
        stage.tick();
    }
}

fn ask(stage: &mut Stage, guest: &Guest, range: HistoryRange) -> Vec<EventDown> {
    let channel = CHAT.into();
    let query = HistoryQuery { request: 7, channel, range, thread: None, limit: 200 };
    stage.event(guest.conn, EventUp::History(Box::new(query)));
    stage.answer();
    (0..5).for_each(|_| {
        stage.breathe(guest.conn);
        stage.tick();
    });
    stage.events(guest.conn)
}

fn page(told: Vec<EventDown>) -> HistoryPage {
    match <[EventDown; 1]>::try_from(told) {
        Ok([EventDown::History(page)]) => *page,
        other => panic!("no page: {other:?}"),
    }
}

#[test]
fn every_event_is_read_from_disk_and_memory_as_one_row() {
    let (mut stage, guest) = said();
    let (mut from, mut read) = (Offset(1), Vec::new());
    for _ in 0..MANY {
        let range = HistoryRange::Offsets { from, to: Offset(u64::MAX) };
        let page = page(ask(&mut stage, &guest, range));
        assert_eq!(page.expired, None, "all of it is kept");
        for entry in &page.entries {
            assert_eq!(entry.event.payload, vec![entry.event.offset.0 as u8; LARGE]);
            read.push(entry.event.offset.0);
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(read, (1..=MANY).collect::<Vec<_>>());
    assert!(stage.world.counters().store_queries > 0, "memory does not hold all of it");
}

#[test]
fn a_damaged_event_is_told_and_never_delivered() {
    let (mut stage, guest) = said();
    let key = stage.disk.keys(Table::Event)[1].clone();
    stage.disk.damage(Table::Event, &key);
    let range = HistoryRange::Offsets { from: Offset(1), to: Offset(3) };
    let told = ask(&mut stage, &guest, range);
    let code = CloseCode::STORE_DAMAGED;
    let refused = EventDown::RequestRefused { request: 7, code, retry_after_ms: None };
    assert_eq!(told, [refused]);
}

/// What changed while memory held it is told so behind memory, too, before a restart and after it.
#[test]
fn what_is_on_disk_only_is_shown_as_it_stands() {
    let (mut stage, guest) = said();
    let (action, payload) = (Action::Append(Offset(80)), b" and more".to_vec());
    let append = Publish { action, payload: payload.clone(), ..message(CHAT, 91) };
    let answer = Publish { parent: Some(Offset(80)), ..message(CHAT, 92) };
    for publish in [append, answer] {
        stage.event(guest.conn, EventUp::Publish(Box::new(publish)));
        stage.commit();
        assert!(matches!(stage.events(guest.conn)[..], [EventDown::Published { .. }]));
    }
    let shown = |stage: &mut Stage, guest: &Guest| {
        let one = |o| HistoryRange::Offsets { from: Offset(o), to: Offset(o) };
        [80, 91].map(|o| page(ask(stage, guest, one(o))).entries)
    };
    let before = shown(&mut stage, &guest);
    let long = [vec![80; LARGE], payload].concat();
    let [said, append] = &before;
    assert_eq!((&said[0].event.payload, said[0].replies, append.len()), (&long, 1, 0));
    let disk = stage.disk.clone();
    say_large(&mut stage, &guest, 93..=180);
    assert_eq!(shown(&mut stage, &guest), before);
    stage.disk = disk; // of which the next life brings less into memory
    stage.crash(usize::MAX);
    let guest = stage.guest_named("alice");
    assert_eq!(shown(&mut stage, &guest), before);
}
