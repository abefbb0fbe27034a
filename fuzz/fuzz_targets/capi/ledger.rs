//! All registrations of an input, and the expected results of the functions.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_int;
use std::os::fd::RawFd;

use crate::descriptors::Descriptors;
use crate::errno::{EDEADLK, EINVAL};
use crate::script::{Id, RemovalKind, Shape};

/// Errors and hang-ups, which are reported without being requested.
const UNASKED: c_int = 12;

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    /// A function is running that may call no callback.
    pub(crate) in_operation: bool,
    pub(crate) in_turn: bool,
    turns: u64,
    calls_of_turn: usize,
    /// Ready and registered events at the start of the turn; none if either has changed before the loop polled.
    found: Option<BTreeMap<RawFd, c_int>>,
    /// Indices of the entries that must be called in the turn unless they are changed.
    due: Vec<usize>,
    /// Descriptors that were closed while they were watched, so that their readiness is unknown.
    pub(crate) unpredictable: BTreeSet<RawFd>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Handle { fd: RawFd, interest: c_int },
    Timeout { milliseconds: c_int },
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: c_int,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    pub(crate) registered: bool,
    pub(crate) running: bool,
    pub(crate) freed: bool,
    /// The entry was updated in this turn.
    touched: bool,
    called_in: u64,
}

impl Ledger {
    /// Adds an entry that has no id yet.
    pub(crate) fn offer(&mut self, kind: Kind, shape: Shape) -> usize {
        self.entries.push(Entry {
            id: 0,
            kind,
            shape,
            registered: false,
            running: false,
            freed: false,
            touched: true,
            called_in: 0,
        });
        self.entries.len() - 1
    }

    pub(crate) fn added(&mut self, index: usize, id: c_int) {
        assert!(id >= 1, "the id {id}");
        let taken = self.entries.iter().any(|entry| entry.id == id);
        assert!(!taken, "the id {id} was issued twice");
        let entry = &mut self.entries[index];
        assert!(!entry.freed && !entry.running);
        entry.id = id;
        entry.registered = true;
    }

    pub(crate) fn number(&self, id: Id) -> c_int {
        match id {
            Id::Raw(number) => number,
            Id::Nth(nth) => {
                let ids: Vec<c_int> = self.entries.iter().map(|entry| entry.id).collect();
                // Counts from the newest.
                let newest = ids.iter().rev().filter(|id| **id != 0);
                newest
                    .clone()
                    .nth(nth % newest.count().max(1))
                    .copied()
                    .unwrap_or(0)
            }
        }
    }

    /// Returns the index of the registered entry with this id and kind.
    pub(crate) fn find(&self, id: c_int, is_handle: bool) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.registered && entry.id == id && entry.is_handle() == is_handle)
    }

    pub(crate) fn touch(&mut self, index: usize, kind: Kind) {
        self.entries[index].kind = kind;
        self.entries[index].touched = true;
    }

    /// Returns the expected result of a removal.
    pub(crate) fn removal(&self, found: Option<usize>, kind: RemovalKind) -> Result<c_int, c_int> {
        let index = found.ok_or(EINVAL)?;
        match (kind, self.entries[index].running) {
            (RemovalKind::Wait, true) => Err(EDEADLK),
            (RemovalKind::Status, true) => Ok(1),
            _ => Ok(0),
        }
    }

    pub(crate) fn turn_begins(&mut self, descriptors: &Descriptors) {
        self.in_turn = true;
        self.turns += 1;
        self.calls_of_turn = 0;
        let numbers = descriptors.numbers();
        let found = numbers.filter_map(|fd| {
            let ready = descriptors.ready(fd)?;
            Some((fd, ready & (self.union(fd) | UNASKED)))
        });
        self.found = Some(found.collect());
        for entry in &mut self.entries {
            entry.touched = false;
        }
        let entries = self.entries.iter().enumerate();
        let due = entries.filter(|(_, entry)| entry.registered && self.is_due(entry));
        self.due = due.map(|(index, _)| index).collect();
    }

    /// Returns the union of the interests of all handles on a descriptor.
    fn union(&self, fd: RawFd) -> c_int {
        let registered = self.entries.iter().filter(|entry| entry.registered);
        registered.fold(0, |union, entry| match entry.kind {
            Kind::Handle { fd: own, interest } if own == fd => union | interest,
            _ => union,
        })
    }

    fn is_due(&self, entry: &Entry) -> bool {
        match entry.kind {
            Kind::Handle { fd, interest } => {
                self.share(fd, interest).is_some_and(|share| share != 0)
            }
            Kind::Timeout { milliseconds } => milliseconds == 0,
        }
    }

    /// Returns the events that a handle must be called with in this turn, if they are known.
    fn share(&self, fd: RawFd, interest: c_int) -> Option<c_int> {
        let found = self.found.as_ref()?.get(&fd)?;
        let share = if interest == 0 {
            0
        } else {
            found & (interest | UNASKED)
        };
        (!self.unpredictable.contains(&fd)).then_some(share)
    }

    pub(crate) fn turn_ends(&mut self) {
        self.in_turn = false;
        let knows_what_is_ready = self.found.is_some();
        for index in std::mem::take(&mut self.due) {
            let entry = &self.entries[index];
            let unpredictable = match entry.kind {
                Kind::Handle { fd, .. } => !knows_what_is_ready || self.unpredictable.contains(&fd),
                Kind::Timeout { .. } => false,
            };
            let excused = entry.touched || !entry.registered || unpredictable;
            let called = entry.called_in == self.turns;
            assert!(called || excused, "due and not called: {entry:?}");
        }
        assert!(!self.entries.iter().any(|entry| entry.running));
    }

    /// Records a change of a descriptor or an interest. Before the first call of a turn, the loop may not have polled
    /// yet, so the ready events are unknown.
    pub(crate) fn disturb(&mut self) {
        if self.in_turn && self.calls_of_turn == 0 {
            self.found = None;
        }
    }

    pub(crate) fn call_begins(
        &mut self,
        index: usize,
        id: c_int,
        fd_and_events: Option<(RawFd, c_int)>,
    ) {
        assert!(self.in_turn && !self.in_operation, "called outside a turn");
        assert!(!self.entries.iter().any(|entry| entry.running), "two calls");
        let entry = &self.entries[index];
        assert!(entry.registered && !entry.freed, "called after its removal");
        assert_eq!(entry.id, id, "called with another entry's id");
        assert_ne!(entry.called_in, self.turns, "called twice in a turn");
        match (entry.kind, fd_and_events) {
            (Kind::Handle { fd, interest }, Some((told, events))) => {
                assert_eq!(told, fd);
                assert!(interest != 0 && events != 0, "{interest} {events}");
                assert_eq!(events & !(interest | UNASKED), 0, "not requested");
                if let Some(share) = self.share(fd, interest) {
                    assert_eq!(events, share, "other events of {fd}");
                }
            }
            (Kind::Timeout { milliseconds }, None) => assert!(milliseconds >= 0),
            other => panic!("{other:?}"),
        }
        let entry = &mut self.entries[index];
        entry.running = true;
        entry.called_in = self.turns;
        self.calls_of_turn += 1;
    }

    pub(crate) fn freed(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        assert!(
            !entry.freed && !entry.running && !entry.registered,
            "{entry:?}"
        );
        assert!(self.in_turn && !self.in_operation, "freed outside a turn");
        entry.freed = true;
    }
}

impl Entry {
    pub(crate) fn is_handle(&self) -> bool {
        matches!(self.kind, Kind::Handle { .. })
    }
}
