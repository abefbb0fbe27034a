//! The table of the event implementation, as in libvirt: a process registers one, whoever it is by, and
//! code that does not know which one adds, updates and removes through the free functions here.
//!
//! Entries are named by positive numbers, because the table serves implementations that were written in
//! other languages. A program that is free to choose uses [`EventLoop`](crate::EventLoop) and
//! [`Registry`](crate::Registry) instead: their names never repeat, and there may be several.
//!
//! Register before anything is opened that counts on events (EV-104). What is registered stays until the
//! process ends (EV-103).
//!
//! ```
//! use eventry::event_impl;
//! use std::time::Duration;
//!
//! event_impl::register_default_impl()?;
//! event_impl::add_timeout(Some(Duration::from_millis(1)), Box::new(|timer| {
//!     event_impl::remove_timeout(timer).expect("registered while it is called");
//! }))?;
//! event_impl::run_default_impl()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod int_ids;
mod int_loop;

pub use error::{AlreadyRegistered, ImplError, RegisterError, RunDefaultError};
pub(crate) use int_loop::{HandleSource, IntLoop, NotAdded};

use crate::events::Events;
use crate::id::{HandleId, TimeoutId};
use crate::registry::AddError;
use crate::table::Removal;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// An open descriptor, shared by the implementation and whoever uses it.
pub type SharedFd = Arc<dyn AsFd + Send + Sync>;
/// Called with the handle's number and what is ready; dropping it is the free callback.
pub type HandleCallback = Box<dyn FnMut(i32, Events) + Send>;
/// Called with the timeout's number; dropping it is the free callback.
pub type TimeoutCallback = Box<dyn FnMut(i32) + Send>;
/// Why a handle was not added, with its source and its callback.
pub type AddHandleError = AddError<SharedFd, HandleCallback, ImplError>;
/// Why a timeout was not added, with its callback.
pub type AddTimeoutError = AddError<(), TimeoutCallback, ImplError>;

/// The six functions of an event implementation (EV-105: all six, always).
///
/// Each may be called from any thread and from inside callbacks, and none calls or drops a callback that
/// was added (EV-613, EV-708). IntIds are positive (EV-201).
pub trait EventImpl: Send + Sync + 'static {
    /// Adds a handle; an empty `interest` adds it disabled.
    ///
    /// # Errors
    ///
    /// [`AddHandleError`], with `source` and `callback`.
    fn add_handle(
        &self,
        source: SharedFd,
        interest: Events,
        callback: HandleCallback,
    ) -> Result<i32, AddHandleError>;

    /// Changes what a handle wants. An unknown number is ignored (EV-205).
    fn update_handle(&self, watch: i32, interest: Events);

    /// Removes a handle and tells whether its callback runs.
    ///
    /// # Errors
    ///
    /// [`ImplError::NotRegistered`]
    fn remove_handle(&self, watch: i32) -> Result<Removal, ImplError>;

    /// Adds a timeout; `None` adds it disabled.
    ///
    /// # Errors
    ///
    /// [`AddTimeoutError`], with `callback`.
    fn add_timeout(
        &self,
        interval: Option<Duration>,
        callback: TimeoutCallback,
    ) -> Result<i32, AddTimeoutError>;

    /// Starts the interval anew; `None` disables. An unknown number is ignored (EV-205).
    fn update_timeout(&self, timer: i32, interval: Option<Duration>);

    /// Removes a timeout and tells whether its callback runs.
    ///
    /// # Errors
    ///
    /// [`ImplError::NotRegistered`]
    fn remove_timeout(&self, timer: i32) -> Result<Removal, ImplError>;
}

/// Whether a registration was the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It was: from now on the table has an implementation.
    Now,
    /// The same implementation had been registered already.
    Before,
}

enum RegisteredImpl {
    Default(&'static IntLoop),
    Other(Box<dyn EventImpl>),
}

static REGISTERED_IMPL: OnceLock<RegisteredImpl> = OnceLock::new();
static DEFAULT: OnceLock<IntLoop> = OnceLock::new();

/// Registers an implementation for the rest of the process's life.
///
/// # Errors
///
/// [`AlreadyRegistered`]: the first registration stays, whichever it was (EV-102).
pub fn register_impl(implementation: impl EventImpl) -> Result<(), AlreadyRegistered> {
    let table = RegisteredImpl::Other(Box::new(implementation));
    REGISTERED_IMPL.set(table).map_err(|_| AlreadyRegistered)
}

/// Registers this library's own loop. May be called again and from several threads at once: there is one
/// loop (EV-107). It must be run by [`run_default_impl`].
///
/// # Errors
///
/// [`RegisterError`]: another implementation was registered, or the loop cannot be made.
pub fn register_default_impl() -> Result<Registered, RegisterError> {
    match REGISTERED_IMPL.get() {
        Some(RegisteredImpl::Default(default)) if default.is_forked() => {
            return Err(RegisterError::ForkedChild);
        }
        Some(RegisteredImpl::Default(_)) => return Ok(Registered::Before),
        Some(RegisteredImpl::Other(_)) => return Err(AlreadyRegistered.into()),
        None => {}
    }
    let registered = REGISTERED_IMPL.set(RegisteredImpl::Default(default_loop()?));
    match (registered, REGISTERED_IMPL.get()) {
        (Ok(()), _) => Ok(Registered::Now),
        (Err(_), Some(RegisteredImpl::Default(_))) => Ok(Registered::Before),
        (Err(_), _) => Err(AlreadyRegistered.into()),
    }
}

/// One turn of the default implementation: waits until something is due or ready and calls it. It may
/// return without having called anything (EV-513), and waits for ever if nothing is registered (EV-106).
///
/// # Errors
///
/// [`RunDefaultError`]; it may be called again (EV-512).
pub fn run_default_impl() -> Result<(), RunDefaultError> {
    match REGISTERED_IMPL.get() {
        Some(RegisteredImpl::Default(default)) if default.is_forked() => {
            Err(RunDefaultError::ForkedChild)
        }
        Some(RegisteredImpl::Default(default)) => default.run_once(),
        _ => Err(RunDefaultError::NotRegistered),
    }
}

/// Ends the turn of the default implementation that runs, or else the next one, without waiting for
/// events. Does nothing when it is not registered.
pub fn stop_default_impl() {
    match REGISTERED_IMPL.get() {
        Some(RegisteredImpl::Default(default)) if !default.is_forked() => default.stop(),
        _ => {}
    }
}

/// The loop of the process, made by the first who asks.
pub(crate) fn default_loop() -> io::Result<&'static IntLoop> {
    if let Some(made) = DEFAULT.get() {
        return Ok(made);
    }
    // Of several threads that get here, one wins; the others close what they made.
    let made = IntLoop::new(i32::MAX)?;
    Ok(DEFAULT.get_or_init(|| made))
}

fn registered() -> Result<&'static dyn EventImpl, ImplError> {
    match REGISTERED_IMPL.get() {
        None => Err(ImplError::NoImplementation),
        Some(RegisteredImpl::Default(default)) if default.is_forked() => {
            Err(ImplError::ForkedChild)
        }
        Some(RegisteredImpl::Default(default)) => Ok(*default),
        Some(RegisteredImpl::Other(other)) => Ok(&**other),
    }
}

/// Adds a handle to whatever implementation is registered.
///
/// # Errors
///
/// [`AddHandleError`]; before a registration its reason is [`ImplError::NoImplementation`] (EV-101).
pub fn add_handle(
    source: SharedFd,
    interest: Events,
    callback: HandleCallback,
) -> Result<i32, AddHandleError> {
    match registered() {
        Ok(implementation) => implementation.add_handle(source, interest, callback),
        Err(reason) => Err(AddError {
            reason,
            source,
            callback,
        }),
    }
}

/// Changes what a handle wants. Does nothing before a registration or for an unknown number (EV-101,
/// EV-205).
pub fn update_handle(watch: i32, interest: Events) {
    if let Ok(implementation) = registered() {
        implementation.update_handle(watch, interest);
    }
}

/// Removes a handle: no call of it begins after this returns if the implementation keeps to the rules.
///
/// # Errors
///
/// [`ImplError`]
pub fn remove_handle(watch: i32) -> Result<Removal, ImplError> {
    registered()?.remove_handle(watch)
}

/// Adds a timeout to whatever implementation is registered; `None` adds it disabled.
///
/// # Errors
///
/// [`AddTimeoutError`]; before a registration its reason is [`ImplError::NoImplementation`] (EV-101).
pub fn add_timeout(
    interval: Option<Duration>,
    callback: TimeoutCallback,
) -> Result<i32, AddTimeoutError> {
    match registered() {
        Ok(implementation) => implementation.add_timeout(interval, callback),
        Err(reason) => Err(AddError {
            reason,
            source: (),
            callback,
        }),
    }
}

/// Starts a timeout's interval anew. Does nothing before a registration or for an unknown number (EV-101,
/// EV-205).
pub fn update_timeout(timer: i32, interval: Option<Duration>) {
    if let Ok(implementation) = registered() {
        implementation.update_timeout(timer, interval);
    }
}

/// Removes a timeout, as [`remove_handle`].
///
/// # Errors
///
/// [`ImplError`]
pub fn remove_timeout(timer: i32) -> Result<Removal, ImplError> {
    registered()?.remove_timeout(timer)
}

impl EventImpl for IntLoop {
    fn add_handle(
        &self,
        source: SharedFd,
        interest: Events,
        callback: HandleCallback,
    ) -> Result<i32, AddHandleError> {
        let shared = HandleSource::new(Arc::clone(&source));
        let added = self.add_handle(shared, interest, callback);
        added.map_err(|(reason, callback)| AddError {
            reason: reason.into(),
            source,
            callback,
        })
    }

    fn update_handle(&self, watch: i32, interest: Events) {
        let _ = self.update_handle(watch, interest);
    }

    fn remove_handle(&self, watch: i32) -> Result<Removal, ImplError> {
        Ok(self.remove::<HandleId>(watch)?)
    }

    fn add_timeout(
        &self,
        interval: Option<Duration>,
        callback: TimeoutCallback,
    ) -> Result<i32, AddTimeoutError> {
        let added = self.add_timeout(interval, callback);
        added.map_err(|(reason, callback)| AddError {
            reason: reason.into(),
            source: (),
            callback,
        })
    }

    fn update_timeout(&self, timer: i32, interval: Option<Duration>) {
        let _ = self.update_timeout(timer, interval);
    }

    fn remove_timeout(&self, timer: i32) -> Result<Removal, ImplError> {
        Ok(self.remove::<TimeoutId>(timer)?)
    }
}

/// For every thread, and shared as a static: what the table needs is checked here.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<IntLoop>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;

    // EV-207
    #[test]
    fn add_with_all_ids_in_use_returns_the_arguments() {
        let full = IntLoop::new(1).unwrap();
        let full: &dyn EventImpl = &full;
        let (tell, told) = channel();
        let of_timeout = tell.clone();
        full.add_timeout(None, Box::new(|_| {})).unwrap();

        let (near, _far) = UnixStream::pair().unwrap();
        let source: SharedFd = Arc::new(near);
        let callback = Box::new(move |watch, _| tell.send(watch).unwrap());
        let error = full.add_handle(Arc::clone(&source), Events::ALL, callback);
        let error = error.unwrap_err();
        assert!(matches!(error.reason, ImplError::IdsExhausted));
        let (given_back, mut callback) = error.into_parts();
        assert!(Arc::ptr_eq(&given_back, &source));
        callback(7, Events::ALL);

        let callback = Box::new(move |timer| of_timeout.send(timer).unwrap());
        let mut error = full.add_timeout(None, callback).unwrap_err();
        assert!(matches!(error.reason, ImplError::IdsExhausted));
        (error.callback)(9);
        assert_eq!(told.try_iter().collect::<Vec<i32>>(), [7, 9]);
    }
}
