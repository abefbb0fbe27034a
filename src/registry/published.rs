//! The call that the loop's thread makes, published for the threads that change its entry.
//!
//! The loop makes a batch of calls without the lock. Before each call it [publishes](Published::publish) the serial of
//! the entry and then reads the number of changes to taken entries; a thread that changes a taken entry
//! [counts the change](Published::count_change) and then reads the published serial. Between the store and the load of
//! each side is a sequentially consistent fence, so at least one side sees the other's store. The table draws the
//! conclusions.

use crate::sync::{AtomicU64, fence};
use std::sync::atomic::Ordering;

/// The serial of the published call, and the counters of changes, which grow with the lock held.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Published {
    /// The serial of the entry whose call runs, or follows unless there was a change; 0 if no call runs.
    serial: AtomicU64,
    /// The number of changes to taken entries.
    taken_changes: AtomicU64,
    /// The number of all changes of the table. Only the diagnostics depend on it.
    changes: AtomicU64,
}

impl Published {
    pub(super) fn new() -> Published {
        Published {
            serial: AtomicU64::new(0),
            taken_changes: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// Publishes the call of the entry with this serial, and returns whether it begins: not if there were other changes
    /// to taken entries than the `seen` ones. Only the loop's thread calls this, without the lock.
    #[inline]
    pub(crate) fn publish(&self, serial: u64, seen: u64) -> bool {
        // The effects of the call before are visible to a thread that reads this.
        self.serial.store(serial, Ordering::Release);
        fence(Ordering::SeqCst);
        self.taken_changes.load(Ordering::Relaxed) == seen
    }

    /// Publishes the call that begins, or with 0 that no call runs. Only the loop's thread calls this, with the lock
    /// held unless no call follows.
    #[inline]
    pub(crate) fn begin(&self, serial: u64) {
        self.serial.store(serial, Ordering::Release);
    }

    /// Returns the number of changes to taken entries. The lock must be held.
    #[inline]
    pub(crate) fn taken_changes(&self) -> u64 {
        self.taken_changes.load(Ordering::Relaxed)
    }

    /// Counts a change to a taken entry, and returns the serial of the published call. The lock must be held.
    pub(super) fn count_change(&self) -> u64 {
        let changes = self.taken_changes.load(Ordering::Relaxed);
        self.taken_changes.store(changes + 1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.serial.load(Ordering::Acquire)
    }

    /// Counts a change of the table, and returns the number of changes. The lock must be held.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        let changes = self.changes.load(Ordering::Relaxed) + 1;
        self.changes.store(changes, Ordering::Relaxed);
        changes
    }

    /// Returns the number of changes of the table.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}
