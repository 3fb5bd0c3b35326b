//! A whole run on a loopback server in virtual time.

use starling_client_sim::metrics::ServerUse;
use starling_client_sim::report::{Env, Report, RunFacts, build};
use starling_client_sim::scenario::{Area, Scenario};
use starling_client_sim::space::Space;
use starling_client_sim::swarm::{
    Crew, Driver, InterestSpec, Lateness, PlanOptions, Schedule, Source,
};
use starling_client_sim::target::loopback::{Fault, Loopback};
use starling_client_sim::target::{Clock, Terms};
use starling_client_sim::truth::{Judge, News, Room};
use starling_transport::conditioner::LinkProfile;
use std::cell::Cell;
use std::sync::Arc;

pub(crate) const MS: u64 = 1_000_000;

/// A clock that moves when told to.
#[derive(Default)]
pub(crate) struct Virtual(pub Cell<u64>);

impl Clock for Virtual {
    fn now_ns(&self) -> u64 {
        self.0.get()
    }
}

/// What a run is to be.
pub(crate) struct Run {
    pub(crate) scenario: &'static str,
    pub(crate) clients: u32,
    pub(crate) viewers: u32,
    /// Entities that each shall see.
    pub(crate) visible: f64,
    pub(crate) interests: Vec<InterestSpec>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) seconds: u64,
    pub(crate) events_per_s: f64,
    pub(crate) cues_per_s: f64,
    pub(crate) link: Option<String>,
    /// What the server's metrics said.
    pub(crate) server: Option<ServerUse>,
    pub(crate) tick_hz: f64,
    /// Milliseconds between passes.
    pub(crate) pass_ms: u64,
    /// What the judge follows.
    pub(crate) room: Room,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            scenario: "arena",
            clients: 30,
            viewers: 0,
            visible: 12.0,
            interests: Vec::new(),
            faults: Vec::new(),
            seconds: 8,
            events_per_s: 1.0,
            cues_per_s: 1.0,
            link: None,
            server: None,
            tick_hz: 20.0,
            pass_ms: 5,
            room: Room::default(),
        }
    }
}

impl Run {
    pub(crate) fn with(fault: Fault) -> Report {
        Self { faults: vec![fault], ..Self::default() }.go()
    }

    pub(crate) fn go(self) -> Report {
        let scenario = Scenario::open(self.scenario).expect("built-in scenarios parse");
        let terms = Terms {
            space: scenario.space,
            tick_hz: self.tick_hz,
            error_bound_m: if scenario.space == Space::Metric { 0.04 } else { 0.5 },
            grid_m: 0.001,
            hysteresis: 1.125,
        };
        let side_m = Area::solve(&scenario, 5, self.clients, self.visible).side_m;
        let source = Source::Scenario {
            cast: scenario.cast(5, self.clients, side_m),
            entities: self.clients,
            prefix: scenario.name.clone(),
        };
        let options = PlanOptions {
            seed: 5,
            sessions: None,
            viewers: self.viewers,
            interests: self.interests,
            radius_m: scenario.radius_m,
            events_per_s: self.events_per_s,
            cues_per_s: self.cues_per_s,
            visible: self.visible,
            tick_hz: self.tick_hz,
        };
        let crew = Crew::plan(source, &options).expect("there is something to do");
        let mut judge = Judge::with_room(crew.plans(), self.link.is_some(), self.room);
        let clients = crew.plans().len() as u64;
        let (looking, judged) = crew.lookers();

        let clock = Virtual::default();
        let schedule = Arc::new(Schedule::default());
        let target = Loopback::new(terms, self.faults);
        let lateness = Lateness::by_clock_only();
        let driver = Driver::new(target, &clock, crew, Arc::clone(&schedule), lateness);
        let mut driver = driver.expect("a loopback server takes everybody");
        let mut news = News::default();
        let end_ns = (1 + 3 + self.seconds + 3) * 1000 * MS;
        for now_ns in (0..end_ns).step_by((self.pass_ms * MS) as usize) {
            clock.0.set(now_ns);
            if now_ns >= 1000 * MS && schedule.motion_start_ns().is_none() {
                schedule.start(now_ns, 3000 * MS, self.seconds * 1000 * MS);
            }
            news.clear();
            while driver.pass(&clock, &mut news) {}
            driver.settle(&clock, &mut news);
            driver.terms().into_iter().for_each(|terms| judge.set_terms(terms));
            schedule.measured_ns().into_iter().for_each(|range| judge.set_measured(range));
            judge.take(&news, now_ns);
            driver.wait(&clock, now_ns);
        }
        let swarm = driver.leave(&clock);
        let facts = RunFacts {
            scenario: scenario.name.clone(),
            seed: 5,
            slo: scenario.slo,
            slo_faulted: scenario.slo_faulted,
            faults: LinkProfile::parse(self.link.as_deref().unwrap_or("none"))
                .expect("tests name links that there are"),
            link: self.link,
            starling: "0.0.0".to_owned(),
            env: Env::here(None, &"a test"),
            terms,
            seconds: self.seconds as f64,
            end_s: (1 + 3 + self.seconds) as f64,
            clients,
            judged,
            looking,
            events_expected: self.events_per_s * f64::from(self.clients) * self.seconds as f64,
            cues_expected: self.cues_per_s * f64::from(self.clients) * self.seconds as f64,
            trace: None,
        };
        build(facts, &swarm, &judge.finish(), self.server.as_ref())
    }
}

/// Names of the conditions that do not hold.
pub(crate) fn failing(report: &Report) -> Vec<&str> {
    report.slo.iter().filter(|slo| !slo.ok).map(|slo| slo.name.as_str()).collect()
}
