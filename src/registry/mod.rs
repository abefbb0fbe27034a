//! The lock around the table, and what every thread may call.
//!
//! A [`Registry`] is a cheap handle to one loop's table: clone it, send it, call it from any thread and
//! from inside any callback. Each call takes the one lock, decides in the [`Core`], tells the poller and
//! lets go; a callback is never called, freed or waited for here. The loop is woken only if it sleeps
//! past the change, and at most once per sleep.

mod error;
mod handle;
mod health;
mod next;
mod signalled;
mod stats;
mod timeout;
pub(crate) mod trace;
mod warning;

pub use error::{AddError, RemoveError};
pub use handle::HandleEvent;
pub use next::Next;
pub use stats::Stats;
pub use timeout::TimeoutEvent;
pub use warning::{Limits, SlowCallback, Warning};

use crate::core::{Change, Core, NotRegistered, Removal};
use crate::events::Events;
use crate::id::Key;
use crate::planted::{Defect, planted};
use crate::poller::{DefaultPoller, Poller, Registrar};
use crate::sync::{Arc, AtomicBool, Condvar, Mutex, MutexGuard, ThreadId, current_thread};
use crate::time::Time;
#[cfg(not(loom))]
pub(crate) use health::WarningHook;
use health::{Health, Notices};
use std::fmt;
use std::io;
use std::sync::atomic::{self, AtomicU32, Ordering};

/// A callback as the table keeps it: called with the registry, the entry's key and, for a handle, the
/// events, it says what to do next; dropping it is its free call.
pub(crate) type Callback<P> = Box<dyn FnMut(&Registry<P>, Key, Events) -> Next + Send>;

/// Adds, updates and removes handles and timeouts of one event loop, from any thread and from inside
/// callbacks (EV-613, EV-1104).
///
/// ```
/// use eventry::{EventLoop, Events};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// let mut event_loop = EventLoop::new()?;
/// let registry = event_loop.registry();
/// let (near, mut far) = UnixStream::pair()?;
/// near.set_nonblocking(true)?;
///
/// registry.add_handle(near, Events::READABLE, |event| {
///     let mut line = [0; 16];
///     let got = event.source.as_ref().read(&mut line).unwrap();
///     assert_eq!(&line[..got], b"hello");
///     event.registry.remove_handle(event.id).unwrap();
/// })?;
///
/// far.write_all(b"hello")?;
/// event_loop.run_once(None)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Registry<P: Poller = DefaultPoller> {
    shared: Arc<Shared<P>>,
}

struct Shared<P: Poller> {
    state: Mutex<State<P>>,
    /// Told when a call is over that somebody waits for.
    finished: Condvar,
    registrar: P::Registrar,
    /// Whether some thread is inside the loop. Nothing but the wording of a warning depends on it.
    is_run: atomic::AtomicBool,
    /// Whether a signal asked the loop to stop. Stored without the lock.
    signalled: AtomicBool,
}

/// What the lock guards.
pub(crate) struct State<P: Poller> {
    pub(crate) core: Core<Callback<P>, P::Source>,
    sleep: Sleep,
    /// Whether somebody asked the loop to stop; stays set until a run has ended by it (EV-907).
    pub(crate) stop: bool,
    /// The thread that runs the loop, or ran it last. While a call is in flight, it is the former.
    runner: Option<ThreadId>,
    /// How many threads wait for a call to be over.
    waiters: usize,
    /// How many entries have left the table and are being dropped.
    pub(crate) freeing: usize,
    pub(crate) stats: Stats,
    pub(crate) health: Health,
}

/// So many entries may be removed before somebody thinks of the loop, which has to free them.
const MANY_FREES: usize = 16384;

/// What the loop is doing, as far as waking it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    /// It will look at the table before it sleeps again.
    Awake,
    /// It waits, or is about to, until this time at most.
    Until(Option<Time>),
}

impl<P: Poller> Registry<P> {
    pub(crate) fn new(registrar: P::Registrar) -> Registry<P> {
        static LOOPS: AtomicU32 = AtomicU32::new(0);
        let number = LOOPS.fetch_add(1, Ordering::Relaxed);
        Registry {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    core: Core::new(number),
                    sleep: Sleep::Awake,
                    stop: false,
                    runner: None,
                    waiters: 0,
                    freeing: 0,
                    stats: Stats::default(),
                    health: Health::default(),
                }),
                finished: Condvar::new(),
                registrar,
                is_run: atomic::AtomicBool::new(false),
                signalled: AtomicBool::new(false),
            }),
        }
    }

    /// The lock. No callback is called or freed while it is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.shared.state.lock()
    }

    /// Makes one change to the table and everything that follows from it: tells the poller before the
    /// lock is released, and wakes the loop afterwards if it sleeps past the change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State<P>) -> T) -> T {
        let (result, notices) = self.change_quietly(change);
        self.tell(notices);
        result
    }

    /// The same for callers who hold a lock of their own; they tell later.
    fn change_quietly<T>(&self, change: impl FnOnce(&mut State<P>) -> T) -> (T, Notices) {
        if planted(Defect::WakeBeforeChange) {
            self.wake();
        }
        let mut state = self.lock();
        let result = change(&mut state);
        state.apply_urgent_change(self.registrar());
        let wakes = !planted(Defect::WakeBeforeChange) && state.must_wake();
        let looks = state.health.changed();
        let outruns = state.is_outrun();
        drop(state);
        if wakes {
            self.wake();
        }
        let notices = Notices {
            wakes,
            looks,
            outruns,
        };
        (result, notices)
    }

    /// Whether nothing is registered and nothing waits to be freed: everything that callbacks hold has
    /// been given back.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        let entries = state.core.handle_count() + state.core.timeout_count();
        entries == 0 && state.freeing == 0
    }

    /// How much there is and what the loop has done so far.
    ///
    /// Looks after the work that waits, so the warning that nobody runs the loop may come from here.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let overdue = self.look();
        let state = self.lock();
        Stats {
            overdue,
            handles: state.core.handle_count(),
            timeouts: state.core.timeout_count(),
            pending_frees: state.core.pending_frees() + state.freeing,
            ..state.stats
        }
    }

    /// Removes an entry and waits until its last call is over.
    fn remove_and_wait(
        &self,
        id: impl fmt::Debug,
        remove: impl FnOnce(&mut State<P>) -> Result<Removal, NotRegistered>,
        is_in_flight: impl Fn(&State<P>) -> bool,
    ) -> Result<(), RemoveError> {
        let removal = self.change(|state| {
            if is_in_flight(state) && state.runner == Some(current_thread()) {
                return Err(RemoveError::WouldDeadlock);
            }
            Ok(remove(state)?)
        })?;
        trace::removed(id, removal);
        if removal == Removal::InFlight {
            let mut state = self.lock();
            state.waiters += 1;
            while is_in_flight(&state) {
                state = self.shared.finished.wait(state);
            }
            state.waiters -= 1;
        }
        Ok(())
    }

    /// Tells those who wait for it that a call is over.
    pub(crate) fn call_is_over(&self, state: &State<P>) {
        if state.waiters > 0 && !planted(Defect::WaiterForgotten) {
            self.shared.finished.notify_all();
        }
    }

    /// Wakes the loop. A wake that cannot be sent is lost on a poller that is beyond help: the loop's
    /// own wait reports what is wrong with it.
    fn wake(&self) {
        let _ = self.shared.registrar.wake();
    }

    pub(crate) fn registrar(&self) -> &P::Registrar {
        &self.shared.registrar
    }

    /// The time of the loop's clock, for deadlines of the program's own that are compared with the loop's.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.registrar.now()
    }
}

impl<P: Poller> State<P> {
    /// Notes that the loop goes to sleep until `until` at most.
    pub(crate) fn fall_asleep(&mut self, until: Option<Time>) {
        self.sleep = Sleep::Until(until);
    }

    /// Notes that the loop looks at the table again.
    pub(crate) fn wake_up(&mut self) {
        if !planted(Defect::WakingNotNoted) {
            self.sleep = Sleep::Awake;
        }
    }

    /// Tells the poller everything it must know before the loop sleeps.
    pub(crate) fn apply_changes(&mut self, registrar: &P::Registrar) {
        while let Some(change) = self.core.next_change() {
            let fd = change.fd();
            let is_known = matches!(change, Change::Reregister { .. });
            match apply(registrar, change) {
                Ok(()) => {}
                Err(error) if is_known && error.kind() == io::ErrorKind::NotFound => {
                    self.core.forgotten(fd);
                }
                Err(_) => self.core.refused(fd),
            }
        }
    }

    /// Notes that the current thread runs the loop.
    pub(crate) fn begin_run(&mut self) {
        self.runner = Some(current_thread());
        self.stop &= !planted(Defect::StopForgotten);
        self.stats.turns += 1;
    }

    /// Tells the poller what cannot wait.
    pub(crate) fn apply_urgent_change(&mut self, registrar: &P::Registrar) {
        if let Some(change) = self.core.urgent_change() {
            // Only ends of registrations are urgent, and those do not fail.
            let _ = apply(registrar, change);
        }
    }

    /// Whether another thread removes faster than the loop frees, so that it had better give way: it would
    /// keep the loop from its other work, and what waits to be freed would pile up. Seldom true, for how long
    /// giving way takes depends on what else runs on the machine.
    fn is_outrun(&self) -> bool {
        let frees = self.core.pending_frees();
        frees > 0 && frees % MANY_FREES == 0 && self.runner != Some(current_thread())
    }

    /// Whether the loop sleeps past something it should do now. Answers once per sleep: one wake is
    /// enough.
    fn must_wake(&mut self) -> bool {
        let Sleep::Until(until) = self.sleep else {
            return false;
        };
        let deadline = self.core.next_deadline();
        let nearer = match (deadline, until) {
            (Some(deadline), Some(until)) => deadline < until,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let nearer = nearer && !planted(Defect::NoWakeForNearerDeadline);
        let changed = self.core.has_changes() && !planted(Defect::NoWakeForChange);
        let stops = self.stop && !planted(Defect::NoWakeForStop);
        let busy = self.core.is_busy() && !planted(Defect::NoWakeForFree);
        let wake = nearer || changed || stops || busy;
        if wake {
            self.sleep = Sleep::Awake;
            self.stats.wakes += 1;
        }
        wake
    }
}

fn apply<R: Registrar>(registrar: &R, change: Change<'_, R::Source>) -> io::Result<()> {
    match change {
        Change::Register {
            source,
            token,
            interest,
            ..
        } => registrar.register(source, token, interest),
        Change::Reregister {
            source,
            token,
            interest,
            ..
        } => registrar
            .reregister(source, token, interest)
            // The table takes a refused descriptor for unknown to the poller; so it had better be.
            .inspect_err(|_| registrar.deregister(source)),
        Change::Deregister { source, .. } => {
            registrar.deregister(source);
            Ok(())
        }
    }
}

impl<P: Poller> Clone for Registry<P> {
    fn clone(&self) -> Registry<P> {
        Registry {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P: Poller> fmt::Debug for Registry<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Registry")
            .field("handles", &state.core.handle_count())
            .field("timeouts", &state.core.timeout_count())
            .field("pending_frees", &state.core.pending_frees())
            .field("sleep", &state.sleep)
            .finish()
    }
}
