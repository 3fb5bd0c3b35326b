//! `/debug/why`: why does a session get an entity, or not?

use super::Board;
use super::query::decoded;
use serde_json::{Value, json};
use starling_protocol::message::interest::Target;
use starling_protocol::units::{EntityId, SessionId, Tick};
use starling_world::why::{Matter, Outcome, Told, Why, WhyArea, WhyError, WhySlot};
use std::time::Duration;

/// How long a room may take: some ticks of the slowest world.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    world: String,
    session: SessionId,
    entity: Target,
    tick: Option<Tick>,
}

impl Query {
    /// Reads `world=W&session=S&entity=E&tick=N`, of which only the tick may be left out.
    fn read(text: &str) -> Result<Self, String> {
        let (mut world, mut session, mut entity, mut tick) = (None, None, None, None);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or_else(|| format!("{name} is not UTF-8"))?;
            let number = || value.parse().map_err(|_| format!("{name} is not a number"));
            match name {
                "world" => world = Some(value),
                "session" => session = Some(SessionId(number()?)),
                "entity" => entity = Some(target(&value)),
                "tick" => {
                    let wide = number()?;
                    tick = Some(Tick(wide.try_into().map_err(|_| "no such tick")?));
                }
                _ => return Err(format!("{name} is not asked for")),
            }
        }
        let missing = || "world, session and entity are needed".to_owned();
        Ok(Self {
            world: world.ok_or_else(missing)?,
            session: session.ok_or_else(missing)?,
            entity: entity.ok_or_else(missing)?,
            tick,
        })
    }
}

/// The answer, or a status and why there is none.
pub(super) async fn answer(board: &Board, query: &str) -> Result<Value, (u16, String)> {
    let query = Query::read(query).map_err(|error| (400, error))?;
    let entry =
        board.worlds.labelled(&query.world).ok_or_else(|| (404, "no such world".to_owned()))?;
    let asked = entry.gauge.questions.why(query.session, query.entity);
    let waiting = asked.ok_or_else(|| (503, "too many questions wait".to_owned()))?;
    let answered = tokio::time::timeout(PATIENCE, waiting).await;
    match answered {
        Ok(Ok(Ok(why))) => Ok(shown(&why, query.tick)),
        Ok(Ok(Err(error @ WhyError::Parked))) => Err((409, error.to_string())),
        Ok(Ok(Err(error))) => Err((404, error.to_string())),
        Ok(Err(_)) | Err(_) => Err((504, "the world did not answer".to_owned())),
    }
}

/// `index/generation` is an id, anything else a name.
fn target(text: &str) -> Target {
    let id = text.split_once('/').and_then(|(index, generation)| {
        Some(EntityId { index: index.parse().ok()?, generation: generation.parse().ok()? })
    });
    id.map_or_else(|| Target::Name(text.to_owned()), Target::Id)
}

fn shown(why: &Why, tick: Option<Tick>) -> Value {
    let told = why.told.iter().filter(|told| tick.is_none_or(|tick| told.tick == tick));
    json!({
        "tick": why.tick.0,
        "entity": format!("{}/{}", why.entity.index, why.entity.generation),
        "name": why.name,
        "hidden": why.hidden,
        "areas": why.areas.iter().map(area).collect::<Vec<_>>(),
        "slot": why.slot.as_ref().map(slot),
        "changed_tick": why.stirred.0,
        "link": {
            "datagram_bytes_per_tick": why.link.datagram_bytes,
            "rtt_us": why.link.rtt_us,
            "full": why.link.is_full,
            "threshold": why.link.threshold,
            "last_sent_tick": why.link.last_sent.0,
        },
        "told_from_tick": why.told_from.0,
        "told": told.map(news).collect::<Vec<_>>(),
        "because": because(why, tick),
    })
}

fn area(area: &WhyArea) -> Value {
    json!({
        "id": area.id,
        "shape": area.shape,
        "side": area.side,
        "distance_m": area.distance_m,
        "passes": area.passes,
    })
}

fn slot(slot: &WhySlot) -> Value {
    json!({
        "slot": slot.slot,
        "state": slot.state,
        "since_tick": slot.since.0,
        "baseline_tick": slot.base.0,
        "priority": slot.hunger,
        "code_bits": slot.code_bits,
    })
}

fn news(told: &Told) -> Value {
    json!({
        "tick": told.tick.0,
        "slot": told.slot,
        "what": matter(told.matter),
        "outcome": outcome(told.outcome),
        "baseline_tick": told.base.0,
        "code_bits": told.code_bits,
        "priority": told.hunger,
        "distance_m": told.distance_m,
    })
}

const fn matter(matter: Matter) -> &'static str {
    match matter {
        Matter::Enter => "enter",
        Matter::Change => "change",
        Matter::Leave => "leave",
        Matter::Bulk => "enter over the bulk stream",
        _ => "news",
    }
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Sent => "sent",
        Outcome::Skipped => "skipped: the link could not carry all, and others were hungrier",
        Outcome::Withheld => "withheld until the bulk stream brought its enter",
        Outcome::Deferred => "deferred: it is far away, and its ring has its turn in a later tick",
        Outcome::Silent => "not sent: the link takes no datagram",
        _ => "unknown",
    }
}

/// The answer in a sentence.
fn because(why: &Why, tick: Option<Tick>) -> String {
    match tick {
        Some(tick) if tick > why.tick => "that tick has not come yet".to_owned(),
        Some(tick) if tick < why.told_from => {
            "that tick was not kept: news are kept from the first question on".to_owned()
        }
        Some(tick) => match why.told.iter().find(|told| told.tick == tick) {
            Some(told) => format!("{}: {}", matter(told.matter), outcome(told.outcome)),
            None => "nothing was due: the client held what was newest of it, or did not see it"
                .to_owned(),
        },
        None => now_because(why).to_owned(),
    }
}

fn now_because(why: &Why) -> &'static str {
    match (&why.slot, why.hidden) {
        (_, Some(hidden)) => hidden,
        (None, _) if why.areas.is_empty() => "the session has no area of interest",
        (None, _) => "it is in no area of interest that lets it pass",
        (Some(slot), _) if slot.base == Tick(0) => "what its slot means was not acknowledged yet",
        (Some(slot), _) if why.stirred > slot.base => {
            "it changed after its baseline: told in every datagram until acknowledged"
        }
        _ => "nothing is due: the client holds what is newest of it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_world_session_and_entity() {
        let query = Query::read("world=a%2Fb&session=7&entity=bus%20+1&tick=9").expect("whole");
        let entity = Target::Name("bus  1".into());
        let (session, tick) = (SessionId(7), Some(Tick(9)));
        assert_eq!(query, Query { world: "a/b".into(), session, entity, tick });
        for bad in ["", "world=a&session=1", "world=a&session=x&entity=1", "why=1", "world=%ff"] {
            assert!(Query::read(bad).is_err(), "{bad}");
        }
        assert!(Query::read("world=%&session=1&entity=%4").is_ok(), "nothing to undo");
    }

    #[test]
    fn two_numbers_are_an_id_and_the_rest_are_names() {
        let id = EntityId { index: 12, generation: 3 };
        assert_eq!(target("12/3"), Target::Id(id));
        for name in ["12", "bus/7b", "/", "a/1"] {
            assert_eq!(target(name), Target::Name(name.into()));
        }
    }
}
