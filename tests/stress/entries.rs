//! One handle or timeout, what it does when it is called, and what must hold then.

use crate::descriptors::Known;
use eventry::registry::{HandleEvent, Next, TimeoutEvent};
use eventry::{Events, HandleId, Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use test_support::rng::Rng;

/// What all fixtures and callbacks share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Whether callbacks do nothing but count: it is the time of the check.
    pub(crate) quiet: AtomicBool,
    pub(crate) added: AtomicU64,
    pub(crate) freed: AtomicU64,
    /// How many removals found that a last call was running.
    pub(crate) in_flight: AtomicU64,
    turn: AtomicU64,
    is_calling: AtomicBool,
}

/// What is known of an entry by all who have to do with it.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Set before the owner removes it.
    pub(crate) removing: AtomicBool,
    /// Set after a removal has told the owner that nothing runs.
    pub(crate) idle: AtomicBool,
    /// Set before the callback removes itself.
    pub(crate) gone: AtomicBool,
    running: AtomicBool,
    freed: AtomicBool,
    /// What it wants, and what it may be called with: more, while an update is under way.
    wants: AtomicU32,
    allowed: AtomicU32,
    /// Until this turn a call may be told of what was wanted before.
    narrows: AtomicU64,
    /// Since the check began.
    pub(crate) calls: AtomicU32,
    pub(crate) told: AtomicU32,
}

/// Who may change what an entry wants; one alone, so that it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mind {
    Owner,
    Callback,
}

/// Moved into the callback, so that its drop is the free call.
pub(crate) struct Ward {
    pub(crate) life: Arc<Life>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rng: Rng,
    pub(crate) file: Option<Known>,
    pub(crate) mind: Mind,
}

impl Shared {
    pub(crate) fn turn_begins(&self) {
        self.turn.fetch_add(1, SeqCst);
    }
}

impl Life {
    pub(crate) fn is_registered(&self) -> bool {
        !self.removing.load(SeqCst) && !self.gone.load(SeqCst)
    }

    pub(crate) fn wants(&self) -> Events {
        Events::from_bits_truncate(self.wants.load(SeqCst))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(SeqCst)
    }

    /// Notes what it is about to want.
    pub(crate) fn will_want(&self, interest: Events, shared: &Shared) {
        // A call of this turn may have begun before the last update.
        if shared.turn.load(SeqCst) > self.narrows.load(SeqCst) {
            self.allowed.store(self.wants.load(SeqCst), SeqCst);
        }
        self.allowed.fetch_or(interest.bits(), SeqCst);
    }

    /// Notes that from now on it wants this.
    pub(crate) fn wants_now(&self, interest: Events, shared: &Shared) {
        self.wants.store(interest.bits(), SeqCst);
        self.narrows.store(shared.turn.load(SeqCst), SeqCst);
    }

    /// The check begins: nothing is under way.
    pub(crate) fn settle(&self) {
        self.allowed.store(self.wants.load(SeqCst), SeqCst);
        self.calls.store(0, SeqCst);
        self.told.store(0, SeqCst);
    }
}

impl Ward {
    pub(crate) fn handle_called<S>(&mut self, event: &HandleEvent<'_, S>) -> Next {
        self.begin();
        let allowed = Events::from_bits_truncate(self.life.allowed.load(SeqCst));
        assert!(!event.events.is_empty(), "called with nothing");
        assert!(
            (allowed | Events::UNCONDITIONAL).contains(event.events),
            "told {:?}, wanted {allowed:?}",
            event.events
        );
        self.life.told.store(event.events.bits(), SeqCst);
        let next = if self.shared.quiet.load(SeqCst) {
            Next::Keep
        } else {
            self.live(event.registry, Some(event.id))
        };
        self.end();
        next
    }

    pub(crate) fn timeout_called(&mut self, event: &TimeoutEvent<'_>) -> Next {
        self.begin();
        let next = if self.shared.quiet.load(SeqCst) {
            Next::Keep
        } else {
            self.live(event.registry, None)
        };
        self.end();
        next
    }

    fn begin(&self) {
        assert!(!self.life.idle.load(SeqCst), "called after its removal");
        assert!(!self.life.freed.load(SeqCst), "called after it was freed");
        assert!(!self.shared.is_calling.swap(true, SeqCst), "two calls");
        self.life.running.store(true, SeqCst);
        self.life.calls.fetch_add(1, SeqCst);
    }

    fn end(&self) {
        self.life.running.store(false, SeqCst);
        self.shared.is_calling.store(false, SeqCst);
    }

    /// Does what callbacks do, at random.
    fn live(&mut self, registry: &Registry, handle: Option<HandleId>) -> Next {
        let minds = self.mind == Mind::Callback;
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
            (19..=21, Some(id)) if minds => {
                let interest = interest(&mut self.rng);
                self.life.will_want(interest, &self.shared);
                let updated = registry.update_handle(id, interest);
                // The owner may have removed it meanwhile.
                assert!(updated.is_ok() || self.life.removing.load(SeqCst));
                self.life.wants_now(interest, &self.shared);
            }
            (22..=25, Some(_)) if minds => {
                self.life.wants_now(Events::NONE, &self.shared);
                return Next::Disable;
            }
            (26..=27, _) if minds => {
                self.life.gone.store(true, SeqCst);
                return Next::Remove;
            }
            (28, _) => self.add_another(registry),
            _ => {}
        }
        Next::Keep
    }

    /// A timeout that is called once.
    fn add_another(&mut self, registry: &Registry) {
        let ward = Ward {
            life: Arc::new(Life::default()),
            shared: Arc::clone(&self.shared),
            rng: self.rng.fork(),
            file: self.file.clone(),
            mind: Mind::Callback,
        };
        self.shared.added.fetch_add(1, SeqCst);
        let added = registry.add_timeout(Duration::ZERO, move |_| {
            ward.begin();
            ward.life.gone.store(true, SeqCst);
            if let Some(file) = &ward.file {
                file.drain();
            }
            ward.end();
            Next::Remove
        });
        added.expect("there is room");
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        assert!(!self.life.is_registered(), "freed without a removal");
        assert!(!self.life.is_running(), "freed while it runs");
        assert!(!self.life.freed.swap(true, SeqCst), "freed twice");
        self.shared.freed.fetch_add(1, SeqCst);
    }
}

/// Anything, mostly to read.
pub(crate) fn interest(rng: &mut Rng) -> Events {
    match rng.below(16) {
        0..=9 => Events::READABLE,
        10..=11 => Events::NONE,
        _ => Events::from_bits_truncate(rng.below(16) as u32),
    }
}
