//! I13: a server sends at most three times what came from an address that has not shown that it
//! reads what is sent there (RFC 9000, section 8.1).

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// quinn-proto sends one packet more when any of its budget is left (quinn-rs/quinn#1082).
const SLACK: usize = 1_200;

/// An address that has begun a handshake.
#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    came: usize,
    sent: usize,
    proven: bool,
}

/// Every address of which a handshake came.
#[derive(Debug, Default)]
pub(super) struct Unproven(BTreeMap<SocketAddr, Begun>);

impl Unproven {
    /// The server that counted is gone.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A packet came, as it was sent.
    pub(super) fn came(&mut self, from: SocketAddr, bytes: &[u8]) {
        let begins = kind(bytes) == Some(INITIAL);
        if begins {
            self.0.entry(from).or_default();
        }
        // Whatever is not of the first flight is under keys that only the true peer has, and a
        // first flight with a token brings what the server sent there.
        let proves = !begins || has_more(bytes);
        // quinn-proto counts what comes from wherever an address translator moved a client to in
        // the middle of its handshake for the address where that began: its sender pays all the same.
        for (_, begun) in self.0.iter_mut().filter(|(at, _)| at.ip() == from.ip()) {
            begun.came += bytes.len();
            begun.proven |= proves;
        }
    }

    /// The server sent there; says what is wrong with it.
    pub(super) fn sent(&mut self, to: SocketAddr, bytes: usize) -> Option<String> {
        let begun = self.0.get_mut(&to).filter(|begun| !begun.proven)?;
        begun.sent += bytes;
        let Begun { came, sent, .. } = *begun;
        (sent > 3 * came + SLACK)
            .then(|| format!("I13 {sent} bytes to {to}, from which {came} came"))
    }
}

const INITIAL: u8 = 0;

/// The kind of a packet with a long header.
fn kind(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    (first & 0xc0 == 0xc0).then_some(first >> 4 & 3)
}

/// A first packet with a token, or one that another follows in the same datagram.
fn has_more(bytes: &[u8]) -> bool {
    let read = || {
        let mut at = 5;
        at += 1 + usize::from(*bytes.get(at)?);
        at += 1 + usize::from(*bytes.get(at)?);
        let token = number(bytes, &mut at)?;
        if token > 0 {
            return Some(true);
        }
        let length = number(bytes, &mut at)?;
        Some(kind(bytes.get(at + length..)?).is_some_and(|kind| kind != INITIAL))
    };
    read().unwrap_or(false)
}

/// QUIC's own way of writing numbers.
fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let first = *bytes.get(*at)?;
    let length = 1 << (first >> 6);
    let rest = bytes.get(*at + 1..*at + length)?;
    *at += length;
    Some(rest.iter().fold(usize::from(first & 0x3f), |sum, byte| sum << 8 | usize::from(*byte)))
}

#[test]
fn much_more_than_three_times_as_much_is_too_much_until_an_address_has_answered() {
    let from = ([10, 1, 0, 1], 10_000).into();
    let mut first = vec![0xc0, 0, 0, 0, 1, 0, 0, 0, 0x44, 0xac];
    first.resize(1_200, 0);
    let mut unproven = Unproven::default();
    unproven.came(from, &first);
    assert_eq!(unproven.sent(from, 3 * 1_200 + SLACK), None);
    assert!(unproven.sent(from, 1).is_some());
    unproven.came(from, &[0xe0; 100]);
    assert_eq!(unproven.sent(from, 3_600), None);
}
