//! How much of a congestion window may go out in one go.

use super::config::DATAGRAM_SEND_BYTES;
use std::time::Duration;

/// The time for which a window's worth of datagrams may be sent in one go: a tick at 20 Hz.
const BURST: Duration = Duration::from_millis(50);

/// What the window lets out at once: all of it on a short path, a share on a long one, and never
/// more than the datagram buffer holds.
pub(super) fn window_share(window_bytes: u64, rtt: Duration) -> u64 {
    let rtt = rtt.max(BURST);
    let share = u128::from(window_bytes) * BURST.as_nanos() / rtt.as_nanos();
    share.min(DATAGRAM_SEND_BYTES as u128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_lets_a_share_of_its_window_out_at_once() {
        let ms = Duration::from_millis;
        assert_eq!(window_share(12_000, ms(10)), 4_096);
        assert_eq!(window_share(12_000, ms(200)), 3_000);
        assert_eq!(window_share(0, ms(0)), 0);
    }
}
