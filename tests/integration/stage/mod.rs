//! A server on free ports, and a cast that meets on it over real sockets.

mod key;
mod player;
mod rude;

pub(crate) use key::{Folder, Key, token};
pub(crate) use player::{Player, distance};
pub(crate) use rude::{Rude, hello, spawn};

use starling_client::net::{MonotonicClock, Server as Place};
use starling_client::tls::ServerTrust;
use starling_client::{ConnectOptions, Space};
use starling_server::config::{Config, WorldEntry};
use starling_server::run::{Running, Server};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Index, IndexMut};
use std::time::{Duration, Instant};

/// How long anything here may take, however loaded the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long the stage sleeps at most while nothing arrives.
const NAP: Duration = Duration::from_millis(2);
/// The metric world of every stage, and the geodetic one.
pub(crate) const YARD: &str = "yard";
pub(crate) const GLOBE: &str = "globe";

/// One of the cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who(usize);

/// A server, its players, and those who behave badly.
pub(crate) struct Stage {
    /// Absent only while one server makes room for the next.
    running: Option<Running>,
    pub(crate) clock: MonotonicClock,
    players: Vec<Player>,
    pub(crate) rude: Vec<Rude>,
}

/// A configuration on free ports with a yard and a globe.
pub(crate) fn config() -> Config {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::default();
    (config.server.listen, config.http.listen) = (free, free);
    config.server.drain_s = 1;
    config.worlds =
        vec![WorldEntry::new(YARD, Space::Metric), WorldEntry::new(GLOBE, Space::Geodetic)];
    config
}

/// A server with a yard and a globe.
pub(crate) fn stage() -> Stage {
    Stage::of(config())
}

impl Stage {
    pub(crate) fn of(config: Config) -> Self {
        Self::on(Server::new(config).expect("the configuration holds"))
    }

    pub(crate) fn on(server: Server) -> Self {
        let running = server.start().expect("a server starts on free ports");
        let clock = MonotonicClock::start();
        Self { running: Some(running), clock, players: Vec::new(), rude: Vec::new() }
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("there is a server but for the moment of a change")
    }

    /// The server ends, and another one of this configuration has its address.
    pub(crate) fn comes_back(&mut self, mut config: Config) {
        config.server.listen = self.running().local_addr();
        self.running.take().expect("it was just asked").stop();
        let deadline = Instant::now() + PATIENCE;
        let start = || Server::new(config.clone()).and_then(Server::start);
        while self.running.is_none() {
            match start() {
                Ok(running) => self.running = Some(running),
                // The last one's socket is let go of a moment after its end.
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    }

    /// Where the server is, and why it is believed.
    pub(crate) fn place(&self) -> Place {
        let trust = ServerTrust::Fingerprint(self.running().fingerprint());
        Place::new(self.running().local_addr(), trust)
    }

    /// Somebody knocks; whether it is let in is seen later.
    pub(crate) fn knocks(&mut self, options: ConnectOptions) -> Who {
        let place = self.place();
        self.comes_from(&place, options)
    }

    /// The same over a place of the test's own: a bad link, another idle timeout.
    pub(crate) fn comes_from(&mut self, place: &Place, options: ConnectOptions) -> Who {
        self.players.push(Player::connect(self.clock, place, options));
        Who(self.players.len() - 1)
    }

    /// Somebody is in the yard under this name and looks fifty metres around.
    pub(crate) fn enters(&mut self, name: &str, at: [f64; 3]) -> Who {
        let who = self.knocks(ConnectOptions::new(YARD));
        self.appears(who, name, at);
        who
    }

    /// Its entity stands here and its area of interest goes with it.
    pub(crate) fn appears(&mut self, who: Who, name: &str, at: [f64; 3]) {
        self[who].appear(name, at);
        self.until(&format!("{name} stands"), |stage| stage[who].stands());
    }

    /// Two who see each other, and are asked at the end whether anything happened to them.
    pub(crate) fn pair(&mut self) -> [Who; 2] {
        let pair = [self.enters("ann", [0.0; 3]), self.enters("bob", [3.0, 0.0, 0.0])];
        self.others_go_on(pair);
        pair
    }

    /// Two go on seeing and moving as if nothing had happened, and were not disturbed.
    pub(crate) fn others_go_on(&mut self, pair: [Who; 2]) {
        for [one, other] in [pair, [pair[1], pair[0]]] {
            let [x, y, z] = self[one].position();
            self[one].goes_to([x + 1.0, y + 2.0, z]);
            self.until("the others see each other move", |s| s[other].has_in_place(&s[one]));
        }
        for who in pair {
            assert!(self[who].is_undisturbed(), "{:?}", self[who].events);
        }
    }

    /// Somebody who says whatever it is told to; its connection stands.
    pub(crate) fn stranger(&mut self) -> usize {
        self.rude.push(Rude::connect(self.clock, &self.place()));
        let at = self.rude.len() - 1;
        self.until("the connection stands", |stage| stage.rude[at].up);
        at
    }

    /// A stranger that was let into a world.
    pub(crate) fn guest(&mut self, world: &str) -> usize {
        let at = self.stranger();
        self.rude[at].says(&hello(world));
        self.until("it is welcome", |stage| stage.rude[at].welcome().is_some());
        at
    }

    /// Runs until something holds, or panics after a minute.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.until_with(what, |_| {}, holds);
    }

    /// The same, doing something at every turn.
    pub(crate) fn until_with(
        &mut self,
        what: &str,
        mut act: impl FnMut(&mut Self),
        holds: impl Fn(&Self) -> bool,
    ) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "still not: {what}\n{}", self.happened());
            self.turn();
            act(self);
        }
    }

    /// Waits for a packet, or a moment, and lets everyone act.
    fn turn(&mut self) {
        let Self { clock, players, rude, .. } = self;
        match (players.first_mut(), rude.first_mut()) {
            (Some(first), _) => first.client.wait(clock.now(), NAP),
            (None, Some(first)) => first.wait(NAP),
            (None, None) => std::thread::yield_now(),
        }
        players.iter_mut().for_each(Player::turn);
        rude.iter_mut().for_each(Rude::turn);
    }

    fn happened(&self) -> String {
        let players = self.players.iter().map(|player| format!("{player:?}\n"));
        let rude = self.rude.iter().map(|rude| format!("{rude:?}\n"));
        players.chain(rude).collect()
    }

    /// Asks the internal listener.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask("GET", path)
    }

    /// The same with another verb.
    pub(crate) fn ask(&self, verb: &str, path: &str) -> String {
        let address = self.running().http_addr().expect("it is on by default");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        write!(stream, "{verb} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// A number of the metrics, labels included in the name as they are shown; a close code that
    /// never occurred is not shown.
    pub(crate) fn shown(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    /// A number that is always shown.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.shown(name).unwrap_or_else(|| panic!("no metric `{name}`"))
    }

    /// Runs until a number of the metrics has come to so much; it is shown a moment later.
    pub(crate) fn counts(&mut self, name: &str, at_least: f64) {
        let reached = |stage: &Self| stage.shown(name).is_some_and(|value| value >= at_least);
        self.until(&format!("{name} is {at_least}"), reached);
    }

    /// Runs until the server has counted that it closed a connection with this code.
    pub(crate) fn counts_close(&mut self, code: starling_client::CloseCode) {
        let label = code.label();
        let labels = format!("transport=\"quic\",by=\"server\",code=\"{label}\"");
        self.counts(&format!("starling_net_closes_total{{{labels}}}"), 1.0);
    }
}

/// The cast leaves before the server ends, which else would wait for them a while.
impl Drop for Stage {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        self.players.iter_mut().for_each(Player::leaves);
        self.rude.iter_mut().for_each(Rude::leaves);
        while self.players.iter().any(Player::is_here) && Instant::now() < deadline {
            self.turn();
        }
        self.turn();
    }
}

impl Index<Who> for Stage {
    type Output = Player;

    fn index(&self, who: Who) -> &Player {
        &self.players[who.0]
    }
}

impl IndexMut<Who> for Stage {
    fn index_mut(&mut self, who: Who) -> &mut Player {
        &mut self.players[who.0]
    }
}
