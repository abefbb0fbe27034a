//! The operations on handles, for any thread.

use super::{AddError, Callback, Inserted, Next, Registry, RemoveError, boxed, trace, unboxed};
use crate::events::Events;
use crate::id::HandleId;
use crate::poller::{DefaultPoller, Poller, Source};
use crate::table::{CallArguments, EntryName, NotRegistered, Removal};
use std::os::fd::RawFd;

/// The argument of a handle's callback (EV-310).
#[derive(Debug)]
#[non_exhaustive]
pub struct HandleEvent<'a, S, P: Poller = DefaultPoller> {
    /// The handle.
    pub id: HandleId,
    /// The pending events that its interest covers; never empty.
    pub events: Events,
    /// The source that the handle was added with.
    pub source: &'a S,
    /// The registry of the handle; every operation may be called on it.
    pub registry: &'a Registry<P>,
}

impl<P: Poller> Registry<P> {
    /// Adds a handle on a source of the poller. This works with every poller; programs on the operating system's
    /// pollers use [`add_handle`](Registry::add_handle).
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
        let callback = boxed(callback, |callback: &mut F, registry, arguments| {
            call(callback, &arguments.fd, registry, arguments)
        });
        let added = self.insert_handle(source, interest, callback);
        added.map_err(|error| AddError {
            reason: error.reason,
            source: error.source,
            callback: unboxed(error.callback),
        })
    }

    /// Changes the interest of a handle; [`Events::NONE`] disables it until the next update (EV-401, EV-402).
    ///
    /// The new interest applies to all calls that begin after this returns; a call that has begun before may still
    /// run (EV-615).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`]
    pub fn update_handle(&self, id: HandleId, interest: Events) -> Result<(), NotRegistered> {
        self.update_named_handle(id, interest)
    }

    /// Changes the interest of the handle with this name.
    pub(crate) fn update_named_handle(
        &self,
        name: impl EntryName<HandleId>,
        interest: Events,
    ) -> Result<(), NotRegistered> {
        self.change(|state| {
            let id = name.id(&state.table)?;
            self.observe(state, id);
            Ok(((), state.table.update_handle(id, interest)?))
        })
    }

    /// Removes a handle: no call of its callback begins after this returns (EV-702, EV-703).
    ///
    /// After [`Removal::Idle`] no call is running, so data that the callback uses may be reused at once. After
    /// [`Removal::InFlight`] the last call is still running on the loop's thread, which may be the current thread.
    /// The loop drops the callback and its source later, exactly once and never inside this call (EV-704…708). The
    /// descriptor may be closed as soon as this returns (EV-713).
    ///
    /// # Errors
    ///
    /// [`NotRegistered`], also if it was removed before (EV-701).
    pub fn remove_handle(&self, id: HandleId) -> Result<Removal, NotRegistered> {
        self.remove(id)
    }

    /// Removes a handle and waits until its last call is over. No call runs after this returns, and none will begin.
    ///
    /// The caller must hold nothing that the callback may wait for, such as a lock that the callback takes.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]: the handle is not registered, or its own callback is the caller.
    pub fn remove_handle_and_wait(&self, id: HandleId) -> Result<(), RemoveError> {
        self.remove_and_wait(id)
    }

    /// Adds a handle. On failure it returns source and callback, to be dropped after the lock has been released.
    pub(crate) fn insert_handle(
        &self,
        source: P::Source,
        interest: Events,
        callback: Callback<P>,
    ) -> Inserted<HandleId, P::Source, P> {
        let fd = source.fd();
        // The arguments take another way than the id, which is then copied once instead of with them.
        let mut refused = None;
        let added = self.change(|state| {
            let added = state.table.add_handle(fd, source, interest, callback);
            added.map_err(|arguments| refused = Some(arguments))
        });
        match added {
            Ok(id) => {
                trace::handle_added(id, fd, interest);
                Ok(id)
            }
            Err(()) => {
                let arguments = refused.take();
                let (reason, callback, source) = arguments.expect("the arguments are returned");
                Err(AddError {
                    reason,
                    source,
                    callback,
                })
            }
        }
    }
}

/// Calls the callback of a handle with its source.
fn call<P, S, F, R>(
    callback: &mut F,
    source: &S,
    registry: &Registry<P>,
    arguments: &CallArguments,
) -> Next
where
    P: Poller,
    F: FnMut(HandleEvent<'_, S, P>) -> R,
    R: Into<Next>,
{
    let event = HandleEvent {
        id: HandleId(arguments.key),
        events: arguments.events,
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
        /// Adds a handle on `source`, which stays open until the handle has been removed and its last call is over.
        /// With an empty `interest` the handle is disabled.
        ///
        /// The loop's thread calls the callback once per turn in which the descriptor is ready for the interest, or
        /// has an error or hang-up pending, even if the interest does not include them (EV-303, EV-308). The first
        /// call is in the next turn. Any number of handles may watch one descriptor (EV-403). A descriptor that
        /// cannot be polled, such as a regular file, is always ready, and keeps the loop from sleeping while its
        /// handle is enabled (EV-1004).
        ///
        /// If the number was closed and opened again under another handle, both handles are called for the new file
        /// from now on (EV-1002).
        ///
        /// Do not close the descriptor before the handle has been removed. If the poller detects a closed
        /// descriptor, every handle on it is called once with [`Events::ERROR`] and disabled.
        /// [`Backend::Poll`](crate::Backend::Poll) detects it in the pending or next wait, unless the number has been
        /// opened again by then; epoll detects it only with the next change of the registration (EV-1001).
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
            let callback = boxed(callback, move |callback: &mut F, registry, arguments| {
                call(callback, &kept, registry, arguments)
            });
            let named = OsSource::shared(Arc::clone(&source));
            let added = self.insert_handle(named, interest, callback);
            added.map_err(|error| {
                drop(error.source);
                let callback = unboxed(error.callback);
                // The other two references are dropped: one with the adapter, one with the poller's source.
                let source = Arc::into_inner(source);
                AddError {
                    reason: error.reason,
                    source: source.expect("the source of a refused handle is not shared"),
                    callback,
                }
            })
        }
    }
}
