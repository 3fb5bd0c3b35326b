//! The numbers of the store.

use super::exposition::{Exposition, Type};
use crate::store::Figures;
use starling_world::journal::Health;

/// Name, meaning and value of what a store counts.
type Counted = (&'static str, &'static str, fn(&Figures) -> u64);

const COUNTED: &[Counted] = &[
    ("commits", "Commits on stable storage.", |f| f.commits),
    ("changes", "Changes in those commits.", |f| f.changes),
    ("bytes", "Bytes of those changes.", |f| f.bytes),
    ("queries", "Questions of worlds about rows, answered.", |f| f.queries),
    ("lost_changes", "Changes given up because the disk failed; none was acknowledged.", |f| {
        f.lost
    }),
    ("full", "Commits that found no room on the disk.", |f| f.times_full),
];

const WAITING: &[Counted] = &[
    ("waiting_changes", "Changes that wait to be written.", |f| f.waiting_changes as u64),
    ("waiting_bytes", "Bytes of the changes that wait.", |f| f.waiting_bytes as u64),
    ("waiting_queries", "Questions that wait for their answer.", |f| f.waiting_queries as u64),
];

const HEALTHS: [(&str, Health); 4] = [
    ("well", Health::Well),
    ("behind", Health::Behind),
    ("full", Health::Full),
    ("failed", Health::Failed),
];

pub(super) fn write(text: &mut Exposition, figures: &Figures) {
    for (name, help, value) in COUNTED {
        text.single(&format!("starling_store_{name}_total"), help, Type::Counter, value(figures));
    }
    for (name, help, value) in WAITING {
        text.single(&format!("starling_store_{name}"), help, Type::Gauge, value(figures));
    }
    let name = "starling_store_health";
    text.metric(name, "1 for how the store is.", Type::Gauge);
    for (state, health) in HEALTHS {
        text.sample(name, &[("state", state)], u8::from(figures.health == health));
    }
    let name = "starling_store_commit_duration_seconds";
    text.metric(name, "How long commits took, their syncs included.", Type::Histogram);
    text.histogram(name, ("store", "disk"), &figures.durations);
}
