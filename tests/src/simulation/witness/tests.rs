//! Every check can fail.

use super::*;
use starling_protocol::message::events::Action;
use starling_protocol::units::{ChannelPosition, Epoch};

const ME: EntityId = EntityId { index: 1, generation: 0 };
const OTHER: EntityId = EntityId { index: 2, generation: 0 };

/// Me at the origin, the other `away_m` to the east, both accepted in tick 5.
fn witness(away_m: f64) -> Witness {
    let at = |x: f64, owner| Accepted {
        position: IPos([(x * STEPS) as i32, 0, 0]),
        tick: Tick(5),
        owner: Some(owner),
    };
    let mut witness = Witness::default();
    witness.tick(Tick(5), BTreeMap::from([(ME, at(0.0, 0)), (OTHER, at(away_m, 1))]));
    witness.sampled(0, [0.0; 3]);
    witness.sampled(1, [away_m, 0.0, 0.0]);
    witness
}

fn event(key: u32, offset: u64, message: u64) -> Event {
    Event {
        key: ChannelKey(key),
        offset: Offset(offset),
        tick: Tick(1),
        unix_ms: 0,
        publisher: None,
        message: MessageId(message),
        action: Action::Message,
        state_key: None,
        parent: None,
        payload: vec![message as u8],
    }
}

/// Exactly one promise is broken, and it is this one.
fn breaks(witness: &Witness, promise: &str) {
    assert_eq!(witness.broken.len(), 1, "{:?}", witness.broken);
    assert!(witness.broken[0].starts_with(promise), "{:?}", witness.broken);
}

#[test]
fn a_state_that_goes_back_breaks_p1() {
    let mut witness = witness(10.0);
    witness.position(0, OTHER, Tick(4), Tick(4), IPos::default());
    witness.position(0, OTHER, Tick(4), Tick(3), IPos::default());
    breaks(&witness, "P1");
}

#[test]
fn a_copy_a_hand_off_breaks_p2() {
    let mut witness = witness(10.0);
    witness.position(0, OTHER, Tick(5), Tick(5), IPos([10_240 + 30, 0, 0]));
    assert_eq!(witness.broken.len(), 0);
    witness.position(0, OTHER, Tick(5), Tick(5), IPos([10_240 + 102, 0, 0]));
    breaks(&witness, "P2");
}

#[test]
fn seeing_what_is_too_far_breaks_i3() {
    let mut far = witness(46.0);
    far.set(0, Tick(5), &BTreeSet::from([OTHER]));
    breaks(&far, "I3");
}

/// What client 0 has of the other, judged ticks after it was accepted.
fn judged(away_m: f64, ticks: u32, seen: bool, copy: impl Fn(Tick) -> IPos) -> Witness {
    let mut witness = witness(away_m);
    for tick in 6..=5 + ticks {
        let all = witness.accepted[&Tick(5)].clone();
        witness.tick(Tick(tick), all);
    }
    let view = if seen { BTreeSet::from([OTHER]) } else { BTreeSet::new() };
    witness.view(0, true, &view, |_, tick| Some(copy(tick)));
    witness
}

/// Ten metres away in tick 5, and a hand farther with each tick.
fn sliding(tick: Tick) -> IPos {
    IPos([10_240 + 102 * (tick.0 as i32 - 5), 0, 0])
}

#[test]
fn missing_what_is_near_and_seeing_what_is_far_break_p3() {
    let truth = |away_m: f64| move |_| IPos([(away_m * STEPS) as i32, 0, 0]);
    assert_eq!(judged(39.0, 1, true, truth(39.0)).broken, [] as [&str; 0]);
    breaks(&judged(39.0, 1, false, truth(39.0)), "P3");
    assert_eq!(judged(43.0, 1, false, truth(43.0)).broken, [] as [&str; 0]);
    breaks(&judged(43.0, 1, true, truth(43.0)), "P3");
}

#[test]
fn between_the_radii_only_what_was_visible_is() {
    let mut witness = witness(39.0);
    let mut all = witness.accepted[&Tick(5)].clone();
    all.get_mut(&OTHER).expect("it is there").position.0[0] = 43 * 1024;
    witness.tick(Tick(6), all);
    let copy = |_, _| Some(IPos([43 * 1024, 0, 0]));
    witness.view(0, true, &BTreeSet::from([OTHER]), copy);
    assert_eq!(witness.broken, [] as [&str; 0]);
    witness.view(0, true, &BTreeSet::new(), copy);
    breaks(&witness, "P3");
    witness.broken.clear();
    witness.reconnected(0);
    witness.view(0, true, &BTreeSet::new(), copy);
    assert_eq!(witness.broken, [] as [&str; 0], "whoever begins anew may not have seen it");
}

#[test]
fn a_ghost_breaks_p3() {
    let mut witness = witness(39.0);
    let ghost = EntityId { index: 9, generation: 0 };
    witness.view(0, true, &BTreeSet::from([OTHER, ghost]), |_, _| Some(IPos([39_936, 0, 0])));
    breaks(&witness, "P3");
}

#[test]
fn a_change_may_take_until_its_tick_has_arrived() {
    let mut witness = witness(43.0);
    let mut all = witness.accepted[&Tick(5)].clone();
    all.get_mut(&OTHER).expect("it is there").position.0[0] = 39 * 1024;
    witness.tick(Tick(6), all);
    let copy = |_, _| Some(IPos([43 * 1024, 0, 0]));
    witness.view(0, false, &BTreeSet::new(), copy);
    assert_eq!(witness.broken, [] as [&str; 0]);
    witness.view(0, true, &BTreeSet::new(), copy);
    breaks(&witness, "P3");
}

#[test]
fn what_stands_still_has_to_be_right_in_every_tick_and_what_moves_where_it_was_accepted() {
    assert_eq!(judged(10.0, 5, true, sliding).broken, [] as [&str; 0]);
    breaks(&judged(10.0, 6, true, sliding), "P3");
    breaks(&judged(10.0, 1, true, |tick| sliding(tick + 1)), "P3");
}

#[test]
fn a_hole_a_repeat_and_two_contents_break_p4() {
    let mut hole = Witness::default();
    hole.delivered(0, "a", &event(1, 1, 7));
    hole.delivered(0, "a", &event(1, 3, 8));
    breaks(&hole, "P4");
    let mut repeat = Witness::default();
    repeat.delivered(0, "a", &event(1, 1, 7));
    repeat.delivered(0, "a", &event(1, 1, 7));
    breaks(&repeat, "P4");
    let mut contents = Witness::default();
    contents.delivered(0, "a", &event(1, 1, 7));
    contents.delivered(1, "a", &event(1, 1, 9));
    breaks(&contents, "P4");
}

#[test]
fn an_acknowledged_event_that_nobody_heard_breaks_p6() {
    let mut witness = Witness::default();
    let position = |offset| ChannelPosition { epoch: Epoch(1), offset: Offset(offset) };
    witness.starts(0, ChannelKey(1), "a", position(0));
    let position = position(1);
    witness.published("a", MessageId(7), Receipt::Channel(position));
    witness.end();
    breaks(&witness, "P6");
}

#[test]
fn a_gap_excuses_what_is_lost_in_its_own_channel_and_life_alone() {
    let lost = |channel: &str, epoch| {
        let mut witness = Witness::default();
        let from = |epoch| ChannelPosition { epoch: Epoch(epoch), offset: Offset(0) };
        witness.starts(1, ChannelKey(1), channel, from(epoch));
        witness.gap(1, ChannelKey(1), channel, Offset(1), Offset(1));
        witness.starts(0, ChannelKey(1), "a", from(2));
        let position = ChannelPosition { epoch: Epoch(2), offset: Offset(1) };
        witness.published("a", MessageId(7), Receipt::Channel(position));
        witness.end();
        witness
    };
    assert!(lost("a", 2).broken.is_empty(), "it was told");
    breaks(&lost("b", 2), "P6");
    breaks(&lost("a", 1), "P6");
}

#[test]
fn a_listener_that_stops_short_of_the_top_breaks_p6() {
    let mut witness = Witness::default();
    let position = |offset| ChannelPosition { epoch: Epoch(1), offset: Offset(offset) };
    witness.starts(0, ChannelKey(1), "a", position(0));
    let position = position(2);
    witness.delivered(0, "a", &event(1, 1, 7));
    witness.published("a", MessageId(8), Receipt::Channel(position));
    witness.reached_top(0, ChannelKey(1), "a");
    breaks(&witness, "P6");
}

/// Where the other was in tick 5.
const fn told(tick: u32, away_m: f64) -> Told {
    Told { tick: Tick(tick), place: [away_m, 0.0, 0.0] }
}

#[test]
fn a_cue_twice_or_late_breaks_p17() {
    let mut twice = witness(10.0);
    twice.cue_sent(1, 9, CueReach::World, vec![0, 1]);
    twice.cue(0, 9, &told(5, 10.0), Tick(6), 4);
    twice.cue(0, 9, &told(5, 10.0), Tick(7), 4);
    breaks(&twice, "P17");
    let mut late = witness(10.0);
    late.cue_sent(1, 9, CueReach::World, vec![0, 1]);
    late.cue(0, 9, &told(5, 10.0), Tick(10), 4);
    breaks(&late, "P17");
}

#[test]
fn a_cue_that_is_not_for_its_hearer_breaks_p17() {
    let heard = |away_m: f64, sender, reach, place_m| {
        let mut witness = witness(away_m);
        witness.tick(Tick(6), witness.accepted[&Tick(5)].clone());
        witness.cue_sent(sender, 9, reach, vec![0, 1]);
        witness.cue(0, 9, &told(6, place_m), Tick(6), 4);
        witness
    };
    assert_eq!(heard(39.0, 1, CueReach::Near, 39.0).broken, [] as [&str; 0]);
    breaks(&heard(41.0, 1, CueReach::Near, 41.0), "P17");
    breaks(&heard(39.0, 1, CueReach::Near, 30.0), "P17");
    breaks(&heard(39.0, 0, CueReach::World, 39.0), "P17");
    let mut unsent = witness(10.0);
    unsent.cue(0, 9, &told(5, 10.0), Tick(6), 4);
    breaks(&unsent, "P17");
}

#[test]
fn whoever_catches_up_in_a_tick_was_everywhere_on_its_way() {
    let heard = |place_m: f64| {
        let mut witness = witness(60.0);
        [35.0, 20.0, 10.0].into_iter().for_each(|x| witness.sampled(1, [x, 0.0, 0.0]));
        let mut all = witness.accepted[&Tick(5)].clone();
        all.get_mut(&OTHER).expect("it is there").position.0[0] = 20 * 1024;
        witness.tick(Tick(6), all);
        witness.cue_sent(1, 9, CueReach::Near, vec![0, 1]);
        witness.cue(0, 9, &told(6, place_m), Tick(6), 4);
        witness
    };
    assert_eq!(heard(35.0).broken, [] as [&str; 0]);
    breaks(&heard(60.0), "P17");
    breaks(&heard(10.0), "P17");
}

#[test]
fn who_came_amid_a_tick_that_was_long_may_have_called_from_its_first_place() {
    let mut witness = witness(39.0);
    witness.cue_sent(2, 9, CueReach::Near, vec![0, 1]);
    let newcomer = EntityId { index: 3, generation: 0 };
    let mut all = witness.accepted[&Tick(5)].clone();
    let position = IPos([(3.0 * STEPS) as i32, 0, 0]);
    all.insert(newcomer, Accepted { position, tick: Tick(20), owner: Some(2) });
    witness.tick(Tick(20), all);
    [1.0, 2.0, 3.0].into_iter().for_each(|x| witness.sampled(2, [x, 0.0, 0.0]));
    witness.cue(0, 9, &told(20, 1.0), Tick(20), 4);
    assert_eq!(witness.broken.len(), 0, "{:?}", witness.broken);
    witness.cue(1, 9, &told(20, 0.5), Tick(20), 4);
    breaks(&witness, "P17");
}

#[test]
fn a_cue_that_one_of_all_never_heard_breaks_p17() {
    let mut witness = witness(10.0);
    witness.cue_sent(1, 9, CueReach::World, vec![0, 1]);
    witness.cue(0, 9, &told(5, 10.0), Tick(5), 4);
    witness.all_heard();
    assert_eq!(witness.broken, [] as [&str; 0]);
    witness.cue_sent(1, 10, CueReach::World, vec![0, 1]);
    witness.all_heard();
    breaks(&witness, "P17");
}

#[test]
fn two_entities_of_one_client_break_p11() {
    let mut witness = witness(10.0);
    let mut all = witness.accepted[&Tick(5)].clone();
    all.get_mut(&OTHER).expect("it is there").owner = Some(0);
    witness.tick(Tick(6), all);
    breaks(&witness, "P11");
}

#[test]
fn a_listener_that_stays_in_a_life_that_is_over_breaks_p6() {
    let mut witness = Witness::default();
    let position = |epoch, offset| ChannelPosition { epoch: Epoch(epoch), offset: Offset(offset) };
    witness.starts(0, ChannelKey(1), "a", position(1, 4));
    witness.begin(Epoch(2));
    witness.starts(1, ChannelKey(1), "a", position(2, 0));
    witness.published("a", MessageId(8), Receipt::Channel(position(2, 1)));
    witness.reached_top(0, ChannelKey(1), "a");
    breaks(&witness, "P6");
}

const SAID: [u8; 8] = [7; 8];

const fn at(epoch: u32, offset: u64) -> ChannelPosition {
    ChannelPosition { epoch: Epoch(epoch), offset: Offset(offset) }
}

/// A witness of a durable channel, where one thing was said.
fn durable() -> Witness {
    let mut witness = witness(10.0);
    witness.keeps("a");
    witness.says("a", MessageId(7), SAID);
    witness.starts(0, ChannelKey(1), "a", at(1, 0));
    witness
}

fn said(offset: u64) -> Event {
    Event { payload: SAID.to_vec(), ..event(1, offset, 7) }
}

#[test]
fn what_was_acknowledged_or_delivered_and_is_not_on_the_disk_breaks_p5() {
    let mut acked = durable();
    acked.published("a", MessageId(7), Receipt::Channel(at(1, 1)));
    acked.is_kept(&|payload| usize::from(payload == SAID));
    assert_eq!((acked.broken.len(), acked.checks.kept), (0, 1));
    acked.is_kept(&|_| 0);
    breaks(&acked, "P5");
    for found in [0, 2] {
        let mut delivered = durable();
        delivered.delivered(0, "a", &said(1));
        delivered.is_kept(&|_| found);
        breaks(&delivered, "P5");
    }
}

#[test]
fn one_publish_under_two_numbers_or_in_another_channel_breaks_a_promise() {
    let mut twice = durable();
    twice.delivered(0, "a", &said(1));
    twice.delivered(0, "a", &said(2));
    breaks(&twice, "P7");
    let mut elsewhere = durable();
    elsewhere.starts(0, ChannelKey(2), "b", at(2, 0));
    elsewhere.delivered(0, "b", &Event { key: ChannelKey(2), ..said(1) });
    breaks(&elsewhere, "P4");
}

#[test]
fn a_durable_channel_that_begins_anew_breaks_p5() {
    let mut witness = durable();
    witness.starts(0, ChannelKey(1), "a", at(2, 0));
    assert_eq!(witness.broken.len(), 0, "nothing of the first life was kept");
    let mut witness = durable();
    witness.delivered(0, "a", &said(1));
    witness.begin(Epoch(2));
    witness.starts(0, ChannelKey(1), "a", at(2, 0));
    breaks(&witness, "P5");
}

#[test]
fn a_durable_channel_that_is_skipped_breaks_p6() {
    let mut gap = durable();
    gap.gap(0, ChannelKey(1), "a", Offset(1), Offset(3));
    breaks(&gap, "P6");
    let mut reset = durable();
    reset.delivered(0, "a", &said(1));
    reset.starts(0, ChannelKey(1), "a", at(1, 4));
    breaks(&reset, "P6");
}
