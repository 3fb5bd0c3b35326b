//! When a path has died, how a session finds out, and what it does then.

mod support;

use starling_client::{ConnectOptions, KeepAlive, LinkWish, SessionState};
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;
use support::{Bench, Snapshot, ms, welcome};

/// A viewer that was answered so far: it heard tick 101 and acknowledged it.
fn viewer(change: impl FnOnce(&mut ConnectOptions)) -> Bench {
    let mut options = ConnectOptions::new("plaza");
    change(&mut options);
    let mut bench = Bench::joining(options, welcome());
    bench.welcome_at(Nanos(0));
    bench.uplinks(ms(0));
    assert!(bench.snapshot(ms(52), &Snapshot::news(101)));
    assert_eq!(bench.uplinks(ms(52)).len(), 1);
    bench.wishes();
    bench
}

/// A minute of a session to which nothing happens but that the server echoes what it sends.
#[test]
fn a_session_at_rest_is_content_with_a_word_and_its_echo_now_and_then() {
    let mut bench = viewer(|_| {});
    let (mut sent, mut answer_at) = (Vec::new(), Some(102));
    for now in (53..60_000).map(ms) {
        bench.session.advance(now);
        if !bench.uplinks(now).is_empty() {
            sent.push(now);
            answer_at = Some((now.0 / support::MS / 50 + 1) * 50 + 2);
        }
        if answer_at == Some(now.0 / support::MS) {
            answer_at = None;
            assert!(
                bench.snapshot(now, &Snapshot::at(now.0 as u32 / support::MS as u32 / 50 + 100))
            );
        }
    }
    assert_eq!(sent.len(), 13, "no echo is answered: {sent:?}");
    assert!(sent.windows(2).all(|pair| within(
        pair[1],
        pair[0].0 / support::MS + 4_500,
        pair[0].0 / support::MS + 4_600
    )));
    assert_eq!(bench.session.stats().races, 0);
}

/// What a session did in silence, millisecond by millisecond.
#[derive(Debug, Default)]
struct Diary {
    probes: Vec<Nanos>,
    wishes: Vec<(Nanos, LinkWish)>,
}

fn silence(bench: &mut Bench, from_ms: u64, to_ms: u64) -> Diary {
    let mut diary = Diary::default();
    for now in (from_ms..to_ms).map(ms) {
        bench.session.advance(now);
        for uplink in bench.uplinks(now) {
            if bench.read(&uplink).is_probe() {
                diary.probes.push(now);
            }
        }
        diary.wishes.extend(bench.wishes().into_iter().map(|wish| (now, wish)));
    }
    diary
}

fn first_race(diary: &Diary) -> Option<Nanos> {
    diary.wishes.iter().find(|(_, wish)| *wish == LinkWish::Race).map(|(at, _)| *at)
}

fn within(at: Nanos, from_ms: u64, to_ms: u64) -> bool {
    (ms(from_ms)..=ms(to_ms)).contains(&at)
}

#[test]
fn a_viewer_that_is_not_echoed_probes_and_then_races() {
    let mut bench = viewer(|_| {});
    let diary = silence(&mut bench, 53, 4_000);
    let first = diary.probes[0];
    // Its acknowledgement left at 52 ms: 17 ticks and half a second.
    assert!(within(first, 1_402, 1_460), "{diary:?}");
    let race = first_race(&diary).expect("it races");
    assert!(within(race, first.0 / support::MS + 850, first.0 / support::MS + 852), "{diary:?}");
    let before = diary.probes.iter().filter(|at| **at < race).count();
    assert!((5..=7).contains(&before), "one lost datagram is no reason: {diary:?}");
}

#[test]
fn one_answer_to_a_probe_ends_the_doubt() {
    let mut bench = viewer(|_| {});
    let diary = silence(&mut bench, 53, 1_700);
    assert!(!diary.probes.is_empty());
    assert!(bench.snapshot(ms(1_702), &Snapshot::at(134)));
    let diary = silence(&mut bench, 1_703, 3_000);
    assert!(diary.probes.is_empty() && first_race(&diary).is_none(), "{diary:?}");
}

#[test]
fn a_viewer_that_is_echoed_never_asks() {
    let mut bench = viewer(|_| {});
    for round in 1..40 {
        let tick = 101 + round * 17;
        let at = u64::from(tick - 100) * 50 + 2;
        let diary = silence(&mut bench, at - 17 * 50, at);
        assert!(diary.probes.is_empty() && diary.wishes.is_empty(), "round {round}: {diary:?}");
        assert!(bench.snapshot(ms(at), &Snapshot::at(tick)));
    }
    assert_eq!(bench.session.stats().races, 0);
}

#[test]
fn on_another_network_it_asks_at_once() {
    let mut bench = viewer(|_| {});
    bench.session.network_changed(ms(100));
    let diary = silence(&mut bench, 100, 1_500);
    assert!(within(diary.probes[0], 100, 160), "with the next tick: {diary:?}");
    let race = first_race(&diary).expect("it races");
    assert!(within(race, 950, 1_012), "{diary:?}");
}

#[test]
fn a_connection_whose_race_is_lost_has_for_as_long_as_its_session_is_present() {
    let mut bench = viewer(|_| {});
    let diary = silence(&mut bench, 53, 4_000);
    assert!(first_race(&diary).is_some());
    assert_eq!(bench.session.state(), SessionState::Live, "the second one may still stand");
    bench.session.handle_rival_closed(ms(4_000));
    let diary = silence(&mut bench, 4_000, 9_900);
    assert!(first_race(&diary).is_some_and(|at| within(at, 4_500, 4_502)), "again: {diary:?}");
    assert_eq!(bench.session.state(), SessionState::Live, "the old path may come back");
    let diary = silence(&mut bench, 9_900, 10_100);
    assert!(diary.wishes.iter().any(|(_, wish)| *wish == LinkWish::Close(CloseCode::LOST)));
    assert_eq!(bench.session.state(), SessionState::Reconnecting);
}

#[test]
fn a_device_that_keeps_quiet_is_not_made_to_ask() {
    let mut bench = viewer(|options| options.keep_alive = KeepAlive::Off);
    let diary = silence(&mut bench, 53, 5_000);
    assert!(diary.probes.is_empty() && diary.wishes.is_empty(), "{diary:?}");
}

#[test]
fn on_another_network_even_a_device_that_keeps_quiet_asks_until_it_is_answered() {
    let mut bench = viewer(|options| options.keep_alive = KeepAlive::Off);
    bench.session.network_changed(ms(100));
    let diary = silence(&mut bench, 100, 500);
    assert!(within(diary.probes[0], 100, 160), "with the next tick: {diary:?}");
    assert!(diary.probes.len() >= 3, "{diary:?}");
    assert!(bench.snapshot(ms(502), &Snapshot::at(110)));
    let diary = silence(&mut bench, 503, 5_000);
    assert!(diary.probes.is_empty() && diary.wishes.is_empty(), "{diary:?}");

    bench.session.network_changed(ms(5_000));
    let diary = silence(&mut bench, 5_000, 6_500);
    assert!(first_race(&diary).is_some(), "no answer came: {diary:?}");
}

#[test]
fn without_races_another_network_is_no_reason_to_ask() {
    let mut bench = viewer(|options| options.reconnect.race = false);
    bench.session.network_changed(ms(100));
    let diary = silence(&mut bench, 100, 3_000);
    assert!(diary.probes.is_empty() && diary.wishes.is_empty(), "{diary:?}");
}

#[test]
fn in_a_slow_world_the_heartbeat_decides() {
    let mut slow = welcome();
    slow.tick_rate = starling_protocol::units::TickRate::new(2).expect("in range");
    (slow.tick, slow.heartbeat_ticks) = (starling_protocol::units::Tick(10), 8);
    let mut bench = Bench::joining(ConnectOptions::new("plaza"), slow);
    bench.welcome_at(Nanos(0));
    bench.uplinks(ms(0));
    assert!(bench.snapshot(ms(502), &Snapshot::at(11)));
    bench.uplinks(ms(502));
    bench.wishes();
    let diary = silence(&mut bench, 503, 7_000);
    assert!(within(diary.probes[0], 5_002, 5_510), "{diary:?}");
    let race = first_race(&diary).expect("it races");
    assert!(within(race, 6_002, 6_010), "a quarter of a heartbeat and half a second: {diary:?}");
}
