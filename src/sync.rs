//! Locks, condition variables and threads: the only module that uses loom.
//!
//! Under `--cfg loom` the types are loom's, so that the model checker sees every access. The lock ignores
//! poisoning: no user code runs while it is held, so only a bug of this library can panic there, and
//! `check_invariants` checks the guarded value.

#[cfg(loom)]
use loom::{sync as imp, thread};
#[cfg(not(loom))]
use std::{sync as imp, thread};

pub(crate) use imp::Arc;
pub(crate) use imp::atomic::{AtomicBool, AtomicU64, fence};

/// Set if the loop checks the invariants of the table after every turn: in debug builds and under loom.
pub(crate) const CHECKS_INVARIANTS: bool = cfg!(any(debug_assertions, loom));

/// The identity of a running thread. A thread that is started later may have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadId(#[cfg(loom)] thread::ThreadId, #[cfg(not(loom))] usize);

/// Returns the id of the current thread.
#[cfg(loom)]
pub(crate) fn current_thread() -> ThreadId {
    ThreadId(thread::current().id())
}

/// Returns the id of the current thread: the address of one of its variables, because the standard library's id takes
/// several times as long to read.
#[cfg(not(loom))]
pub(crate) fn current_thread() -> ThreadId {
    std::thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| ThreadId(std::ptr::from_ref(mark).addr()))
}

/// Lets the scheduler run another thread.
pub(crate) fn yield_now() {
    thread::yield_now();
}

/// A mutual exclusion lock without poisoning.
#[allow(clippy::disallowed_types, reason = "this is the facade over it")]
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

#[allow(clippy::disallowed_types, reason = "this is the facade over it")]
pub(crate) type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        #[allow(clippy::disallowed_types, reason = "this is the facade over it")]
        Mutex(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes the lock unless a thread holds it. The holder may be the calling thread.
    #[cfg(not(loom))]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

/// A condition variable for [`Mutex`].
#[allow(clippy::disallowed_types, reason = "this is the facade over it")]
#[derive(Debug)]
pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        #[allow(clippy::disallowed_types, reason = "this is the facade over it")]
        Condvar(imp::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0
            .wait(guard)
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
