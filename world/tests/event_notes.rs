//! Notes: counted by their rule, done once, summed up by the server, over with their message.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::{Guest, Stage, message, patterns};
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::limits::{NOTE_KINDS_MAX, NOTE_NAMES_TOLD_MAX};
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, MessageId, Offset};
use starling_world::grants::Grants;
use std::collections::BTreeMap;

const ROOM: &str = "room";
const RULES: [NoteRule; 5] =
    [NoteRule::Total, NoteRule::Flag, NoteRule::Distinct, NoteRule::Unique, NoteRule::Multiple];

fn note(id: u64, target: u64, rule: NoteRule, name: &str) -> Annotate {
    Annotate {
        message: MessageId(id),
        channel: ROOM.into(),
        target: Offset(target),
        rule,
        kind: format!("{rule:?}").to_lowercase(),
        name: name.into(),
        count: 1,
        remove: false,
    }
}

fn back(said: Annotate) -> Annotate {
    Annotate { remove: true, ..said }
}

/// Says it and returns the answer.
fn says(stage: &mut Stage, guest: &Guest, said: Annotate) -> Result<u64, CloseCode> {
    let id = said.message;
    stage.event(guest.conn, EventUp::Annotate(Box::new(said)));
    let answer = |event: EventDown| match event {
        EventDown::Published { message, receipt: Receipt::Channel(at) } if message == id => {
            Some(Ok(at.offset.0))
        }
        EventDown::PublishRefused { message, code, .. } if message == id => Some(Err(code)),
        _ => None,
    };
    let answers: Vec<_> = stage.events(guest.conn).into_iter().filter_map(answer).collect();
    assert_eq!(answers.len(), 1, "exactly one answer");
    answers[0]
}

/// A room with one message, two who note on it and one who listens.
fn room() -> (Stage, [Guest; 3]) {
    let mut stage = Stage::new();
    let guests = ["ann", "bob", "eve"].map(|name| stage.guest_named(name));
    stage.say(guests[0].conn, ROOM, 1).expect("accepted");
    stage.subscribe(guests[2].conn, 1, ROOM);
    stage.events(guests[2].conn);
    (stage, guests)
}

/// What the listener heard of notes.
fn heard(stage: &mut Stage, eve: &Guest) -> Vec<(Offset, Noted)> {
    let events = stage.delivered(eve.conn, 1).into_iter().filter_map(|event| match event.action {
        Action::Annotate(target) => Some((target, codec::decode(&event.payload).expect("a Noted"))),
        _ => None,
    });
    events.collect()
}

fn sums(summary: &NoteSummary) -> (u64, u32, Vec<(&str, u64)>) {
    let names = summary.names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    (summary.total, summary.users, names)
}

#[test]
fn every_note_is_told_with_what_its_kind_comes_to() {
    let (mut stage, [ann, bob, eve]) = room();
    use NoteRule::Distinct;
    assert_eq!(says(&mut stage, &ann, note(10, 1, Distinct, "heart")), Ok(2));
    assert_eq!(says(&mut stage, &bob, note(10, 1, Distinct, "heart")), Ok(3));
    assert_eq!(says(&mut stage, &bob, note(11, 1, Distinct, "fish")), Ok(4));
    assert_eq!(says(&mut stage, &bob, back(note(12, 1, Distinct, "heart"))), Ok(5));
    let told = heard(&mut stage, &eve);
    assert!(told.iter().all(|(target, _)| *target == Offset(1)));
    let last = &told[3].1;
    assert_eq!((last.name.as_str(), last.remove), ("heart", true));
    assert_eq!(sums(&told[2].1.summary), (3, 2, vec![("fish", 1), ("heart", 2)]));
    assert_eq!(sums(&last.summary), (2, 2, vec![("fish", 1), ("heart", 1)]));
}

#[test]
fn each_rule_counts_in_its_own_way() {
    use NoteRule::*;
    let (mut stage, [ann, bob, eve]) = room();
    let mut id = 10;
    let mut sum = |stage: &mut Stage, guest: &Guest, said: Annotate| {
        id += 1;
        let said = Annotate { message: MessageId(id), ..said };
        says(stage, guest, said).expect("accepted");
        heard(stage, &eve).pop().map(|(_, noted)| noted.summary)
    };
    for (count, total) in [(1, 1), (5, 6)] {
        let said = Annotate { count, ..note(0, 1, Total, "") };
        assert_eq!(sum(&mut stage, &ann, said).map(|s| s.total), Some(total));
    }
    assert_eq!(sum(&mut stage, &ann, note(0, 1, Flag, "a")).map(|s| s.total), Some(1));
    assert_eq!(sum(&mut stage, &ann, note(0, 1, Flag, "b")), None, "once for each user");
    assert_eq!(sum(&mut stage, &bob, note(0, 1, Flag, "")).map(|s| s.users), Some(2));
    assert_eq!(sum(&mut stage, &ann, note(0, 1, Unique, "yes")).map(|s| s.total), Some(1));
    let voted = sum(&mut stage, &ann, note(0, 1, Unique, "no")).expect("another name");
    assert_eq!(sums(&voted), (1, 1, vec![("no", 1)]));
    let thrice = Annotate { count: 3, ..note(0, 1, Multiple, "clap") };
    assert_eq!(sum(&mut stage, &ann, thrice.clone()).map(|s| s.total), Some(3));
    assert_eq!(sum(&mut stage, &ann, thrice.clone()).map(|s| s.total), Some(6));
    let twice = Annotate { count: 2, ..thrice.clone() };
    assert_eq!(sum(&mut stage, &ann, back(twice)).map(|s| s.total), Some(4));
    let all = Annotate { count: 9, ..thrice };
    assert_eq!(sum(&mut stage, &ann, back(all)).map(|s| s.users), Some(0));
}

/// P7 holds for notes too.
#[test]
fn it_is_done_once_however_often_it_is_said() {
    let (mut stage, [ann, _, eve]) = room();
    let total = Annotate { count: 2, ..note(10, 1, NoteRule::Total, "") };
    for _ in 0..3 {
        assert_eq!(says(&mut stage, &ann, total.clone()), Ok(2), "the same id, the same place");
    }
    assert_eq!(says(&mut stage, &ann, note(11, 1, NoteRule::Distinct, "x")), Ok(3));
    let again = says(&mut stage, &ann, note(12, 1, NoteRule::Distinct, "x"));
    assert_eq!(again, Ok(3), "another id, and still nothing new: the channel's top is named");
    assert_eq!(says(&mut stage, &ann, back(note(13, 1, NoteRule::Distinct, "y"))), Ok(3));
    assert_eq!(heard(&mut stage, &eve).len(), 2);
}

#[test]
fn somebody_in_two_sessions_is_one() {
    let (mut stage, [ann, ..]) = room();
    let other = stage.guest_named("ann");
    assert_eq!(says(&mut stage, &ann, note(10, 1, NoteRule::Flag, "")), Ok(2));
    assert_eq!(says(&mut stage, &other, note(10, 1, NoteRule::Flag, "")), Ok(2));
    assert_eq!(says(&mut stage, &other, back(note(11, 1, NoteRule::Flag, ""))), Ok(3));
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    use NoteRule::*;
    let (mut stage, [ann, bob, eve]) = room();
    says(&mut stage, &ann, note(9, 1, Distinct, "x")).expect("accepted");
    let kind = |kind: &str, said| Annotate { kind: kind.into(), ..said };
    let long = "x".repeat(33);
    let bad = [
        (note(10, 7, Flag, ""), CloseCode::CONFLICT),
        (note(11, 2, Flag, ""), CloseCode::CONFLICT),
        (kind("distinct", note(12, 1, Unique, "x")), CloseCode::CONFLICT),
        (back(note(13, 1, Total, "")), CloseCode::CONFLICT),
        (Annotate { count: 0, ..note(14, 1, Total, "") }, CloseCode::CONFLICT),
        (Annotate { count: 2, ..note(15, 1, Flag, "") }, CloseCode::CONFLICT),
        (note(16, 1, Distinct, ""), CloseCode::BAD_NAME),
        (note(17, 1, Distinct, &long), CloseCode::BAD_NAME),
        (kind("", note(18, 1, Flag, "")), CloseCode::BAD_NAME),
        (
            Annotate { channel: "presence/".into(), ..note(19, 1, Flag, "") },
            CloseCode::UNKNOWN_CHANNEL,
        ),
    ];
    heard(&mut stage, &eve);
    for (said, code) in bad {
        assert_eq!(says(&mut stage, &bob, said.clone()), Err(code), "{said:?}");
    }
    let by_hand = Publish { action: Action::Annotate(Offset(1)), ..message(ROOM, 20) };
    assert_eq!(stage.publish(bob.conn, by_hand), Err(CloseCode::FORBIDDEN));
    let mute = Grants { annotate: Some(patterns(&["other"])), ..Grants::open() };
    let mute = stage.guest_with(mute);
    assert_eq!(says(&mut stage, &mute, note(1, 1, Flag, "")), Err(CloseCode::FORBIDDEN));
    assert_eq!(heard(&mut stage, &eve), []);
}

#[test]
fn kinds_on_a_message_and_names_in_a_summary_are_bounded() {
    let (mut stage, [ann, bob, eve]) = room();
    for id in 0..=NOTE_KINDS_MAX as u64 {
        let said = Annotate { kind: format!("k{id}"), ..note(10 + id, 1, NoteRule::Flag, "") };
        let answer = says(&mut stage, &ann, said);
        let fits = (id as usize) < NOTE_KINDS_MAX;
        assert_eq!(answer.err(), (!fits).then_some(CloseCode::LIMIT));
    }
    stage.say(ann.conn, ROOM, 2).expect("accepted");
    let target = NOTE_KINDS_MAX as u64 + 2;
    for id in 0..80_u64 {
        stage.ticks_with(1, &[eve.conn]);
        let said = note(100 + id, target, NoteRule::Distinct, &format!("n{:02}", id % 70));
        let guest = if id < 70 { &ann } else { &bob };
        says(&mut stage, guest, said).expect("accepted");
    }
    let (_, last) = heard(&mut stage, &eve).pop().expect("told");
    assert_eq!(last.summary.names.len(), NOTE_NAMES_TOLD_MAX);
    assert!(last.summary.names.is_sorted());
    let twice = last.summary.names.iter().filter(|(_, count)| *count == 2).count();
    assert_eq!(twice, 10, "the most frequent are among them");
}

#[test]
fn a_kind_of_which_nothing_is_left_may_have_another_rule() {
    let (mut stage, [ann, bob, eve]) = room();
    let kind = |said: Annotate| Annotate { kind: "mood".into(), ..said };
    let flag = kind(note(10, 1, NoteRule::Flag, ""));
    says(&mut stage, &ann, flag.clone()).expect("accepted");
    let unique = |id| kind(note(id, 1, NoteRule::Unique, "glad"));
    assert_eq!(says(&mut stage, &bob, unique(11)), Err(CloseCode::CONFLICT));
    let message = MessageId(12);
    says(&mut stage, &ann, back(Annotate { message, ..flag })).expect("accepted");
    says(&mut stage, &bob, unique(13)).expect("accepted");
    let (_, last) = heard(&mut stage, &eve).pop().expect("told");
    assert_eq!((last.summary.rule, last.summary.total), (NoteRule::Unique, 1));
}

#[test]
fn the_end_of_a_message_is_the_end_of_its_notes() {
    let (mut stage, [ann, bob, _]) = room();
    says(&mut stage, &bob, note(10, 1, NoteRule::Flag, "")).expect("accepted");
    let delete = Publish { action: Action::Delete(Offset(1)), ..message(ROOM, 11) };
    stage.publish(ann.conn, Publish { payload: Vec::new(), ..delete }).expect("it is hers");
    let gone = says(&mut stage, &bob, note(12, 1, NoteRule::Flag, ""));
    assert_eq!(gone, Err(CloseCode::CONFLICT));
}

/// What the notes of one kind come to, told one after another.
#[derive(Default)]
struct Model {
    total: u64,
    of: BTreeMap<(String, String), u64>,
}

impl Model {
    /// Returns whether anything changed.
    fn apply(&mut self, user: &str, said: &Annotate) -> bool {
        let name = if said.rule == NoteRule::Flag { "" } else { &said.name };
        let place = (user.to_owned(), name.to_owned());
        let had = self.of.get(&place).copied().unwrap_or(0);
        let count = u64::from(said.count);
        let new = match (said.rule, said.remove) {
            (NoteRule::Total, _) => {
                self.total += count;
                return true;
            }
            (NoteRule::Multiple, false) => had + count,
            (NoteRule::Multiple, true) => had.saturating_sub(count),
            (_, remove) => u64::from(!remove),
        };
        if new == had {
            return false;
        }
        if said.rule == NoteRule::Unique {
            self.of.retain(|(who, _), _| who != user);
        }
        self.of.insert(place, new);
        self.of.retain(|_, count| *count > 0);
        true
    }

    fn summary(&self, rule: NoteRule) -> (u64, u32, Vec<(String, u64)>) {
        let mut names = BTreeMap::new();
        let mut users: Vec<_> = self.of.keys().map(|(user, _)| user).collect();
        users.dedup();
        for ((_, name), count) in self.of.iter().filter(|_| rule != NoteRule::Flag) {
            *names.entry(name.clone()).or_default() += count;
        }
        let total = self.total + self.of.values().sum::<u64>();
        (total, users.len() as u32, names.into_iter().collect())
    }
}

#[test]
fn the_sums_are_those_of_a_sequential_model() {
    for seed in 0..40 {
        let (mut dice, (mut stage, guests)) = (Dice::new(seed), room());
        let names = ["ann", "bob"];
        let mut models: BTreeMap<NoteRule, Model> = BTreeMap::new();
        let mut id = 100;
        for _ in 0..200 {
            let who = dice.roll(2) as usize;
            let rule = RULES[dice.roll(5) as usize];
            id += 1;
            let counts = matches!(rule, NoteRule::Total | NoteRule::Multiple);
            let said = Annotate {
                count: if counts { 1 + dice.roll(3) as u32 } else { 1 },
                remove: rule != NoteRule::Total && dice.roll(3) == 0,
                ..note(id, 1, rule, ["x", "y", "z"][dice.roll(3) as usize])
            };
            stage.ticks_with(1, &[guests[2].conn]);
            let expected = models.entry(rule).or_default().apply(names[who], &said);
            says(&mut stage, &guests[who], said).expect("accepted");
            let told = heard(&mut stage, &guests[2]);
            assert_eq!(told.len(), usize::from(expected), "an event for each change");
            if let Some((_, noted)) = told.into_iter().next() {
                let NoteSummary { total, users, names, .. } = noted.summary;
                assert_eq!((total, users, names), models[&rule].summary(rule), "{rule:?}");
            }
        }
        assert!(models.values().any(|model| model.total > 0 || !model.of.is_empty()));
        let _ = ChannelKey(1);
    }
}
