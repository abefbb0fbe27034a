//! State and callback of one entry, with the checks of each call.

use crate::descriptors::WeakDescriptor;
use eventry::registry::{HandleEvent, Next, TimeoutEvent};
use eventry::{Events, HandleId, Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use test_support::rng::Rng;

/// State shared by all fixtures and callbacks.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The check runs, during which callbacks only count their calls.
    pub(crate) is_checking: AtomicBool,
    pub(crate) added: AtomicU64,
    pub(crate) freed: AtomicU64,
    /// Number of removals that returned `InFlight`.
    pub(crate) in_flight: AtomicU64,
    turn: AtomicU64,
    is_calling: AtomicBool,
}

/// State of an entry, shared by its fixture and its callback.
#[derive(Debug, Default)]
pub(crate) struct EntryState {
    /// Set before the fixture removes the entry.
    pub(crate) removing: AtomicBool,
    /// Set after a removal has returned `Idle`.
    pub(crate) idle: AtomicBool,
    /// Set before the callback removes its own entry.
    pub(crate) self_removed: AtomicBool,
    running: AtomicBool,
    freed: AtomicBool,
    interest: AtomicU32,
    /// Events that a call may report. During an update they include those of the old interest.
    allowed: AtomicU32,
    /// Turn of the last update. Calls of this turn may still report the old interest.
    updated_in_turn: AtomicU64,
    /// Number of calls since the check began.
    pub(crate) calls: AtomicU32,
    pub(crate) last_events: AtomicU32,
}

/// The only thread that may update the interest of an entry, so that the current interest is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updater {
    Fixture,
    Callback,
}

/// State owned by a callback, whose drop is the free call.
pub(crate) struct CallbackGuard {
    pub(crate) state: Arc<EntryState>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rng: Rng,
    pub(crate) file: Option<WeakDescriptor>,
    pub(crate) updater: Updater,
}

impl Shared {
    pub(crate) fn turn_begins(&self) {
        self.turn.fetch_add(1, SeqCst);
    }
}

impl EntryState {
    pub(crate) fn is_registered(&self) -> bool {
        !self.removing.load(SeqCst) && !self.self_removed.load(SeqCst)
    }

    pub(crate) fn interest(&self) -> Events {
        Events::from_bits_truncate(self.interest.load(SeqCst))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(SeqCst)
    }

    /// Records the new interest before an update.
    pub(crate) fn begin_update(&self, interest: Events, shared: &Shared) {
        // A call of this turn may have begun before the last update.
        if shared.turn.load(SeqCst) > self.updated_in_turn.load(SeqCst) {
            self.allowed.store(self.interest.load(SeqCst), SeqCst);
        }
        self.allowed.fetch_or(interest.bits(), SeqCst);
    }

    /// Records the new interest after an update.
    pub(crate) fn finish_update(&self, interest: Events, shared: &Shared) {
        self.interest.store(interest.bits(), SeqCst);
        self.updated_in_turn.store(shared.turn.load(SeqCst), SeqCst);
    }

    /// Resets the counters for the check, during which no update runs.
    pub(crate) fn reset(&self) {
        self.allowed.store(self.interest.load(SeqCst), SeqCst);
        self.calls.store(0, SeqCst);
        self.last_events.store(0, SeqCst);
    }
}

impl CallbackGuard {
    pub(crate) fn handle_called<S>(&mut self, event: &HandleEvent<'_, S>) -> Next {
        self.begin();
        let allowed = Events::from_bits_truncate(self.state.allowed.load(SeqCst));
        assert!(!event.events.is_empty(), "called without events");
        assert!(
            (allowed | Events::UNCONDITIONAL).contains(event.events),
            "called with {:?}, allowed {allowed:?}",
            event.events
        );
        self.state.last_events.store(event.events.bits(), SeqCst);
        let next = if self.shared.is_checking.load(SeqCst) {
            Next::Keep
        } else {
            self.act(event.registry, Some(event.id))
        };
        self.end();
        next
    }

    pub(crate) fn timeout_called(&mut self, event: &TimeoutEvent<'_>) -> Next {
        self.begin();
        let next = if self.shared.is_checking.load(SeqCst) {
            Next::Keep
        } else {
            self.act(event.registry, None)
        };
        self.end();
        next
    }

    fn begin(&self) {
        assert!(!self.state.idle.load(SeqCst), "called after its removal");
        assert!(!self.state.freed.load(SeqCst), "called after it was freed");
        assert!(
            !self.shared.is_calling.swap(true, SeqCst),
            "called during another call"
        );
        self.state.running.store(true, SeqCst);
        self.state.calls.fetch_add(1, SeqCst);
    }

    fn end(&self) {
        self.state.running.store(false, SeqCst);
        self.shared.is_calling.store(false, SeqCst);
    }

    /// Performs a random action of a callback.
    fn act(&mut self, registry: &Registry, handle: Option<HandleId>) -> Next {
        let may_update = self.updater == Updater::Callback;
        match (self.rng.below(32), handle) {
            (0..=17, _) => {
                if let Some(file) = &self.file {
                    file.drain();
                }
            }
            (18, _) => {
                if let Some(file) = &self.file {
                    file.fill(false);
                }
            }
            (19..=21, Some(id)) if may_update => {
                let interest = random_interest(&mut self.rng);
                self.state.begin_update(interest, &self.shared);
                let updated = registry.update_handle(id, interest);
                // The fixture may have removed the entry in the meantime.
                assert!(updated.is_ok() || self.state.removing.load(SeqCst));
                self.state.finish_update(interest, &self.shared);
            }
            (22..=25, Some(_)) if may_update => {
                self.state.finish_update(Events::NONE, &self.shared);
                return Next::Disable;
            }
            (26..=27, _) if may_update => {
                self.state.self_removed.store(true, SeqCst);
                return Next::Remove;
            }
            (28, _) => self.add_another(registry),
            _ => {}
        }
        Next::Keep
    }

    /// Adds a timeout that is called once.
    fn add_another(&mut self, registry: &Registry) {
        let guard = CallbackGuard {
            state: Arc::new(EntryState::default()),
            shared: Arc::clone(&self.shared),
            rng: self.rng.fork(),
            file: self.file.clone(),
            updater: Updater::Callback,
        };
        self.shared.added.fetch_add(1, SeqCst);
        let added = registry.add_timeout(Duration::ZERO, move |_| {
            guard.begin();
            guard.state.self_removed.store(true, SeqCst);
            if let Some(file) = &guard.file {
                file.drain();
            }
            guard.end();
            Next::Remove
        });
        added.expect("adding a timeout succeeds");
    }
}

impl Drop for CallbackGuard {
    fn drop(&mut self) {
        assert!(!self.state.is_registered(), "freed without a removal");
        assert!(!self.state.is_running(), "freed during a call");
        assert!(!self.state.freed.swap(true, SeqCst), "freed twice");
        self.shared.freed.fetch_add(1, SeqCst);
    }
}

/// Returns a random interest, mostly readable.
pub(crate) fn random_interest(rng: &mut Rng) -> Events {
    match rng.below(16) {
        0..=9 => Events::READABLE,
        10..=11 => Events::NONE,
        _ => Events::from_bits_truncate(rng.below(16) as u32),
    }
}
