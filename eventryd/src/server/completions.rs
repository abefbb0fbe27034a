//! The queue of results from other threads: workers and polkit threads fill it, and the loop's thread empties it.

use super::handle_call::CallOutcome;
use crate::session::{AuthResult, Ticket};
use crate::sync::Mutex;
use eventry::{Registry, TimeoutId};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A result for a client. It contains only the id of the client: the result for a closed client is dropped
/// (DM-810).
pub(super) enum Completion {
    Call(CompletedCall),
    Authentication {
        client: u64,
        ticket: Ticket,
        result: AuthResult,
    },
}

/// A call that a worker has executed.
pub(super) struct CompletedCall {
    pub(super) client: u64,
    pub(super) ticket: Ticket,
    pub(super) procedure: &'static str,
    pub(super) outcome: CallOutcome,
}

/// The queue. Its first result wakes the loop, which takes all results.
pub(super) struct CompletionQueue {
    registry: Registry,
    /// Due in the next turn while the queue has results, and disabled otherwise.
    timeout: OnceLock<TimeoutId>,
    results: Mutex<Vec<Completion>>,
}

impl Completion {
    pub(super) const fn client(&self) -> u64 {
        match self {
            Completion::Call(call) => call.client,
            Completion::Authentication { client, .. } => *client,
        }
    }
}

impl CompletionQueue {
    pub(super) fn new(registry: Registry) -> CompletionQueue {
        CompletionQueue {
            registry,
            timeout: OnceLock::new(),
            results: Mutex::default(),
        }
    }

    /// Sets the function that receives the results, on the loop's thread.
    pub(super) fn begin(self: &Arc<Self>, complete: impl Fn(Vec<Completion>) + Send + 'static) {
        let queue = Arc::clone(self);
        let added = self.registry.add_timeout(None, move |event| {
            // Disabled before the results are taken: a later result enables it again.
            let _ = event.registry.update_timeout(event.id, None);
            complete(queue.take());
        });
        match added {
            Ok(timeout) => drop(self.timeout.set(timeout)),
            Err(error) => tracing::error!("cannot complete calls of workers: {error}"),
        }
    }

    /// Adds a result, from any thread.
    pub(super) fn push(&self, completion: Completion) {
        let mut results = self.results.lock();
        let is_first = results.is_empty();
        results.push(completion);
        drop(results);
        if let Some(timeout) = self.timeout.get().filter(|_| is_first) {
            // The timeout is registered until the loop is dropped.
            let _ = self.registry.update_timeout(*timeout, Duration::ZERO);
        }
    }

    /// Takes all results, grouped by client and in the order of their arrival.
    fn take(&self) -> Vec<Completion> {
        let mut results = std::mem::take(&mut *self.results.lock());
        results.sort_by_key(Completion::client);
        results
    }
}

impl fmt::Debug for CompletionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionQueue")
            .field("results", &self.results.lock().len())
            .finish_non_exhaustive()
    }
}
