//! What comes in: believed, rejected with a reason, or counted and ignored.

mod view_stage;

use starling_protocol::message::control::*;
use starling_protocol::sample::{Fix, Sample};
use starling_protocol::space::IPos;
use starling_protocol::units::*;
use starling_protocol::uplink::{SampleUp, UplinkWriter};
use starling_world::config::WorldConfig;
use starling_world::executor::Serial;
use starling_world::grants::Grants;
use starling_world::input::{ConnId, TickInputs};
use starling_world::output::Output;
use view_stage::*;

fn rejections(sky: &Sky, client: usize) -> Vec<(Handle, RejectReason)> {
    let told = sky.clients[client].control.iter().filter_map(|message| match message {
        ControlDown::Rejected { samples, .. } => Some(samples),
        _ => None,
    });
    told.flatten().map(|r| (r.handle, r.reason)).collect()
}

#[test]
fn samples_are_rejected_with_handle_sequence_and_reason() {
    let limits = WorldConfig { speed_max_mps: Some(10.), teleport_max_m: Some(50.), ..metric() };
    let mut sky = Sky::new(limits, 1);
    let player = sky.player([0.; 3], 50.);
    sky.run(2);
    let mine = sky.clients[player].own[0].handle;
    sky.place(player, [5., 0., 0.]);
    sky.tick();
    sky.place(player, [500., 0., 0.]);
    sky.tick();
    sky.clients[player].own[0].sample.position = IPos([i32::MAX, 0, 0]);
    sky.tick();
    let mut foreign = sky.clients[player].own[0].clone();
    foreign.handle = Handle(9);
    sky.place(player, [0.; 3]);
    sky.clients[player].own.push(foreign);
    sky.tick();
    use RejectReason::*;
    assert_eq!(
        rejections(&sky, player),
        [(mine, TooFast), (mine, Teleport), (mine, OutOfRange), (Handle(9), NotYours)]
    );
    let told = sky.clients[player].control.iter().find_map(|message| match message {
        ControlDown::Rejected { tick, samples } => Some((*tick, samples[0].sequence)),
        _ => None,
    });
    assert_eq!(told, Some((Tick(3), 3)));
}

#[test]
fn an_entity_that_insists_is_believed_after_three_samples() {
    let limits = WorldConfig { teleport_max_m: Some(50.), ..metric() };
    let mut sky = Sky::new(limits, 1);
    let player = sky.player([0.; 3], 50.);
    let viewer = sky.player([500., 1., 0.], 50.);
    sky.run(2);
    sky.place(player, [500., 0., 0.]);
    sky.run(2);
    let entity = sky.clients[player].own[0].entity;
    assert!(!sky.sees(viewer, entity));
    sky.run(2);
    assert!(sky.sees(viewer, entity));
    assert_eq!(sky.world.counters().rebases, 1);
}

/// An entity that was never made.
fn pretended() -> Own {
    Own {
        handle: Handle(0),
        entity: EntityId { index: 0, generation: 0 },
        sequence: 0,
        sample: Sample::default(),
        speaks: true,
    }
}

#[test]
fn positions_are_taken_only_from_whom_the_authority_says() {
    for authority in [Authority::Server, Authority::Host] {
        let mut sky = Sky::new(WorldConfig { authority, ..metric() }, 1);
        let player = sky.client();
        sky.clients[player].own.push(pretended());
        sky.tick();
        assert_eq!(rejections(&sky, player), [(Handle(0), RejectReason::WrongAuthority)]);
    }
}

#[test]
fn without_the_grant_to_move_nothing_is_believed() {
    let mut sky = Sky::new(metric(), 1);
    let player = sky.client_with(Grants { r#move: false, ..Grants::open() }, 0);
    sky.clients[player].own.push(pretended());
    sky.tick();
    assert_eq!(rejections(&sky, player), [(Handle(0), RejectReason::Forbidden)]);
}

#[test]
fn the_newest_sample_wins_in_whatever_order_they_come() {
    let mut sky = Sky::new(metric(), 1);
    let player = sky.player([0.; 3], 50.);
    sky.clients[player].weather = Weather { delay: 1, jitter: 4, double: 0.3, loss: 0.1 };
    for i in 0..200 {
        sky.place(player, [f64::from(i) * 0.25, 0., 0.]);
        let before = sky.accepted(sky.clients[player].own[0].entity).0[0];
        sky.tick();
        let after = sky.accepted(sky.clients[player].own[0].entity).0[0];
        assert!(after >= before, "an old sample was taken");
    }
    let counters = sky.world.counters();
    assert!(counters.samples_old > 10 && counters.uplinks_repeated > 10);
}

#[test]
fn garbage_is_counted_and_hurts_nobody() {
    let mut sky = Sky::new(metric(), 1);
    let (a, b) = (sky.player([0.; 3], 50.), sky.player([5., 0., 0.], 50.));
    sky.run(2);
    let conn = sky.clients[a].conn;
    let mut rng = Rng(5);
    let (mut inputs, mut out) = (TickInputs::default(), Output::default());
    for _ in 0..150 {
        inputs.clear();
        for _ in 0..4 {
            let mut bytes: Vec<u8> = (0..rng.next() % 60).map(|_| rng.next() as u8).collect();
            if let Some(first) = bytes.first_mut().filter(|_| rng.chance(0.8)) {
                *first = *first & 0x3c | 1;
            }
            inputs.push(conn, 0, &bytes);
            inputs.push(ConnId(999), 0, &bytes);
        }
        out.clear();
        sky.world.tick(&inputs, &mut out, &Serial);
    }
    let counters = sky.world.counters();
    assert!(counters.uplinks_malformed > 300, "{}", counters.uplinks_malformed);
    assert_eq!(counters.uplinks_unknown, 600);
    sky.run(3);
    let seen = sky.clients[b].own[0].entity;
    assert!(sky.sees(a, seen), "its own session goes on as well");
}

#[test]
fn a_flood_of_datagrams_is_cut_and_a_gateway_may_send_more() {
    let mut sky = Sky::new(metric(), 1);
    let player = sky.player([0.; 3], 50.);
    let gateway = sky.client();
    for i in 0..400 {
        sky.spawn(gateway, [f64::from(i), 0., 0.]);
    }
    let mut inputs = TickInputs::default();
    for (client, handle) in [(player, 0u16), (gateway, 7)] {
        for sequence in 1..=14u16 {
            let mut bytes = Vec::new();
            let mut writer = UplinkWriter::new(
                &mut bytes,
                starling_protocol::space::Space::Metric,
                sequence,
                Tick(1),
            );
            let sample = Sample { position: IPos([i32::from(sequence); 3]), ..Sample::default() };
            assert!(writer.sample(&SampleUp { handle: Handle(handle), sequence, sample }));
            writer.finish();
            inputs.push(sky.clients[client].conn, 0, &bytes);
        }
    }
    sky.world.tick(&inputs, &mut Output::default(), &Serial);
    let counters = sky.world.counters();
    assert_eq!(counters.uplinks_excess, 14 - 5, "an owner of one may send five, of 400 fourteen");
    assert_eq!(counters.samples_accepted, 5 + 14);
}

#[test]
fn fixes_of_the_future_and_of_the_past_are_rejected() {
    let mut sky = Sky::new(geodetic(), 1);
    let bus = sky.client();
    sky.spawn(bus, [52., 21., 0.]);
    let fix = |time_ms| Some(Fix { time_ms, ..Fix::default() });
    for time_ms in [1_000, 2_000, 1_500] {
        sky.clients[bus].own[0].sample.fix = fix(time_ms);
        sky.tick();
    }
    let told: Vec<_> = rejections(&sky, bus).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(told, [RejectReason::BadTime]);
}

#[test]
fn a_client_learns_which_of_its_datagrams_each_tick_took() {
    let mut sky = Sky::new(metric(), 4);
    let player = sky.player([0.; 3], 50.);
    let other = sky.player([5., 0., 0.], 50.);
    sky.clients[player].weather = Weather { loss: 0.2, delay: 0, jitter: 0, double: 0. };
    for i in 0..100 {
        sky.place(other, [5. + f64::from(i % 7), 0., 0.]);
        sky.tick();
    }
    let folds = &sky.clients[player].folds;
    assert!(folds.len() > 15, "{}", folds.len());
    for (tick, fold) in folds {
        // The client sends one datagram a tick, numbered like the tick, and all arrive at once.
        assert!(u32::from(fold.newest) <= tick.0, "{fold:?} in {tick}");
        let newest = fold.newest_at(3).expect("within the report");
        assert!(u32::from(newest) + 3 <= tick.0 || tick.0 < 5);
        assert!(u32::from(newest) + 12 > tick.0 || tick.0 < 15, "{newest} in {tick}");
    }
    assert!(sky.clients[player].clocks >= 4);
}
