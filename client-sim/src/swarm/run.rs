//! A whole run: threads, phases, and the report.

use super::court::{Clerk, Court};
use super::driver::Driver;
use super::lateness::Lateness;
use super::options::SwarmOptions;
use super::phase::{Phase, Schedule};
use super::plan::Crew;
use super::prepare::{Prepared, prepare};
use crate::meter::GeneratorMeter;
use crate::metrics::{MetricsUrl, Scrape, ServerUse};
use crate::report::{Env, Report, RunFacts, build};
use crate::space::Space;
use crate::starling::{QuicWire, Registry, StarlingOptions, StarlingTarget};
use crate::target::{Clock, Target, Terms};
use starling_transport::tls::ClientTls;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// How long clients may take to connect: this, and so much more for each.
const CONNECT_NS: u64 = 10_000_000_000;
const CONNECT_NS_EACH: u64 = 10_000_000;
/// Motion before the measured time.
const WARM_UP_NS: u64 = 3_000_000_000;
/// What is under way may arrive for this long after the measured time.
const DRAIN_NS: u64 = 5_000_000_000;
/// A driver looks at the phase this often.
const PASS_NS: u64 = 10_000_000;
/// The coordinator looks round this often.
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no report.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SwarmError {
    /// The options make no sense, or a file cannot be read: exit code 1.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Nobody was let in: exit code 2.
    #[error("no client could connect: {0}")]
    NotConnected(String),
    /// The world has another space than the work needs: exit code 2.
    #[error("the world is {found:?}, the work needs {needed:?}: name another world")]
    Space {
        /// What the work needs.
        needed: Space,
        /// What the server has.
        found: Space,
    },
    /// The system refused a thread or a socket, or a thread died: exit code 2.
    #[error("{0:#}")]
    System(anyhow::Error),
}

impl SwarmError {
    /// The exit code of the command line.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 1,
            Self::NotConnected(_) | Self::Space { .. } | Self::System(_) => 2,
        }
    }
}

/// How a run stands, once a second.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What the swarm does.
    pub phase: Phase,
    /// Clients connected now.
    pub connected: u64,
    /// Clients wanted.
    pub asked: u64,
    /// Seconds of the measured time that have passed.
    pub measured_s: f64,
    /// Of so many.
    pub of_s: f64,
    /// UDP payload received in the last second.
    pub bytes_down: u64,
    /// UDP payload sent in the last second.
    pub bytes_up: u64,
    /// Entities that a client with an area held in the last second, on average.
    pub visible: f64,
}

/// The clock of a run on a real machine.
struct RunClock(Instant);

impl Clock for RunClock {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What threads tell the coordinator.
#[derive(Default)]
struct Board {
    connected: AtomicU64,
    answered: AtomicU64,
    over: AtomicU64,
    bytes_down: AtomicU64,
    bytes_up: AtomicU64,
    frames: AtomicU64,
    visible: AtomicU64,
    terms: Mutex<Option<Terms>>,
    reasons: Mutex<Vec<String>>,
}

/// What a target needs to know of a run before it connects anybody.
#[derive(Clone, Debug)]
pub struct Venue {
    /// The world to enter.
    pub world: String,
    /// The space that the work needs.
    pub space: Space,
    /// Names of all entities of the run, by number.
    pub names: Arc<[String]>,
}

/// Runs the swarm against Starling and reports. `progress` is called about once a second;
/// setting `stop` ends the measured time at once.
///
/// # Errors
/// [`SwarmError`] when there is nothing to report.
pub fn run(
    options: &SwarmOptions,
    stop: &AtomicBool,
    progress: impl FnMut(&Progress),
) -> Result<Report, SwarmError> {
    let tls = ClientTls::new(&options.trust).map_err(|e| SwarmError::Usage(e.into()))?;
    let registry = Registry::default();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let make = |thread: usize, venue: &Venue| {
        let session = StarlingOptions {
            world: venue.world.clone(),
            space: venue.space,
            token: options.token.clone(),
            seed: options.seed ^ (u64::from(std::process::id()) << 32),
            faulted: !options.link.is_none(),
            names: Arc::clone(&venue.names),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        };
        let seed = options.seed.wrapping_add(thread as u64);
        let wire = QuicWire::new(options.server, tls.clone(), &options.link, seed)?;
        Ok(StarlingTarget::new(wire, session, registry.clone()))
    };
    run_on(options, stop, make, progress)
}

/// The same against any server: `make` brings up one target for each thread. Of the options those
/// that tell how to reach Starling (server, trust, token, link) are not looked at, but a link with
/// faults is granted what faults cost.
///
/// # Errors
/// [`SwarmError`] when there is nothing to report.
pub fn run_on<T: Target + Send + 'static>(
    options: &SwarmOptions,
    stop: &AtomicBool,
    make: impl Fn(usize, &Venue) -> anyhow::Result<T>,
    mut progress: impl FnMut(&Progress),
) -> Result<Report, SwarmError> {
    let prepared = prepare(options).map_err(SwarmError::Usage)?;
    let venue = venue(&prepared);
    let faulted = !options.link.is_none();
    let court = Court::open(prepared.crew.plans(), faulted).map_err(SwarmError::System)?;
    let mut run = Run {
        options,
        clock: Arc::new(RunClock(Instant::now())),
        schedule: Arc::new(Schedule::default()),
        board: Arc::new(Board::default()),
        court,
        scraper: None,
        threads: Vec::new(),
        shown: None,
        totals: [0; 4],
    };
    for (thread, crew) in prepared.crew.split(options.threads.max(1)).into_iter().enumerate() {
        let target = make(thread, &venue).map_err(SwarmError::System)?;
        run.start(target, crew).map_err(SwarmError::System)?;
    }
    let outcome = run.conduct(&prepared, stop, &mut progress);
    run.finish(prepared, outcome)
}

fn venue(prepared: &Prepared) -> Venue {
    let entities = prepared.crew.plans().iter().flat_map(|plan| &plan.entities);
    let mut names: Vec<_> = entities.map(|e| (e.entity, e.name.clone())).collect();
    names.sort();
    Venue {
        world: prepared.world.clone(),
        space: prepared.space,
        names: names.into_iter().map(|(_, name)| name).collect(),
    }
}

struct Run<'a> {
    options: &'a SwarmOptions,
    clock: Arc<RunClock>,
    schedule: Arc<Schedule>,
    board: Arc<Board>,
    court: Court,
    scraper: Option<JoinHandle<ServerUse>>,
    threads: Vec<JoinHandle<(GeneratorMeter, u64)>>,
    shown: Option<Instant>,
    totals: [u64; 4],
}

impl Run<'_> {
    fn start<T: Target + Send + 'static>(&mut self, target: T, crew: Crew) -> anyhow::Result<()> {
        let (clock, schedule) = (Arc::clone(&self.clock), Arc::clone(&self.schedule));
        let (board, clerk) = (Arc::clone(&self.board), self.court.clerk());
        let name = format!("swarm-{}", self.threads.len());
        let work = move || drive(target, crew, &*clock, schedule, &board, clerk);
        self.threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        Ok(())
    }

    /// Leads all threads through the phases; returns the measured time of the run's clock.
    fn conduct(
        &mut self,
        prepared: &Prepared,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(Terms, Range<u64>), SwarmError> {
        let terms = self.connect(prepared, stop, progress)?;
        self.court.set_terms(terms);
        let measured_ns = u64::try_from(prepared.measured.as_nanos()).unwrap_or(u64::MAX / 4);
        let warm_up_ns = WARM_UP_NS.min(measured_ns / 2);
        self.schedule.start(self.clock.now_ns(), warm_up_ns, measured_ns);
        let range = self.schedule.measured_ns().unwrap_or(0..0);
        self.court.set_measured(range.clone());
        self.scraper = self.options.metrics.clone().map(|url| self.scrape(url, range.clone()));
        self.watch(prepared, range.end, stop, progress);
        self.schedule.cut(self.clock.now_ns());
        let range = self.schedule.measured_ns().unwrap_or(0..0);
        self.court.set_measured(range.clone());
        // In the dark nothing arrives: that time is not the server's.
        let dark_ns = self.options.link.blackout.map_or(0, |blackout| blackout.length_ns);
        let give_up_ns = self.clock.now_ns() + DRAIN_NS + dark_ns;
        while !self.court.events_settled() && self.clock.now_ns() < give_up_ns {
            self.look(prepared, progress);
        }
        Ok((terms, range))
    }

    fn connect(
        &mut self,
        prepared: &Prepared,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Terms, SwarmError> {
        let asked = prepared.crew.plans().len() as u64;
        let give_up_ns = self.clock.now_ns() + CONNECT_NS + asked * CONNECT_NS_EACH;
        let answered = |board: &Board| board.answered.load(Ordering::Relaxed);
        while answered(&self.board) < asked && self.clock.now_ns() < give_up_ns {
            if stop.load(Ordering::Relaxed) {
                return Err(SwarmError::NotConnected("stopped".to_owned()));
            }
            self.look(prepared, progress);
        }
        let terms = *self.board.terms.lock().unwrap_or_else(PoisonError::into_inner);
        match terms {
            Some(terms) if terms.space == prepared.space => Ok(terms),
            Some(terms) => Err(SwarmError::Space { needed: prepared.space, found: terms.space }),
            None => {
                let reasons = self.board.reasons.lock().unwrap_or_else(PoisonError::into_inner);
                let first = reasons.first().cloned();
                let untold = || "the server cannot be reached: no answer in time".to_owned();
                Err(SwarmError::NotConnected(first.unwrap_or_else(untold)))
            }
        }
    }

    fn watch(
        &mut self,
        prepared: &Prepared,
        end_ns: u64,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Progress),
    ) {
        while self.clock.now_ns() < end_ns {
            let over = self.board.over.load(Ordering::Relaxed) >= self.threads.len() as u64;
            if stop.load(Ordering::Relaxed) || over {
                return;
            }
            self.look(prepared, progress);
        }
    }

    /// Rests a little, and shows progress once a second.
    fn look(&mut self, prepared: &Prepared, progress: &mut dyn FnMut(&Progress)) {
        std::thread::park_timeout(LOOK);
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= Duration::from_secs(1));
        if !due {
            return;
        }
        self.shown = Some(Instant::now());
        progress(&self.progress(prepared));
    }

    fn progress(&mut self, prepared: &Prepared) -> Progress {
        let now_ns = self.clock.now_ns();
        let board = &self.board;
        let counts = [&board.bytes_down, &board.bytes_up, &board.frames, &board.visible];
        let totals = counts.map(|count| count.load(Ordering::Relaxed));
        let [bytes_down, bytes_up, frames, visible] =
            [0, 1, 2, 3].map(|k| totals[k].saturating_sub(self.totals[k]));
        self.totals = totals;
        let start = self.schedule.measured_ns().map_or(now_ns, |range| range.start);
        Progress {
            phase: self.schedule.phase(now_ns),
            connected: board.connected.load(Ordering::Relaxed),
            asked: prepared.crew.plans().len() as u64,
            measured_s: now_ns.saturating_sub(start) as f64 / 1e9,
            of_s: prepared.measured.as_secs_f64(),
            bytes_down,
            bytes_up,
            visible: visible as f64 / frames.max(1) as f64,
        }
    }

    /// Reads the server's metrics at the start of the measured time and every second from then.
    fn scrape(&self, url: MetricsUrl, range: Range<u64>) -> JoinHandle<ServerUse> {
        let (clock, schedule) = (Arc::clone(&self.clock), Arc::clone(&self.schedule));
        std::thread::spawn(move || {
            let mut used = ServerUse::default();
            let (mut due_ns, mut second) = (range.start, 0_usize);
            while schedule.phase(clock.now_ns()) < Phase::Leave && due_ns <= range.end {
                let wait = due_ns.saturating_sub(clock.now_ns());
                if wait > 0 {
                    std::thread::park_timeout(Duration::from_nanos(wait).min(LOOK));
                    continue;
                }
                match url.get() {
                    Ok(text) => used.take(second.saturating_sub(1), Scrape::parse(&text)),
                    Err(_) => used.miss(),
                }
                due_ns += 1_000_000_000;
                second += 1;
            }
            used
        })
    }

    fn finish(
        self,
        prepared: Prepared,
        outcome: Result<(Terms, Range<u64>), SwarmError>,
    ) -> Result<Report, SwarmError> {
        self.schedule.leave(self.clock.now_ns());
        let mut swarm = GeneratorMeter::default();
        let mut shed = 0;
        let died = || SwarmError::System(anyhow::anyhow!("a thread of the swarm panicked"));
        for thread in self.threads {
            let (meter, left_out) = thread.join().map_err(|_| died())?;
            swarm.merge(meter);
            shed += left_out;
        }
        let truth = self.court.close(shed).map_err(SwarmError::System)?;
        let server = self.scraper.map(JoinHandle::join).transpose().map_err(|_| died())?;
        let (terms, measured) = outcome?;
        let seconds = Duration::from_nanos(measured.end - measured.start).as_secs_f64();
        let options = self.options;
        let publishers = prepared.crew.publishers() as f64;
        let (looking, judged) = prepared.crew.lookers();
        let facts = RunFacts {
            scenario: prepared.name,
            seed: options.seed,
            link: options.faulted_link(),
            starling: env!("CARGO_PKG_VERSION").to_owned(),
            env: Env::here(options.commit.clone(), options),
            terms,
            seconds,
            end_s: measured.end as f64 / 1e9,
            clients: prepared.crew.plans().len() as u64,
            judged,
            looking,
            faults: options.link.clone(),
            slo: prepared.slo,
            slo_faulted: prepared.slo_faulted,
            events_expected: publishers * options.events_per_s * seconds,
            cues_expected: publishers * prepared.cues_per_s * seconds,
            trace: prepared.trace,
        };
        Ok(build(facts, &swarm, &truth, server.as_ref()))
    }
}

/// One thread of the swarm, from the first dial to the goodbye.
fn drive<T: Target>(
    target: T,
    crew: Crew,
    clock: &dyn Clock,
    schedule: Arc<Schedule>,
    board: &Board,
    mut clerk: Clerk,
) -> (GeneratorMeter, u64) {
    let lateness = Lateness::of_this_thread();
    let asked = crew.plans().len() as u64;
    let mut driver = match Driver::new(target, clock, crew, Arc::clone(&schedule), lateness) {
        Ok(driver) => driver,
        Err(error) => {
            board.answered.fetch_add(asked, Ordering::Relaxed);
            let mut reasons = board.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            reasons.push(format!("{error:#}"));
            return (GeneratorMeter::default(), clerk.finish());
        }
    };
    let mut before = Tally::default();
    let mut over = false;
    while schedule.phase(clock.now_ns()) < Phase::Leave {
        let mut news = clerk.blank();
        while driver.pass(clock, &mut news) {}
        driver.settle(clock, &mut news);
        before.tell(&driver, board);
        if !over && driver.is_over() {
            over = true;
            board.over.fetch_add(1, Ordering::Relaxed);
        }
        clerk.hand_over(news, clock.now_ns());
        driver.wait(clock, clock.now_ns() + PASS_NS);
    }
    (driver.leave(clock), clerk.finish())
}

/// What a thread has told the board so far.
#[derive(Default)]
struct Tally {
    connected: u64,
    answered: u64,
    bytes_down: u64,
    bytes_up: u64,
    frames: u64,
    visible: u64,
    reasons: usize,
}

impl Tally {
    fn tell<T: Target>(&mut self, driver: &Driver<T>, board: &Board) {
        let (connected, answered) = driver.census();
        let totals = driver.totals();
        let tell = |to: &AtomicU64, told: &mut u64, now: u64| {
            to.fetch_add(now.wrapping_sub(*told), Ordering::Relaxed);
            *told = now;
        };
        tell(&board.bytes_down, &mut self.bytes_down, totals.bytes_down);
        tell(&board.bytes_up, &mut self.bytes_up, totals.bytes_up);
        tell(&board.frames, &mut self.frames, totals.frames);
        tell(&board.visible, &mut self.visible, totals.visible);
        if let Some(terms) = driver.terms().filter(|_| answered > self.answered) {
            *board.terms.lock().unwrap_or_else(PoisonError::into_inner) = Some(terms);
        }
        let reasons = driver.reasons();
        if reasons.len() > self.reasons {
            let mut all = board.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(&reasons[self.reasons..]);
            self.reasons = reasons.len();
        }
        // Last, so that who sees an answer finds its terms and reasons.
        tell(&board.connected, &mut self.connected, connected as u64);
        tell(&board.answered, &mut self.answered, answered);
    }
}
