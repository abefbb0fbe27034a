//! The operations of the registries, and the callbacks and frees that follow from them.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use eventry::poller::Registrar;
use eventry::registry::{AddError, Next, RemoveError};
use eventry::table::{NotRegistered, Removal};
use eventry::{Events, HandleId, TimeoutId};

use crate::entry::{Kind, Life, Payload};
use crate::probe::ProbeSource;
use crate::scene::Scene;
use crate::tape::{Ending, Op, Side};

#[derive(Clone, Copy, Debug)]
enum Id {
    Handle(HandleId),
    Timeout(TimeoutId),
}

impl Scene {
    /// Carries out an operation of a registry, and checks its answer.
    pub(crate) fn operate(self: &Arc<Scene>, side: Side, op: Op) {
        match op {
            Op::AddHandle {
                fd,
                interest,
                meddles,
            } => {
                let id = None;
                let kind = Kind::Handle { id, fd, interest };
                let payload = self.offer(side, kind, meddles);
                let index = payload.index;
                let source = ProbeSource {
                    fd,
                    index,
                    scene: Arc::clone(self),
                };
                let added = self.operation(|| {
                    self.desks[side].registry.add_source(
                        source,
                        interest,
                        move |event: eventry::registry::HandleEvent<'_, _, _>| {
                            payload.call(Id::Handle(event.id), Some(event.events))
                        },
                    )
                });
                self.added(side, index, fd >= 0, added.map(Id::Handle));
            }
            Op::AddTimeout { interval, meddles } => {
                let deadline =
                    interval.map(|interval| self.desks[side].model.now().saturating_add(interval));
                let id = None;
                let kind = Kind::Timeout {
                    id,
                    interval,
                    deadline,
                };
                let payload = self.offer(side, kind, meddles);
                let index = payload.index;
                let added = self.operation(|| {
                    self.desks[side].registry.add_timeout(
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
            other => unreachable!("{other:?} is no operation of a registry"),
        }
    }

    fn offer(self: &Arc<Scene>, side: Side, kind: Kind, meddles: bool) -> Payload {
        let index = self.book().offer(side, kind, meddles);
        let scene = Arc::clone(self);
        Payload { scene, index }
    }

    fn added<S, F>(
        &self,
        side: Side,
        index: usize,
        is_fit: bool,
        added: Result<Id, AddError<S, F>>,
    ) {
        let mut book = self.book();
        let expected = is_fit && !book.sides[side].closed;
        assert_eq!(added.is_ok(), expected, "added {added:?}");
        let is_issued = book
            .entries
            .iter()
            .any(|entry| match (&entry.kind, &added) {
                (Kind::Handle { id, .. }, Ok(Id::Handle(new))) => *id == Some(*new),
                (Kind::Timeout { id, .. }, Ok(Id::Timeout(new))) => *id == Some(*new),
                _ => false,
            });
        assert!(!is_issued, "an id was issued twice");
        let entry = &mut book.entries[index];
        match (&mut entry.kind, added) {
            (Kind::Handle { id, .. }, Ok(Id::Handle(new))) => *id = Some(new),
            (Kind::Timeout { id, .. }, Ok(Id::Timeout(new))) => *id = Some(new),
            (_, Ok(other)) => panic!("{other:?} is of another kind"),
            (_, Err(refused)) => {
                assert!(!entry.freed, "a refused callback was dropped");
                entry.life = Life::Refused;
                // What was offered is dropped now, and notes that in the book.
                drop(book);
                drop(refused);
                return;
            }
        }
        assert!(!entry.freed && !entry.running);
        entry.life = Life::Registered;
    }

    /// Removes an entry, if there is one to remove.
    fn remove(&self, side: Side, entry: Option<(usize, Id)>, waits: bool) {
        let Some((index, id)) = entry else {
            return;
        };
        let registry = &self.desks[side].registry;
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

    /// One of all ids ever issued that are wanted, and its entry.
    fn nth(&self, nth: usize, wanted: impl Fn(&Id) -> bool) -> Option<(usize, Id)> {
        let book = self.book();
        let ids = book.entries.iter().enumerate();
        let ids = ids.filter_map(|(index, entry)| {
            let id = match entry.kind {
                Kind::Handle { id, .. } => id.map(Id::Handle),
                Kind::Timeout { id, .. } => id.map(Id::Timeout),
            };
            Some((index, id.filter(&wanted)?))
        });
        let ids: Vec<_> = ids.collect();
        // The newest are near: the number counts from the end.
        let count = ids.len().max(1);
        ids.into_iter().rev().nth(nth % count)
    }

    fn update_handle(&self, side: Side, nth: usize, wanted: Events) {
        let Some((index, Id::Handle(id))) = self.nth(nth, |id| matches!(id, Id::Handle(_))) else {
            return;
        };
        let registry = &self.desks[side].registry;
        let updated = self.operation(|| registry.update_handle(id, wanted));
        if self.updated(side, index, updated) {
            match &mut self.book().entries[index].kind {
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
        let registry = &self.desks[side].registry;
        let updated = self.operation(|| registry.update_timeout(id, wanted));
        if self.updated(side, index, updated) {
            let now = self.desks[side].model.now();
            match &mut self.book().entries[index].kind {
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

    /// Whether it was updated, as it was to be.
    fn updated(&self, side: Side, index: usize, updated: Result<(), NotRegistered>) -> bool {
        let mut book = self.book();
        let now = book.tick();
        let entry = &mut book.entries[index];
        let expected = entry.side == side && entry.is_registered();
        assert_eq!(updated.is_ok(), expected, "an update of {entry:?}");
        if expected {
            entry.touched = now;
        }
        expected
    }

    fn removed(&self, side: Side, index: usize, removed: Result<Removal, NotRegistered>) {
        let mut book = self.book();
        let entry = &book.entries[index];
        let expected = match (entry.side == side && entry.is_registered(), entry.running) {
            (false, _) => Err(NotRegistered),
            (true, false) => Ok(Removal::Idle),
            (true, true) => Ok(Removal::InFlight),
        };
        assert_eq!(removed, expected, "the removal of {entry:?}");
        if removed.is_ok() {
            book.remove(index);
        }
    }

    fn removed_and_waited(&self, side: Side, index: usize, removed: Result<(), RemoveError>) {
        let mut book = self.book();
        let entry = &book.entries[index];
        // Whatever runs, runs on this very thread.
        let expected = match (entry.side == side, entry.running, entry.is_registered()) {
            (true, true, _) => Err(RemoveError::WouldDeadlock),
            (true, false, true) => Ok(()),
            _ => Err(RemoveError::NotRegistered(NotRegistered)),
        };
        assert_eq!(removed, expected, "the removal of {entry:?}");
        if removed.is_ok() {
            book.remove(index);
        }
    }

    fn called(self: &Arc<Scene>, index: usize, events: Option<Events>) -> Next {
        self.book().call_begins(index, events);
        // Takes the lock: whoever still holds it waits for himself.
        assert!(!self.desks[self.side_of(index)].registry.is_idle());
        let ending = self.act();
        let mut book = self.book();
        book.call_ends(index);
        let side = book.entries[index].side;
        let registered = book.entries[index].is_registered();
        match ending {
            Ending::Keep => {}
            Ending::Disable => book.entries[index].disable(),
            Ending::Remove | Ending::Panic if registered => book.remove(index),
            Ending::Remove | Ending::Panic => {}
        }
        book.sides[side].panics += usize::from(ending == Ending::Panic);
        drop(book);
        match ending {
            Ending::Keep => Next::Keep,
            Ending::Disable => Next::Disable,
            Ending::Remove => Next::Remove,
            // No hook hears of it, so that the fuzzer does not take it for a finding.
            Ending::Panic => resume_unwind(Box::new("planned")),
        }
    }

    /// The free call of an entry.
    pub(crate) fn freed(self: &Arc<Scene>, index: usize) {
        let side = self.side_of(index);
        if self.book().freed(index) {
            let ending = self.act();
            let mut book = self.book();
            // The drop of a loop would hand the panic on.
            if ending == Ending::Panic && !book.sides[side].closed {
                book.sides[side].panics += 1;
                drop(book);
                resume_unwind(Box::new("planned"));
            }
        }
    }

    fn side_of(&self, index: usize) -> Side {
        self.book().entries[index].side
    }
}

impl Payload {
    fn call(&self, id: Id, events: Option<Events>) -> Next {
        let own = match (&self.scene.book().entries[self.index].kind, id) {
            (Kind::Handle { id: own, .. }, Id::Handle(id)) => *own == Some(id),
            (Kind::Timeout { id: own, .. }, Id::Timeout(id)) => *own == Some(id),
            _ => false,
        };
        assert!(own, "called with the id of another");
        self.scene.called(self.index, events)
    }
}
