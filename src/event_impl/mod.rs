//! The event implementation of the process, as in libvirt. A process registers one implementation, and all
//! its code adds, updates and removes entries through the functions of this module.
//!
//! Entries have positive integer ids, because implementations may be written in other languages. Other
//! programs use [`EventLoop`](crate::EventLoop) and [`Registry`](crate::Registry): their ids are never
//! reused, and a process may have several loops.
//!
//! Register the implementation before you open connections that need events (EV-104). It stays registered
//! until the process ends (EV-103).
//!
//! ```
//! use eventry::event_impl;
//! use std::time::Duration;
//!
//! event_impl::register_default_impl()?;
//! event_impl::add_timeout(Some(Duration::from_millis(1)), Box::new(|timer| {
//!     event_impl::remove_timeout(timer).expect("the timeout is registered");
//! }))?;
//! event_impl::run_default_impl()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod int_loop;

pub use error::{AlreadyRegistered, ImplError, RegisterError, RunDefaultError};
#[cfg(feature = "capi")]
pub(crate) use int_loop::IntHandleCallback;
pub(crate) use int_loop::{HandleSource, IntLoop};

use crate::events::Events;
use crate::id::{HandleId, TimeoutId};
use crate::registry::AddError;
use crate::table::Removal;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// An open descriptor, shared by the implementation and its users.
pub type SharedFd = Arc<dyn AsFd + Send + Sync>;
/// The callback of a handle, called with its id and the events. Its drop is the free callback.
pub type HandleCallback = Box<dyn FnMut(i32, Events) + Send>;
/// The callback of a timeout, called with its id. Its drop is the free callback.
pub type TimeoutCallback = Box<dyn FnMut(i32) + Send>;
/// The error of the addition of a handle, with its source and its callback.
pub type AddHandleError = AddError<SharedFd, HandleCallback, ImplError>;
/// The error of the addition of a timeout, with its callback.
pub type AddTimeoutError = AddError<(), TimeoutCallback, ImplError>;

/// The six functions of an event implementation (EV-105).
///
/// Each may be called from any thread and from inside callbacks, and none of them calls or drops a callback
/// that was added (EV-613, EV-708). Ids are positive (EV-201).
pub trait EventImpl: Send + Sync + 'static {
    /// Adds a handle, disabled if `interest` is empty, and returns its id.
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

    /// Changes the interest of a handle. An unknown id is ignored (EV-205).
    fn update_handle(&self, watch: i32, interest: Events);

    /// Removes a handle and reports whether its callback is running.
    ///
    /// # Errors
    ///
    /// [`ImplError::NotRegistered`]
    fn remove_handle(&self, watch: i32) -> Result<Removal, ImplError>;

    /// Adds a timeout, disabled if `interval` is `None`, and returns its id.
    ///
    /// # Errors
    ///
    /// [`AddTimeoutError`], with `callback`.
    fn add_timeout(
        &self,
        interval: Option<Duration>,
        callback: TimeoutCallback,
    ) -> Result<i32, AddTimeoutError>;

    /// Changes the interval and restarts it; `None` disables the timeout. An unknown id is ignored (EV-205).
    fn update_timeout(&self, timer: i32, interval: Option<Duration>);

    /// Removes a timeout and reports whether its callback is running.
    ///
    /// # Errors
    ///
    /// [`ImplError::NotRegistered`]
    fn remove_timeout(&self, timer: i32) -> Result<Removal, ImplError>;
}

/// The result of a successful registration of the default implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The call registered the implementation.
    Now,
    /// An earlier call registered it.
    Before,
}

/// The registered implementation.
enum RegisteredImpl {
    Default(&'static IntLoop),
    Other(Box<dyn EventImpl>),
}

static REGISTERED_IMPL: OnceLock<RegisteredImpl> = OnceLock::new();
static DEFAULT: OnceLock<IntLoop> = OnceLock::new();

/// Registers an implementation until the process ends.
///
/// # Errors
///
/// [`AlreadyRegistered`] if there is an implementation, which stays (EV-102).
pub fn register_impl(implementation: impl EventImpl) -> Result<(), AlreadyRegistered> {
    let table = RegisteredImpl::Other(Box::new(implementation));
    REGISTERED_IMPL.set(table).map_err(|_| AlreadyRegistered)
}

/// Registers the loop of this library, which [`run_default_impl`] runs. Several calls, also at once on several
/// threads, register the same loop (EV-107).
///
/// # Errors
///
/// [`RegisterError`] if another implementation is registered or the loop cannot be created.
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

/// Runs one turn of the default implementation: waits until entries are due or ready and calls their
/// callbacks. A turn may end without a call (EV-513). Without entries it waits until the loop is stopped
/// (EV-106).
///
/// # Errors
///
/// [`RunDefaultError`]; the function may be called again (EV-512).
pub fn run_default_impl() -> Result<(), RunDefaultError> {
    match REGISTERED_IMPL.get() {
        Some(RegisteredImpl::Default(default)) if default.is_forked() => {
            Err(RunDefaultError::ForkedChild)
        }
        Some(RegisteredImpl::Default(default)) => default.run_once(),
        _ => Err(RunDefaultError::NotRegistered),
    }
}

/// Ends the turn of the default implementation that is running, or else the next one, without waiting for
/// events. Does nothing if the default implementation is not registered.
pub fn stop_default_impl() {
    match REGISTERED_IMPL.get() {
        Some(RegisteredImpl::Default(default)) if !default.is_forked() => default.stop(),
        _ => {}
    }
}

/// Returns the loop of the process, which the first call creates.
pub(crate) fn default_loop() -> io::Result<&'static IntLoop> {
    if let Some(created) = DEFAULT.get() {
        return Ok(created);
    }
    // Several threads may create a loop at once. One loop is kept; the others are dropped.
    let created = IntLoop::new(i32::MAX)?;
    Ok(DEFAULT.get_or_init(|| created))
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

/// Adds a handle to the registered implementation and returns its id.
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

/// Changes the interest of a handle. Does nothing before a registration or for an unknown id (EV-101,
/// EV-205).
pub fn update_handle(watch: i32, interest: Events) {
    if let Ok(implementation) = registered() {
        implementation.update_handle(watch, interest);
    }
}

/// Removes a handle. No call of its callback begins afterwards, if the implementation is correct.
///
/// # Errors
///
/// [`ImplError`]
pub fn remove_handle(watch: i32) -> Result<Removal, ImplError> {
    registered()?.remove_handle(watch)
}

/// Adds a timeout to the registered implementation, disabled if `interval` is `None`, and returns its id.
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

/// Changes and restarts the interval of a timeout. Does nothing before a registration or for an unknown id
/// (EV-101, EV-205).
pub fn update_timeout(timer: i32, interval: Option<Duration>) {
    if let Ok(implementation) = registered() {
        implementation.update_timeout(timer, interval);
    }
}

/// Removes a timeout, in the same way as [`remove_handle`].
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
        let shared = HandleSource::from(Arc::clone(&source));
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

/// Checks that an [`IntLoop`] may be a static that all threads use.
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
        let (sender, receiver) = channel();
        let timeout_sender = sender.clone();
        full.add_timeout(None, Box::new(|_| {})).unwrap();

        let (near, _far) = UnixStream::pair().unwrap();
        let source: SharedFd = Arc::new(near);
        let callback = Box::new(move |watch, _| sender.send(watch).unwrap());
        let error = full.add_handle(Arc::clone(&source), Events::ALL, callback);
        let error = error.unwrap_err();
        assert!(matches!(error.reason, ImplError::IdsExhausted));
        let (given_back, mut callback) = error.into_parts();
        assert!(Arc::ptr_eq(&given_back, &source));
        callback(7, Events::ALL);

        let callback = Box::new(move |timer| timeout_sender.send(timer).unwrap());
        let mut error = full.add_timeout(None, callback).unwrap_err();
        assert!(matches!(error.reason, ImplError::IdsExhausted));
        (error.callback)(9);
        assert_eq!(receiver.try_iter().collect::<Vec<i32>>(), [7, 9]);
    }
}
