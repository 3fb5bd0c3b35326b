//! What goes up by datagram, and when.

mod support;

use starling_client::{ConnectOptions, CueTo, OwnKey, Pose, RequestError, SpawnSpec};
use starling_protocol::limits::UPLINK_DATAGRAMS_PER_TICK_MAX;
use starling_protocol::message::control::{ControlDown, ControlUp, ResumeAnswer};
use starling_protocol::snapshot::{Clock, Fold};
use starling_protocol::units::{Epoch, Handle, Nanos, Tick};
use starling_protocol::uplink::{CueScope, SampleUp};
use support::{Bench, Snapshot, entity, ms, welcome};

/// A session with so many entities that stand.
fn with_entities(count: u16) -> (Bench, Vec<OwnKey>) {
    let mut bench = Bench::live(welcome());
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(bench.session.spawn(SpawnSpec::at(Pose::default())).expect("room"));
    }
    let mut handles = 0;
    loop {
        let asked = bench.control();
        if asked.is_empty() {
            break;
        }
        for message in asked {
            let ControlUp::Spawn(spawn) = message else { panic!("{message:?}") };
            let (handle, name) = (Handle(handles), format!("e{handles}"));
            let entity = entity(u32::from(handles));
            let request = spawn.request;
            bench.say(ms(0), &ControlDown::Spawned { request, handle, entity, name });
            handles += 1;
        }
    }
    assert_eq!(handles, count);
    bench.events();
    (bench, keys)
}

fn samples(bench: &Bench, uplinks: &[Vec<u8>]) -> Vec<SampleUp> {
    uplinks.iter().flat_map(|uplink| bench.read(uplink).samples().collect::<Vec<_>>()).collect()
}

fn fold(newest: u16, received: u32) -> Option<Fold> {
    Some(Fold { newest, received, steps: [1; 15], applied: None })
}

/// Hears an otherwise empty snapshot of a tick, two milliseconds after its deadline.
fn hear(bench: &mut Bench, tick: u32) -> Nanos {
    let now = ms(u64::from(tick - 100) * 50 + 2);
    assert!(bench.snapshot(now, &Snapshot::news(tick)));
    now
}

#[test]
fn each_tick_heard_is_acknowledged_with_the_newest_pose_of_that_moment() {
    let (mut bench, keys) = with_entities(1);
    bench.uplinks(ms(0));
    for tick in 101..110 {
        let now = hear(&mut bench, tick);
        for x in 0..3 {
            let pose = Pose::at([f64::from(tick) + f64::from(x), 0.0, 0.0]);
            bench.session.set_pose(keys[0], pose).expect("in range");
        }
        let uplinks = bench.uplinks(now);
        let [uplink] = uplinks.as_slice() else { panic!("one datagram, not {}", uplinks.len()) };
        let uplink = bench.read(uplink);
        assert_eq!(uplink.tick, Tick(tick).low16(), "labelled with the tick that it answers");
        assert_eq!(uplink.ack.map(|ack| ack.tick), Some(Tick(tick).low16()));
        let sample = uplink.samples().next().expect("a sample");
        assert_eq!(sample.sample.position.0[0], (tick as i32 + 2) * 1024);
        assert_eq!(u32::from(sample.sequence), tick - 100, "poses never sent take no number");
        assert!(bench.uplinks(now).is_empty(), "one answer per tick");
    }
}

#[test]
fn when_nothing_is_heard_uplinks_go_on_at_the_rate_of_ticks() {
    let (mut bench, keys) = with_entities(1);
    let mut sent = Vec::new();
    for now in (0..2_000).map(ms) {
        bench.session.set_pose(keys[0], Pose::at([now.as_secs_f64(), 0.0, 0.0])).expect("in range");
        for uplink in bench.uplinks(now) {
            sent.push(bench.read(&uplink).tick);
        }
    }
    assert!((38..=41).contains(&sent.len()), "{} uplinks in 2 s", sent.len());
    assert!(sent.windows(2).all(|w| w[1] == w[0] + 1), "{sent:?}");
}

#[test]
fn a_fix_that_comes_up_between_two_ticks_does_not_wait_and_a_tick_gets_one_of_each() {
    let (mut bench, keys) = with_entities(1);
    bench.uplinks(ms(0));
    let mut sent = Vec::new();
    for tick in 101..105 {
        let heard_at = hear(&mut bench, tick);
        assert_eq!(bench.uplinks(heard_at).len(), 1, "the acknowledgement");
        for after in [3, 5, 20, 21, 40].map(ms) {
            let now = heard_at + after.0;
            let pose = Pose::at([now.as_secs_f64(), 0.0, 0.0]);
            bench.session.set_pose(keys[0], pose).expect("in range");
            let uplinks = bench.uplinks(now);
            sent.extend(samples(&bench, &uplinks).iter().map(|_| now.since(heard_at)));
        }
    }
    // The last of each tick goes with the answer to the next one, whose sample it is.
    assert_eq!(sent, [20 * Nanos::MILLISECOND]);
}

#[test]
fn a_program_that_evaluates_motion_is_asked_for_the_exact_instant_of_the_label() {
    let (mut bench, keys) = with_entities(1);
    bench.uplinks(ms(0));
    for tick in 101..106 {
        let now = hear(&mut bench, tick);
        let sampling = bench.session.wants_samples(now).expect("an uplink is due");
        assert_eq!(sampling.tick, Tick(tick));
        assert_eq!(sampling.at, ms(u64::from(tick - 100) * 50), "not the moment of hearing");
        assert_eq!(bench.session.wants_samples(now), None, "asked once");
        bench.session.set_pose(keys[0], Pose::at([f64::from(tick), 0.0, 0.0])).expect("in range");
        let uplinks = bench.uplinks(now);
        assert_eq!(samples(&bench, &uplinks).len(), 1);
    }
}

#[test]
fn what_has_not_changed_is_not_sent_again_until_the_keep_alive() {
    let (mut bench, keys) = with_entities(1);
    bench.session.set_pose(keys[0], Pose::at([5.0, 0.0, 0.0])).expect("in range");
    let uplinks = bench.uplinks(ms(0));
    assert_eq!(samples(&bench, &uplinks).len(), 1);
    let folded = bench.read(&uplinks[0]).sequence;
    let mut again = Vec::new();
    for tick in 101..200 {
        let now = ms(u64::from(tick - 100) * 50 + 2);
        let newest = folded.wrapping_add((tick - 101) as u16);
        let snapshot = Snapshot { fold: fold(newest, u32::MAX), ..Snapshot::at(tick) };
        assert!(bench.snapshot(now, &snapshot));
        bench.session.set_pose(keys[0], Pose::at([5.0, 0.0, 0.0])).expect("in range");
        let uplinks = bench.uplinks(now);
        again.extend(samples(&bench, &uplinks).iter().map(|_| now));
    }
    // Once more at once: it has stopped. Then 4.5 s pass of the world's presence time of 10 s.
    assert_eq!(again, [ms(52), ms(4_552)]);
}

#[test]
fn a_sample_that_was_lost_is_repeated_under_its_own_number() {
    let (mut bench, keys) = with_entities(1);
    bench.session.set_pose(keys[0], Pose::at([5.0, 0.0, 0.0])).expect("in range");
    let uplinks = bench.uplinks(ms(0));
    let first = samples(&bench, &uplinks)[0];
    let mut again = Vec::new();
    for tick in 101..140 {
        let now = hear(&mut bench, tick);
        let uplinks = bench.uplinks(now);
        again.extend(samples(&bench, &uplinks).into_iter().map(|sample| (now, sample)));
    }
    assert_eq!(again.len(), 3, "no more often than three times");
    assert!(again.iter().all(|(_, sample)| *sample == first));
    assert!(again[0].0 > ms(300), "not before the news could have come: {:?}", again[0].0);
}

#[test]
fn a_gateway_sends_all_its_entities_in_several_datagrams_and_starves_none() {
    let (mut bench, keys) = with_entities(1_000);
    bench.uplinks(ms(0));
    let mut seen = vec![0; keys.len()];
    for tick in 101..121 {
        let now = hear(&mut bench, tick);
        for (i, key) in keys.iter().enumerate() {
            let pose = Pose::at([i as f64, f64::from(tick), 0.0]);
            bench.session.set_pose(*key, pose).expect("in range");
        }
        let uplinks = bench.uplinks(now);
        assert!(uplinks.len() <= UPLINK_DATAGRAMS_PER_TICK_MAX + 26, "{}", uplinks.len());
        for sample in samples(&bench, &uplinks) {
            seen[usize::from(sample.handle.0)] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times == 20), "{:?}", seen.iter().min());
}

#[test]
fn inputs_are_repeated_until_an_uplink_with_them_was_folded() {
    let mut bench = Bench::live(welcome());
    bench.uplinks(ms(0));
    let now = hear(&mut bench, 101);
    assert_eq!(bench.session.send_input(b"a"), Ok(1));
    assert_eq!(bench.session.send_input(b"b"), Ok(2));
    let uplink = bench.uplinks(now).remove(0);
    let carried = bench.read(&uplink).sequence;
    let numbers = |bench: &Bench, uplink: &[u8]| {
        bench.read(uplink).inputs().map(|input| input.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&bench, &uplink), [1, 2]);
    let now = hear(&mut bench, 102);
    let uplink = bench.uplinks(now).remove(0);
    assert_eq!(numbers(&bench, &uplink), [1, 2], "nothing was heard of them");
    let told = Fold { applied: Some(1), ..fold(carried, 0).expect("a report") };
    assert!(bench.snapshot(ms(152), &Snapshot { fold: Some(told), ..Snapshot::at(103) }));
    bench.session.send_input(b"c").expect("room");
    let uplink = bench.uplinks(ms(152)).remove(0);
    assert_eq!(numbers(&bench, &uplink), [3]);
    assert_eq!(bench.session.newest_applied(), Some(1));
    let replay = bench.session.predict(Vec::new(), |mut seen, input| {
        seen.push(input.payload[0]);
        seen
    });
    assert_eq!(replay, b"bc");
}

#[test]
fn a_cue_is_repeated_until_folded_and_no_longer_than_it_lives() {
    let (mut bench, keys) = with_entities(1);
    bench.uplinks(ms(0));
    let now = hear(&mut bench, 101);
    bench.session.wants_samples(now);
    bench.session.send_cue(CueTo::NearMine(keys[0], 30.0), 7, 3, b"bang").expect("room");
    let mut lives = Vec::new();
    for tick in 101..110 {
        let now = if tick == 101 { now } else { hear(&mut bench, tick) };
        for uplink in bench.uplinks(now) {
            for cue in bench.read(&uplink).cues() {
                assert_eq!((cue.kind, cue.payload), (7, b"bang".as_slice()));
                let scope = CueScope::NearMine { entity: Handle(0), radius_m: 30.0 };
                assert_eq!(cue.scope, scope);
                lives.push(cue.life);
            }
        }
    }
    assert_eq!(lives, [3, 2, 1, 0]);
    let far = bench.session.send_cue(CueTo::Near([0.0; 3], f32::NAN), 7, 3, &[]);
    assert!(matches!(far, Err(RequestError::Position(_))));
}

#[test]
fn the_round_trip_is_measured_from_echoes() {
    let mut bench = Bench::live(welcome());
    let sent = bench.uplinks(ms(0));
    let echo = bench.read(&sent[0]).sequence;
    // Held for 10 ms, sent 2 ms after the deadline of tick 101, 40 ms on the way in all.
    let clock = Some(Clock { echo, hold: 160, late: 32 });
    assert!(bench.snapshot(ms(50), &Snapshot { clock, ..Snapshot::at(101) }));
    let stats = bench.session.stats();
    assert_eq!(stats.rtt_us, 40_000);
    let server = bench.session.clock().expect("it stands").server_time(ms(50));
    assert_eq!(server, ms(5_050 + 2 + 20));
}

#[test]
fn a_viewer_that_hears_nothing_shows_life_now_and_then() {
    let mut options = ConnectOptions::new("plaza");
    options.reconnect.race = false;
    let mut bench = Bench::joining(options, welcome());
    bench.welcome_at(Nanos(0));
    let sent: Vec<_> = (0..20_000).map(ms).filter(|now| !bench.uplinks(*now).is_empty()).collect();
    assert!((5..=6).contains(&sent.len()), "{} uplinks in 20 s", sent.len());
}

#[test]
fn in_a_world_whose_ticks_begin_anew_uplinks_go_on() {
    let (mut bench, keys) = with_entities(1);
    bench.uplinks(ms(0));
    bench.session.handle_closed(ms(500), starling_protocol::close::CloseCode::LOST);
    let now = bench.session.next_timeout(ms(500)).expect("it tries again");
    bench.session.advance(now);
    bench.session.handle_connected(now);
    bench.welcome.epoch = Epoch(2);
    bench.welcome.tick = Tick(3);
    bench.welcome.server_time_us = 150_000;
    bench.welcome.resumed = ResumeAnswer::Resumed;
    let entity = support::own(0, 0, "e0");
    bench.welcome.entities = vec![entity];
    bench.welcome_at(now);
    let mut labels = Vec::new();
    for step in 0..500 {
        let now = Nanos(now.0 + step * support::MS);
        bench.session.set_pose(keys[0], Pose::at([step as f64, 0.0, 0.0])).expect("in range");
        for uplink in bench.uplinks(now) {
            let uplink = bench.read(&uplink);
            labels.extend(uplink.samples().map(|_| uplink.tick));
        }
    }
    assert_eq!(labels.first(), Some(&3));
    assert!(labels.len() >= 9, "{labels:?}");
}
