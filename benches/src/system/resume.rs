//! A server that is killed under load and started again on what it kept: how soon everyone is back,
//! what that costs, and whether anything was lost, repeated or out of order.

use crate::arms::Arm;
use crate::arms::process::{Process, cpu_seconds};
use anyhow::{Context, Result, ensure};
use starling_client::net::{ClientIndex, Clients, Pilot, Server};
use starling_client::{
    ClientEvent, ConnectOptions, OwnKey, Pose, Publication, Session, SpawnSpec, SubscribeOptions,
};
use starling_protocol::message::control::{INBOX, ResumeAnswer};
use starling_protocol::message::events::{Answer, Event, Receipt};
use starling_protocol::units::Nanos;
use starling_transport::quic::{ClientOptions, Sockets, UdpClient};
use starling_transport::tls::ServerTrust;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// A pass of the clients waits for at most this long.
const PASS: Duration = Duration::from_micros(200);
/// Nobody waits longer for sessions, answers, events.
const PATIENCE: Duration = Duration::from_secs(120);
/// Clients that share a channel.
const ROOM: u32 = 10;
/// Every client moves its entity so often.
const MOVES_EVERY: Duration = Duration::from_millis(500);
/// Publishes of one client that wait for their answer at most.
const WAITING_MAX: u32 = 16;

/// Clients of one durable world, each with an entity and a channel for every ten of them.
#[derive(Clone, Debug)]
pub struct Resume {
    /// How many.
    pub clients: u32,
    /// Events that all of them together publish in a second, before, during and after.
    pub per_second: u32,
    /// How often the server is killed.
    pub times: u32,
    /// FIELD=VALUE of the configuration.
    pub settings: Vec<String>,
    /// How long they live in peace before each kill.
    pub peace: Duration,
}

/// What one client was told.
#[derive(Default)]
struct Heard {
    own: Option<OwnKey>,
    /// Where it is in its channel.
    at: Option<u64>,
    events: BTreeMap<u64, u64>,
    waiting: u32,
}

/// What was promised and what was kept.
#[derive(Default)]
struct Ledger {
    clients: Vec<Heard>,
    /// Room and place of what was acknowledged.
    acknowledged: BTreeMap<u64, (u32, u64)>,
    published: u64,
    in_doubt: u64,
    repeated: u64,
    reordered: u64,
    gaps: u64,
    connected: u32,
    subscribed: u32,
    answers: BTreeMap<String, u32>,
    /// When each was back, in this life of the server.
    back: Vec<Instant>,
}

impl Ledger {
    fn hears(&mut self, client: usize, event: &Event) {
        let Heard { at, events, .. } = &mut self.clients[client];
        let offset = event.offset.0;
        if at.is_some_and(|at| offset <= at) {
            self.repeated += 1;
        } else if at.is_none_or(|at| offset != at + 1) {
            self.reordered += 1;
        }
        *at = Some(offset);
        if events.insert(event.message.0, offset).is_some() {
            self.repeated += 1;
        }
    }

    /// Acknowledged events that somebody who followed from the beginning did not hear in their place.
    fn lost(&self) -> u64 {
        let missed = |(number, (room, at)): (&u64, &(u32, u64))| {
            let members = room * ROOM..(room + 1) * ROOM;
            let members = members.filter_map(|client| self.clients.get(client as usize));
            members.filter(|heard| heard.events.get(number) != Some(at)).count() as u64
        };
        self.acknowledged.iter().map(missed).sum()
    }

    fn heard_all(&self) -> bool {
        self.clients.iter().all(|heard| heard.waiting == 0) && self.lost() == 0
    }
}

impl Pilot for Ledger {
    fn event(&mut self, client: ClientIndex, _: &mut Session, event: ClientEvent) {
        let heard = &mut self.clients[client.0];
        match event {
            ClientEvent::Connected { .. } => self.connected += 1,
            ClientEvent::Subscribed { key, answer: Answer::Reset(position) } if key != INBOX => {
                heard.at = Some(position.offset.0);
                self.subscribed += 1;
            }
            ClientEvent::Published { receipt: Receipt::Channel(position), message } => {
                heard.waiting -= 1;
                let room = client.0 as u32 / ROOM;
                self.acknowledged.insert(message.0, (room, position.offset.0));
            }
            ClientEvent::PublishRefused { .. } | ClientEvent::PublishUncertain { .. } => {
                heard.waiting -= 1;
                self.in_doubt += 1;
            }
            ClientEvent::Delivered(event) if event.key != INBOX => self.hears(client.0, &event),
            ClientEvent::Gap { key, .. } if key != INBOX => self.gaps += 1,
            ClientEvent::Reconnected { answer, .. } => {
                self.back.push(Instant::now());
                *self.answers.entry(answer_name(answer).to_owned()).or_default() += 1;
            }
            ClientEvent::Closed { error } => {
                *self.answers.entry(format!("closed: {error}")).or_default() += 1;
            }
            _ => {}
        }
    }
}

const fn answer_name(answer: ResumeAnswer) -> &'static str {
    match answer {
        ResumeAnswer::Resumed => "resumed",
        ResumeAnswer::Reset => "reset",
        ResumeAnswer::Denied => "denied",
        _ => "new",
    }
}

/// All clients: one thread, one socket.
struct Crowd {
    clients: Clients<UdpClient>,
    began: Instant,
    ledger: Ledger,
    /// Whose turn it is to move and to publish.
    moved: u64,
    made: u64,
    per_second: u32,
}

impl Crowd {
    fn new(per_second: u32) -> Result<Self> {
        let sockets = Sockets::Shared;
        let options = ClientOptions { sockets, seed: 1, ..ClientOptions::default() };
        let clients = Clients::new(UdpClient::new(options)?);
        let (began, ledger) = (Instant::now(), Ledger::default());
        Ok(Self { clients, began, ledger, moved: 0, made: 0, per_second })
    }

    fn now(&self) -> Nanos {
        Nanos(self.began.elapsed().as_nanos() as u64)
    }

    fn add(&mut self, server: &Server) -> Result<()> {
        let number = self.ledger.clients.len() as u32;
        let mut options = ConnectOptions::new("yard");
        options.seed = u64::from(number) + 1;
        options.reconnect.before_first = true;
        let client = self.clients.add(self.now(), server.target()?, options);
        let session = self.clients.get_mut(client).context("it was just added")?;
        let own = session.spawn(SpawnSpec::at(pose(number, 0)))?;
        session.subscribe(&format!("room/{}", number / ROOM), SubscribeOptions::default())?;
        self.ledger.clients.push(Heard { own: Some(own), ..Heard::default() });
        Ok(())
    }

    /// Clients move and publish in turn, evenly over time, whether the server is there or not.
    fn pass(&mut self, publish: bool) -> Result<()> {
        let everyone = self.ledger.clients.len() as u64;
        let since = self.began.elapsed();
        let moves = since.as_micros() as u64 * everyone / MOVES_EVERY.as_micros() as u64;
        for turn in self.moved.max(moves.saturating_sub(everyone))..moves {
            let number = (turn % everyone) as usize;
            let (Some(session), Some(own)) =
                (self.clients.get_mut(ClientIndex(number)), self.ledger.clients[number].own)
            else {
                continue;
            };
            session.set_pose(own, pose(number as u32, turn / everyone))?;
        }
        self.moved = moves;
        let made = since.as_millis() as u64 * u64::from(self.per_second) / 1_000;
        for turn in self.made..made {
            // A large odd step: neighbours are of different rooms.
            let number = (turn.wrapping_mul(7_919) % everyone) as usize;
            if publish && self.ledger.clients[number].waiting < WAITING_MAX {
                self.publish(number)?;
            }
        }
        self.made = made;
        let now = self.now();
        self.clients.advance(now, &mut self.ledger);
        let due = self.clients.next_timeout(now);
        let nap = due.map_or(PASS, |due| Duration::from_nanos(due.since(now)));
        self.clients.transport_mut().wait(nap.min(PASS));
        Ok(())
    }

    fn publish(&mut self, number: usize) -> Result<()> {
        let session = self.clients.get_mut(ClientIndex(number)).context("it is there")?;
        let channel = format!("room/{}", number as u32 / ROOM);
        // Too many wait while nobody answers.
        if session.publish(Publication::to_channel(&channel, [7; 32])).is_ok() {
            self.ledger.published += 1;
            self.ledger.clients[number].waiting += 1;
        }
        Ok(())
    }

    fn until(&mut self, what: &str, publish: bool, done: impl Fn(&Ledger) -> bool) -> Result<()> {
        let began = Instant::now();
        while !done(&self.ledger) {
            ensure!(began.elapsed() < PATIENCE, "{what} did not come about in time");
            // To look may cost more than a pass.
            let looked = Instant::now();
            while looked.elapsed() < Duration::from_millis(2) {
                self.pass(publish)?;
            }
        }
        Ok(())
    }
}

/// Somewhere in a square of a kilometre, and a little further with every turn.
fn pose(number: u32, turn: u64) -> Pose {
    let (row, column) = (number / 64, number % 64);
    let step = (turn % 100) as f64 / 10.0;
    Pose::at([f64::from(column) * 16.0 + step, f64::from(row) * 16.0, 0.0])
}

/// What one kill came to.
struct Return {
    down: Duration,
    /// From the moment at which the server listened again: the first, half, the last but one of a
    /// hundred, the last.
    back: [Duration; 4],
    cpu_us: f64,
    /// Of the second after the last was back, for comparison.
    peace_cpu: f64,
}

/// Runs it.
///
/// # Errors
/// The server does not start, or a session does not get in or back.
pub fn resume(ask: &Resume) -> Result<Vec<String>> {
    let folder = std::env::temp_dir().join(format!("starling-resume-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = with_data(ask, &folder);
    std::fs::remove_dir_all(&folder)?;
    result
}

fn with_data(ask: &Resume, folder: &Path) -> Result<Vec<String>> {
    let mut settings = ask.settings.clone();
    settings.push("worlds=yard=metric,durability=durable,tick-hz=20".into());
    settings.push(format!("data.dir={}", folder.display()));
    settings.push(format!("limits.connections_max={}", 2 * ask.clients));
    let mut process = Process::start_with(Arm::Starling, &settings, None)?;
    settings.push(format!("server.listen={}", process.server));
    let server = Server::new(process.server, ServerTrust::Insecure);
    let mut crowd = Crowd::new(ask.per_second)?;
    for made in 0..ask.clients {
        crowd.add(&server)?;
        crowd.until("a session", false, |ledger| made < ledger.connected + 500)?;
    }
    let all = ask.clients;
    crowd.until("all sessions", false, |l| l.connected >= all && l.subscribed >= all)?;
    let mut returns = Vec::new();
    for _ in 0..ask.times {
        crowd.peace(ask.peace)?;
        let (next, done) = crowd.killed(process, &settings)?;
        process = next;
        returns.push(done);
    }
    crowd.peace(ask.peace)?;
    crowd.until("every answer and every event", false, Ledger::heard_all)?;
    Ok(table(ask, &crowd.ledger, &returns))
}

impl Crowd {
    fn peace(&mut self, time: Duration) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.pass(true)?;
        }
        Ok(())
    }

    /// Kills the server and starts it again, in the middle of everything.
    fn killed(&mut self, mut process: Process, settings: &[String]) -> Result<(Process, Return)> {
        let everyone = self.ledger.clients.len();
        self.ledger.back.clear();
        let killed = Instant::now();
        process.kill()?;
        let settings = settings.to_vec();
        let start = move || Process::start_with(Arm::Starling, &settings, None);
        let starting = std::thread::spawn(move || start().map(|process| (process, Instant::now())));
        while !starting.is_finished() {
            self.pass(true)?;
        }
        let (process, listens) = starting.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
        self.until("everyone back", true, |ledger| ledger.back.len() >= everyone)?;
        let cpu = || cpu_seconds(process.id()).context("the server is gone");
        let (cpu_back, at) = (cpu()?, Instant::now());
        self.peace(Duration::from_secs(1))?;
        let peace_cpu = (cpu()? - cpu_back) / at.elapsed().as_secs_f64();
        let back = &mut self.ledger.back;
        back.sort_unstable();
        let since = |part: usize| {
            let at = (back.len() * part / 100).min(back.len() - 1);
            back[at].saturating_duration_since(listens)
        };
        let back = [0, 50, 99, 100].map(since);
        let cpu_us = cpu_back * 1e6 / everyone as f64;
        Ok((process, Return { down: listens - killed, back, cpu_us, peace_cpu }))
    }
}

fn table(ask: &Resume, ledger: &Ledger, returns: &[Return]) -> Vec<String> {
    let mut lines = vec![
        "| clients | down | back after: first / half / 99 % / all | server CPU of each, start and handshake \
         included | CPU in the second after |"
            .to_owned(),
        format!("|{}", "---|".repeat(5)),
    ];
    for Return { down, back, cpu_us, peace_cpu } in returns {
        let [first, half, most, all] = back.map(|time| time.as_secs_f64());
        lines.push(format!(
            "| {} | {:.2} s | {first:.2} / {half:.2} / {most:.2} / **{all:.2} s** | {cpu_us:.0} us | {:.0} % of a \
             core |",
            ask.clients,
            down.as_secs_f64(),
            peace_cpu * 100.0,
        ));
    }
    let answers: Vec<String> =
        ledger.answers.iter().map(|(answer, count)| format!("{count} {answer}")).collect();
    lines.push(String::new());
    lines.push(format!(
        "{} published, {} acknowledged, {} in doubt; **lost {}, repeated {}, reordered {}**, gaps {}; {}.",
        ledger.published,
        ledger.acknowledged.len(),
        ledger.in_doubt,
        ledger.lost(),
        ledger.repeated,
        ledger.reordered,
        ledger.gaps,
        answers.join(", "),
    ));
    lines
}
