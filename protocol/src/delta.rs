//! A payload as its difference to another: an LZ4 block whose dictionary is the other.
//!
//! The one place that names the LZ4 library. What comes out of a block is bounded before it is made.

use crate::limits::EVENT_BYTES_MAX;
use thiserror::Error;

/// A payload shorter than this is sent as it is.
const PAYLOAD_BYTES_MIN: usize = 64;
/// What saying how long the payload is may cost beside the block.
const LENGTH_BYTES_MAX: usize = 5;

/// A block that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeltaError {
    /// It says that more comes out than an event may have.
    #[error("a delta of {0} bytes, where an event has at most {EVENT_BYTES_MAX}")]
    TooLarge(u32),
    /// It is no block, or not one with this dictionary.
    #[error("not an LZ4 block with this dictionary")]
    Malformed,
}

/// The block that makes `payload` out of `dictionary`, where it is the shorter of the two.
///
/// ```
/// use starling_protocol::delta;
///
/// let old = vec![7; 1_000];
/// let new = [&old[..], b"!"].concat();
/// let block = delta::encode(&new, &old).expect("it is much shorter");
/// assert_eq!(delta::decode(&block, &old, new.len() as u32), Ok(new));
/// ```
#[must_use]
pub fn encode(payload: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < PAYLOAD_BYTES_MIN {
        return None;
    }
    let block = lz4_flex::block::compress_with_dict(payload, dictionary);
    (block.len() + LENGTH_BYTES_MAX < payload.len()).then_some(block)
}

/// What a block makes out of `dictionary`: exactly so many bytes.
///
/// # Errors
/// [`DeltaError`].
pub fn decode(block: &[u8], dictionary: &[u8], bytes: u32) -> Result<Vec<u8>, DeltaError> {
    if bytes as usize > EVENT_BYTES_MAX {
        return Err(DeltaError::TooLarge(bytes));
    }
    let mut payload = vec![0; bytes as usize];
    let made = lz4_flex::block::decompress_into_with_dict(block, &mut payload, dictionary);
    match made {
        Ok(made) if made == payload.len() => Ok(payload),
        _ => Err(DeltaError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A document and what a few edits make of it.
    fn documents() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20);
        let old = prop::collection::vec(0_u8..4, 1..3_000);
        (old, edits, prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(old, edits, more)| {
            let mut new = old.clone();
            for (at, byte) in edits {
                new[at.index(old.len())] = byte;
            }
            new.extend(more);
            (old, new)
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_out_again((old, new) in documents()) {
            if let Some(block) = encode(&new, &old) {
                prop_assert!(block.len() < new.len());
                prop_assert_eq!(decode(&block, &old, new.len() as u32), Ok(new));
            }
        }

        #[test]
        fn no_bytes_make_it_panic_or_give_more_than_was_said(
            block in prop::collection::vec(any::<u8>(), 0..200),
            dictionary in prop::collection::vec(any::<u8>(), 0..200),
            bytes in 0_u32..20_000,
        ) {
            if let Ok(payload) = decode(&block, &dictionary, bytes) {
                prop_assert_eq!(payload.len(), bytes as usize);
            }
        }

        #[test]
        fn a_damaged_block_is_refused_or_gives_as_many_bytes(
            (old, new) in documents(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            if let Some(mut block) = encode(&new, &old) {
                let at = at.index(block.len());
                block[at] = byte;
                for dictionary in [&old[..], &[], &old[..old.len() / 2]] {
                    let payload = decode(&block, dictionary, new.len() as u32);
                    prop_assert!(payload.is_err() || payload.is_ok_and(|p| p.len() == new.len()));
                }
            }
        }
    }

    #[test]
    fn what_is_no_shorter_is_not_encoded() {
        assert_eq!(encode(b"short", b"short"), None);
        let noise: Vec<u8> =
            (0..200_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert_eq!(encode(&noise, b""), None);
    }

    #[test]
    fn too_much_is_refused_before_it_is_made() {
        let most = EVENT_BYTES_MAX as u32;
        assert_eq!(decode(&[0], &[], most + 1), Err(DeltaError::TooLarge(most + 1)));
        assert_eq!(decode(&[], &[], u32::MAX), Err(DeltaError::TooLarge(u32::MAX)));
        assert_eq!(decode(&[], &[], 5), Err(DeltaError::Malformed));
    }
}
