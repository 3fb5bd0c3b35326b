//! A connection moves, falls dark or is cut, on real sockets: the session goes on, and nobody else
//! sees more than a pause (P6, P11).

use crate::stage::{Folder, Stage, Who, YARD, config, hello, stage};
use starling_client::conditioner::LinkProfile;
use starling_client::{
    ClientEvent, CloseCode, ConnectOptions, Nanos, Publication, Reconnect, ResumeAnswer,
    SubscribeOptions,
};
use starling_protocol::message::control::{ControlDown, ControlUp, Hello, Resume};
use starling_protocol::message::events::Answer;
use starling_protocol::units::Handle;
use starling_transport::tls::development_certificate;
use std::time::Duration;

const NEWS: &str = "news";

/// Bob at home on a good link, and ann on this one, both on the news channel.
fn at_home_and_away(
    stage: &mut Stage,
    link: &str,
    change: impl FnOnce(&mut ConnectOptions),
    idle: Option<Duration>,
) -> [Who; 2] {
    let bob = stage.enters("bob", [3.0, 0.0, 0.0]);
    let mut place = stage.place();
    place.link = LinkProfile::parse(link).expect("a profile");
    place.idle_timeout = idle;
    let mut options = ConnectOptions::new(YARD);
    change(&mut options);
    let ann = stage.comes_from(&place, options);
    stage.appears(ann, "ann", [0.0; 3]);
    stage[ann].client.subscribe(NEWS, SubscribeOptions::default()).expect("the first");
    stage.until("they are on air", |stage| {
        let on_air = |event: &ClientEvent| matches!(event, ClientEvent::Subscribed { .. });
        stage[ann].has_heard(on_air) && stage[bob].sees("ann") && stage[ann].sees("bob")
    });
    [ann, bob]
}

/// Bob's news: a line every 60 ms at most, and a small step with each.
struct News {
    by: Who,
    said: u32,
    due: Nanos,
}

impl News {
    fn by(bob: Who) -> Self {
        Self { by: bob, said: 0, due: Nanos(0) }
    }

    fn go_on(&mut self, stage: &mut Stage) {
        let (now, bob) = (stage.clock.now(), &mut stage[self.by]);
        if now < self.due || bob.client.publishes_in_flight() > 0 {
            return;
        }
        (self.said, self.due) = (self.said + 1, now + 60 * Nanos::MILLISECOND);
        let line = Publication::to_channel(NEWS, format!("line {}", self.said));
        bob.client.publish(line).expect("none is in flight");
        bob.goes_to([3.0, f64::from(self.said % 100) * 0.01, 0.0]);
    }

    /// Ann has heard every line, each once and in order.
    fn reached(&self, stage: &mut Stage, ann: Who) {
        let said = self.said as usize;
        stage.until("all news was heard", |stage| stage[ann].delivered().count() >= said);
        let lines: Vec<_> = (1..=said).map(|line| format!("line {line}")).collect();
        assert_eq!(stage[ann].texts(), lines);
        assert!(!stage[ann].has_heard(|event| matches!(event, ClientEvent::Gap { .. })));
    }
}

#[test]
fn a_client_whose_address_changes_stays_where_it_is() {
    let mut stage = stage();
    let [ann, bob] = at_home_and_away(&mut stage, "rebind=700ms", |_| {}, None);
    let session = stage[ann].client.welcome().map(|welcome| welcome.session);
    let mut news = News::by(bob);
    stage.until_with(
        "the address changed three times",
        |stage| {
            news.go_on(stage);
            assert!(stage[bob].sees("ann"), "nobody else notices");
        },
        |stage| stage[ann].client.transport().stats().rebinds >= 3,
    );
    news.reached(&mut stage, ann);
    assert_eq!(stage[ann].client.welcome().map(|welcome| welcome.session), session);
    stage[ann].goes_to([7.0, 7.0, 0.0]);
    stage.until("she moves on", |stage| stage[bob].has_in_place(&stage[ann]));
    assert_eq!(
        stage[bob].events.iter().filter(|e| matches!(e, ClientEvent::Closed { .. })).count(),
        0
    );
}

fn to_and_fro(at: Nanos) -> [f64; 3] {
    [0.0, at.as_secs_f64().sin(), 0.0]
}

#[test]
fn when_a_path_falls_dark_a_second_one_takes_the_session_up() {
    let mut stage = stage();
    // Every path works for two seconds and is dark from then on.
    let link = "delay=5ms,blackout=600s@2s";
    let [ann, bob] = at_home_and_away(&mut stage, link, |_| {}, None);
    let session = stage[ann].client.welcome().map(|welcome| welcome.session);
    // Whoever moves waits for the server's word on it, and so notices soon that none comes.
    stage[ann].walks(to_and_fro);
    let mut news = News::by(bob);
    stage.until_with(
        "two paths were left",
        |stage| {
            news.go_on(stage);
            assert!(stage[bob].sees("ann"), "nobody else notices");
        },
        |stage| stage[ann].answers().len() >= 2,
    );
    assert!(stage[ann].answers().iter().all(|answer| *answer == ResumeAnswer::Resumed));
    news.reached(&mut stage, ann);
    assert_eq!(stage[ann].client.welcome().map(|welcome| welcome.session), session);
    assert!(stage[ann].client.stats().races >= 2);
    stage.counts("starling_world_resumes_total{world=\"yard\",outcome=\"resumed\"}", 2.0);
}

#[test]
fn a_connection_that_was_cut_is_made_again_and_the_session_goes_on() {
    let mut stage = stage();
    let no_race = |options: &mut ConnectOptions| {
        options.reconnect = Reconnect { race: false, ..Reconnect::default() };
    };
    let idle = Some(Duration::from_secs(1));
    let link = "blackout=600s@2s";
    let [ann, bob] = at_home_and_away(&mut stage, link, no_race, idle);
    let mut news = News::by(bob);
    stage.until_with(
        "the connection is lost",
        |stage| news.go_on(stage),
        |stage| stage[ann].has_heard(|e| matches!(e, ClientEvent::Reconnecting { .. })),
    );
    assert!(stage[bob].sees("ann"), "whoever is away for a moment does not leave");
    stage.until_with(
        "it stands again",
        |stage| news.go_on(stage),
        |stage| !stage[ann].answers().is_empty(),
    );
    assert_eq!(stage[ann].answers()[0], ResumeAnswer::Resumed);
    assert_eq!(stage[ann].client.owned().count(), 1, "her entity stood all the time");
    news.reached(&mut stage, ann);
    stage.until("she sees him as before", |stage| stage[ann].has_in_place(&stage[bob]));
}

#[test]
fn on_a_bad_link_nothing_that_was_said_is_lost_and_everyone_is_in_place_in_the_end() {
    let mut stage = stage();
    let link = "loss=5%,delay=40ms,jitter=20ms,dup=1%,reorder=2%";
    let [ann, bob] = at_home_and_away(&mut stage, link, |_| {}, None);
    stage[ann].walks(to_and_fro);
    let mut news = News::by(bob);
    stage.until_with("forty lines", |stage| news.go_on(stage), |s| s[bob].position()[1] > 0.4);
    news.reached(&mut stage, ann);
    stage[ann].stops([5.0, 5.0, 0.0]);
    stage.until("they are in place", |stage| {
        stage[bob].has_in_place(&stage[ann]) && stage[ann].has_in_place(&stage[bob])
    });
}

#[test]
fn a_session_that_is_taken_up_elsewhere_is_told_to_the_older_connection() {
    let mut stage = stage();
    let pair = stage.pair();
    let old = stage.guest(YARD);
    let welcome = stage.rude[old].welcome().expect("it is in").clone();
    let (session, token) = (welcome.session, welcome.resume_token);
    let resume = Resume { session, token, channels: Vec::new() };
    let again = Hello { resume: Some(resume), ..hello(YARD) };
    let comes_again = |stage: &mut Stage| {
        let at = stage.stranger();
        stage.rude[at].says(&again);
        stage.until("it is welcome", |stage| stage.rude[at].welcome().is_some());
        at
    };
    let new = comes_again(&mut stage);
    stage.rude[new].control(&ControlUp::Despawn { handle: Handle(9) });
    stage.until("it was heard", |stage| {
        let refused = |m: &ControlDown| matches!(m, ControlDown::RequestRefused { .. });
        stage.rude[new].control.iter().any(refused)
    });
    let thief = comes_again(&mut stage);
    let answer = |stage: &Stage, at: usize| {
        stage.rude[at].welcome().map(|welcome| (welcome.resumed, welcome.session == session))
    };
    assert_eq!(answer(&stage, new), Some((ResumeAnswer::Resumed, true)));
    assert_eq!(answer(&stage, thief), Some((ResumeAnswer::Denied, false)), "a token works once");
    stage.until("the older is closed", |stage| stage.rude[old].closed.is_some());
    assert_eq!(stage.rude[old].closed, Some(CloseCode::REPLACED));
    stage.counts_close(CloseCode::REPLACED);
    assert_eq!(stage.rude[new].closed, None);
    stage.others_go_on(pair);
}

#[test]
fn a_server_that_came_back_is_joined_anew_and_all_that_was_wanted_is_asked_for_again() {
    let folder = Folder::made();
    let day = Duration::from_secs(86_400);
    let made = development_certificate(&["localhost".into()], day).expect("the name is right");
    let mut config = config();
    config.tls.cert_file = Some(folder.file("cert.pem", &made.certificate));
    config.tls.key_file = Some(folder.file("key.pem", &made.key));
    let mut stage = Stage::of(config.clone());
    let [ann, bob] = stage.pair();
    let key = stage[ann].client.subscribe(NEWS, SubscribeOptions::default()).expect("the first");
    stage.until("it stands", |stage| {
        stage[ann].has_heard(|event| matches!(event, ClientEvent::Subscribed { .. }))
    });

    stage.comes_back(config);
    stage.until("both are back", |stage| {
        [ann, bob].iter().all(|who| !stage[*who].answers().is_empty())
    });
    for who in [ann, bob] {
        let answer = stage[who].answers()[0];
        assert!(matches!(answer, ResumeAnswer::Reset | ResumeAnswer::Denied), "{answer:?}");
    }
    let anew = |event: &&ClientEvent| {
        matches!(event, ClientEvent::Subscribed { key: which, answer: Answer::Reset(_) }
            if *which == key)
    };
    stage.until("the channel is asked for again", |stage| {
        stage[ann].events.iter().filter(anew).count() == 2
    });
    stage[ann].goes_to([2.0, 2.0, 0.0]);
    stage[bob].goes_to([4.0, 4.0, 0.0]);
    stage.until("they see each other again", |stage| {
        stage[bob].has_in_place(&stage[ann]) && stage[ann].has_in_place(&stage[bob])
    });
}
