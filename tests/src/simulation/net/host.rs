//! One client's link and the address translator at its end.

use super::lane::Lane;
use crate::simulation::dice::Dice;
use starling_protocol::units::Nanos;
use starling_transport::ConnKey;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

const FIRST_PORT: u16 = 10_000;

/// How a connection's packets leave the translator.
#[derive(Clone, Copy, Debug)]
struct Face {
    port: u16,
    /// The port before, and until when it is still used.
    former: Option<(u16, Nanos)>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) up: Lane,
    pub(super) down: Lane,
    next_port: u16,
    faces: BTreeMap<ConnKey, Face>,
    inward: BTreeMap<u16, ConnKey>,
    /// What connections it has are to be lost.
    pub(super) drops: bool,
}

impl Host {
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self {
            up: Lane::new(dice.fork(0)),
            down: Lane::new(dice.fork(1)),
            next_port: FIRST_PORT,
            faces: BTreeMap::new(),
            inward: BTreeMap::new(),
            drops: false,
        }
    }

    pub(super) fn mend(&mut self, now: Nanos) {
        self.up.mend(now);
        self.down.mend(now);
        self.faces.values_mut().for_each(|face| face.former = None);
    }

    /// Every connection gets another port; the former one works until then, if at all.
    pub(super) fn rebind(&mut self, former_until: Option<Nanos>) {
        let Self { faces, inward, next_port, .. } = self;
        for (conn, face) in faces {
            if former_until.is_none() {
                inward.remove(&face.port);
            }
            if let Some((port, _)) = face.former {
                inward.remove(&port);
            }
            face.former = former_until.map(|until| (face.port, until));
            face.port = fresh(next_port);
            inward.insert(face.port, *conn);
        }
    }

    /// The port that a packet leaves from.
    pub(super) fn port_of(&mut self, conn: ConnKey, now: Nanos, ghost: bool) -> u16 {
        let Self { faces, inward, next_port, .. } = self;
        let face = faces.entry(conn).or_insert_with(|| {
            let port = fresh(next_port);
            inward.insert(port, conn);
            Face { port, former: None }
        });
        match face.former {
            Some((port, until)) if ghost && now < until => port,
            _ => face.port,
        }
    }

    /// Whose packets that come to a port are.
    pub(super) fn conn_at(&self, port: u16, now: Nanos) -> Option<ConnKey> {
        let conn = *self.inward.get(&port)?;
        let face = self.faces.get(&conn)?;
        let known = face.port == port || face.former.is_some_and(|(p, t)| p == port && now < t);
        known.then_some(conn)
    }

    pub(super) fn forget(&mut self, conn: ConnKey) {
        self.faces.remove(&conn);
        self.inward.retain(|_, of| *of != conn);
    }
}

fn fresh(next: &mut u16) -> u16 {
    let port = *next;
    *next = next.checked_add(1).unwrap_or(FIRST_PORT);
    port
}

/// Clients live in neighbourhoods of 200.
pub(super) fn address(host: usize, port: u16) -> SocketAddr {
    ([10, 1 + (host / 200) as u8, 0, 1 + (host % 200) as u8], port).into()
}

pub(super) fn number(address: SocketAddr) -> Option<usize> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let [_, hood, _, place] = ip.octets();
    Some((usize::from(hood).checked_sub(1)?) * 200 + usize::from(place).checked_sub(1)?)
}

#[test]
fn addresses_name_their_hosts() {
    for host in [0, 1, 199, 200, 417] {
        assert_eq!(number(address(host, 10_000)), Some(host));
    }
}
