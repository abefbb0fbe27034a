//! The end of a connection whose peer may still send.
//!
//! If a TCP socket is closed with unread input, or gets more input afterwards, the kernel resets the connection and
//! drops the output that the peer has not received. So the sending side is closed first, and input is dropped until
//! the peer closes its side, within limits.

use super::action::CloseReason;
use super::transport::{Discarded, Transport};
use eventry::MonotonicTime;
use std::time::Duration;

/// The longest time for which input is dropped.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(1);

/// The number of bytes of input that are dropped at most.
const LINGER_BYTES: usize = 16 << 20;

/// The limits of one lingering connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linger {
    pub(super) until: MonotonicTime,
    bytes_left: usize,
}

impl Linger {
    /// Begins to linger, for `time` at most.
    pub(super) fn begin(now: MonotonicTime, time: Duration) -> Linger {
        Linger {
            until: now.saturating_add(time),
            bytes_left: LINGER_BYTES,
        }
    }

    /// Drops input, with at most `reads` reads. Returns the reason to close the connection now, if there is one.
    pub(super) fn discard(
        &mut self,
        transport: &mut impl Transport,
        reads: u8,
        now: MonotonicTime,
    ) -> Option<CloseReason> {
        for _ in 0..reads {
            match transport.discard() {
                Ok(Discarded::Bytes(count)) => match self.bytes_left.checked_sub(count) {
                    Some(left) => self.bytes_left = left,
                    None => return Some(CloseReason::LingerOver),
                },
                Ok(Discarded::Nothing) => break,
                // After an error the peer receives nothing more either.
                Ok(Discarded::End) | Err(_) => return Some(CloseReason::PeerGone),
            }
        }
        (self.until <= now).then_some(CloseReason::LingerOver)
    }
}
