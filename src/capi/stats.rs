//! Statistics for C callers, in an extensible structure.

use super::errno::{self, Errno};
use super::process::event_loop;
use crate::registry;
use std::ffi::c_int;
use std::ptr;

/// `struct eventry_stats`. Later versions only append members.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsRecord {
    /// See [`registry::Stats::handles`].
    pub handles: u64,
    /// See [`registry::Stats::timeouts`].
    pub timeouts: u64,
    /// See [`registry::Stats::pending_frees`].
    pub pending_frees: u64,
    /// See [`registry::Stats::turns`].
    pub turns: u64,
    /// See [`registry::Stats::calls`].
    pub calls: u64,
    /// See [`registry::Stats::frees`].
    pub frees: u64,
    /// See [`registry::Stats::wakes`].
    pub wakes: u64,
}

/// Writes the statistics of the loop and returns 0, or −1.
///
/// `size` is the size of the structure that the caller was compiled with. Members that this version of the
/// library lacks are set to 0; members beyond `size` are not written.
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
        // SAFETY: `size` bytes are writable, and `known` is at most `size` and at most the size of `now`.
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
