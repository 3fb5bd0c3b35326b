//! A server that is killed again and again, and begins again with what it kept (P4, P5, P6, P7).

use crate::cast::Cast;
use crate::power::Layer;
use crate::server::Server;
use crate::{Dice, Scratch, rounds, seed};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A world whose channels are on disk before anybody is told.
const CONFIG: &str = r#"
[[worlds]]
name = "yard"
space = "metric"
durability = "durable"
"#;

/// A server with a folder of its own for what it keeps.
struct Durable {
    scratch: Scratch,
    config: String,
    data: String,
}

impl Durable {
    fn new() -> Self {
        let scratch = Scratch::new();
        let config = scratch.file("starling.toml", CONFIG).display().to_string();
        let data = scratch.path().join("data").display().to_string();
        Self { scratch, config, data }
    }

    fn args(&self) -> [&str; 4] {
        ["--config", &self.config, "--data", &self.data]
    }

    fn file(&self) -> PathBuf {
        Path::new(&self.data).join("starling.redb")
    }
}

/// Publishes, is killed, begins again; `after` is what happens between. Nothing that was acknowledged is
/// lost, doubled or out of order.
fn killed(few: u32, name: &str, layer: Option<&Layer>, durable: &Durable) {
    let mut dice = Dice(seed());
    let environment = layer.map(Layer::environment).unwrap_or_default();
    let mut server = Server::start_in(&durable.args(), environment);
    let mut cast = Cast::gather(server.address(), 4, 2);
    let (beginning, mut forgotten) = (cast.beginning(), 0);
    cast.publish(true);
    // A channel of which nothing was acknowledged may begin anew in the next life.
    cast.until("something is acknowledged", |cast| cast.ledger.acked() > 0);
    for _ in 0..rounds(few) {
        cast.pass(Duration::from_millis(dice.between(20, 600)));
        server.kill();
        forgotten += layer.map_or(0, |layer| layer.forgets(&mut dice));
        server.start_again();
        let acked = cast.ledger.acked();
        cast.until("something is acknowledged again", |cast| cast.ledger.acked() > acked);
    }
    cast.judge(server.address(), beginning);
    let (resets, gaps) = cast.resets_and_gaps();
    assert_eq!((resets, gaps), (2, 0), "each begins once; {cast}");
    eprintln!("{name} {} times, {forgotten} writes in doubt: {cast}", rounds(few));
}

/// Fault 45. That a process dies is all that this shows: what the system had taken from it is not lost.
#[test]
fn a_server_that_is_killed_keeps_what_it_acknowledged() {
    killed(4, "killed", None, &Durable::new());
}

/// Fault 46: with the process goes what it wrote and did not sync, in part or whole.
#[test]
fn a_server_that_loses_its_power_keeps_what_it_acknowledged() {
    let durable = Durable::new();
    let layer = Layer::over(durable.file(), durable.scratch.path());
    killed(4, "without power", Some(&layer), &durable);
}

/// Fault 50: two servers on one folder.
#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let durable = Durable::new();
    let _first = Server::start(&durable.args());
    let said = Server::try_start(&durable.args(), Vec::new()).err().expect("it must not start");
    assert!(said.contains("another process"), "{said}");
}
