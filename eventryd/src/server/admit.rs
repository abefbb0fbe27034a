//! The steps of admission control: waiting clients are admitted, others are evicted.

use super::state::Server;
use crate::admission::{AdmissionLimit, AdmissionStep, Shortage};
use std::time::Duration;

/// The maximum number of steps in one turn, so that other callbacks are called.
const STEP_BUDGET: usize = 64;

impl Server {
    /// Admits waiting clients to free slots, and evicts clients for them.
    pub(super) fn admit_waiting(&self) {
        for _ in 0..STEP_BUDGET {
            match self.next_step() {
                None => return self.log_waiting(),
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

    /// Logs the clients that have sent something since the last step, and wait.
    fn log_waiting(&self) {
        let next = || {
            let state = &mut *self.state.lock();
            let (id, shortage) = state.admission.clients.next_shortage()?;
            Some((id, shortage, state.clients.identity_of(id)))
        };
        while let Some((id, shortage, identity)) = next() {
            let Some(identity) = identity else {
                continue;
            };
            match shortage {
                // Clients are anonymous for a short time, so most of them do not wait for long.
                Shortage::Limit(AdmissionLimit::Anonymous(_)) => {
                    tracing::info!("client {id} waits for a slot: {shortage}; {identity}");
                }
                _ => tracing::warn!("client {id} waits for a slot: {shortage}; {identity}"),
            }
        }
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
