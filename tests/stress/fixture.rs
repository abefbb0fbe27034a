//! Fixture: the descriptors, entries and steps of one thread.

use crate::descriptors::{Descriptor, WeakDescriptor};
use crate::entries::{CallbackGuard, EntryState, Shared, Updater, random_interest};
use eventry::registry::RemoveError;
use eventry::table::{NotRegistered, Removal};
use eventry::{Events, HandleId, Registry, TimeoutId};
use rustix::process::{Signal, getpid, kill_process};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use test_support::rng::Rng;

const MAX_DESCRIPTORS: usize = 12;
const MAX_ENTRIES: usize = 24;

pub(crate) struct Fixture {
    rng: Rng,
    registry: Registry,
    shared: Arc<Shared>,
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) state: Arc<EntryState>,
    pub(crate) kind: Kind,
    updater: Updater,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Handle(HandleId, WeakDescriptor),
    Timeout(TimeoutId, Option<Duration>),
}

impl Entry {
    /// Disables the entry without recording it as an update.
    pub(crate) fn pause(&self, registry: &Registry) {
        self.update(registry, Events::NONE, None);
    }

    /// Enables the entry with its recorded interest and interval.
    pub(crate) fn resume(&self, registry: &Registry) {
        let interval = match self.kind {
            Kind::Handle(..) => None,
            Kind::Timeout(_, interval) => interval,
        };
        self.update(registry, self.state.interest(), interval);
    }

    fn update(&self, registry: &Registry, interest: Events, interval: Option<Duration>) {
        let updated = match &self.kind {
            Kind::Handle(id, _) => registry.update_handle(*id, interest),
            Kind::Timeout(id, _) => registry.update_timeout(*id, interval),
        };
        updated.expect("the entry is registered");
    }
}

impl Fixture {
    pub(crate) fn new(rng: Rng, registry: Registry, shared: Arc<Shared>) -> Fixture {
        Fixture {
            rng,
            registry,
            shared,
            descriptors: Vec::new(),
            entries: Vec::new(),
        }
    }

    pub(crate) fn run_steps(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    pub(crate) fn remove_all(&mut self) {
        while !self.entries.is_empty() {
            self.remove(0);
        }
        self.descriptors.clear();
    }

    fn step(&mut self) {
        match self.rng.below(40) {
            0..=3 => self.open(),
            4 => self.duplicate(),
            5..=6 => self.close(),
            7..=10 => {
                let until_full = self.rng.one_in(8);
                self.with_descriptor(|descriptor| descriptor.weak().fill(until_full));
            }
            11..=13 => self.with_descriptor(|descriptor| descriptor.weak().drain()),
            14 => self.with_descriptor(Descriptor::shut_down),
            15..=21 => self.add_handle(),
            22..=26 => self.update(),
            27..=30 => {
                if !self.entries.is_empty() {
                    let nth = self.rng.below(self.entries.len());
                    self.remove(nth);
                }
            }
            31..=34 => self.add_timeout(),
            35 => {
                kill_process(getpid(), Signal::USR1).expect("a signal can be sent to this process")
            }
            _ => std::thread::yield_now(),
        }
    }

    fn with_descriptor(&mut self, using: impl FnOnce(&Descriptor)) {
        if !self.descriptors.is_empty() {
            let nth = self.rng.below(self.descriptors.len());
            using(&self.descriptors[nth]);
        }
    }

    fn open(&mut self) {
        if self.descriptors.len() < MAX_DESCRIPTORS {
            let opened = Descriptor::open(&mut self.rng);
            self.descriptors.extend(opened);
        }
    }

    fn duplicate(&mut self) {
        if self.descriptors.len() < MAX_DESCRIPTORS {
            let mut duplicate = None;
            self.with_descriptor(|descriptor| duplicate = Some(descriptor.duplicate()));
            self.descriptors.extend(duplicate);
        }
    }

    /// Removes all handles of a descriptor and closes it at once, even if calls run. The next descriptor that any
    /// fixture opens gets its number.
    fn close(&mut self) {
        if self.descriptors.is_empty() {
            return;
        }
        let nth = self.rng.below(self.descriptors.len());
        let descriptor = self.descriptors.swap_remove(nth);
        let watches = |entry: &Entry| match &entry.kind {
            Kind::Handle(_, weak) => descriptor.is(weak),
            Kind::Timeout(..) => false,
        };
        while let Some(nth) = self.entries.iter().position(watches) {
            self.remove(nth);
        }
    }

    fn guard(&mut self, file: Option<WeakDescriptor>) -> (CallbackGuard, Arc<EntryState>, Updater) {
        let state = Arc::new(EntryState::default());
        let updater = if self.rng.one_in(4) {
            Updater::Fixture
        } else {
            Updater::Callback
        };
        self.shared.added.fetch_add(1, SeqCst);
        let guard = CallbackGuard {
            state: Arc::clone(&state),
            shared: Arc::clone(&self.shared),
            rng: self.rng.fork(),
            file,
            updater,
        };
        (guard, state, updater)
    }

    fn add_handle(&mut self) {
        self.drop_self_removed();
        if self.entries.len() >= MAX_ENTRIES || self.descriptors.is_empty() {
            return;
        }
        let nth = self.rng.below(self.descriptors.len());
        let weak = self.descriptors[nth].weak();
        // Handles on always-ready descriptors are mostly disabled, so that the loop sleeps.
        let interest = match self.descriptors[nth].is_regular() && !self.rng.one_in(4) {
            true => Events::NONE,
            false => random_interest(&mut self.rng),
        };
        let (mut guard, state, updater) = self.guard(Some(weak.clone()));
        state.begin_update(interest, &self.shared);
        state.finish_update(interest, &self.shared);
        let number = self.descriptors[nth].number();
        let added = self
            .registry
            .add_handle(number, interest, move |event| guard.handle_called(&event));
        let kind = Kind::Handle(added.expect("the descriptor is open"), weak);
        self.entries.push(Entry {
            state,
            kind,
            updater,
        });
    }

    fn add_timeout(&mut self) {
        self.drop_self_removed();
        if self.entries.len() >= MAX_ENTRIES {
            return;
        }
        let interval = self.interval();
        let mut weak = None;
        self.with_descriptor(|descriptor| weak = Some(descriptor.weak()));
        let (mut guard, state, updater) = self.guard(weak);
        let added = self
            .registry
            .add_timeout(interval, move |event| guard.timeout_called(&event));
        let kind = Kind::Timeout(added.expect("adding a timeout succeeds"), interval);
        self.entries.push(Entry {
            state,
            kind,
            updater,
        });
    }

    fn interval(&mut self) -> Option<Duration> {
        match self.rng.below(16) {
            0 => Some(Duration::ZERO),
            1..=8 => Some(Duration::from_micros(self.rng.below(2_000) as u64)),
            9..=11 => Some(Duration::from_secs(3_600)),
            _ => None,
        }
    }

    fn update(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let nth = self.rng.below(self.entries.len());
        let (interest, interval) = (random_interest(&mut self.rng), self.interval());
        let entry = &mut self.entries[nth];
        let updated = match &mut entry.kind {
            Kind::Handle(..) if entry.updater == Updater::Callback => return,
            Kind::Handle(id, _) => {
                entry.state.begin_update(interest, &self.shared);
                let updated = self.registry.update_handle(*id, interest);
                entry.state.finish_update(interest, &self.shared);
                updated
            }
            Kind::Timeout(id, old) => {
                *old = interval;
                self.registry.update_timeout(*id, interval)
            }
        };
        assert!(updated.is_ok() || entry.state.self_removed.load(SeqCst));
    }

    fn remove(&mut self, nth: usize) {
        let Entry { state, kind, .. } = self.entries.swap_remove(nth);
        state.removing.store(true, SeqCst);
        let removed = if self.rng.one_in(3) {
            let removed = match kind {
                Kind::Handle(id, _) => self.registry.remove_handle_and_wait(id),
                Kind::Timeout(id, _) => self.registry.remove_timeout_and_wait(id),
            };
            assert!(
                removed.is_err() || !state.is_running(),
                "the removal returned during the call"
            );
            match removed {
                Ok(()) => Ok(Removal::Idle),
                Err(RemoveError::NotRegistered(error)) => Err(error),
                Err(error) => panic!("removal outside a callback failed: {error}"),
            }
        } else {
            match kind {
                Kind::Handle(id, _) => self.registry.remove_handle(id),
                Kind::Timeout(id, _) => self.registry.remove_timeout(id),
            }
        };
        match removed {
            Ok(Removal::Idle) => state.idle.store(true, SeqCst),
            Ok(Removal::InFlight) => {
                self.shared.in_flight.fetch_add(1, SeqCst);
            }
            Err(NotRegistered) => assert!(
                state.self_removed.load(SeqCst),
                "the entry is not registered although it was not removed"
            ),
        }
    }

    fn drop_self_removed(&mut self) {
        let is_self_removed = |entry: &Entry| entry.state.self_removed.load(SeqCst);
        while let Some(nth) = self.entries.iter().position(is_self_removed) {
            // The callback may not have returned yet. The removal fails once it has.
            self.remove(nth);
        }
    }
}
