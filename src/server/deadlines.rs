//! Which client is to be called next because time passes, with one timeout of the loop for all of them.
//!
//! A deadline that moves away, as it does with every byte that a client sends, is not told: when the earlier
//! one comes, the client is asked again. So a busy client costs nothing here, and an idle one an entry.

use crate::id::TimeoutId;
use crate::registry::{Registry, TimeoutEvent};
use crate::sync::Mutex;
use crate::time::Time;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// How many clients are called in one turn at most, so that others get theirs.
const BUDGET: usize = 256;

/// The deadlines of all clients.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// The one timeout.
    timeout: OnceLock<TimeoutId>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// At most one for each client.
    entries: BTreeSet<(Time, u64)>,
    /// When the timeout is called, if it is enabled.
    armed: Option<Time>,
}

impl State {
    fn first(&self) -> Option<Time> {
        self.entries.first().map(|(at, _)| *at)
    }
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
        let Some(next) = next else {
            return scheduled;
        };
        if scheduled.is_some_and(|scheduled| scheduled <= next) {
            return scheduled;
        }
        let mut state = self.state.lock();
        if let Some(scheduled) = scheduled {
            state.entries.remove(&(scheduled, client));
        }
        state.entries.insert((next, client));
        self.arm(registry, &mut state);
        Some(next)
    }

    /// Forgets a client.
    pub(super) fn forget(&self, client: u64, scheduled: Option<Time>) {
        if let Some(scheduled) = scheduled {
            self.state.lock().entries.remove(&(scheduled, client));
        }
    }

    /// Takes out whoever is due at `now`.
    pub(super) fn due(&self, now: Time) -> Vec<u64> {
        let mut state = self.state.lock();
        let mut due = Vec::new();
        while due.len() < BUDGET && state.first().is_some_and(|first| first <= now) {
            due.extend(state.entries.pop_first().map(|(_, client)| client));
        }
        due
    }

    /// Sets the timeout for the next deadline, after those that were due have been called.
    pub(super) fn rearm(&self, registry: &Registry) {
        let mut state = self.state.lock();
        state.armed = None;
        match state.first() {
            Some(_) => self.arm(registry, &mut state),
            None => self.update(registry, None),
        }
    }

    fn arm(&self, registry: &Registry, state: &mut State) {
        let Some(first) = state.first() else {
            return;
        };
        if state.armed.is_none_or(|armed| first < armed) {
            state.armed = Some(first);
            self.update(registry, Some(first));
        }
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
