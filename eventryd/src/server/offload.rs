//! Calls that may block: workers execute them, and the loop's thread answers them.

use super::completions::{CompletedCall, Completion, CompletionQueue};
use super::handle_call::{CallOutcome, PreparedCall};
use crate::driver::HypervisorSession;
use crate::session::Ticket;
use crate::wire::{ErrorDomain, Priority, RemoteError};
use crate::worker_pool::{JobPriority, SubmitError, WorkerLimits, WorkerPool};
use eventry::Registry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The workers.
#[derive(Debug)]
pub(super) struct Offload {
    pool: WorkerPool<Job>,
    /// The number of calls that were submitted and not taken from the queue of results.
    in_flight: AtomicUsize,
}

enum Job {
    Call {
        client: u64,
        ticket: Ticket,
        call: PreparedCall,
    },
    /// Drops the hypervisor session of a client.
    Close(Arc<dyn HypervisorSession>),
}

impl Offload {
    pub(super) fn new(
        registry: Registry,
        workers: WorkerLimits,
        completions: Arc<CompletionQueue>,
    ) -> Offload {
        let pool = WorkerPool::new("worker", workers, move |job| match job {
            Job::Call {
                client,
                ticket,
                call,
            } => {
                let completed = run(&registry, client, ticket, call);
                completions.push(Completion::Call(completed));
            }
            Job::Close(session) => drop(session),
        });
        let in_flight = AtomicUsize::new(0);
        Offload { pool, in_flight }
    }

    /// Starts the minimum number of workers.
    pub(super) fn start(&self) {
        if let Err(error) = self.pool.start() {
            tracing::warn!("cannot start all workers yet: {error}");
        }
    }

    /// Passes a call to a worker. Returns the outcome if there is no worker.
    pub(super) fn submit(
        &self,
        client: u64,
        ticket: Ticket,
        call: PreparedCall,
    ) -> Option<CallOutcome> {
        let urgency = match call.procedure().priority {
            Priority::High => JobPriority::High,
            Priority::Normal => JobPriority::Normal,
        };
        let job = Job::Call {
            client,
            ticket,
            call,
        };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let text = match self.pool.submit(urgency, job) {
            Ok(()) => return None,
            Err(SubmitError::Stopped(_)) => "the daemon is stopping".to_owned(),
            Err(SubmitError::NoWorker(_, error)) => format!("cannot start a worker: {error}"),
        };
        self.completed(1);
        tracing::warn!("client {client}: call refused: {text}");
        let error = RemoteError::internal(ErrorDomain::RPC, &text);
        Some(CallOutcome::failed(error))
    }

    /// Records that this number of calls was taken from the queue of results.
    pub(super) fn completed(&self, calls: usize) {
        // The lock of the server's state orders this with the check that the daemon is draining.
        self.in_flight.fetch_sub(calls, Ordering::Relaxed);
    }

    /// Drops the hypervisor session of a client, on a worker if that may block.
    pub(super) fn close(&self, session: Arc<dyn HypervisorSession>) {
        if session.may_block() {
            // Without a worker the session is dropped here.
            let _ = self.pool.submit(JobPriority::Normal, Job::Close(session));
        }
    }

    /// Changes the number of workers.
    pub(super) fn set_workers(&self, workers: WorkerLimits) {
        if let Err(error) = self.pool.set_limits(workers) {
            tracing::warn!("cannot start all workers yet: {error}");
        }
    }

    /// Returns `true` if no call is running, waiting for a worker or waiting for its reply.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// Rejects new jobs, drops waiting ones, and waits for the workers unless one is busy (DM-706).
    pub(super) fn stop(&self) {
        self.pool.stop();
        if self.pool.stats().running == 0 {
            self.pool.join();
        }
    }
}

/// Executes a call on a worker. A panic in the driver makes only this call fail.
fn run(registry: &Registry, client: u64, ticket: Ticket, call: PreparedCall) -> CompletedCall {
    let now = registry.now();
    let procedure = call.procedure().name;
    let outcome = catch_unwind(AssertUnwindSafe(|| call.run(now)));
    let outcome = outcome.unwrap_or_else(|_| {
        tracing::error!("client {client}: the driver panicked in {procedure}");
        let text = "the call has failed in the driver";
        CallOutcome::failed(RemoteError::internal(ErrorDomain::RPC, text))
    });
    CompletedCall {
        client,
        ticket,
        procedure,
        outcome,
    }
}
