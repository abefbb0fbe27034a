//! Every registration of this input, and what the functions must answer.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_int;
use std::os::fd::RawFd;

use crate::descriptors::Descriptors;
use crate::errno::{EDEADLK, EINVAL};
use crate::tape::{How, Id, Shape};

/// Errors and hang-ups come unasked.
const UNASKED: c_int = 12;

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    /// Whether some function is going on that may call nothing.
    pub(crate) in_operation: bool,
    pub(crate) in_turn: bool,
    turns: u64,
    calls_of_turn: usize,
    /// What was ready when the turn began of what the poller is asked for, unless either has changed before the
    /// loop looked.
    found: Option<BTreeMap<RawFd, c_int>>,
    /// What must be called in the turn unless somebody changes it.
    due: Vec<usize>,
    /// IntIds that were closed while they were watched. What they are ready for is anybody's guess.
    pub(crate) tampered: BTreeSet<RawFd>,
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
    /// Whether somebody has updated it since the turn began.
    touched: bool,
    called_in: u64,
}

impl Book {
    /// Notes what is being added, before it has an id.
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
                // The newest are near.
                let newest = ids.iter().rev().filter(|id| **id != 0);
                newest
                    .clone()
                    .nth(nth % newest.count().max(1))
                    .copied()
                    .unwrap_or(0)
            }
        }
    }

    /// The registered entry with this id and of this kind.
    pub(crate) fn find(&self, id: c_int, is_handle: bool) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.registered && entry.id == id && entry.is_handle() == is_handle)
    }

    pub(crate) fn touch(&mut self, index: usize, kind: Kind) {
        self.entries[index].kind = kind;
        self.entries[index].touched = true;
    }

    /// What a removal must answer.
    pub(crate) fn removal(&self, found: Option<usize>, how: How) -> Result<c_int, c_int> {
        let index = found.ok_or(EINVAL)?;
        match (how, self.entries[index].running) {
            (How::Wait, true) => Err(EDEADLK),
            (How::Status, true) => Ok(1),
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

    /// What all handles on a descriptor want together.
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

    /// What a handle is to be called with in this turn, if that is known.
    fn share(&self, fd: RawFd, interest: c_int) -> Option<c_int> {
        let found = self.found.as_ref()?.get(&fd)?;
        let share = if interest == 0 {
            0
        } else {
            found & (interest | UNASKED)
        };
        (!self.tampered.contains(&fd)).then_some(share)
    }

    pub(crate) fn turn_ends(&mut self) {
        self.in_turn = false;
        let knows_what_is_ready = self.found.is_some();
        for index in std::mem::take(&mut self.due) {
            let entry = &self.entries[index];
            let tampered = match entry.kind {
                Kind::Handle { fd, .. } => !knows_what_is_ready || self.tampered.contains(&fd),
                Kind::Timeout { .. } => false,
            };
            let excused = entry.touched || !entry.registered || tampered;
            let called = entry.called_in == self.turns;
            assert!(called || excused, "due and not called: {entry:?}");
        }
        assert!(!self.entries.iter().any(|entry| entry.running));
    }

    /// Something was done to a descriptor, or to what is wanted of it. Before the first call of a turn, the loop
    /// may not have looked yet.
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
        assert!(self.in_turn && !self.in_operation, "called out of turn");
        assert!(!self.entries.iter().any(|entry| entry.running), "two calls");
        let entry = &self.entries[index];
        assert!(entry.registered && !entry.freed, "called after its removal");
        assert_eq!(entry.id, id, "called with the id of another");
        assert_ne!(entry.called_in, self.turns, "called twice in a turn");
        match (entry.kind, fd_and_events) {
            (Kind::Handle { fd, interest }, Some((told, events))) => {
                assert_eq!(told, fd);
                assert!(interest != 0 && events != 0, "{interest} {events}");
                assert_eq!(events & !(interest | UNASKED), 0, "not asked for");
                if let Some(share) = self.share(fd, interest) {
                    assert_eq!(events, share, "another share of {fd}");
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
        assert!(self.in_turn && !self.in_operation, "freed out of turn");
        entry.freed = true;
    }
}

impl Entry {
    pub(crate) fn is_handle(&self) -> bool {
        matches!(self.kind, Kind::Handle { .. })
    }
}
