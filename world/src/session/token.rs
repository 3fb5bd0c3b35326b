//! Resume tokens: the world keeps digests only.

use starling_protocol::planted::{self, Bug};
use std::hint::black_box;

/// A digest of a resume token.
pub(crate) type Digest = [u8; 32];

/// What takes a session up: the token of its newest Welcome and, until the client was heard after
/// that, the one by which it came.
///
/// A Welcome may be lost with its connection. The client then holds the old token only, and must
/// not be shut out for that. Once it has spoken it has the new one, and the old one is dead.
#[derive(Debug)]
pub(crate) struct ResumeTokens {
    newest: Digest,
    /// The one that the newest replaces, as long as nobody knows whether that arrived.
    replaced: Option<Digest>,
}

impl ResumeTokens {
    /// The first token of a session.
    pub(crate) const fn new(newest: Digest) -> Self {
        Self { newest, replaced: None }
    }

    /// As an earlier life of the world knew them.
    pub(crate) const fn kept(newest: Digest, replaced: Option<Digest>) -> Self {
        Self { newest, replaced }
    }

    /// Does this one take the session up? In a time that does not tell how nearly.
    pub(crate) fn open_to(&self, presented: &Digest) -> bool {
        let newest = same_digest(&self.newest, presented);
        let replaced = self.replaced.is_some_and(|replaced| same_digest(&replaced, presented));
        newest | replaced
    }

    /// The session was taken up with the one `presented`, and a Welcome with the next is under way.
    pub(crate) fn replace(&mut self, presented: Digest, next: Digest) {
        let replaced = Some(presented).filter(|_| !planted::is(Bug::TokenSpent));
        *self = Self { newest: next, replaced };
    }

    /// The client was heard, so the newest arrived.
    pub(crate) fn confirm(&mut self) {
        if !self.is_sure() {
            self.replaced = None;
        }
    }

    /// Is the newest known to have arrived?
    #[inline]
    pub(crate) const fn is_sure(&self) -> bool {
        self.replaced.is_none()
    }

    /// Both, for a checksum.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.newest).chain(&self.replaced)
    }
}

/// Compares two digests in a time that does not depend on where they differ.
fn same_digest(a: &Digest, b: &Digest) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (x, y)| black_box(bits | (x ^ y)));
    differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_equal_in_every_byte_or_not_at_all() {
        let a = [7; 32];
        assert!(same_digest(&a, &a));
        for at in 0..32 {
            let mut b = a;
            b[at] ^= 0x80;
            assert!(!same_digest(&a, &b));
        }
    }

    #[test]
    fn the_token_that_was_used_works_until_the_next_is_known_to_have_arrived() {
        let open = |tokens: &ResumeTokens| [1, 2, 3].map(|byte| tokens.open_to(&[byte; 32]));
        let mut tokens = ResumeTokens::new([1; 32]);
        assert_eq!(open(&tokens), [true, false, false]);
        tokens.replace([1; 32], [2; 32]);
        assert_eq!(open(&tokens), [true, true, false]);
        tokens.replace([1; 32], [3; 32]);
        assert_eq!(open(&tokens), [true, false, true], "the second was lost with its Welcome");
        tokens.confirm();
        assert_eq!(open(&tokens), [false, false, true]);
    }
}
