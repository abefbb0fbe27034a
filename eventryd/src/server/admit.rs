//! The steps of admission control: waiting clients are admitted, others are evicted.

use super::state::Server;
use crate::admission::{AdmissionLimit, AdmissionStep};
use std::time::Duration;

/// The maximum number of steps in one turn, so that other callbacks are called.
const STEP_BUDGET: usize = 64;

impl Server {
    /// Admits waiting clients to free slots, and evicts clients for them.
    pub(super) fn admit_waiting(&self) {
        for _ in 0..STEP_BUDGET {
            match self.next_step() {
                None => return,
                Some(AdmissionStep::Admit(id)) => self.drive(id, |client, now| {
                    tracing::debug!("client {id} admitted");
                    client.connection.admit(now);
                }),
                Some(AdmissionStep::Evict { id, limit }) => self.evict(id, limit),
            }
        }
        self.admit_after(Some(Duration::ZERO));
    }

    fn next_step(&self) -> Option<AdmissionStep> {
        let now = self.registry.now();
        let state = &mut *self.state.lock();
        let step = state.admission.clients.next(now);
        if step.is_none() {
            let retry = state.admission.clients.retry_at(now);
            self.admit_after(retry.map(|at| at.saturating_duration_since(now)));
        }
        step
    }

    /// Evicts a client: its slot goes to another one.
    fn evict(&self, id: u64, limit: AdmissionLimit) {
        let Some(client) = self.state.lock().clients.take(id) else {
            return;
        };
        if client.connection.is_lingering() {
            tracing::debug!("client {id} gone: another client needs its slot");
            return self.close(client);
        }
        let deficit = if client.connection.session().is_anonymous() {
            "is not authenticated"
        } else {
            "has made no call"
        };
        let identity = client.identity();
        tracing::warn!("client {id} evicted: {limit} reached and the client {deficit}; {identity}");
        self.close(client);
    }
}
