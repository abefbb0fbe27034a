//! Defects that the verification crate can plant, to show that its checks are alive.
//!
//! Only under `--cfg eventry_verification` can one be switched on, for the current thread. In every other
//! build [`planted`] is the constant `false` and nothing of this is left in the code.

/// A realistic mistake, each caught by a named check of the verification crate.
#[cfg_attr(not(eventry_verification), allow(unreachable_pub, dead_code))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A removal that comes while the callback runs is forgotten when the callback returns.
    LostCancel,
    /// A removed entry is freed although calls of the same turn are still to come.
    EarlyFree,
    /// A removal that comes while the callback runs is answered with "idle", so that the caller frees
    /// what the callback still uses.
    FreeWhileRunning,
    /// A timeout that is due before the loop would wake does not wake it.
    NoWakeForNearerDeadline,
    /// An event of an earlier registration of the same descriptor is taken for a fresh one.
    StaleTokenAccepted,
    /// The end of a registration that follows from a removal waits until the loop next sleeps, when the
    /// descriptor may be closed and its number used for another.
    DeregistrationDeferred,
    /// A poller's refusal is not reported to the handles of the descriptor.
    RefusalForgotten,
    /// A change that the poller must be told of does not wake the loop.
    NoWakeForChange,
    /// A stop from a signal handler wakes the loop before it says what for.
    WakeBeforeSignal,
    /// A poller that was rebuilt is not told anew what it must report.
    RebuildForgotten,
    /// Who waits for a call to be over is not told.
    WaiterForgotten,
}

#[cfg(eventry_verification)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Defect>> = const { std::cell::Cell::new(None) };
}

/// Plants `defect` in everything the current thread runs from now on, or none.
#[cfg(eventry_verification)]
pub fn plant(defect: Option<Defect>) {
    PLANTED.set(defect);
}

/// Whether `defect` is planted.
#[cfg(eventry_verification)]
pub(crate) fn planted(defect: Defect) -> bool {
    PLANTED.get() == Some(defect)
}

/// Whether `defect` is planted: never, outside the verification configuration.
#[cfg(not(eventry_verification))]
pub(crate) const fn planted(_defect: Defect) -> bool {
    false
}
