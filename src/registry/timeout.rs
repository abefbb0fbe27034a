//! The operations on timeouts, for any thread.

use super::{AddError, Callback, Inserted, Next, Registry, RemoveError, boxed, trace, unboxed};
use crate::id::TimeoutId;
use crate::poller::{DefaultPoller, Poller};
use crate::table::{CallArguments, EntryName, NotRegistered, Removal};
use crate::time::MonotonicTime;
use std::time::Duration;

/// The argument of a timeout's callback (EV-811).
#[derive(Debug)]
#[non_exhaustive]
pub struct TimeoutEvent<'a, P: Poller = DefaultPoller> {
    /// The timeout.
    pub id: TimeoutId,
    /// The registry of the timeout; every operation may be called on it.
    pub registry: &'a Registry<P>,
}

impl<P: Poller> Registry<P> {
    /// Adds a timeout that is called every `interval`, for the first time one interval from now. With an interval of
    /// zero it is called in every turn; with `None` it is disabled (EV-801, EV-802).
    ///
    /// It is never called early. A loop that is late calls it once and starts the next interval then: missed periods
    /// are lost (EV-804, EV-806).
    ///
    /// ```
    /// use eventry::EventLoop;
    /// use std::time::Duration;
    ///
    /// let mut event_loop = EventLoop::new()?;
    /// let stopper = event_loop.stopper();
    /// event_loop.registry().add_timeout(Duration::from_millis(1), move |_| stopper.stop())?;
    /// event_loop.run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AddError`], with `callback`.
    pub fn add_timeout<F, R>(
        &self,
        interval: impl Into<Option<Duration>>,
        callback: F,
    ) -> Result<TimeoutId, AddError<(), F>>
    where
        F: FnMut(TimeoutEvent<'_, P>) -> R + Send + 'static,
        R: Into<Next>,
    {
        let interval = interval.into();
        let callback = boxed(
            callback,
            |callback: &mut F, registry: &Registry<P>, arguments: &CallArguments| {
                let id = TimeoutId(arguments.key);
                callback(TimeoutEvent { id, registry }).into()
            },
        );
        let added = self.insert_timeout(interval, callback);
        added.map_err(|error| AddError {
            reason: error.reason,
            source: (),
            callback: unboxed(error.callback),
        })
    }

    /// Restarts the interval, also with the same value (EV-805); `None` disables the timeout.
    ///
    /// A timeout that is due but not called yet is not called before the new interval has passed
    /// (EV-607).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn update_timeout(
        &self,
        id: TimeoutId,
        interval: impl Into<Option<Duration>>,
    ) -> Result<(), NotRegistered> {
        self.update_named_timeout(id, interval.into())
    }

    /// Restarts the interval of the timeout with this name, or disables the timeout.
    pub(crate) fn update_named_timeout(
        &self,
        name: impl EntryName<TimeoutId>,
        interval: Option<Duration>,
    ) -> Result<(), NotRegistered> {
        let now = self.now_for(interval);
        self.change_at(now, |state| {
            let id = name.id(&state.table)?;
            self.observe(state, id);
            let now = now.unwrap_or(MonotonicTime::ZERO);
            Ok(((), state.table.update_timeout(id, now, interval)?))
        })
    }

    /// Removes a timeout, as [`remove_handle`](Registry::remove_handle) removes a handle: no call of its callback
    /// begins after this returns.
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also if it was removed before (EV-701).
    pub fn remove_timeout(&self, id: TimeoutId) -> Result<Removal, NotRegistered> {
        self.remove(id)
    }

    /// Removes a timeout and waits until its last call is over, as
    /// [`remove_handle_and_wait`](Registry::remove_handle_and_wait) does with a handle.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]
    pub fn remove_timeout_and_wait(&self, id: TimeoutId) -> Result<(), RemoveError> {
        self.remove_and_wait(id)
    }

    /// Returns the time when an interval begins. Without an interval, the clock is not read.
    fn now_for(&self, interval: Option<Duration>) -> Option<MonotonicTime> {
        interval.map(|_| self.now())
    }

    /// Adds a timeout. On failure it returns the callback, to be dropped after the lock has been released.
    pub(crate) fn insert_timeout(
        &self,
        interval: Option<Duration>,
        callback: Callback<P>,
    ) -> Inserted<TimeoutId, (), P> {
        let now = self.now_for(interval);
        let added = self.change_at(now, |state| {
            let now = now.unwrap_or(MonotonicTime::ZERO);
            state.table.add_timeout(now, interval, callback)
        });
        let added = added.inspect(|id| trace::timeout_added(id, interval));
        added.map_err(|(reason, callback)| AddError {
            reason,
            source: (),
            callback,
        })
    }
}
