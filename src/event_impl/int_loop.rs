//! An event loop whose entries have positive integer ids.

use super::RunDefaultError;
use crate::event_loop::{EventLoop, Stopper};
use crate::events::Events;
use crate::id::{HandleId, Key, TimeoutId};
use crate::poller::{Backend, DefaultPoller, Poller};
use crate::registry::{Inserted, Next, Registry, boxed, unboxed};
#[cfg(feature = "capi")]
use crate::registry::{RemoveError, Stats};
use crate::sync::Mutex;
use crate::table::{CallArguments, EntryId, EntryName, IntId, NotRegistered, Refused, Removal};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// The source of a handle of an [`IntLoop`].
pub(crate) type HandleSource = <DefaultPoller as Poller>::Source;

/// The loop of a process, with integer ids. Any thread may run it, one at a time.
#[derive(Debug)]
pub(crate) struct IntLoop {
    registry: Registry,
    stopper: Stopper,
    /// Locked by the thread that runs the loop. No thread waits for this lock.
    event_loop: Mutex<EventLoop>,
    pid: u32,
}

/// The callback of a handle with an integer id.
pub(crate) trait IntHandleCallback: Send + 'static {
    /// Calls the callback with the integer id, the descriptor and the events.
    fn call(&mut self, watch: i32, fd: RawFd, events: Events);
}

impl<F: FnMut(i32, Events) + Send + 'static> IntHandleCallback for F {
    fn call(&mut self, watch: i32, _: RawFd, events: Events) {
        self(watch, events);
    }
}

impl IntLoop {
    /// Creates a loop with integer ids from 1 to `limit`.
    pub(crate) fn new(limit: i32) -> io::Result<IntLoop> {
        let poller = DefaultPoller::new(Backend::default())?;
        let event_loop = EventLoop::with_int_ids(poller, limit);
        Ok(IntLoop {
            registry: event_loop.registry(),
            stopper: event_loop.stopper(),
            event_loop: Mutex::new(event_loop),
            pid: std::process::id(),
        })
    }

    /// Returns `true` in a process that was forked after the loop was created. The descriptors of the loop
    /// are shared with the parent and must not be used (EV-1105). Makes a system call.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Adds a handle. Returns the callback if the handle was not added.
    pub(crate) fn add_handle<F: IntHandleCallback>(
        &self,
        source: HandleSource,
        interest: Events,
        callback: F,
    ) -> Result<i32, (Refused, F)> {
        let callback = boxed(callback, |callback: &mut F, registry: &Registry, call| {
            let CallArguments {
                key, fd, events, ..
            } = *call;
            callback.call(registry.int_id(key), fd, events);
            Next::Keep
        });
        let added = self.registry.insert_handle(source, interest, callback);
        self.result(added.map(|HandleId(key)| key))
    }

    /// Adds a timeout, in the same way as [`add_handle`](IntLoop::add_handle).
    pub(crate) fn add_timeout<F>(
        &self,
        interval: Option<Duration>,
        callback: F,
    ) -> Result<i32, (Refused, F)>
    where
        F: FnMut(i32) + Send + 'static,
    {
        let callback = boxed(callback, |callback: &mut F, registry: &Registry, call| {
            callback(registry.int_id(call.key));
            Next::Keep
        });
        let added = self.registry.insert_timeout(interval, callback);
        self.result(added.map(|TimeoutId(key)| key))
    }

    /// Returns the integer id of an entry that was added, or the callback of one that was not.
    fn result<S, F: 'static>(&self, added: Inserted<Key, S>) -> Result<i32, (Refused, F)> {
        match added {
            Ok(key) => Ok(self.registry.int_id(key)),
            Err(error) => Err((error.reason, unboxed(error.callback))),
        }
    }

    pub(crate) fn update_handle(&self, int_id: i32, interest: Events) -> Result<(), NotRegistered> {
        self.registry.update_named_handle(IntId(int_id), interest)
    }

    pub(crate) fn update_timeout(
        &self,
        int_id: i32,
        interval: Option<Duration>,
    ) -> Result<(), NotRegistered> {
        self.registry.update_named_timeout(IntId(int_id), interval)
    }

    /// Removes the entry of this kind that has the integer id.
    pub(crate) fn remove<I: EntryId>(&self, int_id: i32) -> Result<Removal, NotRegistered>
    where
        IntId: EntryName<I>,
    {
        self.registry.remove(IntId(int_id))
    }

    /// Removes an entry and waits until its last call has returned.
    #[cfg(feature = "capi")]
    pub(crate) fn remove_and_wait<I: EntryId>(&self, int_id: i32) -> Result<(), RemoveError>
    where
        IntId: EntryName<I>,
    {
        self.registry.remove_and_wait(IntId(int_id))
    }

    /// Returns the statistics of the loop.
    #[cfg(feature = "capi")]
    pub(crate) fn stats(&self) -> Stats {
        self.registry.stats()
    }

    /// Runs one turn, unless a thread is running the loop (EV-511, EV-1101). A stop ends only one turn.
    pub(crate) fn run_once(&self) -> Result<(), RunDefaultError> {
        let mut event_loop = self.event_loop.try_lock();
        let event_loop = event_loop.as_mut().ok_or(RunDefaultError::AlreadyRunning)?;
        let result = event_loop.run_once(None);
        self.registry.take_stop_request();
        Ok(result?)
    }

    /// Runs turns until the loop is stopped.
    #[cfg(feature = "capi")]
    pub(crate) fn run(&self) -> Result<(), RunDefaultError> {
        let mut event_loop = self.event_loop.try_lock();
        let event_loop = event_loop.as_mut().ok_or(RunDefaultError::AlreadyRunning)?;
        Ok(event_loop.run()?)
    }

    /// Makes the current turn, or else the next one, end without waiting for events.
    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    /// Makes all later additions fail.
    #[cfg(all(test, feature = "capi"))]
    pub(crate) fn close(&self) {
        self.registry.lock().table.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::RunError;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    /// Runs a turn that reports so many panics.
    fn turn_with_panics(event_loop: &IntLoop, expected: usize) {
        match event_loop.run_once() {
            Err(RunDefaultError::Run(RunError::CallbackPanicked(panics))) => {
                assert_eq!(panics.len(), expected);
            }
            other => panic!("no panic was reported: {other:?}"),
        }
    }

    fn add_panicking(event_loop: &IntLoop, kept: Arc<()>) -> Result<i32, Refused> {
        let callback = move |_| {
            let _kept = &kept;
            panic!("on purpose")
        };
        let added = event_loop.add_timeout(Some(Duration::ZERO), callback);
        added.map_err(|(reason, _)| reason)
    }

    // EV-514, EV-204: with so few ids, one that is not released is missed.
    #[test]
    fn ids_of_callbacks_that_panicked_are_assigned_again() {
        let event_loop = IntLoop::new(2).unwrap();
        let kept = Arc::new(());
        for _ in 0..3 {
            assert!(add_panicking(&event_loop, Arc::clone(&kept)).is_ok());
            let (near, _far) = UnixStream::pair().unwrap();
            let in_handle = Arc::clone(&kept);
            let callback = move |_, _| {
                let _kept = &in_handle;
                panic!("on purpose")
            };
            let source = HandleSource::new(near);
            assert!(
                event_loop
                    .add_handle(source, Events::WRITABLE, callback)
                    .is_ok()
            );
            let full = add_panicking(&event_loop, Arc::clone(&kept));
            assert_eq!(full, Err(Refused::IdsExhausted));
            turn_with_panics(&event_loop, 2);
            assert_eq!(Arc::strong_count(&kept), 1, "each callback is dropped once");
        }
    }

    // The id belongs to a later entry by the time the panic is noticed.
    #[test]
    fn panic_after_a_removal_leaves_the_id_to_its_next_entry() {
        let event_loop = Arc::new(IntLoop::new(1).unwrap());
        let inside = Arc::downgrade(&event_loop);
        let callback = move |timer| {
            let event_loop = inside.upgrade().unwrap();
            assert_eq!(
                event_loop.remove::<crate::TimeoutId>(timer),
                Ok(Removal::InFlight)
            );
            assert!(event_loop.add_timeout(None, |_| {}).is_ok());
            panic!("on purpose")
        };
        let added = event_loop.add_timeout(Some(Duration::ZERO), callback);
        assert!(added.is_ok());
        turn_with_panics(&event_loop, 1);
        assert_eq!(event_loop.update_timeout(1, None), Ok(()));
        assert_eq!(
            add_panicking(&event_loop, Arc::default()),
            Err(Refused::IdsExhausted)
        );
    }

    // EV-907: `run` as in C.
    #[cfg(feature = "capi")]
    #[test]
    fn stop_in_the_turn_of_a_panic_ends_only_that_run() {
        let event_loop = Arc::new(IntLoop::new(2).unwrap());
        let inside = Arc::downgrade(&event_loop);
        let stops_and_panics = move |_| {
            inside.upgrade().unwrap().stop();
            panic!("on purpose")
        };
        let added = event_loop.add_timeout(Some(Duration::ZERO), stops_and_panics);
        assert!(added.is_ok());
        let inside = Arc::downgrade(&event_loop);
        let mut turns = 0;
        let stops_later = move |_| {
            turns += 1;
            if turns == 3 {
                inside.upgrade().unwrap().stop();
            }
        };
        let added = event_loop.add_timeout(Some(Duration::ZERO), stops_later);
        assert!(added.is_ok());
        let run = event_loop.run();
        assert!(matches!(
            run,
            Err(RunDefaultError::Run(RunError::CallbackPanicked(_)))
        ));
        assert_eq!(event_loop.stats().turns, 1);
        event_loop.run().unwrap();
        assert_eq!(event_loop.stats().turns, 3);
    }
}
