//! Locks, condition variables and threads: the only module of the daemon that uses loom.
//!
//! Under `--cfg loom` the types are loom's, so that the model checker sees every access. The lock ignores
//! poisoning: a panic while it is held is a bug of the daemon, and the next user of the lock continues.

#[cfg(loom)]
use loom::{sync as imp, thread};
#[cfg(not(loom))]
use std::{sync as imp, thread};

pub(crate) use imp::Arc;

/// Runs `work` on a new thread with this name.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map(drop)
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

    /// Waits while `condition` holds, for `timeout` at most. loom has no time: there it waits without a limit.
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: std::time::Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        #[cfg(loom)]
        {
            let _ = timeout;
            let mut guard = guard;
            while condition(&mut guard) {
                guard = self.wait(guard);
            }
            guard
        }
        #[cfg(not(loom))]
        {
            let waited = self.0.wait_timeout_while(guard, timeout, &mut condition);
            waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
        }
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
