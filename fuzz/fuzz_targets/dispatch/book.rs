//! Every registration ever made, and where each loop stands: a naive account that the loops are checked against.

use std::time::Duration;

use eventry::{Events, MonotonicTime};

use crate::entry::{Entry, Kind, Life, Stamp};
use crate::tape::{FDS, Side};

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    pub(crate) sides: [Account; 2],
    /// Whether an operation of a registry is going on: nothing may be called or dropped in it.
    pub(crate) in_operation: bool,
    stamp: Stamp,
}

/// Where one loop stands.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// What the model's descriptors are ready for now.
    pub(crate) ready: [Events; FDS as usize],
    /// What the poller found when it last looked: as much of it as it was asked for.
    pub(crate) found: [Events; FDS as usize],
    pub(crate) refused_ever: bool,
    pub(crate) failed_ever: bool,
    pub(crate) closed: bool,
    pub(crate) stop: bool,
    pub(crate) run: Option<Run>,
    /// When the loop last looked at the table before a wait.
    pub(crate) prepared: Stamp,
    /// The turn whose calls are being made.
    pub(crate) turn: Option<Turn>,
    pub(crate) turns: u64,
    pub(crate) panics: usize,
    pub(crate) wait_failed: bool,
}

/// What the loop was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) limit: Option<Duration>,
    /// Whether it runs until it is stopped.
    pub(crate) until_stopped: bool,
    pub(crate) waits: usize,
    /// Whether a stop was asked for before the last turn ended.
    pub(crate) must_end: bool,
}

/// What a turn began with.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) began: Stamp,
    pub(crate) now: MonotonicTime,
    /// What must be called unless somebody changes it.
    pub(crate) due: Vec<usize>,
    pub(crate) frees_began: Option<Stamp>,
}

impl Book {
    pub(crate) fn tick(&mut self) -> Stamp {
        self.stamp += 1;
        self.stamp
    }

    /// Notes what is about to be added.
    pub(crate) fn offer(&mut self, side: Side, kind: Kind, meddles: bool) -> usize {
        let now = self.tick();
        self.entries.push(Entry {
            side,
            source_dropped: matches!(kind, Kind::Timeout { .. }),
            kind,
            life: Life::Offered,
            meddles,
            running: false,
            freed: false,
            added: now,
            touched: now,
            called_in: None,
        });
        self.entries.len() - 1
    }

    pub(crate) fn of(&self, side: Side) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.side == side)
    }

    /// What all handles of a loop want of each descriptor.
    pub(crate) fn unions(&self, side: Side) -> [Events; FDS as usize] {
        let mut unions = [Events::NONE; FDS as usize];
        for (fd, interest) in self.of(side).filter_map(Entry::interest) {
            unions[fd as usize] |= interest;
        }
        unions
    }

    pub(crate) fn next_deadline(&self, side: Side) -> Option<MonotonicTime> {
        self.of(side).filter_map(Entry::deadline).min()
    }

    pub(crate) fn has_pending(&self, side: Side) -> bool {
        self.of(side).any(Entry::is_pending)
    }

    pub(crate) fn remove(&mut self, index: usize) {
        let now = self.tick();
        self.entries[index].life = Life::Removed(now);
    }

    /// The loop is dropped: that removes all it has.
    pub(crate) fn close(&mut self, side: Side) {
        let now = self.tick();
        self.sides[side].closed = true;
        let entries = self.entries.iter_mut();
        for entry in entries.filter(|entry| entry.side == side && entry.is_registered()) {
            entry.life = Life::Removed(now);
        }
    }

    pub(crate) fn call_begins(&mut self, index: usize, events: Option<Events>) {
        assert!(!self.in_operation, "called inside an operation");
        let entry = &self.entries[index];
        let account = &self.sides[entry.side];
        let turn = account.turn.as_ref().expect("called outside a turn");
        assert!(!self.of(entry.side).any(|entry| entry.running), "two calls");
        assert!(entry.is_registered(), "called after its removal");
        assert!(!entry.freed, "called after it was freed");
        assert!(entry.added < turn.began, "called in the turn it came in");
        // What was refused before a wait that failed is told so later, when it may be served again.
        let is_told = account.refused_ever && account.failed_ever && events == Some(Events::ERROR);
        let is_second = entry.called_in == Some(turn.number);
        assert!(!is_second || is_told, "called twice in a turn");
        assert!(turn.frees_began.is_none(), "called after the frees");
        let (number, now) = (turn.number, turn.now);
        let refused_ever = account.refused_ever;
        let found = account.found;
        let entry = &mut self.entries[index];
        match (&mut entry.kind, events) {
            (Kind::Handle { fd, interest, .. }, Some(events)) => {
                assert!(!events.is_empty(), "called with nothing");
                let share = interest.share_of(found[*fd as usize]);
                if refused_ever && events == Events::ERROR && events != share {
                    *interest = Events::NONE;
                } else {
                    assert_eq!(events, share, "called with another share");
                }
            }
            (
                Kind::Timeout {
                    interval, deadline, ..
                },
                None,
            ) => {
                let due = deadline.expect("called while disabled");
                assert!(due <= now, "called too early");
                assert!(entry.touched < turn_stamp(&self.sides[entry.side]));
                *deadline = interval.map(|interval| now.saturating_add(interval));
            }
            (kind, events) => panic!("{kind:?} called with {events:?}"),
        }
        entry.running = true;
        entry.called_in = Some(number);
    }

    pub(crate) fn call_ends(&mut self, index: usize) {
        assert!(self.entries[index].running);
        self.entries[index].running = false;
    }

    /// The free call; whether it does something.
    pub(crate) fn freed(&mut self, index: usize) -> bool {
        let entry = &mut self.entries[index];
        assert!(!entry.freed, "freed twice");
        assert!(!entry.running, "freed while it runs");
        entry.freed = true;
        let (side, meddles) = (entry.side, entry.meddles);
        match entry.life {
            // It came back, and its owner drops it.
            Life::Refused => return false,
            Life::Removed(_) => assert!(!self.in_operation, "freed inside an operation"),
            life => panic!("freed while it is {life:?}"),
        }
        let now = self.tick();
        if let Some(turn) = &mut self.sides[side].turn {
            turn.frees_began.get_or_insert(now);
        }
        meddles
    }

    pub(crate) fn source_dropped(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        assert!(!entry.source_dropped, "a source dropped twice");
        assert!(entry.freed, "a source dropped before its callback");
        let refused = entry.life == Life::Refused;
        assert!(refused || !self.in_operation, "dropped in an operation");
        entry.source_dropped = true;
    }

    /// Nothing of this loop is left.
    pub(crate) fn check_end(&self, side: Side) {
        for entry in self.of(side) {
            assert!(
                entry.freed && entry.source_dropped,
                "never freed: {entry:?}"
            );
            assert!(!entry.is_registered() && !entry.running);
        }
    }
}

fn turn_stamp(account: &Account) -> Stamp {
    account.turn.as_ref().map_or(0, |turn| turn.began)
}
