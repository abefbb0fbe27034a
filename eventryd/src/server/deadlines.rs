//! The one timeout of the loop that calls clients when their time has come.

use crate::flow::Agenda;
use crate::sync::Mutex;
use eventry::Time;
use eventry::TimeoutId;
use eventry::{Registry, registry::TimeoutEvent};
use std::sync::OnceLock;

/// The deadlines of all clients.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// The one timeout.
    timeout: OnceLock<TimeoutId>,
    agenda: Mutex<Agenda>,
}

impl Deadlines {
    /// Makes the timeout; `on_time` is called with whoever is due.
    pub(super) fn begin(
        &self,
        registry: &Registry,
        on_time: impl FnMut(TimeoutEvent<'_>) + Send + 'static,
    ) {
        if self.timeout.get().is_none() {
            match registry.add_timeout(None, on_time) {
                Ok(timeout) => drop(self.timeout.set(timeout)),
                Err(error) => tracing::error!("nobody can be timed out: {error}"),
            }
        }
    }

    /// Has `client` called at `next` at the latest, where `scheduled` is what came of that the last time.
    /// Returns what is to be said the next time.
    pub(super) fn schedule(
        &self,
        registry: &Registry,
        client: u64,
        scheduled: Option<Time>,
        next: Option<Time>,
    ) -> Option<Time> {
        // Nearly always, and without the lock.
        if Agenda::is_in_time(scheduled, next) {
            return scheduled;
        }
        let mut agenda = self.agenda.lock();
        let scheduled = agenda.schedule(client, scheduled, next);
        if let Some(at) = agenda.arm() {
            self.update(registry, Some(at));
        }
        scheduled
    }

    /// Forgets a client.
    pub(super) fn forget(&self, client: u64, scheduled: Option<Time>) {
        if scheduled.is_some() {
            self.agenda.lock().forget(client, scheduled);
        }
    }

    /// Takes out whoever is due at `now`.
    pub(super) fn due(&self, now: Time) -> Vec<u64> {
        self.agenda.lock().due(now)
    }

    /// Sets the timeout for the next deadline, after those that were due have been called.
    pub(super) fn rearm(&self, registry: &Registry) {
        let mut agenda = self.agenda.lock();
        let at = agenda.rearm();
        self.update(registry, at);
    }

    fn update(&self, registry: &Registry, at: Option<Time>) {
        if let Some(timeout) = self.timeout.get() {
            let interval = at.map(|at| at.since(registry.now()));
            if let Err(error) = registry.update_timeout(*timeout, interval) {
                tracing::error!("clients are not timed out: {error}");
            }
        }
    }
}
