//! The lock around the table, and the operations that every thread may call.
//!
//! A [`Registry`] is a cheap reference to the table of one loop: it can be cloned, sent, and called from any thread
//! and inside any callback. Each operation takes the one lock, changes the [`Table`], deregisters from the poller
//! and releases the lock. It never calls or frees a callback, and only the removals whose names end in `_and_wait`
//! wait for one. The loop is woken only if it would sleep past the change, and at most once per sleep.

mod callback;
mod error;
mod handle;
mod next;
mod published;
mod signalled;
mod stats;
mod timeout;
pub(crate) mod trace;
mod warn;

pub(crate) use callback::{Callback, boxed, unboxed};
pub use error::{AddError, RemoveError};
pub use handle::HandleEvent;
pub use next::Next;
use published::Published;
pub use stats::Stats;
pub use timeout::TimeoutEvent;

use crate::diagnostics::Diagnostics;
use crate::id::Key;
use crate::poller::{DefaultPoller, Poller, Registrar};
use crate::sync::{Arc, AtomicBool, Condvar, Mutex, MutexGuard, ThreadId, current_thread};
use crate::table::{Change, Effects, EntryId, EntryName, NotRegistered, Removal, Table, int_id_of};
use crate::time::MonotonicTime;
use std::fmt;
use std::io;
use std::sync::atomic::{self, AtomicU32, Ordering};
pub(crate) use warn::Pending;

/// The result of a change and its effects.
pub(crate) type Changed<'a, T, E, P = DefaultPoller> =
    Result<(T, Effects<'a, <P as Poller>::Source>), E>;

/// The id of the added entry, or an error with source and callback.
pub(crate) type Inserted<I, S, P = DefaultPoller> = Result<I, AddError<S, Callback<P>>>;

/// The interface of one event loop for all threads: adds, updates and removes handles and timeouts, also from inside
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
    /// Notified when a call is over and threads wait for one.
    finished: Condvar,
    registrar: P::Registrar,
    /// The largest integer id; 0 if the entries have none.
    int_ids: i32,
    /// True while a thread runs the loop. Only the choice between two warnings depends on it.
    is_running: atomic::AtomicBool,
    /// True after a signal handler has requested a stop. It is stored without the lock.
    signalled: AtomicBool,
    /// True if the table may have a stop request, so that a turn without one does not take the lock for it.
    may_stop: atomic::AtomicBool,
    published: Published,
}

/// The data that the lock protects.
pub(crate) struct State<P: Poller> {
    pub(crate) table: Table<Callback<P>, P::Source>,
    /// The thread that runs the loop, or else the one that ran it last. While a call is in flight, a thread runs it.
    runner: Option<ThreadId>,
    /// The number of threads that wait until a call is over.
    waiters: usize,
    /// The number of entries that were taken out of the table and are being dropped.
    pub(crate) freeing: usize,
    pub(crate) stats: Stats,
    pub(crate) diagnostics: Diagnostics,
}

impl<P: Poller> Registry<P> {
    /// Creates a registry whose entries have integer ids from 1 to `int_ids`, or with 0 none.
    pub(crate) fn new(registrar: P::Registrar, int_ids: i32) -> Registry<P> {
        static LOOPS: AtomicU32 = AtomicU32::new(0);
        let number = LOOPS.fetch_add(1, Ordering::Relaxed);
        let mut table = Table::new(number);
        if int_ids > 0 {
            table.assign_int_ids(int_ids);
        }
        Registry {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    table,
                    runner: None,
                    waiters: 0,
                    freeing: 0,
                    stats: Stats::default(),
                    diagnostics: Diagnostics::new(registrar.coarse_tick()),
                }),
                finished: Condvar::new(),
                registrar,
                int_ids,
                is_running: atomic::AtomicBool::new(false),
                signalled: AtomicBool::new(false),
                may_stop: atomic::AtomicBool::new(false),
                published: Published::new(),
            }),
        }
    }

    /// Returns the integer id of the entry with this key.
    #[inline]
    pub(crate) fn int_id(&self, key: Key) -> i32 {
        int_id_of(key.serial.get(), self.shared.int_ids)
    }

    /// Takes the lock. No callback is called or freed while it is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.shared.state.lock()
    }

    /// Makes one change to the table and applies its effects.
    pub(crate) fn change<T, E>(
        &self,
        change: impl FnOnce(&mut State<P>) -> Changed<'_, T, E, P>,
    ) -> Result<T, E> {
        self.change_at(None, change)
    }

    /// Makes one change, at the time `now` if the caller has read the clock.
    fn change_at<T, E>(
        &self,
        now: Option<MonotonicTime>,
        change: impl FnOnce(&mut State<P>) -> Changed<'_, T, E, P>,
    ) -> Result<T, E> {
        let mut state = self.lock();
        let mut pending = Pending::default();
        let result = change(&mut state).map(|(result, effects)| {
            pending = self.apply(effects);
            result
        });
        if pending.woke {
            state.stats.wakes += 1;
        }
        pending.checks = state
            .diagnostics
            .changed(now, self.shared.published.count());
        pending.yields = pending.yields && state.runner != Some(current_thread());
        drop(state);
        if pending.woke {
            self.wake();
        }
        self.finish(pending);
        result
    }

    /// Applies the effects that require the lock, and returns the others.
    pub(crate) fn apply(&self, effects: Effects<'_, P::Source>) -> Pending {
        if let Some(source) = effects.deregister {
            self.registrar().deregister(source);
        }
        Pending {
            woke: effects.wake,
            yields: effects.yield_to_loop,
            checks: false,
        }
    }

    /// Returns whether no entry is registered or waits to be freed, so that all callbacks have been dropped.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        let entries = state.table.handle_count() + state.table.timeout_count();
        entries == 0 && state.freeing == 0
    }

    /// Returns the numbers of entries, and the counters of the loop.
    ///
    /// This checks for overdue work, so it may call the warning hook.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let overdue = self.check_overdue();
        let state = self.lock();
        let longest = state.diagnostics.longest();
        Stats {
            overdue,
            longest_callback: longest.callback,
            longest_turn: longest.turn,
            handles: state.table.handle_count(),
            timeouts: state.table.timeout_count(),
            pending_frees: state.table.pending_frees() + state.freeing,
            ..state.stats
        }
    }

    /// Removes an entry.
    pub(crate) fn remove<I: EntryId>(
        &self,
        name: impl EntryName<I>,
    ) -> Result<Removal, NotRegistered> {
        let (id, removal) = self.change(|state| {
            let id = name.id(&state.table)?;
            self.observe(state, id);
            let (removal, effects) = id.remove(&mut state.table)?;
            Ok(((id, removal), effects))
        })?;
        trace::removed(id, removal);
        Ok(removal)
    }

    /// Removes an entry and waits until its last call is over.
    pub(crate) fn remove_and_wait<I: EntryId>(
        &self,
        name: impl EntryName<I>,
    ) -> Result<(), RemoveError> {
        let (id, removal) = self.change(|state| {
            let id = name.id(&state.table)?;
            self.observe(state, id);
            if id.is_in_flight(&state.table) && state.runner == Some(current_thread()) {
                return Err(RemoveError::WouldDeadlock);
            }
            let (removal, effects) = id.remove(&mut state.table)?;
            Ok(((id, removal), effects))
        })?;
        trace::removed(id, removal);
        if removal == Removal::InFlight {
            let mut state = self.lock();
            state.waiters += 1;
            while id.is_in_flight(&state.table) {
                state = self.shared.finished.wait(state);
            }
            state.waiters -= 1;
        }
        Ok(())
    }

    /// Observes which call has begun, before a change of an entry that is taken for a call.
    #[inline]
    pub(crate) fn observe<I: EntryId>(&self, state: &mut State<P>, id: I) {
        if id.is_taken(&state.table) {
            let published = self.shared.published.count_change();
            state.table.observe(published);
        }
    }

    pub(crate) fn published(&self) -> &Published {
        &self.shared.published
    }

    /// Notifies the threads that wait until a call is over.
    pub(crate) fn notify_waiters(&self, state: &State<P>) {
        if state.waiters > 0 {
            self.shared.finished.notify_all();
        }
    }

    /// Wakes the loop. An error is ignored, because it means that the poller is broken, and the loop's own wait
    /// reports that.
    fn wake(&self) {
        let _ = self.shared.registrar.wake();
    }

    pub(crate) fn registrar(&self) -> &P::Registrar {
        &self.shared.registrar
    }

    /// Returns the time of the loop's clock, for deadlines of the program that are compared with the loop's.
    #[must_use]
    pub fn now(&self) -> MonotonicTime {
        self.shared.registrar.now()
    }
}

impl<P: Poller> State<P> {
    /// Applies all changes to the poller, before the loop sleeps.
    pub(crate) fn apply_changes(&mut self, registrar: &P::Registrar) {
        while let Some(change) = self.table.next_change() {
            let fd = change.fd();
            let is_known = matches!(change, Change::Reregister { .. });
            match apply(registrar, change) {
                Ok(()) => {}
                Err(error) if is_known && error.kind() == io::ErrorKind::NotFound => {
                    self.table.registration_not_found(fd);
                }
                Err(_) => self.table.refused(fd),
            }
        }
    }

    /// Records that the current thread runs the loop.
    #[inline]
    pub(crate) fn begin_run(&mut self) {
        self.runner = Some(current_thread());
        self.stats.turns += 1;
    }
}

#[inline]
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
            .inspect_err(|error| {
                // The table assumes that a refused descriptor is not registered, so the old registration must end.
                if error.kind() != io::ErrorKind::NotFound {
                    registrar.deregister(source);
                }
            }),
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
            .field("handles", &state.table.handle_count())
            .field("timeouts", &state.table.timeout_count())
            .field("pending_frees", &state.table.pending_frees())
            .finish()
    }
}
