//! What the loop says of itself to whoever set a hook.

use super::EventLoop;
use crate::poller::Poller;
use crate::registry::{Limits, Warning, trace};
use std::sync::Arc;

impl<P: Poller> EventLoop<P> {
    /// Sets who is told of [`Warning`]s, instead of whoever was.
    ///
    /// The hook is called by the loop's thread at the end of a turn, when all its calls are over.
    /// [`Warning::NobodyRuns`] and [`Warning::Blocked`] come from whichever thread calls the registry and
    /// notices, inside that call, so the hook must not wait for what that thread may hold. It may use the
    /// registry, and is never called with a lock of ours held.
    pub fn set_on_warning(&mut self, hook: impl Fn(&Warning) + Send + Sync + 'static) {
        let replaced = self.registry.set_warning_hook(Arc::new(hook));
        drop(replaced);
    }

    /// Sets from when on to warn. The calls of a turn that runs are judged by what was set before it.
    pub fn set_limits(&mut self, limits: Limits) {
        self.registry.set_limits(&limits);
        self.watch.set_limits(limits);
    }

    /// Tells that a turn is over.
    #[cold]
    pub(super) fn report_turn(&self) {
        let stats = self.registry.lock().stats;
        trace::turned(stats.turns, stats.calls);
    }

    /// Tells what the watch has noticed.
    #[cold]
    pub(super) fn report(&mut self) {
        let longest = self.watch.longest();
        let mut state = self.registry.lock();
        state.stats.longest_callback = longest.callback;
        state.stats.longest_turn = longest.turn;
        drop(state);
        for warning in self.watch.take_warnings() {
            self.registry.warn(&warning);
        }
    }
}
