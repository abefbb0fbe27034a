//! The loop: waits for what is due or ready, and calls it.

#[cfg(not(loom))]
mod builder;

#[cfg(not(loom))]
pub use builder::EventLoopBuilder;

use crate::core::Call;
use crate::id::{HandleId, TimeoutId};
use crate::poller::{DefaultPoller, Poller};
use crate::registry::Registry;
use crate::time::Time;
use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Runs the callbacks of one table: the owner of the wait.
///
/// Others add and remove through its [`Registry`] and stop it through a [`Stopper`]. Callbacks run only
/// on the thread inside [`run`](EventLoop::run) or [`run_once`](EventLoop::run_once), one at a time
/// (EV-1101, EV-1102). Both need the loop exclusively, so it cannot be entered twice (EV-511).
///
/// Dropping the loop removes every entry and drops every callback, uncalled (EV-714).
///
/// ```
/// use eventry::EventLoop;
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::new()?;
/// event_loop.registry().add_timeout(Duration::from_millis(1), |tick| {
///     tick.registry.remove_timeout(tick.id).expect("registered while it is called");
/// })?;
/// event_loop.run_once(None)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventLoop<P: Poller = DefaultPoller> {
    registry: Registry<P>,
    poller: P,
}

/// Stops a loop, from any thread and from inside callbacks.
#[derive(Debug)]
pub struct Stopper<P: Poller = DefaultPoller> {
    registry: Registry<P>,
}

/// Why a turn of the loop ended with an error. The loop may be run again after each (EV-512).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The wait failed for a reason other than a signal. Nothing was called; trying again at once is
    /// likely to fail again.
    #[error("cannot wait for events: {0}")]
    Wait(#[source] io::Error),
    /// Callbacks panicked. Each was removed and dropped, the other callbacks of the turn were called
    /// (EV-514).
    #[error("{} panicked: {}", .0[0].callback, .0[0].message)]
    CallbackPanicked(Vec<CallbackPanic>),
}

/// A callback that panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackPanic {
    /// Which one.
    pub callback: PanickedCallback,
    /// What it said.
    pub message: String,
}

/// Which callback panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanickedCallback {
    /// The callback of this handle.
    Handle(HandleId),
    /// The callback of this timeout.
    Timeout(TimeoutId),
    /// The drop of a removed callback.
    Free,
}

impl fmt::Display for PanickedCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PanickedCallback::Handle(_) => "a handle's callback",
            PanickedCallback::Timeout(_) => "a timeout's callback",
            PanickedCallback::Free => "the drop of a removed callback",
        })
    }
}

impl<P: Poller> EventLoop<P> {
    /// A loop on a poller of your choice.
    #[must_use]
    pub fn with_poller(poller: P) -> EventLoop<P> {
        EventLoop {
            registry: Registry::new(poller.registrar().clone()),
            poller,
        }
    }

    /// The registry of this loop.
    #[must_use]
    pub fn registry(&self) -> Registry<P> {
        self.registry.clone()
    }

    /// A stopper of this loop.
    #[must_use]
    pub fn stopper(&self) -> Stopper<P> {
        Stopper {
            registry: self.registry.clone(),
        }
    }

    /// Runs until somebody [stops](Stopper::stop) the loop. If that has happened already, returns after
    /// one turn that does not wait (EV-907).
    ///
    /// # Errors
    ///
    /// [`RunError`]; the loop may be run again.
    pub fn run(&mut self) -> Result<(), RunError> {
        loop {
            let result = self.run_once(None);
            if std::mem::take(&mut self.registry.lock().stop) {
                return result;
            }
            result?;
        }
    }

    /// Runs one turn: waits until something is due or ready, but not longer than `timeout`, and calls it.
    ///
    /// Due timeouts are called first, by deadline, then ready handles in the order the poller reports
    /// them, each once; then what was removed is dropped. It may return without having called anything
    /// (EV-513).
    ///
    /// # Errors
    ///
    /// [`RunError`]
    pub fn run_once(&mut self, timeout: Option<Duration>) -> Result<(), RunError> {
        let mut panics = Vec::new();
        self.registry.lock().core.begin_frees();
        self.dispatch(&mut panics);
        let waited = self.wait(timeout);

        let mut state = self.registry.lock();
        state.wake_up();
        if waited.is_ok() {
            let now = self.registry.now();
            for token in self.poller.lost() {
                state.core.lost(token);
            }
            state.core.begin_turn(now, self.poller.ready());
        }
        drop(state);
        if waited.is_ok() {
            self.dispatch(&mut panics);
        }
        if cfg!(debug_assertions)
            && let Err(violation) = self.registry.lock().core.check_invariants()
        {
            unreachable!("{violation}");
        }
        waited.map_err(RunError::Wait)?;
        if panics.is_empty() {
            Ok(())
        } else {
            Err(RunError::CallbackPanicked(panics))
        }
    }

    /// Sleeps until something is ready or due. From here on others must wake the loop for what it would
    /// sleep past.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut state = self.registry.lock();
        state.apply_changes(self.registry.registrar());
        if state.stop || state.core.is_busy() {
            drop(state);
            return self.poller.wait(Some(Duration::ZERO));
        }
        let deadline = state.core.next_deadline();
        if timeout.is_none() && deadline.is_none() {
            state.fall_asleep(None);
            drop(state);
            return self.poller.wait(None);
        }
        let now = self.registry.now();
        let limit = timeout.map_or(Time::FAR_FUTURE, |timeout| now.after(timeout));
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        state.fall_asleep(Some(until));
        drop(state);
        self.poller.wait(Some(until.since(now)))
    }

    /// Makes the calls of the turn, one by one, each without the lock.
    fn dispatch(&mut self, panics: &mut Vec<CallbackPanic>) {
        let mut state = self.registry.lock();
        while let Some(call) = state.core.next_call() {
            drop(state);
            match call {
                Call::Handle {
                    id,
                    events,
                    mut payload,
                    ..
                } => {
                    let called = catch(|| payload(&self.registry, id.0, events));
                    if let Err(message) = called {
                        let callback = PanickedCallback::Handle(id);
                        panics.push(CallbackPanic { callback, message });
                        // It may have removed itself before it panicked.
                        let _ = self.registry.remove_handle(id);
                    }
                    state = self.registry.lock();
                    state.core.finish_handle(id, payload);
                }
                Call::Timeout { id, mut payload } => {
                    let none = crate::events::Events::NONE;
                    let called = catch(|| payload(&self.registry, id.0, none));
                    if let Err(message) = called {
                        let callback = PanickedCallback::Timeout(id);
                        panics.push(CallbackPanic { callback, message });
                        let _ = self.registry.remove_timeout(id);
                    }
                    state = self.registry.lock();
                    state.core.finish_timeout(id, payload);
                }
                Call::Free { payload, source } => {
                    let freed = catch(|| drop(payload)).and(catch(|| drop(source)));
                    if let Err(message) = freed {
                        let callback = PanickedCallback::Free;
                        panics.push(CallbackPanic { callback, message });
                    }
                    state = self.registry.lock();
                }
            }
        }
    }
}

impl<P: Poller> Drop for EventLoop<P> {
    fn drop(&mut self) {
        let mut panics = Vec::new();
        self.registry.lock().core.close();
        while self.registry.lock().core.pending_frees() > 0 {
            self.registry.lock().core.begin_frees();
            self.dispatch(&mut panics);
        }
        if let Some(panic) = panics.first()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(Box::new(panic.message.clone()));
        }
    }
}

impl<P: Poller> Stopper<P> {
    /// Makes [`EventLoop::run`] return: the one that runs after its current turn, or else the next one
    /// after one turn that does not wait (EV-907).
    pub fn stop(&self) {
        self.registry.change(|state| state.stop = true);
    }
}

impl<P: Poller> Clone for Stopper<P> {
    fn clone(&self) -> Stopper<P> {
        Stopper {
            registry: self.registry.clone(),
        }
    }
}

/// Calls `call`, and turns a panic into its message.
fn catch(call: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| message_of(&*panic))
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
