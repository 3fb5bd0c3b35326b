//! Server authority: players send numbered inputs, the game of the world moves what it owns.

mod session_stage;

use session_stage::{Guest, Stage, game, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::*;
use starling_protocol::message::events::EventDown;
use starling_protocol::message::host::PlayerInput;
use starling_protocol::sample::Sample;
use starling_protocol::units::{EntityId, Handle, SessionId, Tick};
use starling_protocol::uplink;
use starling_world::World;
use starling_world::authority::{Game, GameContext, NewEntity, PlayerEvent, tag};
use starling_world::config::WorldConfig;
use std::sync::{Arc, Mutex};

/// What a game was handed, tick by tick.
#[derive(Debug, Default)]
struct Record {
    comings: Vec<PlayerEvent>,
    inputs: Vec<(Tick, PlayerInput)>,
}

/// A game that only writes down what it is handed.
#[derive(Debug, Default)]
struct Recorder(Arc<Mutex<Record>>);

impl Game for Recorder {
    fn step(&mut self, context: &mut GameContext<'_>) {
        let mut record = self.0.lock().expect("one thread");
        record.comings.extend_from_slice(context.comings());
        let tick = context.tick();
        record.inputs.extend(context.inputs().iter().map(|input| (tick, input.clone())));
    }
}

/// A game that puts one statue into its yard with the first player, and never touches it again.
#[derive(Debug, Default)]
struct Sculptor {
    statue: Option<EntityId>,
}

impl Game for Sculptor {
    fn step(&mut self, context: &mut GameContext<'_>) {
        if self.statue.is_none() && !context.comings().is_empty() {
            let new = NewEntity { name: Some("statue".into()), ..NewEntity::default() };
            self.statue = Some(context.spawn(new).expect("the yard has room"));
        }
    }
}

fn server() -> WorldConfig {
    let mut config = game();
    config.authority = Authority::Server;
    config.schema = tag::Tag::schema();
    config
}

fn recording() -> (Stage, Arc<Mutex<Record>>) {
    let record = Arc::new(Mutex::new(Record::default()));
    let world = World::with_game(server(), Box::new(Recorder(Arc::clone(&record))));
    (Stage::of(world), record)
}

fn playing() -> Stage {
    Stage::of(World::with_game(server(), Box::new(tag::Tag::default())))
}

/// Sends inputs as a client does: the newest and those before it, oldest first.
fn send(stage: &mut Stage, guest: &Guest, sequence: u16, newest: u16, payloads: &[&[u8]]) {
    let mut datagram = Vec::new();
    let space = stage.world.config().space;
    let mut writer = uplink::UplinkWriter::new(&mut datagram, space, sequence, Tick(0));
    writer.inputs(newest, payloads.iter().copied());
    writer.finish();
    stage.datagram(guest.conn, &datagram);
}

fn taken(record: &Arc<Mutex<Record>>) -> Vec<(u32, SessionId, u16, Vec<u8>)> {
    let record = record.lock().expect("one thread");
    let inputs = record.inputs.iter();
    inputs.map(|(t, i)| (t.0, i.session, i.number, i.payload.clone())).collect()
}

#[test]
fn repeated_inputs_reach_the_game_once_and_in_order() {
    let (mut stage, record) = recording();
    let guest = stage.guest();
    let id = guest.session();
    send(&mut stage, &guest, 1, 1, &[b"a"]);
    stage.tick();
    send(&mut stage, &guest, 2, 2, &[b"a", b"b"]);
    send(&mut stage, &guest, 3, 3, &[b"a", b"b", b"c"]);
    stage.tick();
    send(&mut stage, &guest, 4, 3, &[b"b", b"c"]);
    stage.tick();
    let expected =
        [(1, id, 1, b"a".to_vec()), (2, id, 2, b"b".to_vec()), (2, id, 3, b"c".to_vec())];
    assert_eq!(taken(&record), expected);
    assert_eq!(stage.world.counters().inputs_taken, 3);
}

#[test]
fn inputs_go_on_after_a_resume_where_they_were() {
    let (mut stage, record) = recording();
    let guest = stage.guest();
    send(&mut stage, &guest, 1, 5, &[b"a"]);
    stage.tick();
    let guest = stage.resume(&guest, &[]);
    send(&mut stage, &guest, 1, 6, &[b"a", b"b"]);
    stage.tick();
    let numbers: Vec<_> = taken(&record).iter().map(|(_, _, number, _)| *number).collect();
    assert_eq!(numbers, [5, 6]);
}

#[test]
fn inputs_of_several_players_come_in_order_of_session() {
    let (mut stage, record) = recording();
    let guests: Vec<_> = (0..3).map(|_| stage.guest()).collect();
    for guest in guests.iter().rev() {
        send(&mut stage, guest, 1, 1, &[b"x"]);
    }
    stage.tick();
    let order: Vec<_> = taken(&record).iter().map(|(_, session, ..)| *session).collect();
    assert_eq!(order, guests.iter().map(Guest::session).collect::<Vec<_>>());
}

#[test]
fn a_game_is_told_who_comes_and_goes() {
    let (mut stage, record) = recording();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    stage.tick();
    stage.send(bob.conn, ControlUp::Goodbye);
    stage.detach(alice.conn);
    stage.ticks(201);
    let expected = [
        PlayerEvent::Joined { player: alice.session(), subject: "alice".into() },
        PlayerEvent::Joined { player: bob.session(), subject: "bob".into() },
        PlayerEvent::Left { player: bob.session() },
        PlayerEvent::Left { player: alice.session() },
    ];
    stage.tick();
    assert_eq!(record.lock().expect("one thread").comings, expected);
}

#[test]
fn players_of_a_server_world_own_nothing_and_move_nothing() {
    let (mut stage, _) = recording();
    let guest = stage.guest();
    let refused = stage.spawn(guest.conn, spawn_at("a", [0.; 3]));
    assert_eq!(refused, Err(CloseCode::WRONG_AUTHORITY));
    let mut datagram = Vec::new();
    let space = stage.world.config().space;
    let mut writer = uplink::UplinkWriter::new(&mut datagram, space, 1, Tick(0));
    let (handle, sample) = (Handle(0), Sample::default());
    assert!(writer.sample(&uplink::SampleUp { handle, sequence: 9, sample }));
    writer.finish();
    stage.datagram(guest.conn, &datagram);
    stage.tick();
    let reason = RejectReason::WrongAuthority;
    let samples = vec![Rejection { handle, sequence: 9, reason }];
    assert_eq!(stage.control(guest.conn), [ControlDown::Rejected { tick: Tick(1), samples }]);
}

#[test]
fn inputs_to_a_world_of_clients_are_refused_once_a_second() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    for number in 1..=25 {
        send(&mut stage, &guest, number, number, &[b"x"]);
        stage.tick();
    }
    let told = ControlDown::RequestRefused {
        request: RequestKind::Input,
        code: CloseCode::WRONG_AUTHORITY,
    };
    assert_eq!(stage.control(guest.conn), [told.clone(), told]);
    assert_eq!(stage.world.counters().inputs_refused, 25);
}

#[test]
fn what_a_game_makes_in_a_tick_was_accepted_in_that_tick() {
    let mut stage = Stage::of(World::with_game(server(), Box::new(Sculptor::default())));
    stage.ticks(6);
    stage.guest();
    stage.tick();
    let entities = stage.world.entities();
    let statue = entities.named("statue").expect("the game made it");
    assert_eq!(stage.world.now(), Tick(7));
    assert_eq!(entities.accepted(statue).tick, Tick(7));
}

fn position_of(stage: &Stage, guest: &Guest) -> [f64; 3] {
    let entities = stage.world.entities();
    let mine = entities.iter().find(|e| {
        let player = entities.avatar_of(*e).expect("every entity of tag is an avatar");
        stage.world.sessions().get(player).expect("stands").id() == guest.session()
    });
    let mine = mine.expect("the game gave it an avatar");
    stage.world.config().space.point(entities.accepted(mine).position)
}

#[test]
fn in_tag_a_player_runs_where_it_says_and_a_dash_is_faster() {
    let mut stage = playing();
    let guest = stage.guest();
    stage.tick();
    let start = position_of(&stage, &guest);
    send(&mut stage, &guest, 1, 1, &[&[3, 0]]);
    stage.ticks(10);
    let ran = position_of(&stage, &guest);
    assert!((ran[0] - start[0] - 3.0).abs() < 0.01, "six metres a second for half of one");
    assert_eq!(ran[1], start[1]);
    send(&mut stage, &guest, 2, 2, &[&[7, 1]]);
    stage.ticks(4);
    let dashed = position_of(&stage, &guest);
    assert!((ran[0] - dashed[0] - 3.6).abs() < 0.01, "eighteen for a fifth");
}

#[test]
fn in_tag_a_player_is_told_which_entity_it_runs_with() {
    let mut stage = playing();
    let guest = stage.player();
    assert_eq!(stage.avatars(guest.conn), [], "there is none before the first tick");
    stage.tick();
    let entities = stage.world.entities();
    let mine = entities.iter().map(|idx| entities.id(idx)).next();
    assert_eq!(stage.avatars(guest.conn), [mine]);
}

#[test]
fn in_tag_more_inputs_make_nobody_faster() {
    let mut stage = playing();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.tick();
    let before = [position_of(&stage, &alice), position_of(&stage, &bob)];
    for number in 1..=10 {
        send(&mut stage, &bob, number * 2, number * 2, &[&[3, 0], &[3, 0]]);
        send(&mut stage, &bob, number * 2 + 1, number * 2 + 1, &[&[3, 0]]);
        send(&mut stage, &alice, number, number, &[&[3, 0]]);
        stage.tick();
    }
    let ran = |guest, before: [f64; 3]| position_of(&stage, guest)[0] - before[0];
    assert!((ran(&alice, before[0]) - ran(&bob, before[1])).abs() < 0.01);
}

#[test]
fn in_tag_a_touch_is_announced_and_who_leaves_is_it_no_more() {
    let mut stage = playing();
    let alice = stage.guest();
    stage.subscribe(alice.conn, 1, tag::CHANNEL);
    stage.tick();
    let announced = |stage: &mut Stage| -> Vec<u64> {
        let events = stage.delivered(alice.conn, 1);
        let id = |payload: &[u8]| u64::from_le_bytes(payload.try_into().expect("eight bytes"));
        events.iter().map(|event| id(&event.payload)).collect()
    };
    assert_eq!(announced(&mut stage), [alice.session().0], "the first player is it");
    let bob = stage.guest();
    let mut number = 0;
    let mut seen = Vec::new();
    while seen.is_empty() {
        stage.tick();
        number += 1;
        assert!(number < 400, "alice runs after bob and touches");
        let [a, b] = [position_of(&stage, &alice), position_of(&stage, &bob)];
        let east = if b[0] > a[0] { 3 } else { 7 };
        let north = if b[1] > a[1] { 1 } else { 5 };
        let way = if (b[0] - a[0]).abs() > (b[1] - a[1]).abs() { east } else { north };
        send(&mut stage, &alice, number, number, &[&[way, 0]]);
        seen = announced(&mut stage);
    }
    assert_eq!(seen, [bob.session().0]);
    stage.send(bob.conn, ControlUp::Goodbye);
    stage.ticks(2);
    assert_eq!(announced(&mut stage), [alice.session().0]);
    assert_eq!(stage.world.entities().len(), 1, "bob's avatar left with bob");
}

#[test]
fn what_a_game_publishes_has_no_publisher() {
    let mut stage = playing();
    let alice = stage.guest();
    stage.subscribe(alice.conn, 1, tag::CHANNEL);
    stage.tick();
    let delivered = stage.events(alice.conn).into_iter().find_map(|event| match event {
        EventDown::Deliver(event) => Some(*event),
        _ => None,
    });
    assert_eq!(delivered.expect("announced").publisher, None);
}
