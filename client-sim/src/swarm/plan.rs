//! Who does what: clients, their entities, what they look at and where they publish.

use crate::motion::{Motion, entity_rng};
use crate::scenario::Cast;
use crate::space::Position;
use crate::target::{ChannelNo, ClientNo, ClientPlan, EntityNo, EntityPlan};
use crate::trace::{Track, TrackPlayer};
use crate::truth::Area;
use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use std::str::FromStr;
use std::sync::Arc;

/// Members of one channel.
const CHANNEL_MEMBERS: u32 = 10;
/// Copies per second that the truth follows on one core with ease.
const JUDGED_COPIES_PER_S: f64 = 2e6;
/// (client, entity) per second that it compares.
const JUDGED_PAIRS_PER_S: f64 = 4e7;

/// An area of interest as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InterestSpec {
    /// `radius=50m`: round the client's own entity; round some entity's start for a viewer.
    Radius(f64),
    /// `viewport=2km`: a square round some entity's start.
    Viewport(f64),
    /// `nearest=10`: the nearest few of the client's own entity, or of some entity's start.
    Nearest(usize),
    /// `follow`: some entity wherever it goes.
    Follow,
}

impl FromStr for InterestSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match (name.trim(), value.trim()) {
            ("radius", length) => Ok(Self::Radius(metres(length)?)),
            ("viewport", length) => Ok(Self::Viewport(metres(length)?)),
            ("nearest", count) => {
                let count = count.parse().with_context(|| format!("in the interest `{text}`"))?;
                ensure!(count > 0, "nearest must be at least 1");
                Ok(Self::Nearest(count))
            }
            ("follow", "") => Ok(Self::Follow),
            _ => bail!(
                "`{text}` is no interest; write radius=50m, viewport=2km, nearest=10 or follow"
            ),
        }
    }
}

/// A length such as `50m`, `2km` or `30`.
fn metres(text: &str) -> Result<f64> {
    let (number, scale) = match text.strip_suffix("km") {
        Some(number) => (number, 1000.0),
        None => (text.strip_suffix('m').unwrap_or(text), 1.0),
    };
    let value: f64 = number.trim().parse().with_context(|| format!("`{text}` is no length"))?;
    ensure!(value.is_finite() && value > 0.0, "the length `{text}` is not above 0");
    Ok(value * scale)
}

/// Where the entities of a run come from.
#[derive(Clone)]
pub enum Source {
    /// One entity per client.
    Scenario {
        /// Makes their motion.
        cast: Cast,
        /// How many.
        entities: u32,
        /// Starts their names.
        prefix: String,
    },
    /// Recorded entities.
    Trace {
        /// One per entity.
        tracks: Vec<Arc<Track>>,
        /// Trace seconds per second.
        speed: f64,
    },
}

/// What the clients are to be.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Feeds viewers' places and events.
    pub seed: u64,
    /// Sessions that share the entities; one each where absent.
    pub sessions: Option<u32>,
    /// Sessions that only look.
    pub viewers: u32,
    /// What viewers look at; with no viewers, what everybody looks at.
    pub interests: Vec<InterestSpec>,
    /// What a session with one entity looks at by default.
    pub radius_m: f64,
    /// Events per second and client.
    pub events_per_s: f64,
    /// Cues per second and client.
    pub cues_per_s: f64,
    /// Entities that a client is expected to see.
    pub visible: f64,
    /// Ticks per second that are expected.
    pub tick_hz: f64,
}

/// Some clients of a run, and how their entities move.
#[derive(Clone)]
pub struct Crew {
    pub(super) plans: Vec<ClientPlan>,
    pub(super) cast: Source,
    pub(super) seed: u64,
    pub(super) events_per_s: f64,
    pub(super) cues_per_s: f64,
}

impl Source {
    /// Number of entities.
    #[must_use]
    pub fn len(&self) -> u32 {
        match self {
            Self::Scenario { entities, .. } => *entities,
            Self::Trace { tracks, .. } => tracks.len() as u32,
        }
    }

    /// No entity at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn motion(&self, entity: EntityNo) -> Box<dyn Motion> {
        match self {
            Self::Scenario { cast, .. } => cast.entity(entity.0),
            Self::Trace { tracks, speed } => {
                Box::new(TrackPlayer::new(Arc::clone(&tracks[entity.0 as usize]), *speed))
            }
        }
    }

    fn name(&self, entity: EntityNo) -> String {
        match self {
            Self::Scenario { prefix, .. } => format!("{prefix}/{}", entity.0),
            Self::Trace { tracks, .. } => tracks[entity.0 as usize].name().to_owned(),
        }
    }

    /// Where an entity starts.
    fn start(&self, entity: EntityNo) -> Position {
        match self {
            Self::Scenario { cast, .. } => {
                cast.entity(entity.0).pose(0.0).map_or([0.0; 3], |pose| pose.position)
            }
            Self::Trace { tracks, .. } => tracks[entity.0 as usize].start(),
        }
    }
}

impl Crew {
    /// Plans all clients of a run: first those with entities, then the viewers.
    ///
    /// # Errors
    /// Nothing to do at all, or viewers of an empty world.
    pub fn plan(source: Source, options: &PlanOptions) -> Result<Self> {
        let entities = source.len();
        let owners = options.sessions.unwrap_or(entities).min(entities);
        ensure!(owners + options.viewers > 0, "there is neither a client nor a viewer");
        ensure!(entities == 0 || owners > 0, "the entities need at least one session");
        ensure!(entities > 0, "there is no entity to look at");
        let mut plans: Vec<ClientPlan> =
            (0..owners).map(|client| owner(&source, client, owners, options)).collect();
        plans.extend((0..options.viewers).map(|v| viewer(&source, owners + v, options)));
        let mut crew = Self {
            plans,
            cast: source,
            seed: options.seed,
            events_per_s: options.events_per_s,
            cues_per_s: options.cues_per_s,
        };
        crew.choose_judged(options);
        Ok(crew)
    }

    /// The truth follows every client, or every k-th where they are too many for it.
    fn choose_judged(&mut self, options: &PlanOptions) {
        let looking = self.plans.iter().filter(|plan| !plan.areas.is_empty()).count() as f64;
        let entities = f64::from(self.cast.len());
        let visible = options.visible.min(entities);
        let copies = looking * visible * options.tick_hz / JUDGED_COPIES_PER_S;
        let pairs = looking * entities * options.tick_hz / JUDGED_PAIRS_PER_S;
        let stride = copies.max(pairs).ceil().max(1.0) as usize;
        let looking = self.plans.iter_mut().filter(|plan| !plan.areas.is_empty());
        looking.step_by(stride).for_each(|plan| plan.judged = true);
    }

    /// Divides the clients over threads, in turn.
    #[must_use]
    pub fn split(&self, threads: usize) -> Vec<Self> {
        let part = |thread: usize| {
            let mine = self.plans.iter().skip(thread).step_by(threads);
            Self { plans: mine.cloned().collect(), ..self.clone() }
        };
        (0..threads).map(part).filter(|crew| !crew.plans.is_empty()).collect()
    }

    /// The plans of the clients.
    #[must_use]
    pub fn plans(&self) -> &[ClientPlan] {
        &self.plans
    }

    /// Clients that look at anything, and those of them that the truth follows.
    #[must_use]
    pub fn lookers(&self) -> (u64, u64) {
        let looking = self.plans.iter().filter(|plan| !plan.areas.is_empty());
        looking.fold((0, 0), |(all, judged), plan| (all + 1, judged + u64::from(plan.judged)))
    }

    /// Clients that publish.
    #[must_use]
    pub fn publishers(&self) -> usize {
        self.plans.iter().filter(|plan| !plan.entities.is_empty()).count()
    }
}

fn owner(source: &Source, client: u32, owners: u32, options: &PlanOptions) -> ClientPlan {
    let mine = (client..source.len()).step_by(owners as usize).map(EntityNo);
    let entities: Vec<EntityPlan> =
        mine.map(|entity| EntityPlan { entity, name: source.name(entity) }).collect();
    let areas = match (options.viewers, options.interests.is_empty()) {
        (0, false) => areas(source, client, true, options),
        _ if entities.len() == 1 => vec![Area::Around { radius_m: options.radius_m, flat: false }],
        _ => Vec::new(),
    };
    let channels = vec![ChannelNo(client / CHANNEL_MEMBERS)];
    ClientPlan { client: ClientNo(client), entities, areas, channels, judged: false }
}

fn viewer(source: &Source, client: u32, options: &PlanOptions) -> ClientPlan {
    let areas = match options.interests.is_empty() {
        true => {
            let (_, centre) = somebody(source, client, options.seed);
            vec![Area::Point { centre, radius_m: options.radius_m }]
        }
        false => areas(source, client, false, options),
    };
    let (entities, channels) = (Vec::new(), Vec::new());
    ClientPlan { client: ClientNo(client), entities, areas, channels, judged: false }
}

fn areas(source: &Source, client: u32, owns: bool, options: &PlanOptions) -> Vec<Area> {
    let (other, centre) = somebody(source, client, options.seed);
    let area = |spec: &InterestSpec| match *spec {
        InterestSpec::Radius(radius_m) if owns => Area::Around { radius_m, flat: false },
        InterestSpec::Radius(radius_m) => Area::Point { centre, radius_m },
        InterestSpec::Viewport(side_m) => Area::Viewport { centre, side_m },
        InterestSpec::Nearest(count) => Area::Nearest { count, centre: (!owns).then_some(centre) },
        InterestSpec::Follow => Area::Follow { entity: other },
    };
    options.interests.iter().map(area).collect()
}

/// Some entity, and where it starts: each client looks at another.
fn somebody(source: &Source, client: u32, seed: u64) -> (EntityNo, Position) {
    let mut rng = entity_rng(seed ^ 0x0051_e11e, client);
    let entity = EntityNo(rng.random_range(0..source.len()));
    (entity, source.start(entity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn source(entities: u32) -> Source {
        let scenario = Scenario::open("walk").expect("built-in scenarios parse");
        let cast = scenario.cast(1, entities, 200.0);
        Source::Scenario { cast, entities, prefix: "walk".to_owned() }
    }

    fn options() -> PlanOptions {
        PlanOptions {
            seed: 1,
            sessions: None,
            viewers: 0,
            interests: Vec::new(),
            radius_m: 50.0,
            events_per_s: 0.1,
            cues_per_s: 0.0,
            visible: 50.0,
            tick_hz: 20.0,
        }
    }

    fn plan(entities: u32, options: &PlanOptions) -> Vec<ClientPlan> {
        Crew::plan(source(entities), options).expect("there is something to do").plans
    }

    #[test]
    fn every_entity_has_one_owner_and_owners_see_what_is_around_them() {
        let plans = plan(25, &options());
        assert_eq!(plans.len(), 25);
        assert!(plans.iter().all(|p| p.entities.len() == 1 && p.areas.len() == 1 && p.judged));
        assert_eq!(plans[24].channels, [ChannelNo(2)]);
        assert_eq!(plans[24].entities[0].name, "walk/24");
    }

    #[test]
    fn gateways_share_the_entities_and_see_nothing_unless_asked_to() {
        let few = PlanOptions { sessions: Some(3), ..options() };
        let plans = plan(10, &few);
        let sizes: Vec<usize> = plans.iter().map(|p| p.entities.len()).collect();
        assert_eq!(sizes, [4, 3, 3]);
        assert!(plans.iter().all(|p| p.areas.is_empty()));
        let asked = PlanOptions { interests: vec![InterestSpec::Radius(9.0)], ..few };
        assert!(plan(10, &asked).iter().all(|p| p.areas.len() == 1));
    }

    #[test]
    fn interests_are_the_viewers_when_there_are_viewers() {
        let interests = vec![InterestSpec::Viewport(2000.0), InterestSpec::Follow];
        let plans = plan(10, &PlanOptions { viewers: 2, interests, ..options() });
        assert!(matches!(plans[0].areas[..], [Area::Around { .. }]));
        let seen = &plans[11];
        assert!(seen.entities.is_empty());
        assert!(matches!(seen.areas[..], [Area::Viewport { .. }, Area::Follow { .. }]));
    }

    #[test]
    fn of_very_many_clients_some_are_judged() {
        let plans = plan(3000, &options());
        let judged = plans.iter().filter(|p| p.judged).count();
        assert!((200..1500).contains(&judged), "{judged}");
    }

    #[test]
    fn threads_share_all_clients() {
        let crew = Crew::plan(source(10), &options()).expect("there is something to do");
        let sizes: Vec<usize> = crew.split(3).iter().map(|c| c.plans.len()).collect();
        assert_eq!(sizes, [4, 3, 3]);
        assert_eq!(crew.split(50).len(), 10);
    }

    #[test]
    fn interests_are_read_with_units() {
        let read = |text: &str| text.parse::<InterestSpec>().ok();
        assert_eq!(read("radius=50m"), Some(InterestSpec::Radius(50.0)));
        assert_eq!(read("viewport=2km"), Some(InterestSpec::Viewport(2000.0)));
        assert_eq!(read("nearest=10"), Some(InterestSpec::Nearest(10)));
        assert_eq!(read("follow"), Some(InterestSpec::Follow));
        for bad in ["radius", "radius=-3m", "radius=5cm", "nearest=0", "follow=1", "sphere=3"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
