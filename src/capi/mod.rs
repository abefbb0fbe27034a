//! The C functions that `include/eventry.h` declares.
//!
//! They have the signatures of libvirt's event API (EV-1201) and can be passed to `virEventRegisterImpl`. All
//! of them use one loop, which the first call creates. A call that fails returns −1 and sets `errno`
//! (EV-1204). The header lists the duties of a caller.
//!
//! This is the only module with unsafe code. It relies on two duties of the caller:
//!
//! - The thread that runs the loop may call a registered function with its pointer until the free callback is
//!   called.
//! - A descriptor stays open until its handle is removed. Otherwise an operation on the descriptor fails or
//!   affects another file, without undefined behaviour (EV-1001, EV-1002).
//!
//! A panic that reaches an `extern "C"` function ends the process with its message (EV-514).

#![allow(unsafe_code, reason = "C callers pass pointers")]

mod callback;
mod cancel_state;
mod errno;
#[cfg(test)]
mod function_tests;
mod process;
mod source;
mod stats;
#[cfg(test)]
mod tests;

use crate::event_impl::{self, HandleSource, IntLoop, RegisterError, Registered, RunDefaultError};
use crate::event_loop::RunError;
use crate::events::Events;
use crate::id::{HandleId, TimeoutId};
use crate::registry::RemoveError;
use crate::table::{NotRegistered, Refused, Removal};
pub use callback::{FreeFunction, HandleFunction, TimeoutFunction};
use callback::{HandleEntry, Opaque, TimeoutEntry};
use cancel_state::CancelDisabled;
use errno::Errno;
use process::event_loop;
use source::descriptor;
pub use stats::{StatsRecord, eventry_stats};
use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::time::Duration;

/// Adds a handle and returns its id, or −1.
///
/// # Safety
///
/// `callback` and `free` may be called with `opaque` on the thread that runs the loop, until `free` has been
/// called or, without one, until the handle has been removed and no call of it runs. `fd` stays open until
/// the handle has been removed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eventry_add_handle(
    fd: c_int,
    events: c_int,
    callback: Option<HandleFunction>,
    opaque: *mut c_void,
    free: Option<FreeFunction>,
) -> c_int {
    add(callback, |event_loop, callback| {
        add_handle(event_loop, fd, events, callback, Opaque::new(opaque, free))
    })
}

/// Changes the interest of a handle. An unknown id is ignored and sets `errno`.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_update_handle(watch: c_int, events: c_int) {
    let interest = Events::from_bits_truncate(events as u32);
    call(|it| it.update_handle(watch, interest).map(|()| 0));
}

/// Removes a handle and returns 0, or −1 if there is no such handle.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_remove_handle(watch: c_int) -> c_int {
    eventry_remove_handle_status(watch).min(0)
}

/// Removes a handle and returns the state of its callback: 0 if it is not running, 1 if a last call is
/// running, −1 if there is no such handle.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_remove_handle_status(watch: c_int) -> c_int {
    call(|it| it.remove::<HandleId>(watch).map(status_of))
}

/// Removes a handle, waits until its last call has returned, and returns 0, or −1 if there is no such handle
/// or the callback would wait for itself.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_remove_handle_and_wait(watch: c_int) -> c_int {
    call(|it| it.remove_and_wait::<HandleId>(watch).map(|()| 0))
}

/// Adds a timeout and returns its id, or −1.
///
/// # Safety
///
/// The requirements of [`eventry_add_handle`], except those on `fd`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eventry_add_timeout(
    milliseconds: c_int,
    callback: Option<TimeoutFunction>,
    opaque: *mut c_void,
    free: Option<FreeFunction>,
) -> c_int {
    add(callback, |event_loop, callback| {
        add_timeout(
            event_loop,
            milliseconds,
            callback,
            Opaque::new(opaque, free),
        )
    })
}

/// Changes and restarts the interval of a timeout. An unknown id is ignored and sets `errno`.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_update_timeout(timer: c_int, milliseconds: c_int) {
    let interval = interval_of(milliseconds);
    call(|it| it.update_timeout(timer, interval).map(|()| 0));
}

/// Removes a timeout and returns 0, or −1 if there is no such timeout.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_remove_timeout(timer: c_int) -> c_int {
    eventry_remove_timeout_status(timer).min(0)
}

/// Removes a timeout and returns the state of its callback, like [`eventry_remove_handle_status`].
#[unsafe(no_mangle)]
pub extern "C" fn eventry_remove_timeout_status(timer: c_int) -> c_int {
    call(|it| it.remove::<TimeoutId>(timer).map(status_of))
}

/// Removes a timeout and waits, like [`eventry_remove_handle_and_wait`].
#[unsafe(no_mangle)]
pub extern "C" fn eventry_remove_timeout_and_wait(timer: c_int) -> c_int {
    call(|it| it.remove_and_wait::<TimeoutId>(timer).map(|()| 0))
}

/// Runs one turn and returns 0, or −1.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_run_once() -> c_int {
    call_to_run(IntLoop::run_once)
}

/// Runs turns until [`eventry_stop`] and returns 0, or −1.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_run() -> c_int {
    call_to_run(IntLoop::run)
}

/// Makes the current run, or else the next one, return after its turn, and returns 0, or −1.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_stop() -> c_int {
    call(|it| {
        it.stop();
        Ok::<_, Errno>(0)
    })
}

/// Registers the loop as the event implementation of the process and returns 0, 1 if it was registered
/// before, or −1.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_register() -> c_int {
    call(|_| match event_impl::register_default_impl() {
        Ok(Registered::Now) => Ok(0),
        Ok(Registered::Before) => Ok(1),
        Err(RegisterError::AlreadyRegistered(_)) => Err(Errno::BUSY),
        Err(RegisterError::ForkedChild) => Err(Errno::PERM),
        Err(RegisterError::Loop(error)) => Err(Errno::of(&error)),
    })
}

/// Returns the version of the library: major · 1,000,000 + minor · 1,000 + patch.
#[unsafe(no_mangle)]
pub extern "C" fn eventry_version() -> c_uint {
    const VERSION: c_uint = version_number(
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    VERSION
}

const fn version_number(major: &str, minor: &str, patch: &str) -> c_uint {
    parse_decimal(major) * 1_000_000 + parse_decimal(minor) * 1_000 + parse_decimal(patch)
}

const fn parse_decimal(digits: &str) -> c_uint {
    let mut number = 0;
    let mut at = 0;
    while at < digits.len() {
        number = number * 10 + (digits.as_bytes()[at] - b'0') as c_uint;
        at += 1;
    }
    number
}

/// Calls `run` with the loop of the process, as [`call`] does. The thread cannot be cancelled inside, because callbacks
/// may contain cancellation points.
fn call_to_run(run: impl FnOnce(&IntLoop) -> Result<(), RunDefaultError>) -> c_int {
    let _cancel_disabled = CancelDisabled::new();
    call(|event_loop| run_status(run(event_loop)))
}

/// Calls `work` with the loop of the process and returns its result, or −1 with `errno` set. The library makes its system
/// calls without the C library, so there is no cancellation point inside.
fn call<E: Into<Errno>>(work: impl FnOnce(&IntLoop) -> Result<c_int, E>) -> c_int {
    errno::return_value(event_loop().and_then(|event_loop| work(event_loop).map_err(E::into)))
}

/// Adds an entry and returns its id, or −1 with `errno` set, also if there is no callback.
fn add<C>(callback: Option<C>, add: impl FnOnce(&IntLoop, C) -> Result<c_int, Errno>) -> c_int {
    let Some(callback) = callback else {
        return errno::return_value(Err(Errno::INVAL));
    };
    call(|event_loop| add(event_loop, callback))
}

fn add_handle(
    event_loop: &IntLoop,
    fd: c_int,
    events: c_int,
    callback: HandleFunction,
    opaque: Opaque,
) -> Result<c_int, Errno> {
    let Some(source) = descriptor(fd) else {
        callback::forget(opaque);
        return Err(Errno::BADF);
    };
    let interest = Events::from_bits_truncate(events as u32);
    let entry = HandleEntry::new(callback, opaque);
    let added = event_loop.add_handle(HandleSource::borrowed(source), interest, entry);
    added.map_err(errno_of_not_added)
}

fn add_timeout(
    event_loop: &IntLoop,
    milliseconds: c_int,
    callback: TimeoutFunction,
    opaque: Opaque,
) -> Result<c_int, Errno> {
    let entry = TimeoutEntry::new(callback, opaque);
    let call = move |timer| entry.call(timer);
    let added = event_loop.add_timeout(interval_of(milliseconds), call);
    added.map_err(errno_of_not_added)
}

/// Returns the error number of a failed addition. The pointer still belongs to the caller, so the free
/// callback is not called (EV-207).
fn errno_of_not_added<F>((reason, callback): (Refused, F)) -> Errno {
    callback::forget(callback);
    match reason {
        Refused::IdsExhausted => Errno::NOSPC,
        Refused::NotADescriptor(_) => Errno::BADF,
        Refused::Closed => Errno::SHUTDOWN,
        _ => Errno::NOMEM,
    }
}

/// Returns the interval, or `None` for a negative one, which disables the timeout (EV-801).
fn interval_of(milliseconds: c_int) -> Option<Duration> {
    let milliseconds = u64::try_from(milliseconds).ok()?;
    Some(Duration::from_millis(milliseconds))
}

fn status_of(removal: Removal) -> c_int {
    match removal {
        Removal::Idle => 0,
        Removal::InFlight => 1,
    }
}

fn run_status(turn: Result<(), RunDefaultError>) -> Result<c_int, Errno> {
    match turn {
        Ok(()) => Ok(0),
        Err(RunDefaultError::NotRegistered) => Err(Errno::INVAL),
        Err(RunDefaultError::AlreadyRunning) => Err(Errno::BUSY),
        Err(RunDefaultError::ForkedChild | RunDefaultError::Run(RunError::ForkedChild)) => {
            Err(Errno::PERM)
        }
        Err(RunDefaultError::Run(RunError::Wait(error))) => Err(Errno::of(&error)),
        // Only a callback in Rust can panic, and C callers cannot receive the panic.
        Err(error @ RunDefaultError::Run(RunError::CallbackPanicked(_))) => panic!("{error}"),
    }
}

impl From<NotRegistered> for Errno {
    fn from(_: NotRegistered) -> Errno {
        Errno::INVAL
    }
}

impl From<RemoveError> for Errno {
    fn from(error: RemoveError) -> Errno {
        match error {
            RemoveError::NotRegistered(error) => error.into(),
            RemoveError::WouldDeadlock => Errno::DEADLK,
        }
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        Errno::of(&error)
    }
}
