//! The operations of the registries, and the resulting calls and frees.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use eventry::poller::Registrar;
use eventry::registry::{AddError, Next, RemoveError};
use eventry::table::{NotRegistered, Removal};
use eventry::{Events, HandleId, TimeoutId};

use crate::entry::{Kind, Payload, State};
use crate::probe::ProbeSource;
use crate::script::{Ending, Op, Side};
use crate::world::World;

#[derive(Clone, Copy, Debug)]
enum Id {
    Handle(HandleId),
    Timeout(TimeoutId),
}

impl World {
    /// Executes an operation of a registry, and checks its result.
    pub(crate) fn operate(self: &Arc<World>, side: Side, op: Op) {
        match op {
            Op::AddHandle {
                fd,
                interest,
                acts_on_free,
            } => {
                let id = None;
                let kind = Kind::Handle { id, fd, interest };
                let payload = self.offer(side, kind, acts_on_free);
                let index = payload.index;
                let source = ProbeSource {
                    fd,
                    index,
                    world: Arc::clone(self),
                };
                let added = self.operation(|| {
                    self.loops[side].registry.add_source(
                        source,
                        interest,
                        move |event: eventry::registry::HandleEvent<'_, _, _>| {
                            payload.call(Id::Handle(event.id), Some(event.events))
                        },
                    )
                });
                self.added(side, index, fd >= 0, added.map(Id::Handle));
            }
            Op::AddTimeout {
                interval,
                acts_on_free,
            } => {
                let deadline =
                    interval.map(|interval| self.loops[side].model.now().saturating_add(interval));
                let id = None;
                let kind = Kind::Timeout {
                    id,
                    interval,
                    deadline,
                };
                let payload = self.offer(side, kind, acts_on_free);
                let index = payload.index;
                let added = self.operation(|| {
                    self.loops[side].registry.add_timeout(
                        interval,
                        move |event: eventry::registry::TimeoutEvent<'_, _>| {
                            payload.call(Id::Timeout(event.id), None)
                        },
                    )
                });
                self.added(side, index, true, added.map(Id::Timeout));
            }
            Op::UpdateHandle { nth, interest } => self.update_handle(side, nth, interest),
            Op::UpdateTimeout { nth, interval } => self.update_timeout(side, nth, interval),
            Op::RemoveHandle { nth, waits } => {
                self.remove(side, self.nth(nth, |id| matches!(id, Id::Handle(_))), waits);
            }
            Op::RemoveTimeout { nth, waits } => {
                self.remove(
                    side,
                    self.nth(nth, |id| matches!(id, Id::Timeout(_))),
                    waits,
                );
            }
            other => unreachable!("{other:?} is not an operation of a registry"),
        }
    }

    fn offer(self: &Arc<World>, side: Side, kind: Kind, acts_on_free: bool) -> Payload {
        let index = self.ledger().offer(side, kind, acts_on_free);
        let world = Arc::clone(self);
        Payload { world, index }
    }

    fn added<S, F>(
        &self,
        side: Side,
        index: usize,
        is_fit: bool,
        added: Result<Id, AddError<S, F>>,
    ) {
        let mut ledger = self.ledger();
        let expected = is_fit && !ledger.sides[side].closed;
        assert_eq!(added.is_ok(), expected, "added {added:?}");
        let is_issued = ledger
            .entries
            .iter()
            .any(|entry| match (&entry.kind, &added) {
                (Kind::Handle { id, .. }, Ok(Id::Handle(new))) => *id == Some(*new),
                (Kind::Timeout { id, .. }, Ok(Id::Timeout(new))) => *id == Some(*new),
                _ => false,
            });
        assert!(!is_issued, "an id was issued twice");
        let entry = &mut ledger.entries[index];
        match (&mut entry.kind, added) {
            (Kind::Handle { id, .. }, Ok(Id::Handle(new))) => *id = Some(new),
            (Kind::Timeout { id, .. }, Ok(Id::Timeout(new))) => *id = Some(new),
            (_, Ok(other)) => panic!("{other:?} is of another kind"),
            (_, Err(refused)) => {
                assert!(!entry.freed, "a refused callback was dropped");
                entry.state = State::Refused;
                // Dropping the offered payload locks the ledger.
                drop(ledger);
                drop(refused);
                return;
            }
        }
        assert!(!entry.freed && !entry.running);
        entry.state = State::Registered;
    }

    /// Removes the entry, if one was selected.
    fn remove(&self, side: Side, entry: Option<(usize, Id)>, waits: bool) {
        let Some((index, id)) = entry else {
            return;
        };
        let registry = &self.loops[side].registry;
        if waits {
            let removed = self.operation(|| match id {
                Id::Handle(id) => registry.remove_handle_and_wait(id),
                Id::Timeout(id) => registry.remove_timeout_and_wait(id),
            });
            self.removed_and_waited(side, index, removed);
        } else {
            let removed = self.operation(|| match id {
                Id::Handle(id) => registry.remove_handle(id),
                Id::Timeout(id) => registry.remove_timeout(id),
            });
            self.removed(side, index, removed);
        }
    }

    /// Returns one of the issued ids that `wanted` accepts, and the index of its entry.
    fn nth(&self, nth: usize, wanted: impl Fn(&Id) -> bool) -> Option<(usize, Id)> {
        let ledger = self.ledger();
        let ids = ledger.entries.iter().enumerate();
        let ids = ids.filter_map(|(index, entry)| {
            let id = match entry.kind {
                Kind::Handle { id, .. } => id.map(Id::Handle),
                Kind::Timeout { id, .. } => id.map(Id::Timeout),
            };
            Some((index, id.filter(&wanted)?))
        });
        let ids: Vec<_> = ids.collect();
        // Counts from the newest, so that small numbers select recent ids.
        let count = ids.len().max(1);
        ids.into_iter().rev().nth(nth % count)
    }

    fn update_handle(&self, side: Side, nth: usize, wanted: Events) {
        let Some((index, Id::Handle(id))) = self.nth(nth, |id| matches!(id, Id::Handle(_))) else {
            return;
        };
        let registry = &self.loops[side].registry;
        let updated = self.operation(|| registry.update_handle(id, wanted));
        if self.updated(side, index, updated) {
            match &mut self.ledger().entries[index].kind {
                Kind::Handle { interest, .. } => *interest = wanted,
                other => unreachable!("{other:?} has the id of a handle"),
            }
        }
    }

    fn update_timeout(&self, side: Side, nth: usize, wanted: Option<Duration>) {
        let Some((index, Id::Timeout(id))) = self.nth(nth, |id| matches!(id, Id::Timeout(_)))
        else {
            return;
        };
        let registry = &self.loops[side].registry;
        let updated = self.operation(|| registry.update_timeout(id, wanted));
        if self.updated(side, index, updated) {
            let now = self.loops[side].model.now();
            match &mut self.ledger().entries[index].kind {
                Kind::Timeout {
                    interval, deadline, ..
                } => {
                    *interval = wanted;
                    *deadline = wanted.map(|interval| now.saturating_add(interval));
                }
                other => unreachable!("{other:?} has the id of a timeout"),
            }
        }
    }

    /// Checks the result of an update; returns true if it succeeded.
    fn updated(&self, side: Side, index: usize, updated: Result<(), NotRegistered>) -> bool {
        let mut ledger = self.ledger();
        let now = ledger.tick();
        let entry = &mut ledger.entries[index];
        let expected = entry.side == side && entry.is_registered();
        assert_eq!(updated.is_ok(), expected, "an update of {entry:?}");
        if expected {
            entry.touched = now;
        }
        expected
    }

    fn removed(&self, side: Side, index: usize, removed: Result<Removal, NotRegistered>) {
        let mut ledger = self.ledger();
        let entry = &ledger.entries[index];
        let expected = match (entry.side == side && entry.is_registered(), entry.running) {
            (false, _) => Err(NotRegistered),
            (true, false) => Ok(Removal::Idle),
            (true, true) => Ok(Removal::InFlight),
        };
        assert_eq!(removed, expected, "the removal of {entry:?}");
        if removed.is_ok() {
            ledger.remove(index);
        }
    }

    fn removed_and_waited(&self, side: Side, index: usize, removed: Result<(), RemoveError>) {
        let mut ledger = self.ledger();
        let entry = &ledger.entries[index];
        // All callbacks run on this thread.
        let expected = match (entry.side == side, entry.running, entry.is_registered()) {
            (true, true, _) => Err(RemoveError::WouldDeadlock),
            (true, false, true) => Ok(()),
            _ => Err(RemoveError::NotRegistered(NotRegistered)),
        };
        assert_eq!(removed, expected, "the removal of {entry:?}");
        if removed.is_ok() {
            ledger.remove(index);
        }
    }

    fn called(self: &Arc<World>, index: usize, events: Option<Events>) -> Next {
        self.ledger().call_begins(index, events);
        // Takes the lock: a call under the lock is a deadlock.
        assert!(!self.loops[self.side_of(index)].registry.is_idle());
        let ending = self.act();
        let mut ledger = self.ledger();
        ledger.call_ends(index);
        let side = ledger.entries[index].side;
        let registered = ledger.entries[index].is_registered();
        match ending {
            Ending::Keep => {}
            Ending::Disable => ledger.entries[index].disable(),
            Ending::Remove | Ending::Panic if registered => ledger.remove(index),
            Ending::Remove | Ending::Panic => {}
        }
        ledger.sides[side].panics += usize::from(ending == Ending::Panic);
        drop(ledger);
        match ending {
            Ending::Keep => Next::Keep,
            Ending::Disable => Next::Disable,
            Ending::Remove => Next::Remove,
            // `resume_unwind` skips the panic hook, which the fuzzer would report as a finding.
            Ending::Panic => resume_unwind(Box::new("planned")),
        }
    }

    /// The free call of an entry.
    pub(crate) fn freed(self: &Arc<World>, index: usize) {
        let side = self.side_of(index);
        if self.ledger().freed(index) {
            let ending = self.act();
            let mut ledger = self.ledger();
            // Dropping a loop propagates the panic.
            if ending == Ending::Panic && !ledger.sides[side].closed {
                ledger.sides[side].panics += 1;
                drop(ledger);
                resume_unwind(Box::new("planned"));
            }
        }
    }

    fn side_of(&self, index: usize) -> Side {
        self.ledger().entries[index].side
    }
}

impl Payload {
    fn call(&self, id: Id, events: Option<Events>) -> Next {
        let own = match (&self.world.ledger().entries[self.index].kind, id) {
            (Kind::Handle { id: own, .. }, Id::Handle(id)) => *own == Some(id),
            (Kind::Timeout { id: own, .. }, Id::Timeout(id)) => *own == Some(id),
            _ => false,
        };
        assert!(own, "called with another entry's id");
        self.world.called(self.index, events)
    }
}
