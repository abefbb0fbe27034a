//! What there is and what has been done, in a shape that can grow.

use super::errno::{self, Errno};
use super::process::event_loop;
use crate::registry;
use std::ffi::c_int;
use std::ptr;

/// `struct eventry_stats`. Members are only ever added, at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsRecord {
    /// As [`registry::Stats::handles`].
    pub handles: u64,
    /// As [`registry::Stats::timeouts`].
    pub timeouts: u64,
    /// As [`registry::Stats::pending_frees`].
    pub pending_frees: u64,
    /// As [`registry::Stats::turns`].
    pub turns: u64,
    /// As [`registry::Stats::calls`].
    pub calls: u64,
    /// As [`registry::Stats::frees`].
    pub frees: u64,
    /// As [`registry::Stats::wakes`].
    pub wakes: u64,
}

/// Fills in the statistics of the loop: 0, or −1.
///
/// The caller says how large the structure is that he was compiled with. What only he knows becomes 0, what
/// only this library knows is left out.
///
/// # Safety
///
/// `stats` is null or points to `size` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eventry_stats(stats: *mut StatsRecord, size: usize) -> c_int {
    let now = if stats.is_null() {
        Err(Errno::INVAL)
    } else {
        event_loop().map(|it| StatsRecord::from(it.stats()))
    };
    errno::return_value(now.map(|now| {
        let known = size.min(size_of::<StatsRecord>());
        let to = stats.cast::<u8>();
        // SAFETY: `size` bytes may be written there, and `known` is neither more than that nor more than
        // there is to be read.
        unsafe {
            to.write_bytes(0, size);
            ptr::copy_nonoverlapping((&raw const now).cast(), to, known);
        }
        0
    }))
}

impl From<registry::Stats> for StatsRecord {
    fn from(stats: registry::Stats) -> StatsRecord {
        StatsRecord {
            handles: stats.handles as u64,
            timeouts: stats.timeouts as u64,
            pending_frees: stats.pending_frees as u64,
            turns: stats.turns,
            calls: stats.calls,
            frees: stats.frees,
            wakes: stats.wakes,
        }
    }
}
