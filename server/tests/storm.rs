//! Many come back at once, as after a restart: they are let in by the age of their sessions, so many at
//! a time, and nobody loses a place (P11, P14; fault 44).

mod support;

use starling_protocol::message::control::{ControlUp, Hello, Resume, ResumeAnswer};
use support::{Hall, hall, hello};

/// How many came before, and how many are new.
const OLD: usize = 150;
const NEW: usize = 50;

/// Everybody's session is lost with its connection, and waits.
fn parted(hall: &mut Hall) -> Vec<Resume> {
    let guests: Vec<usize> = (0..OLD).map(|_| hall.guest()).collect();
    let resumes = guests.iter().map(|at| {
        let welcome = hall.welcome(*at).expect("it was let in");
        Resume { session: welcome.session, token: welcome.resume_token, channels: Vec::new() }
    });
    let resumes = resumes.collect();
    let now = hall.now;
    for at in guests {
        hall.clients[at].leave(now, starling_protocol::close::CloseCode::LOST);
    }
    hall.run_ms(100);
    resumes
}

#[test]
fn those_who_come_back_are_let_in_by_the_age_of_their_sessions_and_before_who_is_new() {
    let mut hall = hall();
    let resumes = parted(&mut hall);
    let first = hall.clients.len();
    for _ in 0..OLD + NEW {
        hall.stranger();
    }
    // Who is new speaks first, and the youngest session before the oldest.
    let hellos = std::iter::repeat_n(None, NEW).chain(resumes.into_iter().rev().map(Some));
    for (number, resume) in hellos.enumerate() {
        hall.control(first + number, &ControlUp::Hello(Box::new(Hello { resume, ..hello() })));
    }
    let (mut came, mut most) = (Vec::new(), 0);
    while came.len() < OLD + NEW {
        let before = came.len();
        hall.run_ms(1);
        let known = |at: usize| came.iter().any(|(known, _, _)| *known == at);
        let welcomes = (first..first + OLD + NEW).filter(|at| !known(*at)).filter_map(|at| {
            let welcome = hall.welcome(at)?;
            Some((at, welcome.resumed, (hall.now, welcome.session)))
        });
        let welcomes: Vec<_> = welcomes.collect();
        came.extend(welcomes);
        most = most.max(came.len() - before);
    }
    assert!(most <= 32, "{most} in a millisecond: a tick would wait for them");
    // The first few of those who spoke first had a turn before anybody else was there.
    let (mut back, new): (Vec<_>, Vec<_>) =
        came[32..].iter().partition(|(_, answer, _)| *answer == ResumeAnswer::Resumed);
    let last = back.iter().map(|(_, _, (at, _))| *at).max();
    assert_eq!((back.len(), new.len()), (OLD, NEW - 32));
    assert!(new.iter().all(|(_, _, (at, _))| Some(*at) >= last), "who is new waits for them all");
    back.sort_by_key(|(_, _, (_, session))| *session);
    let in_order = back.is_sorted_by_key(|(_, _, (at, _))| *at);
    assert!(in_order, "an older session waits for a younger one");
    assert!(hall.totals().hellos_waited.get() >= (OLD + NEW - 64) as u64);
}
