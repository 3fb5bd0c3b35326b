//! A store whose bytes are not what was written (P16): the server says so, or tells what is true; it
//! never tells anything else, and nothing that is gone goes unsaid.

use crate::cast::{CHANNEL, Cast, WORLD};
use crate::ledger::{Hearing, Ledger};
use crate::room::Room;
use crate::server::Server;
use crate::{Dice, PATIENCE, rounds, seed};
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, SubscribeOptions};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::Answer;
use starling_protocol::units::ChannelPosition;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How a server treated a store that was damaged.
#[derive(Debug, Default)]
struct Outcomes {
    /// It did not start, and said why.
    refused: u32,
    /// It started, and said of the channel that it is damaged.
    stopped: u32,
    /// What was hit mattered to nobody: everything is there.
    whole: u32,
}

/// What a store held when its server died, and what was acknowledged of it.
struct Image {
    room: Room,
    file: PathBuf,
    bytes: Vec<u8>,
    ledger: Ledger,
    beginning: ChannelPosition,
}

impl Image {
    fn made() -> Self {
        let room = Room::new();
        let mut server = Server::start(&room.args());
        let mut cast = Cast::gather(server.address(), 4, 1);
        let beginning = cast.beginning();
        cast.publish(true);
        cast.until("enough is acknowledged", |cast| cast.ledger.acked() > 400);
        cast.settle();
        server.kill();
        let file = Path::new(room.data()).join("starling.redb");
        let bytes = std::fs::read(&file).expect("it was written");
        Self { room, file, bytes, ledger: cast.ledger, beginning }
    }

    /// What is after the last byte that is not zero was never written.
    fn used(&self) -> usize {
        self.bytes.iter().rposition(|byte| *byte != 0).expect("something is written") + 1
    }

    /// Where something is written, of this life or of pages that were replaced since.
    fn written(&self) -> Vec<usize> {
        (0..self.bytes.len()).filter(|at| self.bytes[*at] != 0).collect()
    }

    /// A server on this damaged copy, with or without looking first.
    fn is_begun_on(&self, bytes: &[u8], check: bool, what: &str, outcomes: &mut Outcomes) {
        std::fs::write(&self.file, bytes).expect("it can be written");
        let looks: &[(&str, &str)] = match check {
            true => &[],
            false => &[("STARLING_DATA__CHECK", "false")],
        };
        let looks = looks.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        match Server::try_start(&self.room.args(), looks.collect()) {
            Err(said) => {
                assert!(said.contains("damaged"), "{what}: {said}");
                outcomes.refused += 1;
            }
            Ok(mut server) => {
                match self.reads_all(&server, what) {
                    None => outcomes.whole += 1,
                    Some(code) => {
                        assert_eq!(code, CloseCode::STORE_DAMAGED, "{what}");
                        assert!(!check, "{what}: it was looked through and is damaged");
                        outcomes.stopped += 1;
                    }
                }
                assert!(server.has_ended().is_none(), "{what}: {}", server.said());
            }
        }
    }

    /// Reads the channel from its beginning: everything is heard as it was acknowledged, or a code is
    /// told; and what is heard before that is true.
    fn reads_all(&self, server: &Server, what: &str) -> Option<CloseCode> {
        let clock = MonotonicClock::start();
        let mut options = ConnectOptions::new(WORLD);
        options.reconnect.before_first = true;
        let place = Server::place(server.address());
        let mut client = Client::connect(clock.now(), &place, options).expect("it can be tried");
        let resume = Some(self.beginning);
        let options = SubscribeOptions { resume, ..SubscribeOptions::default() };
        client.subscribe(CHANNEL, options).expect("one subscription is few enough");
        let mut hearing = Hearing::default();
        hearing.begins(Answer::Reset(self.beginning));
        let deadline = Instant::now() + PATIENCE;
        let mut code = None;
        while code.is_none() && hearing.count() < self.ledger.acked() {
            assert!(
                Instant::now() < deadline,
                "{what}: {} heard; {}",
                hearing.count(),
                server.said()
            );
            client.wait(clock.now(), Duration::from_millis(5));
            client.advance(clock.now());
            while let Some(event) = client.poll_event() {
                match event {
                    ClientEvent::Subscribed { key, answer } if key != INBOX => {
                        assert_eq!(answer, Answer::Resumed, "{what}: a hole that nobody tells");
                    }
                    ClientEvent::Gap { from, to, .. } => panic!("{what}: gone {from:?} {to:?}"),
                    ClientEvent::Delivered(event) if event.key != INBOX => hearing.hears(&event),
                    ClientEvent::Unsubscribed { code: why, .. } => code = Some(why),
                    ClientEvent::Closed { error } => panic!("{what}: shut out: {error}"),
                    _ => {}
                }
            }
        }
        assert!(hearing.breaches.is_empty(), "{what}: {:#?}", hearing.breaches);
        let breaches = self.ledger.breaches(&hearing);
        let strays = breaches.iter().filter(|breach| !breach.ends_with("heard None"));
        assert_eq!(strays.count(), 0, "{what}: {breaches:#?}");
        assert!(code.is_some() || breaches.is_empty(), "{what}: {breaches:#?}");
        code
    }
}

/// Fault 50: bits flip while no server runs.
#[test]
fn a_flipped_bit_is_told_or_harmless() {
    let image = Image::made();
    let (mut dice, mut outcomes) = (Dice(seed()), [Outcomes::default(), Outcomes::default()]);
    let written = image.written();
    for round in 0..rounds(24) {
        let mut bytes = image.bytes.clone();
        // A bit of anything, a bit of what is written, or a run of bytes as a bad sector leaves it.
        let at = match round % 3 {
            0 => dice.between(0, image.used() as u64) as usize,
            _ => written[dice.between(0, written.len() as u64) as usize],
        };
        let what = if round % 3 == 2 {
            let end = bytes.len().min(at + 512);
            bytes[at..end].fill(0xa5);
            format!("512 bytes from {at}")
        } else {
            bytes[at] ^= 1 << dice.between(0, 8);
            format!("a bit of byte {at}")
        };
        for check in [true, false] {
            image.is_begun_on(&bytes, check, &what, &mut outcomes[usize::from(check)]);
        }
    }
    eprintln!("flipped: looked through {:?}, not looked through {:?}", outcomes[1], outcomes[0]);
}

/// Fault 50: the end of the file is gone.
#[test]
fn a_store_that_was_cut_is_told() {
    let image = Image::made();
    let (mut dice, mut outcomes) = (Dice(seed()), [Outcomes::default(), Outcomes::default()]);
    for _ in 0..rounds(6) {
        let length = dice.between(1, image.used() as u64) as usize;
        for check in [true, false] {
            let what = format!("cut to {length}");
            let bytes = &image.bytes[..length];
            image.is_begun_on(bytes, check, &what, &mut outcomes[usize::from(check)]);
        }
    }
    eprintln!("cut: looked through {:?}, not looked through {:?}", outcomes[1], outcomes[0]);
}

/// Fault 50: a file of something else in its place is refused, and left as it is.
#[test]
fn a_file_of_something_else_is_refused() {
    let image = Image::made();
    let letter = b"Dear sister, ".repeat(1_000);
    let mut outcomes = Outcomes::default();
    image.is_begun_on(&letter, true, "a letter", &mut outcomes);
    assert_eq!((outcomes.refused, outcomes.whole), (1, 0), "{outcomes:?}");
    assert_eq!(std::fs::read(&image.file).expect("it is there"), letter);
}
