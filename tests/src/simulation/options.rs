//! What a seed does to a run: every knob a number, drawn by the seed, printed, read back and shrunk.
//!
//! Each seed draws ranges of its own (swarm testing): half the seeds draw few faults, so that deep
//! states are reached, and one in ten none.

use super::dice::Dice;
use std::fmt;
use std::str::FromStr;

/// Within the day for which events of durable channels are kept, however often it jumps.
const WALL_MINUTES: u64 = 4 * 60;

/// How much of the system a run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Front, room, world and SDK on links of connections: no QUIC, quick.
    Core,
    /// The same on QUIC endpoints with TLS, on a network of packets.
    Whole,
}

macro_rules! knobs {
    ($($(#[doc = $words:literal])+ $knob:ident = $name:literal, $least:literal;)+) => {
        /// One number of the options.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Knob { $($(#[doc = $words])+ $knob,)+ }

        impl Knob {
            /// Every knob, in order.
            pub const ALL: &'static [Self] = &[$(Self::$knob),+];

            /// Its name in texts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$knob => $name,)+ }
            }

            /// The value that asks least of the system.
            #[must_use]
            pub const fn least(self) -> u32 {
                match self { $(Self::$knob => $least,)+ }
            }
        }
    };
}

knobs! {
    /// Honest clients.
    Clients = "clients", 1;
    /// Clients that break the protocol once they are in.
    Rogues = "rogues", 0;
    /// Milliseconds for which faults last.
    FaultsMs = "faults-ms", 500;
    /// Packets lost, of 10,000.
    Loss = "loss", 0;
    /// Mean of the exponential part of a packet's way, in milliseconds.
    DelayMs = "delay-ms", 0;
    /// Packets that arrive twice, of 10,000.
    Twice = "dup", 0;
    /// Packets that may be overtaken, of 10,000.
    Reorder = "reorder", 0;
    /// Packets with a flipped bit, of 10,000.
    Corrupt = "corrupt", 0;
    /// Packets that a link takes in a second; 0 for all.
    Rate = "rate", 0;
    /// Packets that wait at such a link before the next is dropped.
    Queue = "queue", 2;
    /// Largest packet that passes; QUIC's least is 1,200.
    Mtu = "mtu", 1452;
    /// Packets marked for congestion, of 10,000.
    Marks = "ce", 0;
    /// Packets of the past that are played again, of 10,000.
    Replays = "replay", 0;
    /// Cuts of a client's link in both ways, in 100 seconds.
    Cuts = "cuts", 0;
    /// Cuts of one way of it, in 100 seconds.
    OneWays = "one-ways", 0;
    /// Times that a link holds everything back, in 100 seconds.
    Clogs = "clogs", 0;
    /// Longest cut or clog, in milliseconds.
    CutMs = "cut-ms", 100;
    /// Changes of a client's address, in 100 seconds.
    Moves = "moves", 0;
    /// Connections that a client's side loses without a word to the server, in 100 seconds.
    Drops = "drops", 0;
    /// Packets that still leave from a former address, of 10,000, for a second.
    Ghosts = "ghosts", 0;
    /// Largest drift of a clock, in parts per million.
    Drift = "drift-ppm", 0;
    /// Times that the server's process is killed.
    Kills = "kills", 0;
    /// Times that it is drained and a new one follows.
    Drains = "drains", 0;
    /// Longest time that the server's process or a client's does not run, in milliseconds.
    PauseMs = "pause-ms", 0;
    /// Most bytes that an event has beside its number.
    Weight = "weight", 0;
    /// 1 where the world keeps some of its channels, and sessions, on a disk.
    Store = "store", 0;
    /// Longest time that a commit takes, in milliseconds.
    SyncMs = "sync-ms", 0;
    /// Longest jump of the wall clock between two lives of the server, in minutes.
    WallMinutes = "wall-minutes", 0;
    /// Times that the power goes.
    PowerLosses = "power-losses", 0;
}

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Of what the run is made.
    pub level: Level,
    /// From which all chances follow.
    pub seed: u64,
    values: Vec<u32>,
}

impl Options {
    /// The least of everything.
    #[must_use]
    pub fn least(level: Level, seed: u64) -> Self {
        Self { level, seed, values: Knob::ALL.iter().map(|knob| knob.least()).collect() }
    }

    /// What a seed draws.
    #[must_use]
    pub fn draw(level: Level, seed: u64) -> Self {
        let mut options = Self::least(level, seed);
        let mut dice = Dice::lane(seed, 0);
        let wild = match dice.below(10) {
            0 => 0.0,
            1..=5 => 0.2,
            _ => 1.0,
        };
        options.draw_people(&mut dice, wild);
        options.draw_links(&mut dice, wild);
        if level == Level::Whole {
            options.draw_packets(&mut dice, wild);
            options.draw_processes(&mut dice, wild);
        }
        options.draw_store(wild);
        if level == Level::Whole && wild > 0.0 {
            options.draw_loads();
        }
        options
    }

    /// The value of a knob.
    #[must_use]
    pub fn get(&self, knob: Knob) -> u32 {
        self.values[knob as usize]
    }

    /// The same with another value.
    #[must_use]
    pub fn with(mut self, knob: Knob, value: u32) -> Self {
        self.values[knob as usize] = value.max(knob.least().min(value));
        self
    }

    /// A chance that is given in 10,000ths.
    #[must_use]
    pub fn chance(&self, knob: Knob) -> f64 {
        f64::from(self.get(knob)) / 10_000.0
    }

    /// Nothing disturbs the run.
    #[must_use]
    pub fn is_fair(&self) -> bool {
        let calm = [
            Knob::Clients,
            Knob::FaultsMs,
            Knob::Queue,
            Knob::CutMs,
            Knob::Mtu,
            Knob::Store,
            Knob::SyncMs,
            Knob::WallMinutes,
        ];
        Knob::ALL.iter().all(|knob| calm.contains(knob) || self.get(*knob) == knob.least())
    }

    fn set(&mut self, knob: Knob, value: u32) {
        self.values[knob as usize] = value;
    }

    fn draw_people(&mut self, dice: &mut Dice, wild: f64) {
        let (many, faults_ms) = match self.level {
            Level::Core => (7, 1_000 + dice.below(1_000) as u32),
            Level::Whole => (if dice.chance(0.05) { 60 } else { 12 }, 3_000),
        };
        self.set(Knob::Clients, 2 + dice.below(many - 1) as u32);
        self.set(Knob::FaultsMs, faults_ms);
        if self.level == Level::Whole && wild > 0.0 && dice.chance(0.4) {
            self.set(Knob::Rogues, 1 + self.get(Knob::Clients) / 8);
        }
    }

    /// Each class of faults is absent from a third of the seeds.
    fn draw_links(&mut self, dice: &mut Dice, wild: f64) {
        let mut up_to = |knob, most: u32| {
            let share = if dice.chance(0.33) { 0.0 } else { wild * dice.unit() };
            let least = Knob::least(knob);
            self.set(knob, least + (f64::from(most.saturating_sub(least)) * share) as u32);
        };
        up_to(Knob::Loss, 3_000);
        up_to(Knob::DelayMs, 300);
        up_to(Knob::Twice, 5_000);
        up_to(Knob::Reorder, 10_000);
        up_to(Knob::Cuts, 20);
        up_to(Knob::Moves, 60);
        up_to(Knob::CutMs, 2_000);
    }

    fn draw_packets(&mut self, dice: &mut Dice, wild: f64) {
        let mut up_to = |knob, most: u32| {
            let share = if dice.chance(0.33) { 0.0 } else { wild * dice.unit() };
            self.set(knob, (f64::from(most) * share) as u32);
        };
        up_to(Knob::Corrupt, 100);
        up_to(Knob::Marks, 2_000);
        up_to(Knob::Replays, 500);
        up_to(Knob::OneWays, 20);
        up_to(Knob::Clogs, 20);
        up_to(Knob::Ghosts, 5_000);
        up_to(Knob::Drift, 50_000);
        if wild > 0.0 {
            self.set(Knob::CutMs, 100 + dice.below(4_900) as u32);
            self.set(Knob::Mtu, 1_200 + dice.below(253) as u32);
            if dice.chance(0.3) {
                self.set(Knob::Rate, 60 + dice.below(2_000) as u32);
                self.set(Knob::Queue, 2 + dice.below(1_999) as u32);
            }
        }
    }

    fn draw_processes(&mut self, dice: &mut Dice, wild: f64) {
        if wild == 0.0 {
            return;
        }
        if dice.chance(0.3) {
            self.set(Knob::Kills, 1 + dice.below(2) as u32);
        }
        if dice.chance(0.2) {
            self.set(Knob::Drains, 1);
        }
        if dice.chance(0.25) {
            self.set(Knob::PauseMs, 50 + dice.below(3_000) as u32);
        }
    }

    /// By dice of its own.
    fn draw_loads(&mut self) {
        let mut dice = Dice::lane(self.seed, 8);
        if dice.chance(0.25) {
            self.set(Knob::Drops, 1 + dice.below(60) as u32);
        }
        if dice.chance(0.2) {
            self.set(Knob::Weight, 1 + dice.below(8_000) as u32);
        }
    }

    /// By dice of its own.
    fn draw_store(&mut self, wild: f64) {
        let mut dice = Dice::lane(self.seed, 7);
        let whole = self.level == Level::Whole;
        if !dice.chance(if whole { 0.6 } else { 0.2 }) {
            return;
        }
        self.set(Knob::Store, 1);
        if dice.chance(0.67) {
            let slowest_ms = if whole { 2_000.0 } else { 200.0 };
            self.set(Knob::SyncMs, (slowest_ms * wild * dice.unit()) as u32);
        }
        if wild > 0.0 && dice.chance(0.5) {
            self.set(Knob::WallMinutes, 1 + dice.below(WALL_MINUTES) as u32);
        }
        if whole && wild > 0.0 && dice.chance(0.5) {
            self.set(Knob::PowerLosses, 1 + dice.below(2) as u32);
        }
    }
}

/// `whole seed=7 clients=3 loss=120`: what is not named has its least value.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.level == Level::Core { "core" } else { "whole" };
        write!(f, "{level} seed={}", self.seed)?;
        let named = Knob::ALL.iter().filter(|knob| self.get(**knob) != knob.least());
        for knob in named {
            write!(f, " {}={}", knob.name(), self.get(*knob))?;
        }
        Ok(())
    }
}

impl FromStr for Options {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let level = match words.next() {
            Some("core") => Level::Core,
            Some("whole") => Level::Whole,
            other => return Err(format!("begins with core or whole, not {other:?}")),
        };
        let mut options = Self::least(level, 0);
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word} has no ="))?;
            let number = |_| format!("{value} is no number");
            if name == "seed" {
                options.seed = value.parse().map_err(number)?;
                continue;
            }
            let knob = Knob::ALL.iter().find(|knob| knob.name() == name);
            let knob = knob.ok_or_else(|| format!("{name} is no knob"))?;
            options.set(*knob, value.parse().map_err(number)?);
        }
        Ok(options)
    }
}

#[test]
fn options_are_read_back_as_they_were_printed() {
    for seed in 0..200 {
        for level in [Level::Core, Level::Whole] {
            let options = Options::draw(level, seed);
            assert_eq!(options.to_string().parse(), Ok(options));
        }
    }
    assert!("whole seed=1 colour=3".parse::<Options>().is_err());
}

#[test]
fn one_seed_in_ten_is_fair_and_some_are_harsh() {
    let all: Vec<_> = (0..1_000).map(|seed| Options::draw(Level::Whole, seed)).collect();
    let fair = all.iter().filter(|options| options.is_fair()).count();
    assert!((60..160).contains(&fair), "{fair}");
    assert!(all.iter().any(|options| options.get(Knob::Loss) > 2_500));
    assert!(all.iter().any(|options| options.get(Knob::Clients) > 40));
}
