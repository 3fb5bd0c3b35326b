//! A verdict passes on a perfect server and fails, by name, on one with a single fault.

mod rig;

use rig::{Run, failing};
use starling_client_sim::report::{html, summary};
use starling_client_sim::swarm::InterestSpec;
use starling_client_sim::target::loopback::Fault;
use starling_client_sim::target::{ClientNo, EntityNo};
use starling_client_sim::truth::Room;
use starling_client_sim::verdict::{Limit, Verdict};

#[test]
fn a_perfect_server_passes_every_scenario() {
    for scenario in ["walk", "arena", "crowd", "city"] {
        let report = Run { scenario, ..Run::default() }.go();
        assert_eq!(failing(&report), Vec::<&str>::new(), "{scenario}");
        assert_eq!(report.verdict, Verdict::Pass);
        assert!(report.positions.pairs_checked > 100_000, "{}", report.positions.pairs_checked);
        assert!(report.positions.visible_per_client > 5.0, "{scenario}");
        assert!(report.events.published > 100 && report.events.delivered > 100);
        let cues = &report.cues;
        assert!(cues.sent > 100 && cues.delivered >= cues.owed, "{scenario}: {cues:?}");
        assert_eq!(report.positions.error_m.max, Some(0.0));
    }
}

#[test]
fn a_fix_in_the_city_may_wait_one_tick_and_a_half_whatever_its_length() {
    let limits = |tick_hz| {
        let report = Run { scenario: "city", tick_hz, ..Run::default() }.go();
        assert_eq!(failing(&report), Vec::<&str>::new(), "{tick_hz} Hz");
        ["positions.staleness_ms.p99", "positions.enter_ms.p99"].map(|name| {
            let slo = report.slo.iter().find(|slo| slo.name == name).expect("it is judged");
            slo.limit
        })
    };
    assert_eq!(limits(2.0), [Limit::AtMost(765.0), Limit::AtMost(810.0)]);
    assert_eq!(limits(20.0), [Limit::AtMost(90.0), Limit::AtMost(135.0)]);
}

#[test]
fn viewers_with_every_kind_of_interest_pass() {
    let interests = ["radius=60m", "viewport=90m", "nearest=7", "follow"];
    for text in interests {
        let interests = vec![text.parse::<InterestSpec>().expect("it is an interest")];
        let report = Run { viewers: 5, interests, seconds: 4, ..Run::default() }.go();
        assert_eq!(failing(&report), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn one_withheld_enter_fails_as_wrong_set_and_is_named() {
    let (client, entity) = a_pair_that_meets();
    let report = Run::with(Fault::WithholdEnter(client, entity));
    assert_eq!(failing(&report), ["positions.wrong_set"]);
    let wrong = &report.positions.wrong[0];
    assert_eq!((wrong.client, wrong.entity.as_str()), (client.0, name(entity).as_str()));
    assert_eq!(format!("{:?}", wrong.what), "Missing");
}

#[test]
fn one_withheld_leave_fails_as_wrong_set_and_is_named() {
    let reports =
        (0..30).map(|entity| Run::with(Fault::WithholdLeave(ClientNo(3), EntityNo(entity))));
    let report = reports.into_iter().find(|r| r.positions.wrong_set > 0).expect("somebody leaves");
    assert_eq!(failing(&report), ["positions.wrong_set"]);
    assert_eq!(format!("{:?}", report.positions.wrong[0].what), "StillPresent");
}

#[test]
fn one_entity_a_decimetre_off_fails_as_error() {
    let (client, entity) = a_pair_that_meets();
    let report = Run::with(Fault::Shift(client, entity, 0.1));
    assert_eq!(failing(&report), ["positions.error_m.max"]);
    let max = report.positions.error_m.max.expect("errors were measured");
    assert!((max - 0.1).abs() < 1e-6, "{max}");
}

#[test]
fn one_entity_a_decimetre_off_fails_on_a_faulted_link_too_and_the_copies_are_named() {
    let (client, entity) = a_pair_that_meets();
    let (faults, link) = (vec![Fault::Shift(client, entity, 0.1)], Some("lte".to_owned()));
    let report = Run { faults, link, ..Run::default() }.go();
    assert_eq!(failing(&report), ["positions.over_bound"]);
    assert!(report.positions.over_bound < report.positions.compared / 1000, "it is one pair");
    let over = &report.positions.over[0];
    assert_eq!((over.client, over.entity.as_str()), (client.0, name(entity).as_str()));
    assert!((over.error_m - 0.1).abs() < 1e-6, "{over:?}");
    let words = format!("client {}: {} off by 0.100 m at", client.0, name(entity));
    assert!(summary(&report).contains(&words), "{}", summary(&report));
    assert!(html(&report).contains(&words));
}

#[test]
fn one_copy_that_goes_back_in_time_fails_by_name() {
    let back = |entity| Run::with(Fault::GoBack(ClientNo(3), EntityNo(entity), 1140));
    let report = (0..30).map(back).find(|r| r.positions.went_back > 0).expect("client 3 sees some");
    assert!(failing(&report).contains(&"positions.went_back"), "{:?}", failing(&report));
    assert_eq!(report.positions.went_back, 1);
    assert!(summary(&report).contains("1 copies went back"), "{}", summary(&report));
}

#[test]
fn one_dropped_event_fails_as_lost() {
    // Of many deliveries some are beyond what is owed: not every one is a loss.
    let reports = (20..40).map(|n| Run::with(Fault::DropEvent(n)));
    let report = reports.into_iter().find(|r| r.events.lost > 0).expect("some delivery is owed");
    assert_eq!(failing(&report), ["events.lost"]);
    assert_eq!(report.events.lost, 1);
    assert!(report.events.named[0].contains("lost at client"), "{:?}", report.events.named);
}

#[test]
fn one_doubled_event_fails_as_duplicated() {
    let report = Run::with(Fault::DoubleEvent(60));
    assert_eq!(failing(&report), ["events.duplicated"]);
    assert_eq!(report.events.duplicated, 1);
}

#[test]
fn one_swapped_event_fails_as_out_of_order() {
    let report = Run::with(Fault::SwapEvents(60));
    assert_eq!(failing(&report), ["events.out_of_order"]);
}

#[test]
fn one_event_that_reaches_somebody_else_fails_as_stray() {
    let stray = |n| Run::with(Fault::StrayEvent(n, ClientNo(29)));
    let reports: Vec<_> = (20..40).map(stray).filter(|r| r.events.stray > 0).collect();
    // Client 29 is a member of few channels and close to few: most of what reaches it is astray.
    assert!(reports.len() > 10, "{}", reports.len());
    for report in reports {
        assert_eq!((failing(&report), report.events.stray), (vec!["events.stray"], 1));
        assert!(report.events.named[0].ends_with("stray at client 29"));
    }
}

#[test]
fn an_event_that_nobody_published_fails_as_stray() {
    let report = Run::with(Fault::InventEvent(1140));
    assert_eq!(failing(&report), ["events.stray"]);
}

#[test]
fn one_cue_that_is_not_heard_fails_as_lost_on_a_clean_link_and_is_a_figure_on_a_faulted_one() {
    let reports = (20..40).map(|n| (n, Run::with(Fault::DropCue(n))));
    let lost = reports.into_iter().find(|(_, report)| report.cues.lost > 0);
    let (n, report) = lost.expect("some hearing is owed");
    assert_eq!((failing(&report), report.cues.lost), (vec!["cues.lost"], 1));
    assert!(report.cues.named[0].contains("not heard at client"), "{:?}", report.cues.named);
    let (faults, link) = (vec![Fault::DropCue(n)], Some("lte".to_owned()));
    let report = Run { faults, link, ..Run::default() }.go();
    assert_eq!((failing(&report), report.cues.lost), (Vec::new(), 1));
}

#[test]
fn one_cue_that_is_heard_twice_late_or_by_somebody_far_off_fails_by_name() {
    let report = Run::with(Fault::DoubleCue(30));
    assert_eq!((failing(&report), report.cues.duplicated), (vec!["cues.duplicated"], 1));
    let report = Run::with(Fault::LateCue(30));
    assert_eq!((failing(&report), report.cues.late), (vec!["cues.late"], 1));
    let stray = |n| Run::with(Fault::StrayCue(n, ClientNo(29)));
    let report = (20..40).map(stray).find(|r| r.cues.stray > 0).expect("29 is far from some");
    assert_eq!((failing(&report), report.cues.stray), (vec!["cues.stray"], 1));
    assert!(summary(&report).contains("1 stray"), "{}", summary(&report));
}

#[test]
fn state_that_comes_late_fails_as_error_and_nothing_else_hides_it() {
    let report = Run::with(Fault::Delay(1));
    assert!(failing(&report).contains(&"positions.error_m.p99"), "{:?}", failing(&report));
    assert_eq!(report.verdict, Verdict::Fail);
}

#[test]
fn one_event_that_is_never_acknowledged_fails_on_a_clean_link_and_not_on_a_faulted_one() {
    let run = |link: Option<&str>, fault| {
        let link = link.map(str::to_owned);
        Run { faults: vec![fault], link, ..Run::default() }.go()
    };
    let clean = run(None, Fault::IgnoreEvent(30));
    assert_eq!(failing(&clean), ["events.lost", "events.acked"]);
    // Of about 300 events one in a hundred may stay without an answer, not one in ten.
    assert_eq!(failing(&run(Some("lte"), Fault::RefuseEvents(30, 2))), Vec::<&str>::new());
    assert_eq!(failing(&run(Some("lte"), Fault::RefuseEvents(30, 30))), ["events.acked"]);
    // What was published in the dark may have been lost with its session.
    let dark = Some("lte,blackout=2s@3s");
    assert_eq!(failing(&run(dark, Fault::RefuseEvents(30, 30))), Vec::<&str>::new());
}

#[test]
fn state_that_is_late_fails_on_a_faulted_link_and_a_black_out_excuses_only_late_enters() {
    let run = |link: &str| {
        let (faults, link) = (vec![Fault::Dark(1140, 14)], Some(link.to_owned()));
        Run { faults, link, events_per_s: 0.0, ..Run::default() }.go()
    };
    let report = run("lte");
    assert_eq!(failing(&report), ["positions.staleness_ms.p99", "positions.enter_ms.p99"]);
    assert!(report.positions.staleness_ms.p99 > Some(500.0), "{:?}", report.positions.staleness_ms);
    let dark = run("lte,blackout=700ms@3s");
    assert_eq!(failing(&dark), ["positions.staleness_ms.p99"]);
}

#[test]
fn a_refused_client_fails_by_name() {
    let report = Run::with(Fault::Refuse(ClientNo(7)));
    assert_eq!(failing(&report), ["clients.connected"]);
    assert_eq!(report.clients.reasons, ["client 7 refused: planted"]);
}

#[test]
fn lost_connections_fail_on_a_clean_link_and_are_taken_up_again_on_a_faulted_one() {
    let interrupt = || vec![Fault::Interrupt(1140)];
    let report = Run { faults: interrupt(), ..Run::default() }.go();
    assert_eq!(failing(&report), ["clients.lost"]);
    let link = Some("lte".to_owned());
    let report = Run { faults: interrupt(), link, ..Run::default() }.go();
    assert_eq!(failing(&report), Vec::<&str>::new());
    assert_eq!(report.resume.resumed, 30);
    assert_eq!(report.resume.gap_ms.max, Some(50.0));
}

#[test]
fn a_run_that_checks_no_pair_fails() {
    let report = Run { clients: 1, events_per_s: 0.0, cues_per_s: 0.0, ..Run::default() }.go();
    assert!(
        failing(&report).contains(&"positions.visible_updates") || report.verdict == Verdict::Fail
    );
    let report = Run { seconds: 0, events_per_s: 0.0, cues_per_s: 0.0, ..Run::default() }.go();
    assert!(failing(&report).contains(&"positions.pairs_checked"), "{:?}", failing(&report));
    assert_eq!(report.verdict, Verdict::Fail);
}

#[test]
fn a_starved_swarm_says_invalid() {
    // A pass every 130 ms cannot answer 20 ticks a second in time.
    let report = Run { pass_ms: 130, ..Run::default() }.go();
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(failing(&report).contains(&"generator.late_sends_ms.p99"), "{:?}", failing(&report));
}

#[test]
fn packets_dropped_at_the_swarms_own_sockets_say_invalid() {
    let report = Run::with(Fault::SocketDrops(1120, 1));
    assert_eq!(failing(&report), ["generator.socket_drops"]);
    assert_eq!(report.verdict, Verdict::Invalid);
    assert_eq!(report.verdict.exit_code(), 4);
}

#[test]
fn more_events_than_can_be_followed_say_invalid() {
    let room = Room { events: 100, ..Room::default() };
    let report = Run { room, ..Run::default() }.go();
    assert_eq!(failing(&report), ["generator.events_unjudged"]);
    assert_eq!(report.verdict, Verdict::Invalid);
    assert_eq!(report.events.published, 100);
    assert!(report.generator.events_unjudged > 50, "{}", report.generator.events_unjudged);
    assert!(summary(&report).contains("events unjudged"), "{}", summary(&report));
}

#[test]
fn more_deliveries_and_hearings_at_once_than_can_be_followed_say_invalid() {
    let room = Room { suspects: 3, ..Room::default() };
    let report = Run { room, ..Run::default() }.go();
    assert_eq!(failing(&report), ["generator.events_unjudged", "generator.cues_unjudged"]);
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(report.cues.delivered > report.generator.cues_unjudged, "some were followed");
    assert!(summary(&report).contains("cues unjudged"), "{}", summary(&report));
}

/// Some pair that is close to each other for a while.
fn a_pair_that_meets() -> (ClientNo, EntityNo) {
    let entities = (0..30).map(EntityNo).filter(|e| *e != EntityNo(3));
    let wrong = |entity: &EntityNo| {
        let report = Run::with(Fault::WithholdEnter(ClientNo(3), *entity));
        report.positions.wrong_set > 0
    };
    let entity = entities.into_iter().find(wrong).expect("client 3 meets somebody");
    (ClientNo(3), entity)
}

fn name(entity: EntityNo) -> String {
    format!("arena/{}", entity.0)
}
