//! Handles, from any thread.

use super::{
    AddError, Callback, Inserted, Next, Pending, Registry, RemoveError, boxed, trace, unboxed,
};
use crate::events::Events;
use crate::id::{HandleId, Key};
use crate::poller::{DefaultPoller, Poller, Source};
use crate::table::{NotRegistered, Removal};
use std::os::fd::RawFd;

/// What a handle's callback is called with (EV-310).
#[derive(Debug)]
#[non_exhaustive]
pub struct HandleEvent<'a, S, P: Poller = DefaultPoller> {
    /// The handle.
    pub id: HandleId,
    /// Its share of what is pending; never empty.
    pub events: Events,
    /// What the handle was added with.
    pub source: &'a S,
    /// The registry the handle belongs to; every operation may be called on it.
    pub registry: &'a Registry<P>,
}

impl<P: Poller> Registry<P> {
    /// Adds a handle by what the poller knows descriptors by. Real programs use
    /// [`add_handle`](Registry::add_handle); this serves every poller.
    ///
    /// # Errors
    ///
    /// [`AddError`], with `source` and `callback`.
    pub fn add_source<F, R>(
        &self,
        source: P::Source,
        interest: Events,
        callback: F,
    ) -> Result<HandleId, AddError<P::Source, F>>
    where
        F: FnMut(HandleEvent<'_, RawFd, P>) -> R + Send + 'static,
        R: Into<Next>,
    {
        let fd = source.fd();
        let callback = boxed(callback, move |callback: &mut F, registry, key, events| {
            call(callback, &fd, registry, key, events)
        });
        let added = self.insert_handle(source, interest, callback);
        added.map_err(|error| AddError {
            reason: error.reason,
            source: error.source,
            callback: unboxed(error.callback),
        })
    }

    /// Changes what a handle wants; [`Events::NONE`] disables it until the next update (EV-401, EV-402).
    ///
    /// Everything dispatched after the return obeys it; a call that has begun already may still run
    /// (EV-615).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn update_handle(&self, id: HandleId, interest: Events) -> Result<(), NotRegistered> {
        self.change(|state| Ok(((), state.table.update_handle(id, interest)?)))
    }

    /// Removes a handle: no call of its callback begins after this returns (EV-702, EV-703).
    ///
    /// After [`Removal::Idle`] none is running either, so what the callback uses may be reused at once.
    /// After [`Removal::InFlight`] the last call is still running on the loop's thread, which may be
    /// this one. The callback and its source are dropped later, exactly once, by the loop and never
    /// inside this call (EV-704…708); the descriptor may be closed as soon as this returns (EV-713).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also if it was removed before (EV-701).
    pub fn remove_handle(&self, id: HandleId) -> Result<Removal, NotRegistered> {
        self.remove(id)
    }

    /// Removes a handle and waits until its last call is over: then no call runs and none will begin.
    ///
    /// For callers who hold nothing that the callback may be waiting for, such as a lock it takes.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]: the id names nothing, or the callback itself is the caller.
    pub fn remove_handle_and_wait(&self, id: HandleId) -> Result<(), RemoveError> {
        self.remove_and_wait(id)
    }

    /// Adds a handle, or gives everything back: what was offered, and the callback to be dropped after
    /// the lock has been released.
    fn insert_handle(
        &self,
        source: P::Source,
        interest: Events,
        callback: Callback<P>,
    ) -> Inserted<HandleId, P::Source, P> {
        let fd = source.fd();
        let (added, pending) = self.insert_handle_deferred(source, interest, callback);
        self.finish(pending);
        added.inspect(|id| trace::handle_added(id, fd, interest))
    }

    /// The same for callers who hold a lock of their own; they tell later.
    pub(crate) fn insert_handle_deferred(
        &self,
        source: P::Source,
        interest: Events,
        callback: Callback<P>,
    ) -> (Inserted<HandleId, P::Source, P>, Pending) {
        let fd = source.fd();
        let (added, pending) = self.change_deferred(None, |state| {
            state.table.add_handle(fd, source, interest, callback)
        });
        let added = added.map_err(|(reason, callback, source)| AddError {
            reason,
            source,
            callback,
        });
        (added, pending)
    }
}

/// Calls a handle's callback, with what it knows its descriptor by.
fn call<P, S, F, R>(
    callback: &mut F,
    source: &S,
    registry: &Registry<P>,
    key: Key,
    events: Events,
) -> Next
where
    P: Poller,
    F: FnMut(HandleEvent<'_, S, P>) -> R,
    R: Into<Next>,
{
    let id = HandleId(key);
    let event = HandleEvent {
        id,
        events,
        source,
        registry,
    };
    callback(event).into()
}

#[cfg(not(loom))]
mod with_descriptor {
    use super::*;
    use crate::poller::OsSource;
    use std::os::fd::AsFd;
    use std::sync::Arc;

    impl<P: Poller<Source = OsSource>> Registry<P> {
        /// Adds a handle on `source`, which stays open until the handle has been removed and its last
        /// call is over. With an empty `interest` it is added disabled.
        ///
        /// The callback is called by the loop's thread, once per turn in which the descriptor is ready
        /// for the interest, or has an error or hang-up pending whether asked for or not (EV-303,
        /// EV-308); the first time in the next turn. Any number of handles may watch one descriptor
        /// (EV-403). A descriptor that cannot be polled, such as a regular file, is always ready, and
        /// keeps the loop from sleeping while its handle is enabled (EV-1004).
        ///
        /// Do not close the descriptor before the handle has been removed. If that is noticed, every
        /// handle on it is called with [`Events::ERROR`] once and disabled. With
        /// [`Backend::Poll`](crate::Backend::Poll) the next wait pending, unless the number has been
        /// opened again by then; epoll only when it is next told of the descriptor (EV-1001).
        ///
        /// # Errors
        ///
        /// [`AddError`], with `source` and `callback`.
        pub fn add_handle<S, F, R>(
            &self,
            source: S,
            interest: Events,
            callback: F,
        ) -> Result<HandleId, AddError<S, F>>
        where
            S: AsFd + Send + Sync + 'static,
            F: FnMut(HandleEvent<'_, Arc<S>, P>) -> R + Send + 'static,
            R: Into<Next>,
        {
            let source = Arc::new(source);
            let kept = Arc::clone(&source);
            let callback = boxed(callback, move |callback: &mut F, registry, key, events| {
                call(callback, &kept, registry, key, events)
            });
            let named = OsSource::shared(Arc::clone(&source));
            let added = self.insert_handle(named, interest, callback);
            added.map_err(|error| {
                drop(error.source);
                let callback = unboxed(error.callback);
                // The other two shares are gone: one with the box, one with the name.
                let source = Arc::into_inner(source);
                AddError {
                    reason: error.reason,
                    source: source.expect("what was not added is not shared"),
                    callback,
                }
            })
        }
    }
}
