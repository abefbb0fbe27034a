//! What one thread owns and does.

use crate::descriptors::{Descriptor, Known};
use crate::entries::{Life, Mind, Shared, Ward, interest};
use eventry::registry::RemoveError;
use eventry::table::{NotRegistered, Removal};
use eventry::{Events, HandleId, Registry, TimeoutId};
use rustix::process::{Signal, getpid, kill_process};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use test_support::rng::Rng;

const MOST_DESCRIPTORS: usize = 12;
const MOST_ENTRIES: usize = 24;

pub(crate) struct Fixture {
    rng: Rng,
    registry: Registry,
    shared: Arc<Shared>,
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) life: Arc<Life>,
    pub(crate) kind: Kind,
    mind: Mind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Handle(HandleId, Known),
    Timeout(TimeoutId, Option<Duration>),
}

impl Entry {
    /// Disables it, behind the backs of owner and callback.
    pub(crate) fn pause(&self, registry: &Registry) {
        self.update(registry, Events::NONE, None);
    }

    /// Makes it want again what it wanted before.
    pub(crate) fn resume(&self, registry: &Registry) {
        let interval = match self.kind {
            Kind::Handle(..) => None,
            Kind::Timeout(_, interval) => interval,
        };
        self.update(registry, self.life.wants(), interval);
    }

    fn update(&self, registry: &Registry, wants: Events, interval: Option<Duration>) {
        let updated = match &self.kind {
            Kind::Handle(id, _) => registry.update_handle(*id, wants),
            Kind::Timeout(id, _) => registry.update_timeout(*id, interval),
        };
        updated.expect("it is registered");
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

    pub(crate) fn live(&mut self, moves: usize) {
        for _ in 0..moves {
            self.make_a_move();
        }
    }

    pub(crate) fn remove_all(&mut self) {
        while !self.entries.is_empty() {
            self.remove(0);
        }
        self.descriptors.clear();
    }

    fn make_a_move(&mut self) {
        match self.rng.below(40) {
            0..=3 => self.open(),
            4 => self.double(),
            5..=6 => self.close(),
            7..=10 => {
                let to_the_brim = self.rng.one_in(8);
                self.with_descriptor(|descriptor| descriptor.known().fill(to_the_brim));
            }
            11..=13 => self.with_descriptor(|descriptor| descriptor.known().drain()),
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
            35 => kill_process(getpid(), Signal::USR1).expect("it is this process"),
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
        if self.descriptors.len() < MOST_DESCRIPTORS {
            let opened = Descriptor::open(&mut self.rng);
            self.descriptors.extend(opened);
        }
    }

    fn double(&mut self) {
        if self.descriptors.len() < MOST_DESCRIPTORS {
            let mut twin = None;
            self.with_descriptor(|descriptor| twin = Some(descriptor.double()));
            self.descriptors.extend(twin);
        }
    }

    /// Removes whatever watches a descriptor and closes it at once, running calls or not. The next one that is
    /// opened, by whichever fixture, has its number.
    fn close(&mut self) {
        if self.descriptors.is_empty() {
            return;
        }
        let nth = self.rng.below(self.descriptors.len());
        let descriptor = self.descriptors.swap_remove(nth);
        let watches = |entry: &Entry| match &entry.kind {
            Kind::Handle(_, known) => descriptor.is(known),
            Kind::Timeout(..) => false,
        };
        while let Some(nth) = self.entries.iter().position(watches) {
            self.remove(nth);
        }
    }

    fn ward(&mut self, file: Option<Known>) -> (Ward, Arc<Life>, Mind) {
        let life = Arc::new(Life::default());
        let mind = if self.rng.one_in(4) {
            Mind::Owner
        } else {
            Mind::Callback
        };
        self.shared.added.fetch_add(1, SeqCst);
        let ward = Ward {
            life: Arc::clone(&life),
            shared: Arc::clone(&self.shared),
            rng: self.rng.fork(),
            file,
            mind,
        };
        (ward, life, mind)
    }

    fn add_handle(&mut self) {
        self.forget_what_is_gone();
        if self.entries.len() >= MOST_ENTRIES || self.descriptors.is_empty() {
            return;
        }
        let nth = self.rng.below(self.descriptors.len());
        let known = self.descriptors[nth].known();
        // Most of the time the loop is to sleep.
        let wants = match self.descriptors[nth].is_regular() && !self.rng.one_in(4) {
            true => Events::NONE,
            false => interest(&mut self.rng),
        };
        let (mut ward, life, mind) = self.ward(Some(known.clone()));
        life.will_want(wants, &self.shared);
        life.wants_now(wants, &self.shared);
        let number = self.descriptors[nth].number();
        let added = self
            .registry
            .add_handle(number, wants, move |event| ward.handle_called(&event));
        let kind = Kind::Handle(added.expect("it is open"), known);
        self.entries.push(Entry { life, kind, mind });
    }

    fn add_timeout(&mut self) {
        self.forget_what_is_gone();
        if self.entries.len() >= MOST_ENTRIES {
            return;
        }
        let interval = self.interval();
        let mut known = None;
        self.with_descriptor(|descriptor| known = Some(descriptor.known()));
        let (mut ward, life, mind) = self.ward(known);
        let added = self
            .registry
            .add_timeout(interval, move |event| ward.timeout_called(&event));
        let kind = Kind::Timeout(added.expect("there is room"), interval);
        self.entries.push(Entry { life, kind, mind });
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
        let (wants, interval) = (interest(&mut self.rng), self.interval());
        let entry = &mut self.entries[nth];
        let updated = match &mut entry.kind {
            Kind::Handle(..) if entry.mind == Mind::Callback => return,
            Kind::Handle(id, _) => {
                entry.life.will_want(wants, &self.shared);
                let updated = self.registry.update_handle(*id, wants);
                entry.life.wants_now(wants, &self.shared);
                updated
            }
            Kind::Timeout(id, old) => {
                *old = interval;
                self.registry.update_timeout(*id, interval)
            }
        };
        assert!(updated.is_ok() || entry.life.gone.load(SeqCst));
    }

    fn remove(&mut self, nth: usize) {
        let Entry { life, kind, .. } = self.entries.swap_remove(nth);
        life.removing.store(true, SeqCst);
        let removed = if self.rng.one_in(3) {
            let removed = match kind {
                Kind::Handle(id, _) => self.registry.remove_handle_and_wait(id),
                Kind::Timeout(id, _) => self.registry.remove_timeout_and_wait(id),
            };
            assert!(removed.is_err() || !life.is_running(), "it did not wait");
            match removed {
                Ok(()) => Ok(Removal::Idle),
                Err(RemoveError::NotRegistered(error)) => Err(error),
                Err(error) => panic!("no callback waits: {error}"),
            }
        } else {
            match kind {
                Kind::Handle(id, _) => self.registry.remove_handle(id),
                Kind::Timeout(id, _) => self.registry.remove_timeout(id),
            }
        };
        match removed {
            Ok(Removal::Idle) => life.idle.store(true, SeqCst),
            Ok(Removal::InFlight) => {
                self.shared.in_flight.fetch_add(1, SeqCst);
            }
            Err(NotRegistered) => assert!(life.gone.load(SeqCst), "removed by nobody"),
        }
    }

    fn forget_what_is_gone(&mut self) {
        let is_gone = |entry: &Entry| entry.life.gone.load(SeqCst);
        while let Some(nth) = self.entries.iter().position(is_gone) {
            // Its callback may still be about to return. When this is back, it is not registered any more.
            self.remove(nth);
        }
    }
}
