//! The events for `tracing`, which are compiled only with the feature of that name.
//!
//! A subscriber is user code, so no event is emitted with a lock held. All events have the target `eventry`: turns
//! and wakes at the level `TRACE`, additions, removals and stops at `DEBUG`, warnings at `WARN`, panics of callbacks
//! at `ERROR`.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "no event is emitted")
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

/// Traces that the loop begins to wait.
#[inline]
pub(crate) fn wait_began(timeout: Option<Duration>) {
    emit!(TRACE, ?timeout, "loop waits");
}

/// Traces that the calls of a turn are over, with the numbers of turns and calls so far.
#[inline]
pub(crate) fn turn_ended(turns: u64, calls: u64) {
    emit!(TRACE, turns, calls, "turn ended");
}

/// Traces that a change wakes the sleeping loop.
#[inline]
pub(crate) fn woken() {
    emit!(TRACE, "loop woken");
}

/// Traces the addition of a handle.
#[inline]
pub(crate) fn handle_added(id: impl Debug, fd: RawFd, interest: Events) {
    emit!(DEBUG, ?id, fd, ?interest, "handle added");
}

/// Traces the addition of a timeout.
#[inline]
pub(crate) fn timeout_added(id: impl Debug, interval: Option<Duration>) {
    emit!(DEBUG, ?id, ?interval, "timeout added");
}

/// Traces the removal of a handle or timeout.
#[inline]
pub(crate) fn removed(id: impl Debug, removal: impl Debug) {
    emit!(DEBUG, ?id, ?removal, "entry removed");
}

/// Traces a stop request.
#[inline]
pub(crate) fn stop_requested() {
    emit!(DEBUG, "stop requested");
}

/// Traces the panic of a callback.
#[inline]
pub(crate) fn panicked(panic: &impl Display) {
    emit!(ERROR, "{panic}");
}

/// Traces a warning.
#[inline]
pub(crate) fn warned(warning: &Warning) {
    emit!(WARN, "{warning}");
}
