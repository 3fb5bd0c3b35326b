//! Memory that will be needed soon is asked for ahead of time.
//!
//! The state of a thousand connections does not stay in a core's caches from tick to tick. While one
//! connection's packet is made and sent, the next one's state is on its way
//! (`docs/adr/0029-one-program-one-allocator.md`).
#![allow(unsafe_code, reason = "the one hint that the language has no safe word for")]

/// Bytes of a line of the cache.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Begins to bring all of what will be needed soon into the caches; on processors other than
/// x86-64 it comes when it is needed.
#[inline]
pub(crate) fn fetch<T>(soon: &T) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of::<T>()).step_by(LINE) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: within what was lent; nothing is read or written, and a fetch cannot fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(soon).cast::<i8>().add(at)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}
