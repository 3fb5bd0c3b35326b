//! `starling serve` asked to stop in the middle of its work, and started again with what it kept:
//! what was acknowledged is there, everyone hears it once and in order, and comes back once (P5, P6,
//! P11, P14; fault 60).

use crate::serving::Guest;
use crate::shell::{Scratch, Serving, serve, serve_at};
use starling_client::{ClientEvent, Publication, SubscribeOptions};
use starling_protocol::message::control::{INBOX, ResumeAnswer};
use starling_protocol::message::events::Receipt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CONFIG: &str = "[server]\ndrain_jitter_ms = 300\n[[worlds]]\nname = \"yard\"\nspace = \"metric\"\n\
                      durability = \"durable\"\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// Guests who publish, each numbering its own, and hear each other.
struct Company {
    guests: Vec<Guest>,
    published: u64,
    publishing: bool,
}

impl Company {
    fn of(serving: &Serving, count: usize) -> Self {
        let mut guests: Vec<_> = (0..count).map(|_| Guest::of(serving)).collect();
        for guest in &mut guests {
            guest.client.subscribe("room", SubscribeOptions::default()).expect("one is few enough");
            guest.hears(
                "it follows",
                |event| matches!(event, ClientEvent::Subscribed { key, .. } if *key != INBOX),
            );
        }
        Self { guests, published: 0, publishing: true }
    }

    fn turn(&mut self) {
        for guest in &mut self.guests {
            if self.publishing {
                let payload = self.published.to_le_bytes().to_vec();
                let publication = Publication::to_channel("room", payload);
                // Too many wait while nobody answers.
                self.published += u64::from(guest.client.publish(publication).is_ok());
            }
            guest.client.advance(guest.clock.now());
            guest.events.extend(std::iter::from_fn(|| guest.client.poll_event()));
        }
        std::thread::sleep(Duration::from_millis(25));
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "still not: {what}");
            self.turn();
        }
    }

    fn all(&self, is_it: impl Fn(&ClientEvent) -> bool) -> bool {
        self.guests.iter().all(|guest| guest.events.iter().any(&is_it))
    }

    fn acknowledged(&self) -> Vec<u64> {
        let events = self.guests.iter().flat_map(|guest| &guest.events);
        let offsets = events.filter_map(|event| match event {
            ClientEvent::Published { receipt: Receipt::Channel(at), .. } => Some(at.offset.0),
            _ => None,
        });
        offsets.collect()
    }

    /// Nobody publishes any more, everything is answered and heard; nothing twice, no hole.
    fn judge(&mut self) {
        self.publishing = false;
        self.until("everything is answered", |company| {
            company.acknowledged().len() as u64 == company.published
        });
        let mut acknowledged = self.acknowledged();
        acknowledged.sort_unstable();
        let all: Vec<u64> = (1..=self.published).collect();
        assert_eq!(acknowledged, all, "each has a number of its own, and none is left out");
        self.until("everyone heard everything", |company| {
            company
                .guests
                .iter()
                .all(|guest| heard(guest).last().is_some_and(|(at, _)| *at == company.published))
        });
        for guest in &self.guests {
            let heard = heard(guest);
            let (first, last) = (heard[0].0, self.published);
            let offsets: Vec<u64> = heard.iter().map(|(at, _)| *at).collect();
            assert_eq!(offsets, (first..=last).collect::<Vec<_>>(), "once each and in order");
            let payloads: BTreeMap<_, _> = heard.into_iter().map(|(at, what)| (what, at)).collect();
            assert_eq!(payloads.len() as u64, last + 1 - first, "no event under two numbers");
        }
    }
}

/// Offset and payload of what a guest heard.
fn heard(guest: &Guest) -> Vec<(u64, Vec<u8>)> {
    let events = guest.events.iter().filter_map(|event| match event {
        ClientEvent::Delivered(event) if event.key != INBOX => {
            Some((event.offset.0, event.payload.clone()))
        }
        _ => None,
    });
    events.collect()
}

/// Publishes at full swing, has the server asked to stop so many times, and starts it again.
fn stopped(times: u32) {
    let scratch = Scratch::new();
    let config = scratch.file("starling.toml", CONFIG);
    let args = ["--config", &config, "--data", &scratch.path("data")];
    let serving = serve(&args);
    let (address, mut company) = (serving.address.clone(), Company::of(&serving, 4));
    company.until("some are acknowledged", |company| company.acknowledged().len() > 40);
    for _ in 0..times {
        serving.program.terminate();
        company
            .until("everyone is told", |c| c.all(|e| matches!(e, ClientEvent::GoingAway { .. })));
    }
    serving.program.end().fine();
    let before = company.acknowledged().len();
    let _serving = serve_at(&address, &args);
    company.until("everyone is back", |company| {
        company.all(|event| matches!(event, ClientEvent::Reconnected { .. }))
    });
    company.until("more are acknowledged", |company| company.acknowledged().len() > before + 40);
    company.judge();
    for guest in &company.guests {
        let back = guest.events.iter().filter_map(|event| match event {
            ClientEvent::Reconnected { answer, .. } => Some(*answer),
            _ => None,
        });
        assert_eq!(back.collect::<Vec<_>>(), [ResumeAnswer::Resumed], "once, and with its session");
        let gone = guest.events.iter().any(|event| {
            matches!(event, ClientEvent::Gap { .. } | ClientEvent::PublishUncertain { .. })
        });
        assert!(!gone, "nothing is missing or in doubt");
    }
}

#[test]
fn a_rolling_restart_loses_repeats_and_reorders_nothing() {
    stopped(1);
}

/// The second signal does not wait for the notice; the store is synced all the same.
#[test]
fn told_twice_under_load_it_keeps_all_that_it_acknowledged() {
    stopped(2);
}
