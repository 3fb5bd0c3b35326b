//! P10: what a subject published is erased whole; its numbers stay, and nobody else loses anything.

mod session_stage;

use session_stage::{Guest, Stage, message, place, scoped};
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, MessageId, Offset};
use starling_world::config::Owner;
use starling_world::grants::Grants;

const ROOM: &str = "room";

fn admin(stage: &mut Stage) -> Guest {
    let mut attach = stage.knock();
    attach.principal.subject = "admin".into();
    attach.principal.grants = Grants { admin: true, ..Grants::open() };
    stage.enter(attach).expect("everyone is let in")
}

/// Asks for an erasure and waits for its answer.
fn erase(stage: &mut Stage, admin: &Guest, subject: &str) -> Result<u64, CloseCode> {
    stage.events(admin.conn);
    stage.event(admin.conn, EventUp::Erase { request: 9, subject: subject.into() });
    stage.ticks_with(3, &[admin.conn]);
    let answers = stage.events(admin.conn).into_iter().filter_map(|event| match event {
        EventDown::Erased { request: 9, events } => Some(Ok(events)),
        EventDown::RequestRefused { request: 9, code, .. } => Some(Err(code)),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 1, "exactly one answer");
    answers[0]
}

fn history(stage: &mut Stage, guest: &Guest) -> Vec<Entry> {
    stage.events(guest.conn);
    let (channel, range) = (ROOM.into(), HistoryRange::Offsets { from: Offset(1), to: Offset(99) });
    let query = HistoryQuery { request: 7, channel, range, thread: None, limit: 200 };
    stage.event(guest.conn, EventUp::History(Box::new(query)));
    let told = stage.events(guest.conn);
    let page = told.into_iter().find_map(|event| match event {
        EventDown::History(page) => Some(page.entries),
        _ => None,
    });
    page.expect("a page")
}

fn say(stage: &mut Stage, guest: &Guest, publish: Publish) -> u64 {
    match stage.publish(guest.conn, publish) {
        Ok(Receipt::Channel(at)) => at.offset.0,
        other => panic!("{other:?}"),
    }
}

fn saying(id: u64, action: Action, text: &str) -> Publish {
    Publish { action, payload: text.into(), ..message(ROOM, id) }
}

#[test]
fn only_who_may_administer_may_erase() {
    let mut stage = Stage::new();
    let ann = stage.guest_named("ann");
    assert_eq!(erase(&mut stage, &ann, "bob"), Err(CloseCode::FORBIDDEN));
    let admin = admin(&mut stage);
    assert_eq!(erase(&mut stage, &admin, ""), Err(CloseCode::BAD_NAME));
    assert_eq!(erase(&mut stage, &admin, &"x".repeat(600)), Err(CloseCode::BAD_NAME));
    assert_eq!(erase(&mut stage, &admin, "nobody"), Ok(0));
    assert_eq!(stage.world.counters().erasures, 1);
}

#[test]
fn numbers_stay_and_contents_go() {
    let mut stage = Stage::new();
    let (ann, bob, eve) =
        (stage.guest_named("ann"), stage.guest_named("bob"), stage.guest_named("eve"));
    for id in 1..=6 {
        let who = if id % 2 == 0 { &bob } else { &ann };
        assert_eq!(say(&mut stage, who, saying(id, Action::Message, "hello")), id);
    }
    let admin = admin(&mut stage);
    assert_eq!(erase(&mut stage, &admin, "ann"), Ok(3));
    let Answer::Reset(top) = stage.subscribe(eve.conn, 1, ROOM) else { panic!("from now") };
    assert_eq!(top.offset, Offset(6));
    let answer = stage.subscribe_with(eve.conn, 1, ROOM, Some(place(top.epoch, 0)), false);
    assert_eq!(answer, Answer::Resumed, "no hole and no new beginning");
    let told = stage.delivered(eve.conn, 1);
    assert!(told.iter().map(|event| event.offset.0).eq(1..=6));
    for event in &told {
        let bobs = event.offset.0 % 2 == 0;
        let (action, payload): (_, &[u8]) =
            if bobs { (Action::Message, b"hello") } else { (Action::Tombstone, b"") };
        assert_eq!((event.action, event.payload.as_slice()), (action, payload));
        assert_eq!(event.publisher.is_some(), bobs);
    }
    let shown = history(&mut stage, &eve);
    assert!(shown.iter().map(|entry| &entry.event.offset).eq(told.iter().map(|e| &e.offset)));
    assert_eq!(say(&mut stage, &ann, saying(9, Action::Message, "again")), 7, "and goes on");
}

#[test]
fn what_a_subject_did_to_messages_of_others_is_taken_back() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    let mut mod_ann = stage.knock();
    mod_ann.principal.subject = "ann".into();
    let any = session_stage::patterns(&["*"]);
    mod_ann.principal.grants =
        Grants { update_any: any.clone(), delete_any: any, ..Grants::open() };
    let mod_ann = stage.enter(mod_ann).expect("let in");
    say(&mut stage, &bob, saying(1, Action::Message, "one"));
    say(&mut stage, &bob, saying(2, Action::Message, "two"));
    say(&mut stage, &bob, saying(3, Action::Message, "three"));
    say(&mut stage, &mod_ann, saying(4, Action::Update(Offset(1)), "ann's"));
    say(&mut stage, &bob, saying(5, Action::Append(Offset(2)), " and"));
    say(&mut stage, &mod_ann, saying(6, Action::Append(Offset(2)), " ann's"));
    say(&mut stage, &mod_ann, saying(7, Action::Delete(Offset(3)), ""));
    let answer = Publish { parent: Some(Offset(1)), ..saying(8, Action::Message, "ann's") };
    say(&mut stage, &ann, answer);
    let admin = admin(&mut stage);
    assert_eq!(erase(&mut stage, &admin, "ann"), Ok(4));
    let shown = history(&mut stage, &bob);
    let text = |at: usize| String::from_utf8(shown[at].event.payload.clone()).expect("text");
    assert_eq!((text(0), text(1), text(2)), ("one".into(), "two and".into(), String::new()));
    assert!(shown[0].version.is_none() && shown[0].replies == 0);
    assert_eq!(shown[1].version.as_ref().map(|v| v.offset), Some(Offset(5)));
    let deleted = shown[2].version.as_ref().expect("it stays deleted");
    assert!(deleted.deleted && deleted.publisher.is_none());
}

#[test]
fn values_are_cleared_and_followers_hear_of_it() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    let set = |id, key: &str| Publish { key: Some(key.into()), ..message(ROOM, id) };
    stage.subscribe(bob.conn, 1, ROOM);
    say(&mut stage, &ann, set(1, "door"));
    say(&mut stage, &bob, set(2, "lamp"));
    say(&mut stage, &ann, set(3, "roof"));
    say(&mut stage, &bob, set(4, "roof"));
    stage.events(bob.conn);
    let admin = admin(&mut stage);
    assert_eq!(erase(&mut stage, &admin, "ann"), Ok(2));
    let told = stage.delivered(bob.conn, 1);
    let cleared: Vec<_> = told.iter().map(|e| (e.action, e.state_key.as_deref())).collect();
    assert_eq!(cleared, [(Action::Clear, Some("door"))], "once, and by nobody");
    assert!(told[0].publisher.is_none());
    let eve = stage.guest_named("eve");
    stage.subscribe(eve.conn, 1, ROOM);
    let keys = stage.events(eve.conn).into_iter().find_map(|event| match event {
        EventDown::State { entries, .. } => Some(entries),
        _ => None,
    });
    let keys: Vec<_> = keys.expect("values").into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["lamp", "roof"]);
}

#[test]
fn notes_and_receipts_go_with_their_user() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    say(&mut stage, &bob, message(ROOM, 1));
    let note = |id, rule: NoteRule, kind: &str, name: &str| Annotate {
        message: MessageId(id),
        channel: ROOM.into(),
        target: Offset(1),
        rule,
        kind: kind.into(),
        name: name.into(),
        count: 1,
        remove: false,
    };
    for (who, id) in [(&ann, 2), (&bob, 3)] {
        let noted = |note| EventUp::Annotate(Box::new(note));
        stage.event(who.conn, noted(note(id, NoteRule::Distinct, "reaction", "heart")));
        stage.event(who.conn, noted(note(id + 10, NoteRule::Total, "views", "")));
    }
    let alone = note(30, NoteRule::Flag, "flag", "");
    stage.event(ann.conn, EventUp::Annotate(Box::new(alone)));
    stage.subscribe(ann.conn, 1, ROOM);
    stage.event(ann.conn, EventUp::Read { key: ChannelKey(1), offset: Offset(1) });
    let admin = admin(&mut stage);
    assert_eq!(erase(&mut stage, &admin, "ann"), Ok(3));
    let shown = history(&mut stage, &bob);
    let kinds: Vec<_> = shown[0].notes.iter().map(|s| (s.kind.as_str(), s.total)).collect();
    assert_eq!(kinds, [("reaction", 1), ("views", 1)]);
    stage.events(ann.conn);
    stage.event(ann.conn, EventUp::CountUnread { request: 4, channels: vec![ROOM.into()] });
    let told = stage.events(ann.conn);
    let read = told.iter().find_map(|event| match event {
        EventDown::Unread { channels, .. } => Some(channels[0].read),
        _ => None,
    });
    assert_eq!(read, Some(Offset(0)), "{told:?}");
    let followed = stage.subscribe(bob.conn, 1, ROOM);
    let Answer::Reset(top) = followed else { panic!("from now: {followed:?}") };
    stage.subscribe_with(bob.conn, 1, ROOM, Some(place(top.epoch, 0)), false);
    for event in stage.delivered(bob.conn, 1) {
        assert!(event.publisher.is_none_or(|publisher| publisher.subject != "ann"));
        if matches!(event.action, Action::Annotate(_)) {
            codec::decode::<Noted>(&event.payload).expect("whole");
        }
    }
}

#[test]
fn inboxes_and_mail_of_others_keep_only_tombstones() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest());
    stage.events(bob.conn);
    let to_bob = scoped(Scope::Session(bob.session()), 1);
    stage.publish(ann.conn, to_bob).expect("to a session");
    stage.publish(ann.conn, scoped(Scope::User("carl".into()), 2)).expect("to a user");
    assert_eq!(stage.delivered(bob.conn, 0).len(), 1, "told already");
    let admin = admin(&mut stage);
    assert_eq!(erase(&mut stage, &admin, "ann"), Ok(2));
    stage.detach(bob.conn);
    let epoch = bob.welcome.epoch;
    let bob = stage.resume(&bob, &[(ChannelKey(0), place(epoch, 0))]);
    let again = stage.delivered(bob.conn, 0);
    assert_eq!(again.iter().map(|e| e.action).collect::<Vec<_>>(), [Action::Tombstone]);
}

#[test]
fn who_reads_the_members_of_a_channel_goes_on_or_gets_them_anew() {
    let mut stage = Stage::new();
    let (ann, bob, eve) =
        (stage.guest_named("ann"), stage.guest_named("bob"), stage.guest_named("eve"));
    stage.subscribe(bob.conn, 1, "presence/room");
    let Answer::Reset(at) = stage.subscribe(eve.conn, 1, "presence/room") else { panic!("new") };
    stage.subscribe_with(ann.conn, 1, ROOM, None, true);
    stage.event(ann.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    assert_eq!(stage.delivered(bob.conn, 1).len(), 2, "joined and left");
    let admin = admin(&mut stage);
    assert_eq!(erase(&mut stage, &admin, "ann"), Ok(0), "a list has no history");
    let answer = stage.subscribe_with(eve.conn, 1, "presence/room", Some(at), false);
    assert!(matches!(answer, Answer::Reset(_)), "{answer:?}");
    stage.events(bob.conn);
    stage.subscribe_with(eve.conn, 2, ROOM, None, true);
    let told = stage.delivered(bob.conn, 1);
    assert_eq!(
        told.iter().map(|e| (e.offset.0, e.action)).collect::<Vec<_>>(),
        [(3, Action::Join)]
    );
}

#[test]
fn said_twice_it_is_answered_once_and_many_wait_within_a_bound() {
    let mut stage = Stage::new();
    let ann = stage.guest_named("ann");
    say(&mut stage, &ann, message(ROOM, 1));
    let admin = admin(&mut stage);
    for _ in 0..2 {
        stage.event(admin.conn, EventUp::Erase { request: 9, subject: "ann".into() });
    }
    for request in 100..200 {
        stage.event(admin.conn, EventUp::Erase { request, subject: format!("nobody {request}") });
    }
    stage.ticks_with(3, &[admin.conn]);
    let told = stage.events(admin.conn);
    let erased = |event: &&EventDown| matches!(event, EventDown::Erased { request: 9, events: 1 });
    assert_eq!(told.iter().filter(erased).count(), 1);
    let refused = |event: &&EventDown| {
        let code = CloseCode::RATE_LIMITED;
        matches!(event, EventDown::RequestRefused { code: c, retry_after_ms: Some(_), .. } if *c == code)
    };
    assert!(told.iter().filter(refused).count() > 0);
}

/// P12: in a world that tenants share, an administrator of one reaches nobody of another.
#[test]
fn where_tenants_meet_each_erases_its_own() {
    let mut stage = Stage::with(|config| config.owner = Owner::Shared);
    let mut named = |subject: &str, admin: bool| {
        let mut attach = stage.knock();
        attach.principal.subject = subject.into();
        attach.principal.grants = Grants { admin, ..Grants::open() };
        stage.enter(attach).expect("everyone is let in")
    };
    let (ours, theirs) = (named("acme/ann", false), named("umbra/ann", false));
    let (admin, stranger) = (named("acme/admin", true), named("", true));
    say(&mut stage, &ours, message(ROOM, 1));
    say(&mut stage, &theirs, message(ROOM, 2));
    assert_eq!(erase(&mut stage, &admin, "umbra/ann"), Ok(0));
    assert_eq!(erase(&mut stage, &stranger, "ann"), Err(CloseCode::BAD_NAME));
    assert_eq!(erase(&mut stage, &admin, "ann"), Ok(1));
    let shown = history(&mut stage, &theirs);
    let actions: Vec<_> = shown.iter().map(|entry| entry.event.action).collect();
    assert_eq!(actions, [Action::Tombstone, Action::Message]);
}
