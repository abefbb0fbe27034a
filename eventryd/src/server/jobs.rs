//! Calls that may block: carried out by workers, answered by the loop.
//!
//! A job names its client by number and holds nothing of it. A client that is gone when its call is over is
//! not found any more, and what came of the call is dropped (DM-810).

use super::dispatch::{Outcome, Task};
use crate::driver::Connection;
use crate::session::Ticket;
use crate::sync::Mutex;
use crate::wire::{ErrorDomain, Priority, RemoteError};
use crate::worker_pool::{JobPriority, SubmitError, WorkerLimits, WorkerPool};
use eventry::Registry;
use eventry::TimeoutId;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The workers, and what they have done.
#[derive(Debug)]
pub(super) struct Jobs {
    pool: WorkerPool<Job>,
    done: Arc<Done>,
}

enum Job {
    Call {
        client: u64,
        ticket: Ticket,
        task: Task,
    },
    /// Drops what a client had open.
    Close(Arc<dyn Connection>),
}

/// A call that is over.
pub(super) struct Finished {
    pub(super) client: u64,
    pub(super) ticket: Ticket,
    pub(super) procedure: &'static str,
    pub(super) outcome: Outcome,
}

/// Calls that are over and not yet answered. The loop hears of the first; those that come before it looks are
/// taken along.
struct Done {
    registry: Registry,
    /// Called in the next turn when there is something, and disabled otherwise.
    timeout: OnceLock<TimeoutId>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: Vec<Finished>,
    /// Calls that were handed over and not yet taken back.
    in_flight: usize,
}

impl Jobs {
    pub(super) fn new(registry: Registry, workers: WorkerLimits) -> Jobs {
        let done = Arc::new(Done {
            registry,
            timeout: OnceLock::new(),
            state: Mutex::default(),
        });
        let tell = Arc::clone(&done);
        let pool = WorkerPool::new("worker", workers, move |job| tell.run(job));
        Jobs { pool, done }
    }

    /// Has `answer` called on the loop's thread when calls are over, and starts the workers if any are needed
    /// from the start.
    pub(super) fn begin(&self, needed: bool, answer: impl Fn(Vec<Finished>) + Send + 'static) {
        let done = Arc::clone(&self.done);
        let added = self.done.registry.add_timeout(None, move |event| {
            // Before they are taken: who comes after that enables it again.
            let _ = event.registry.update_timeout(event.id, None);
            answer(done.take());
        });
        match added {
            Ok(timeout) => drop(self.done.timeout.set(timeout)),
            Err(error) => tracing::error!("calls that block are not answered: {error}"),
        }
        if needed {
            if let Err(error) = self.pool.start() {
                tracing::warn!("cannot start all workers yet: {error}");
            }
        }
    }

    /// Has a worker carry out a call; if there is none, returns what to answer.
    pub(super) fn submit(&self, client: u64, ticket: Ticket, task: Task) -> Option<Outcome> {
        let urgency = match task.procedure().priority {
            Priority::High => JobPriority::High,
            Priority::Normal => JobPriority::Normal,
        };
        let job = Job::Call {
            client,
            ticket,
            task,
        };
        self.done.state.lock().in_flight += 1;
        let text = match self.pool.submit(urgency, job) {
            Ok(()) => return None,
            Err(SubmitError::Stopped(_)) => "the daemon is stopping".to_owned(),
            Err(SubmitError::NoWorker(_, error)) => format!("cannot start a worker: {error}"),
        };
        self.done.state.lock().in_flight -= 1;
        tracing::warn!("client {client}: a call is refused: {text}");
        let error = RemoteError::internal(ErrorDomain::RPC, &text);
        Some(Outcome::failed(error))
    }

    /// Drops what a client had open, where that cannot hold up the loop.
    pub(super) fn close(&self, connection: Arc<dyn Connection>) {
        if connection.may_block() {
            // Without a worker it is dropped here: late is better than never.
            let _ = self
                .pool
                .submit(JobPriority::Normal, Job::Close(connection));
        }
    }

    /// Changes how many workers there are.
    pub(super) fn set_workers(&self, workers: WorkerLimits) {
        if let Err(error) = self.pool.set_limits(workers) {
            tracing::warn!("cannot start all workers yet: {error}");
        }
    }

    /// Whether no call runs, waits to be run or waits to be answered.
    pub(super) fn are_over(&self) -> bool {
        self.done.state.lock().in_flight == 0
    }

    /// Takes no more jobs, drops those that wait, and waits for the workers unless one of them is held up
    /// (DM-706).
    pub(super) fn stop(&self) {
        self.pool.stop();
        if self.pool.stats().running == 0 {
            self.pool.join();
        }
    }
}

impl Done {
    fn run(&self, job: Job) {
        let (client, ticket, task) = match job {
            Job::Call {
                client,
                ticket,
                task,
            } => (client, ticket, task),
            Job::Close(connection) => return drop(connection),
        };
        let now = self.registry.now();
        let name = task.procedure().name;
        let run = catch_unwind(AssertUnwindSafe(|| task.run(now)));
        let outcome = run.unwrap_or_else(|_| {
            tracing::error!("client {client}: the driver panicked in {name}");
            let text = "the call has failed in the driver";
            Outcome::failed(RemoteError::internal(ErrorDomain::RPC, text))
        });
        let mut state = self.state.lock();
        let is_first = state.calls.is_empty();
        state.calls.push(Finished {
            client,
            ticket,
            procedure: name,
            outcome,
        });
        drop(state);
        if is_first {
            if let Some(timeout) = self.timeout.get() {
                // It is registered as long as there is a loop.
                let _ = self.registry.update_timeout(*timeout, Duration::ZERO);
            }
        }
    }

    /// What is over, those of one client together and in the order in which they ended.
    fn take(&self) -> Vec<Finished> {
        let mut state = self.state.lock();
        let mut calls = std::mem::take(&mut state.calls);
        state.in_flight -= calls.len();
        drop(state);
        calls.sort_by_key(|finished| finished.client);
        calls
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("in_flight", &self.state.lock().in_flight)
            .finish_non_exhaustive()
    }
}
