//! The loop: waits for due timeouts and ready descriptors, and calls their callbacks.

#[cfg(not(loom))]
mod builder;
mod dispatch;
mod error;
mod panic;
mod process;
mod recreate;
mod signal;
#[cfg(not(loom))]
mod thread;

#[cfg(not(loom))]
pub use builder::EventLoopBuilder;
pub use error::{CallbackPanic, RunError};
pub use panic::PanicPolicy;
pub use signal::SignalStopper;
#[cfg(not(loom))]
pub use thread::LoopThread;

use crate::diagnostics::{Warning, WarningLimits};
use crate::poller::{DefaultPoller, Poller, Registrar};
use crate::registry::{Registry, State, trace};
use crate::sync::{CHECKS_INVARIANTS, MutexGuard};
use crate::table::StaleDetector;
use crate::time::MonotonicTime;
use dispatch::Calls;
use process::Process;
use std::convert::Infallible;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// An event loop: waits, and runs the callbacks of one table.
///
/// Any thread can add and remove entries through its [`Registry`] and stop it through a [`Stopper`]. Callbacks run
/// only on the thread inside [`run`](EventLoop::run) or [`run_once`](EventLoop::run_once), one at a time (EV-1101,
/// EV-1102). Both borrow the loop exclusively, so they cannot be called inside each other (EV-511).
///
/// The drop of the loop removes every entry and drops every callback without a call (EV-714). If the drop of a
/// callback panics and the policy is [`PanicPolicy::Stop`], the drop of the loop panics with the same message.
///
/// In a forked child that has not executed another program, do not use the loop and its registries. The child may
/// drop the loop, which does not affect the parent's; but a removal in the child would end a registration of the
/// parent (EV-1105).
///
/// ```
/// use eventry::EventLoop;
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::new()?;
/// event_loop.registry().add_timeout(Duration::from_millis(1), |tick| {
///     tick.registry.remove_timeout(tick.id).expect("the timeout is registered during its call");
/// })?;
/// event_loop.run_once(None)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EventLoop<P: Poller = DefaultPoller> {
    registry: Registry<P>,
    poller: P,
    /// The calls that are being made.
    calls: Calls<P>,
    process: Process,
    /// Detects stale registrations, which the poller cannot end.
    stale_detector: StaleDetector,
    panic_policy: PanicPolicy,
    before_wait: Option<Hook>,
    after_dispatch: Option<Hook>,
}

/// A function that is called in every turn.
type Hook = Box<dyn FnMut() + Send>;

/// A reference to a loop that stops it, from any thread and inside callbacks.
#[derive(Debug)]
pub struct Stopper<P: Poller = DefaultPoller> {
    registry: Registry<P>,
}

impl<P: Poller> EventLoop<P> {
    /// Creates a loop on the given poller.
    #[must_use]
    pub fn with_poller(poller: P) -> EventLoop<P> {
        EventLoop::with_int_ids(poller, 0)
    }

    /// Creates a loop whose entries have integer ids from 1 to `int_ids`, or with 0 none.
    pub(crate) fn with_int_ids(poller: P, int_ids: i32) -> EventLoop<P> {
        EventLoop {
            registry: Registry::new(poller.registrar().clone(), int_ids),
            poller,
            calls: Calls::new(),
            process: Process::current(),
            stale_detector: StaleDetector::default(),
            panic_policy: PanicPolicy::default(),
            before_wait: None,
            after_dispatch: None,
        }
    }

    /// Returns the registry of this loop.
    #[must_use]
    pub fn registry(&self) -> Registry<P> {
        self.registry.clone()
    }

    /// Returns a stopper of this loop.
    #[must_use]
    pub fn stopper(&self) -> Stopper<P> {
        Stopper {
            registry: self.registry.clone(),
        }
    }

    /// Runs the loop until it is [stopped](Stopper::stop). If a stop was requested before, returns after one turn that
    /// does not wait (EV-907).
    ///
    /// # Errors
    ///
    /// [`RunError`]; the loop may be run again. Callbacks that panic are an error only with [`PanicPolicy::Stop`]. The
    /// error is [`RunError::ForkedChild`] in a forked child of the process that created the loop (EV-1105).
    ///
    /// A stop ends one run, also one that ends with an error or a panic.
    ///
    /// # Panics
    ///
    /// If a hook panics, with its panic. The loop may be run again.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.check_process()?;
        let mut run = Running::new(self);
        loop {
            run.takes_stop = true;
            let result = run.event_loop.make_turn(None);
            run.takes_stop = false;
            if run.event_loop.registry.take_stop() {
                return result;
            }
            result?;
        }
    }

    /// Runs one turn: waits until a timeout is due or a descriptor is ready, but not longer than `timeout`, and makes
    /// the calls.
    ///
    /// First it calls due timeouts by deadline, then ready handles in the order of the poller's reports, each once;
    /// then it drops removed callbacks. It may return without a call (EV-513).
    ///
    /// Unlike [`run`](EventLoop::run) it does not check for a forked child: do not call it in one.
    ///
    /// # Errors
    ///
    /// [`RunError`]
    ///
    /// # Panics
    ///
    /// If a hook panics, with its panic. The loop may be run again.
    pub fn run_once(&mut self, timeout: Option<Duration>) -> Result<(), RunError> {
        Running::new(self).event_loop.make_turn(timeout)
    }

    #[inline]
    fn make_turn(&mut self, timeout: Option<Duration>) -> Result<(), RunError> {
        let mut state = self.registry.lock();
        state.begin_run();
        let stale = state.table.take_stale();
        if self.stale_detector.detect(stale) {
            drop(state);
            self.recreate_poller();
            state = self.registry.lock();
        }
        if state.table.is_busy() {
            state.table.begin_frees();
            state = self.calls.dispatch(&self.registry, state);
        }
        if let Some(hook) = &mut self.before_wait {
            drop(state);
            hook();
            state = self.registry.lock();
        }
        let timeout = prepare_to_wait(&self.registry, &self.poller, state, timeout);
        trace::wait_began(timeout);
        let waited = self.poller.wait(timeout);

        let mut state = self.registry.lock();
        state.table.wake_up();
        if waited.is_ok() {
            for token in self.poller.lost() {
                state.table.lost(token);
            }
            self.begin_calls(&mut state);
            let mut state = self.calls.dispatch(&self.registry, state);
            let warnings = state.diagnostics.turn_ended(|| self.registry.coarse_now());
            let (turns, calls) = (state.stats.turns, state.stats.calls);
            drop(state);
            for warning in &warnings {
                self.registry.warn(warning);
            }
            trace::turn_ended(turns, calls);
            if let Some(hook) = &mut self.after_dispatch {
                hook();
            }
        } else {
            drop(state);
        }
        if CHECKS_INVARIANTS {
            if let Err(violation) = self.registry.lock().table.check_invariants() {
                unreachable!("{violation}");
            }
        }
        let result = self.end_turn();
        waited.map_err(RunError::Wait)?;
        result
    }

    /// Determines the calls of the turn. Without an armed timeout, no exact time is needed.
    fn begin_calls(&self, state: &mut State<P>) {
        let registrar = self.registry.registrar();
        let (now, lag) = if state.table.has_armed_timeouts() {
            (registrar.now(), Duration::ZERO)
        } else {
            (registrar.coarse_now(), registrar.coarse_tick())
        };
        state.table.begin_turn(now, self.poller.ready());
        let changes = self.registry.published().changes();
        state.diagnostics.turn_began(now, lag, changes);
    }

    /// Frees removed entries, and the entries removed by these drops, until none is left. Calls no callbacks.
    ///
    /// # Errors
    ///
    /// [`RunError::CallbackPanicked`] if a drop panicked and the policy is [`PanicPolicy::Stop`]. All other drops are
    /// done nevertheless.
    pub fn drain(&mut self) -> Result<(), RunError> {
        loop {
            let mut state = self.registry.lock();
            if state.table.pending_frees() == 0 {
                break;
            }
            state.table.begin_frees();
            drop(self.calls.dispatch(&self.registry, state));
        }
        self.end_turn()
    }

    /// Sets the hook that is called in every turn before the loop waits, for example to process work that callbacks
    /// have queued. It may use the registry.
    pub fn set_before_wait(&mut self, hook: impl FnMut() + Send + 'static) {
        self.before_wait = Some(Box::new(hook));
    }

    /// Sets the hook that is called in every turn after the last callback and free call. It may use the registry.
    pub fn set_after_dispatch(&mut self, hook: impl FnMut() + Send + 'static) {
        self.after_dispatch = Some(Box::new(hook));
    }

    /// Sets the hook that is called with each [`Warning`], in place of the one that was set before.
    ///
    /// The loop's thread calls it at the end of a turn, when all calls of the turn are over. For
    /// [`Warning::NotRunning`] and [`Warning::Blocked`], any thread that calls the registry calls it inside that call,
    /// so the hook must not wait for a lock that such a thread may hold. It may use the registry, and no lock of this
    /// library is held while it is called.
    pub fn set_on_warning(&mut self, hook: impl Fn(&Warning) + Send + Sync + 'static) {
        let replaced = self.registry.set_warning_hook(std::sync::Arc::new(hook));
        drop(replaced);
    }

    /// Sets the limits beyond which the loop warns.
    pub fn set_warning_limits(&mut self, limits: WarningLimits) {
        self.registry.set_warning_limits(limits);
    }

    /// Prepares the loop to be embedded in another one: applies the changes to its poller, and returns the longest
    /// time to wait. When that time has passed, or [`poll_fd`](EventLoop::poll_fd) is readable, call
    /// [`run_once`](EventLoop::run_once) with a timeout of zero, and prepare again.
    ///
    /// ```
    /// use eventry::EventLoop;
    /// use rustix::event::{PollFd, PollFlags, Timespec, poll};
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    ///
    /// let mut inner = EventLoop::new()?;
    /// let (sender, receiver) = channel();
    /// inner.registry().add_timeout(Duration::from_millis(1), move |_| sender.send(()).unwrap())?;
    /// while receiver.try_recv().is_err() {
    ///     // The outer loop is a plain poll(2) here.
    ///     let timeout = inner.prepare().map(Timespec::try_from).transpose()?;
    ///     let fd = inner.poll_fd().expect("the default poller has a descriptor");
    ///     poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref())?;
    ///     inner.run_once(Some(Duration::ZERO))?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prepare(&mut self) -> Option<Duration> {
        let limit = self.poller.longest_wait();
        prepare_to_wait(&self.registry, &self.poller, self.registry.lock(), limit)
    }

    /// Returns the descriptor that is readable when the loop has work, if the poller has one. Call this again after
    /// every turn: if the loop recreates the poller, or cannot, the descriptor changes (EV-1003).
    #[must_use]
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.poller.poll_fd()
    }
}

/// A running loop. When it is dropped, also by the panic of a hook, the run is over.
///
/// A guard costs less than to catch the panic: after a system call, the returns from functions that were called before it
/// are slow on many processors.
struct Running<'a, P: Poller> {
    event_loop: &'a mut EventLoop<P>,
    /// True while a panic would end a run that a stop may have been meant for.
    takes_stop: bool,
}

impl<'a, P: Poller> Running<'a, P> {
    #[inline]
    fn new(event_loop: &'a mut EventLoop<P>) -> Running<'a, P> {
        event_loop.registry.set_is_running(true);
        Running {
            event_loop,
            takes_stop: false,
        }
    }
}

impl<P: Poller> Drop for Running<'_, P> {
    #[inline]
    fn drop(&mut self) {
        let registry = &self.event_loop.registry;
        registry.set_is_running(false);
        if self.takes_stop {
            registry.take_stop();
        }
    }
}

/// Applies the changes to the poller, computes how long to wait, and records that the loop sleeps, so that other
/// threads wake it for earlier work. Releases the lock.
#[inline]
fn prepare_to_wait<'a, P: Poller>(
    registry: &'a Registry<P>,
    poller: &P,
    mut state: MutexGuard<'a, State<P>>,
    timeout: Option<Duration>,
) -> Option<Duration> {
    state.apply_changes(registry.registrar());
    let stops = state.table.is_stopping() || registry.is_signalled();
    let at_once = timeout.is_some_and(|timeout| timeout.is_zero());
    if at_once || stops || state.table.is_busy() || poller.is_always_ready() {
        // The loop does not sleep, so no thread needs to wake it, and the clock need not be read.
        return Some(Duration::ZERO);
    }
    let deadline = state.table.next_deadline();
    if timeout.is_none() && deadline.is_none() {
        state.table.fall_asleep(None);
        return None;
    }
    let now = registry.now();
    let limit = timeout.map_or(MonotonicTime::FAR_FUTURE, |timeout| {
        now.saturating_add(timeout)
    });
    let until = deadline.map_or(limit, |deadline| deadline.min(limit));
    let longest = until.saturating_duration_since(now);
    if !longest.is_zero() {
        state.table.fall_asleep(Some(until));
    }
    Some(longest)
}

impl<P: Poller> Drop for EventLoop<P> {
    fn drop(&mut self) {
        self.registry.lock().table.close();
        match self.drain() {
            Err(RunError::CallbackPanicked(panics)) if !std::thread::panicking() => {
                std::panic::resume_unwind(Box::new(panics[0].message.clone()));
            }
            _ => {}
        }
    }
}

impl<P: Poller + fmt::Debug> fmt::Debug for EventLoop<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("registry", &self.registry)
            .field("poller", &self.poller)
            .finish_non_exhaustive()
    }
}

impl<P: Poller> Stopper<P> {
    /// Stops the loop: the running [`EventLoop::run`] returns after its current turn. If none is running, the next one
    /// returns after one turn that does not wait (EV-907).
    pub fn stop(&self) {
        trace::stop_requested();
        let stopped = self
            .registry
            .change(|state| Ok(((), self.registry.request_stop(state))));
        stopped.unwrap_or_else(|never: Infallible| match never {});
    }
}

impl<P: Poller> Clone for Stopper<P> {
    fn clone(&self) -> Stopper<P> {
        Stopper {
            registry: self.registry.clone(),
        }
    }
}
