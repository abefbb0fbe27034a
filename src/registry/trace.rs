//! What is told to `tracing`, if the feature of that name is on; without it nothing of this is left.
//!
//! A subscriber is code of the user's, so nothing is told with a lock held. All events have the target
//! `eventry`: turns and wakes at the level `TRACE`, what comes and goes at `DEBUG`, warnings at `WARN`,
//! panics of callbacks at `ERROR`.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "nobody is told anything")
)]

use crate::diagnostics::Warning;
use crate::events::Events;
use std::fmt::{Debug, Display};
use std::os::fd::RawFd;
use std::time::Duration;

macro_rules! emit {
    ($level:ident, $($fields:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: "eventry", tracing::Level::$level, $($fields)*);
    };
}

/// The loop begins to wait.
#[inline]
pub(crate) fn waits(timeout: Option<Duration>) {
    emit!(TRACE, ?timeout, "waits");
}

/// The calls of a turn are over; so many turns and calls there were in all.
#[inline]
pub(crate) fn turned(turns: u64, calls: u64) {
    emit!(TRACE, turns, calls, "turned");
}

/// A sleeping loop is woken for a change.
#[inline]
pub(crate) fn wakes() {
    emit!(TRACE, "wakes");
}

/// A handle was added.
#[inline]
pub(crate) fn handle_added(id: impl Debug, fd: RawFd, interest: Events) {
    emit!(DEBUG, ?id, fd, ?interest, "handle added");
}

/// A timeout was added.
#[inline]
pub(crate) fn timeout_added(id: impl Debug, interval: Option<Duration>) {
    emit!(DEBUG, ?id, ?interval, "timeout added");
}

/// A handle or timeout was removed.
#[inline]
pub(crate) fn removed(id: impl Debug, removal: impl Debug) {
    emit!(DEBUG, ?id, ?removal, "removed");
}

/// Somebody asked the loop to stop.
#[inline]
pub(crate) fn stops() {
    emit!(DEBUG, "stops");
}

/// A callback has panicked, and was removed.
#[inline]
pub(crate) fn panicked(panic: &impl Display) {
    emit!(ERROR, "{panic}");
}

/// Something is warned of.
#[inline]
pub(crate) fn warned(warning: &Warning) {
    emit!(WARN, "{warning}");
}
