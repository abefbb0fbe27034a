//! The loop: waits for what is due or ready, and calls it.

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
use crate::poller::{DefaultPoller, Poller};
use crate::registry::{Registry, trace};
use crate::sync::CHECKS_INVARIANTS;
use crate::table::StaleDetector;
use crate::time::MonotonicTime;
use dispatch::{Freed, dispatch};
use process::Process;
use std::convert::Infallible;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Runs the callbacks of one table: the owner of the wait.
///
/// Others add and remove through its [`Registry`] and stop it through a [`Stopper`]. Callbacks run only
/// on the thread inside [`run`](EventLoop::run) or [`run_once`](EventLoop::run_once), one at a time
/// (EV-1101, EV-1102). Both need the loop exclusively, so it cannot be entered twice (EV-511).
///
/// Dropping the loop removes every entry and drops every callback, uncalled (EV-714).
///
/// In a child that was forked without executing another program, leave the loop and its registries alone
/// or drop the loop, which does nothing to the parent's; a removal there would end what the parent watches
/// (EV-1105).
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
pub struct EventLoop<P: Poller = DefaultPoller> {
    registry: Registry<P>,
    poller: P,
    /// What is being freed; keeps its storage.
    freed: Freed<P>,
    process: Process,
    /// Looks for registrations that the poller cannot end.
    stale_detector: StaleDetector,
    panic_policy: PanicPolicy,
    before_wait: Option<Hook>,
    after_dispatch: Option<Hook>,
}

/// What is called in every turn.
type Hook = Box<dyn FnMut() + Send>;

/// Stops a loop, from any thread and from inside callbacks.
#[derive(Debug)]
pub struct Stopper<P: Poller = DefaultPoller> {
    registry: Registry<P>,
}

impl<P: Poller> EventLoop<P> {
    /// A loop on a poller of your choice.
    #[must_use]
    pub fn with_poller(poller: P) -> EventLoop<P> {
        EventLoop {
            registry: Registry::new(poller.registrar().clone()),
            poller,
            freed: Vec::new(),
            process: Process::current(),
            stale_detector: StaleDetector::default(),
            panic_policy: PanicPolicy::default(),
            before_wait: None,
            after_dispatch: None,
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
    /// [`RunError`]; the loop may be run again. Callbacks that panic are an error only with
    /// [`PanicPolicy::Stop`]. [`RunError::ForkedChild`] in a child that was forked from
    /// the process that made the loop (EV-1105).
    pub fn run(&mut self) -> Result<(), RunError> {
        self.check_process()?;
        loop {
            let result = self.run_once(None);
            if self.registry.take_stop() {
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
    /// Unlike [`run`](EventLoop::run) it does not ask which process this is: do not call it in a forked
    /// child.
    ///
    /// # Errors
    ///
    /// [`RunError`]
    pub fn run_once(&mut self, timeout: Option<Duration>) -> Result<(), RunError> {
        let mut panics = Vec::new();
        self.registry.set_is_running(true);
        let stale;
        {
            let mut state = self.registry.lock();
            state.begin_run();
            state.table.begin_frees();
            stale = state.table.take_stale();
        }
        if self.stale_detector.detect(stale) {
            self.recreate_poller();
        }
        drop(dispatch(&self.registry, &mut self.freed, &mut panics));
        if let Some(hook) = &mut self.before_wait {
            hook();
        }
        let timeout = self.prepare_to_wait(timeout);
        trace::wait_began(timeout);
        let waited = self.poller.wait(timeout);

        let mut state = self.registry.lock();
        state.table.wake_up();
        if waited.is_ok() {
            let now = self.registry.now();
            for token in self.poller.lost() {
                state.table.lost(token);
            }
            state.table.begin_turn(now, self.poller.ready());
            state.diagnostics.turn_began(now);
        }
        drop(state);
        if waited.is_ok() {
            let mut state = dispatch(&self.registry, &mut self.freed, &mut panics);
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
        }
        if CHECKS_INVARIANTS {
            if let Err(violation) = self.registry.lock().table.check_invariants() {
                unreachable!("{violation}");
            }
        }
        let result = self.end_turn(panics);
        self.registry.set_is_running(false);
        waited.map_err(RunError::Wait)?;
        result
    }

    /// Frees what has been removed, and what that removes, until nothing waits; calls nothing.
    ///
    /// # Errors
    ///
    /// [`RunError::CallbackPanicked`] if a drop panicked, with [`PanicPolicy::Stop`]; the others are done.
    pub fn drain(&mut self) -> Result<(), RunError> {
        let mut panics = Vec::new();
        while self.registry.lock().table.pending_frees() > 0 {
            self.registry.lock().table.begin_frees();
            drop(dispatch(&self.registry, &mut self.freed, &mut panics));
        }
        self.end_turn(panics)
    }

    /// Sets what is called in every turn before the loop waits: the place for work that collects what
    /// callbacks have left to do. It may use the registry.
    pub fn set_before_wait(&mut self, hook: impl FnMut() + Send + 'static) {
        self.before_wait = Some(Box::new(hook));
    }

    /// Sets what is called in every turn after the last callback and free call. It may use the registry.
    pub fn set_after_dispatch(&mut self, hook: impl FnMut() + Send + 'static) {
        self.after_dispatch = Some(Box::new(hook));
    }

    /// Sets the hook that is called with each [`Warning`], in place of the one that was set before.
    ///
    /// The loop's thread calls it at the end of a turn, when all calls of the turn are over.
    /// [`Warning::NotRunning`] and [`Warning::Blocked`] come from any thread that calls the registry, inside that
    /// call, so the hook must not wait for what that thread may hold. It may use the registry, and no lock of
    /// this library is held while it is called.
    pub fn set_on_warning(&mut self, hook: impl Fn(&Warning) + Send + Sync + 'static) {
        let replaced = self.registry.set_warning_hook(std::sync::Arc::new(hook));
        drop(replaced);
    }

    /// Sets the limits beyond which the loop warns.
    pub fn set_warning_limits(&mut self, limits: WarningLimits) {
        self.registry.set_warning_limits(limits);
    }

    /// Prepares the loop to be waited for by another one: tells its poller what there is to wait for, and
    /// returns how long to wait at most. When that has passed, or [`poll_fd`](EventLoop::poll_fd) is
    /// readable, call [`run_once`](EventLoop::run_once) with a timeout of zero, and prepare again.
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
    ///     // The outer loop, here a bare poll(2).
    ///     let timeout = inner.prepare().map(Timespec::try_from).transpose()?;
    ///     let fd = inner.poll_fd().expect("this poller has one");
    ///     poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref())?;
    ///     inner.run_once(Some(Duration::ZERO))?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prepare(&mut self) -> Option<Duration> {
        self.prepare_to_wait(None)
    }

    /// The descriptor that is readable when the loop has something to do, if the poller has one. Ask for it
    /// again after every turn: a poller that had to be rebuilt has another one (EV-1003).
    #[must_use]
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.poller.poll_fd()
    }

    /// Tells the poller what has changed, works out how long to wait, and notes that others must wake
    /// the loop for what it would sleep past.
    fn prepare_to_wait(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        let mut state = self.registry.lock();
        state.apply_changes(self.registry.registrar());
        let stops = state.table.is_stopping() || self.registry.is_signalled();
        let at_once = timeout.is_some_and(|timeout| timeout.is_zero());
        if at_once || stops || state.table.is_busy() || self.poller.is_always_ready() {
            // It does not sleep, so nobody needs to wake it, and there is no need to know the time.
            return Some(Duration::ZERO);
        }
        let deadline = state.table.next_deadline();
        if timeout.is_none() && deadline.is_none() {
            state.table.fall_asleep(None);
            return None;
        }
        let now = self.registry.now();
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
    /// Makes [`EventLoop::run`] return: the one that runs after its current turn, or else the next one
    /// after one turn that does not wait (EV-907).
    pub fn stop(&self) {
        trace::stop_requested();
        let stopped = self
            .registry
            .change(|state| Ok(((), state.table.request_stop())));
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
