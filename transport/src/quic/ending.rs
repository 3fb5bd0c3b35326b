//! Why a connection ended, in Starling's words.

use quinn_proto::{ConnectionError, TransportErrorCode, VarInt};
use starling_protocol::close::CloseCode;
use starling_protocol::planted::{self, Bug};

/// Characters of a peer's reason that are kept.
const REASON_CHARS_MAX: usize = 120;
/// A TLS alert `n` is the QUIC error `0x100 + n` (RFC 9001, section 4.8).
const TLS_ALERT: u64 = 0x100;
/// TLS alerts about certificates: from `bad_certificate` to `access_denied`.
const CERTIFICATE_ALERTS: std::ops::RangeInclusive<u64> = TLS_ALERT + 42..=TLS_ALERT + 49;
/// TLS alert: no protocol in common.
const NO_APPLICATION_PROTOCOL: u64 = TLS_ALERT + 120;

/// A close code as QUIC carries it.
pub(crate) fn to_wire(code: CloseCode) -> VarInt {
    VarInt::from(code.0)
}

/// The code and the words for the end of a connection.
pub(crate) fn explain(error: &ConnectionError) -> (CloseCode, String) {
    let code = match error {
        ConnectionError::ApplicationClosed(close) => {
            return (from_wire(close.error_code), printable(&close.reason));
        }
        ConnectionError::ConnectionClosed(close) => closed_by_peer(close.error_code),
        ConnectionError::TransportError(error) => failed_here(error.code),
        ConnectionError::VersionMismatch => CloseCode::VERSION,
        ConnectionError::Reset if planted::is(Bug::CodeWrong) => CloseCode::PROTOCOL_ERROR,
        ConnectionError::TimedOut | ConnectionError::Reset => CloseCode::LOST,
        ConnectionError::LocallyClosed => CloseCode::GOODBYE,
        ConnectionError::CidsExhausted => CloseCode::INTERNAL,
    };
    (code, printable(error.to_string().as_bytes()))
}

/// Codes beyond our numbers are none of ours.
fn from_wire(code: VarInt) -> CloseCode {
    u16::try_from(code.into_inner()).map_or(CloseCode::PROTOCOL_ERROR, CloseCode)
}

fn closed_by_peer(code: TransportErrorCode) -> CloseCode {
    match u64::from(code) {
        NO_APPLICATION_PROTOCOL => CloseCode::VERSION,
        refused if refused == u64::from(TransportErrorCode::CONNECTION_REFUSED) => {
            CloseCode::OVERLOADED
        }
        // An application's close before the handshake is confirmed hides its code.
        hidden if hidden == u64::from(TransportErrorCode::APPLICATION_ERROR) => CloseCode::LOST,
        alert if CERTIFICATE_ALERTS.contains(&alert) => CloseCode::UNTRUSTED,
        _ => CloseCode::LOST,
    }
}

fn failed_here(code: TransportErrorCode) -> CloseCode {
    match u64::from(code) {
        NO_APPLICATION_PROTOCOL => CloseCode::VERSION,
        alert if CERTIFICATE_ALERTS.contains(&alert) => CloseCode::UNTRUSTED,
        _ => CloseCode::PROTOCOL_ERROR,
    }
}

/// A peer's words, cut and escaped for a log.
pub(crate) fn printable(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(&reason[..reason.len().min(4 * REASON_CHARS_MAX)]);
    text.chars().take(REASON_CHARS_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quinn_proto::ApplicationClose;

    #[test]
    fn a_documented_code_comes_back_with_its_words() {
        let error_code = to_wire(CloseCode::REPLACED);
        let close = ApplicationClose { error_code, reason: Bytes::from_static(b"newer\nsession") };
        let (code, reason) = explain(&ConnectionError::ApplicationClosed(close));
        assert_eq!((code, reason.as_str()), (CloseCode::REPLACED, "newer\\nsession"));
    }

    #[test]
    fn a_code_beyond_ours_is_a_protocol_error() {
        let close =
            ApplicationClose { error_code: VarInt::from_u32(1 << 20), reason: Bytes::new() };
        assert_eq!(
            explain(&ConnectionError::ApplicationClosed(close)).0,
            CloseCode::PROTOCOL_ERROR
        );
    }

    #[test]
    fn silence_and_resets_are_a_lost_connection() {
        assert_eq!(explain(&ConnectionError::TimedOut).0, CloseCode::LOST);
        assert_eq!(explain(&ConnectionError::Reset).0, CloseCode::LOST);
    }

    #[test]
    fn a_long_or_garbled_reason_is_cut_and_made_readable() {
        let reason = printable(&[0xff; 10_000]);
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        assert_eq!(printable(b"\x1b[31m"), "\\u{1b}[31m");
    }
}
