//! Loops that run on a thread of their own.

use super::process::Process;
use super::{EventLoop, RunError, Stopper};
use crate::poller::{DefaultPoller, Poller};
use crate::registry::Registry;
use std::io;
use std::thread::{self, JoinHandle};

/// A loop that runs on a thread of its own until it is stopped or dropped.
///
/// The drop stops the loop and waits until its thread has ended. It must not happen while the caller holds a lock that
/// a callback may wait for. It panics as [`join`](LoopThread::join) does, unless the thread is already panicking.
#[derive(Debug)]
pub struct LoopThread<P: Poller = DefaultPoller> {
    stopper: Stopper<P>,
    process: Process,
    /// The thread, or `None` after it was joined.
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl<P: Poller> EventLoop<P> {
    /// Moves the loop to a thread of its own, named `name`, and runs it there until it is stopped.
    ///
    /// ```
    /// use eventry::EventLoop;
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    ///
    /// let thread = EventLoop::new()?.spawn("events")?;
    /// let (sender, receiver) = channel();
    /// thread.registry().add_timeout(Duration::ZERO, move |_| {
    ///     let _ = sender.send(std::thread::current().name().map(str::to_owned));
    /// })?;
    /// assert_eq!(receiver.recv()?.as_deref(), Some("events"));
    /// thread.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the operating system. The loop and its callbacks are then dropped.
    pub fn spawn(mut self, name: &str) -> io::Result<LoopThread<P>> {
        let stopper = self.stopper();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || self.run())?;
        Ok(LoopThread {
            stopper,
            process: Process::current(),
            thread: Some(thread),
        })
    }
}

impl<P: Poller> LoopThread<P> {
    /// Returns the registry of the loop.
    #[must_use]
    pub fn registry(&self) -> Registry<P> {
        self.stopper.registry.clone()
    }

    /// Returns a stopper of the loop.
    #[must_use]
    pub fn stopper(&self) -> Stopper<P> {
        self.stopper.clone()
    }

    /// Stops the loop and waits until its thread has ended. Inside one of its own callbacks, it does not wait.
    ///
    /// # Errors
    ///
    /// The error that ended the run, if there was one; [`RunError::ForkedChild`] in a forked child, which does not
    /// have the thread (EV-1105).
    ///
    /// # Panics
    ///
    /// If the drop of the loop on its thread has panicked, because the drop of a callback or source panicked.
    pub fn join(mut self) -> Result<(), RunError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), RunError> {
        if self.process.is_parent() {
            return Err(RunError::ForkedChild);
        }
        self.stopper.stop();
        match self.thread.take() {
            Some(thread) if thread.thread().id() != thread::current().id() => match thread.join() {
                Ok(ended) => ended,
                // The thread panics only if the drop of a callback or source panicked while the loop was dropped.
                Err(panic) => std::panic::resume_unwind(panic),
            },
            _ => Ok(()),
        }
    }
}

impl<P: Poller> Drop for LoopThread<P> {
    fn drop(&mut self) {
        if thread::panicking() && !self.process.is_parent() {
            self.stopper.stop();
        } else {
            // The error is ignored here; `join` returns it.
            let _ = self.end();
        }
    }
}
