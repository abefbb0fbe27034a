//! The lock and its companions, and the only place that names loom.
//!
//! Under `--cfg loom` the same names are loom's, so that the model checker sees every step. The lock
//! never reports poisoning: no user code runs while it is held, so a panic inside it could only be our
//! own bug, and what it guards is checked by `check_invariants`.

#[cfg(loom)]
use loom::{sync as imp, thread};
#[cfg(not(loom))]
use std::{sync as imp, thread};

pub(crate) use imp::Arc;
pub(crate) use imp::atomic::AtomicBool;
pub(crate) use thread::ThreadId;

/// Selects whether the loop checks the invariants of the table after every turn. Release builds do not, but for loom.
pub(crate) const CHECKS_INVARIANTS: bool = cfg!(any(debug_assertions, loom));

/// Which thread this is.
pub(crate) fn current_thread() -> ThreadId {
    thread::current().id()
}

/// Lets other threads run.
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

    /// The lock if nobody holds it, the calling thread included.
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

/// A condition variable that goes with [`Mutex`].
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
