//! The competent server: one thread, woken by packets at most once a millisecond and by its ticks.

use super::grid::{Grid, Reach};
use super::seal::{Offer, Opener, Sealer};
use super::snapshot::{AGE_MAX, CAME_MAX, HELD_MAX, Head, Scratch, State, write};
use super::socket::Socket;
use super::{CLOCK_US, ECHO_TICKS, HELLO_BYTES, ID_BITS, UP_BYTES, Up, unwrap16};
use crate::arms::{RADIUS_M, TICK};
use anyhow::Result;
use starling_protocol::bits::BitWriter;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Packets are taken in no more often than this: a wake-up costs as much as what caused it.
const CADENCE: Duration = Duration::from_millis(1);
/// Ticks that are remembered.
const PAST: usize = AGE_MAX as usize + 1;

/// One client.
struct Player {
    id: u16,
    address: SocketAddr,
    /// What it was answered first, in case that is lost.
    answer: [u8; 32],
    sealer: Sealer,
    opener: Opener,
    newest: Option<(Up, Instant)>,
    acked: Option<u32>,
    /// Whom it was told of, by tick.
    told: [Vec<u16>; PAST],
    /// The same as of the last tick, by number.
    sees: Vec<bool>,
}

struct Server {
    tick: u32,
    players: Vec<Player>,
    by_address: HashMap<SocketAddr, usize>,
    /// By tick, then by number.
    past: [Vec<Option<State>>; PAST],
    grid: Grid,
    reach: Reach,
    seen: Vec<u16>,
    scratch: Scratch,
}

/// Serves until standard input ends.
///
/// # Errors
/// What the system refuses.
pub fn serve(listen: SocketAddr) -> Result<()> {
    let socket = Socket::bind(listen)?;
    crate::arms::tell(socket.address()?, None)?;
    crate::arms::serve_until_told(move || run(socket))
}

fn run(mut socket: Socket) -> Result<()> {
    let mut server = Server::new();
    let (mut due, mut taken) = (Instant::now() + TICK, Instant::now());
    loop {
        let now = Instant::now();
        if now >= due {
            socket.receive(|from, packet| server.hear(from, packet))?;
            server.step(&mut socket);
            socket.send()?;
            due += TICK;
            continue;
        }
        if socket.wait(due - now)? {
            let early = CADENCE.saturating_sub(taken.elapsed());
            std::thread::sleep(early.min(due.saturating_duration_since(Instant::now())));
            socket.receive(|from, packet| server.hear(from, packet))?;
            taken = Instant::now();
            server.answer(&mut socket);
            socket.send()?;
        }
    }
}

impl Server {
    fn new() -> Self {
        Self {
            tick: 1_000,
            players: Vec::new(),
            by_address: HashMap::new(),
            past: [const { Vec::new() }; PAST],
            grid: Grid::default(),
            reach: Reach::of(RADIUS_M.into(), 1.125),
            seen: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    fn hear(&mut self, from: SocketAddr, packet: &mut [u8]) {
        match self.by_address.get(&from) {
            Some(&at) => self.players[at].hear(self.tick, packet),
            None => self.admit(from, packet),
        }
    }

    /// A packet from somebody unknown is a hello, or nothing.
    fn admit(&mut self, from: SocketAddr, packet: &[u8]) {
        let Some((key, id)) = packet.split_at_checked(32).filter(|_| packet.len() == HELLO_BYTES)
        else {
            return;
        };
        let id = u16::from_le_bytes([id[0], id[1]]);
        let Ok(offer) = Offer::new() else { return };
        let answer = offer.public;
        let Ok((sealer, opener)) = offer.agree(key, true) else { return };
        if id >> ID_BITS != 0 {
            return;
        }
        self.by_address.insert(from, self.players.len());
        self.players.push(Player {
            id,
            address: from,
            answer,
            sealer,
            opener,
            newest: None,
            acked: None,
            told: [const { Vec::new() }; PAST],
            sees: Vec::new(),
        });
    }

    /// Answers hellos until the first sealed packet shows that the answer arrived.
    fn answer(&mut self, socket: &mut Socket) {
        for player in self.players.iter().filter(|player| player.newest.is_none()) {
            socket.push(player.address, |out| out.extend_from_slice(&player.answer));
        }
    }

    fn step(&mut self, socket: &mut Socket) {
        self.tick += 1;
        let now = self.tick as usize % PAST;
        let last = self.players.iter().map(|player| usize::from(player.id) + 1).max();
        let states = &mut self.past[now];
        states.clear();
        states.resize(last.unwrap_or(0), None);
        for player in &self.players {
            states[usize::from(player.id)] = player.newest.map(|(up, _)| up.state);
        }
        self.grid.build(states, self.reach);
        for player in &mut self.players {
            let Some((up, at)) = player.newest else { continue };
            let (id, centre) = (player.id, up.state.at);
            player.sees.resize(self.past[now].len(), false);
            let sees = &player.sees;
            self.grid.look(id, centre, self.reach, |id| sees[usize::from(id)], &mut self.seen);
            player.see(&mut self.seen, now);
            let tick = self.tick;
            let head = player.head(tick, up, at);
            let (past, scratch) = (&self.past, &mut self.scratch);
            socket.push(player.address, |out| player.write(head, tick, past, scratch, out));
        }
    }
}

impl Player {
    fn hear(&mut self, tick: u32, packet: &mut [u8]) {
        let Some(content) = self.opener.open(packet).filter(|c| c.len() == UP_BYTES) else {
            return;
        };
        let Some(up) = Up::read(content) else { return };
        let newer = |old: Up| up.number.wrapping_sub(old.number) as i16 > 0;
        if self.newest.is_none_or(|(old, _)| newer(old)) {
            let ack = unwrap16(tick, up.ack);
            if ack <= tick {
                self.acked = self.acked.max(Some(ack));
            }
            self.newest = Some((up, Instant::now()));
        }
    }

    /// Sets whom it sees from now on, and cuts what comes in one tick.
    fn see(&mut self, seen: &mut Vec<u16>, now: usize) {
        let (sees, mut came) = (&self.sees, 0);
        seen.retain(|id| {
            came += usize::from(!sees[usize::from(*id)]);
            sees[usize::from(*id)] || came <= CAME_MAX
        });
        self.sees.fill(false);
        seen.iter().for_each(|id| self.sees[usize::from(*id)] = true);
        self.told[now].clone_from(seen);
    }

    fn head(&self, tick: u32, up: Up, at: Instant) -> Head {
        let known = self.acked.filter(|acked| tick - acked <= AGE_MAX);
        // It was told nothing of ticks before its first.
        let age = known.map_or(0, |acked| tick - acked);
        let echo = (tick + u32::from(self.id)).is_multiple_of(ECHO_TICKS).then(|| {
            let held = at.elapsed().as_micros() as u64 / CLOCK_US;
            (up.clock, held.min(HELD_MAX.into()) as u16)
        });
        Head { tick: tick as u16, age, taken: up.number as u8, echo }
    }

    fn write(
        &mut self,
        head: Head,
        tick: u32,
        past: &[Vec<Option<State>>; PAST],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let from = out.len();
        out.extend_from_slice(&[0; 4]);
        let (now, then) = (tick as usize % PAST, (tick - head.age) as usize % PAST);
        let before = if head.age == 0 { &[] } else { &self.told[then][..] };
        let state = |tick: usize, id: u16| past[tick][usize::from(id)].unwrap_or_default();
        let mut bits = BitWriter::new(out);
        head.write(&mut bits);
        let (old, new) = (|id| state(then, id), |id| state(now, id));
        write(&mut bits, before, &self.told[now], old, new, scratch);
        bits.finish();
        self.sealer.seal(out, from);
    }
}
