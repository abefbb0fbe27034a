//! All registrations and the state of each loop, as a simple model for the checks.

use std::time::Duration;

use eventry::{Events, MonotonicTime};

use crate::entry::{Entry, Kind, Stamp, State};
use crate::script::{FDS, Side};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    pub(crate) sides: [LoopState; 2],
    /// An operation of a registry is running, in which no callback may be called or dropped.
    pub(crate) in_operation: bool,
    stamp: Stamp,
}

/// The state of one loop.
#[derive(Debug, Default)]
pub(crate) struct LoopState {
    /// Current readiness of the model's descriptors.
    pub(crate) ready: [Events; FDS as usize],
    /// Ready and registered events at the last wait.
    pub(crate) found: [Events; FDS as usize],
    pub(crate) refused_ever: bool,
    pub(crate) failed_ever: bool,
    pub(crate) closed: bool,
    pub(crate) stop: bool,
    pub(crate) run: Option<Run>,
    /// Time at which the loop last prepared a wait.
    pub(crate) prepared: Stamp,
    /// The current turn.
    pub(crate) turn: Option<Turn>,
    pub(crate) turns: u64,
    pub(crate) panics: usize,
    pub(crate) wait_failed: bool,
}

/// Arguments and progress of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) limit: Option<Duration>,
    /// The run ends only by a stop.
    pub(crate) until_stopped: bool,
    pub(crate) waits: usize,
    /// A stop was requested before the last turn ended.
    pub(crate) must_end: bool,
}

/// The state at the start of a turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) began: Stamp,
    pub(crate) now: MonotonicTime,
    /// Indices of the entries that must be called unless they are changed.
    pub(crate) due: Vec<usize>,
    pub(crate) frees_began: Option<Stamp>,
}

impl Ledger {
    pub(crate) fn tick(&mut self) -> Stamp {
        self.stamp += 1;
        self.stamp
    }

    /// Adds an entry that is about to be registered.
    pub(crate) fn offer(&mut self, side: Side, kind: Kind, acts_on_free: bool) -> usize {
        let now = self.tick();
        self.entries.push(Entry {
            side,
            source_dropped: matches!(kind, Kind::Timeout { .. }),
            kind,
            state: State::Offered,
            acts_on_free,
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

    /// Returns the union of the interests of all handles for each descriptor.
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
        self.entries[index].state = State::Removed(now);
    }

    /// Marks all entries of a dropped loop as removed.
    pub(crate) fn close(&mut self, side: Side) {
        let now = self.tick();
        self.sides[side].closed = true;
        let entries = self.entries.iter_mut();
        for entry in entries.filter(|entry| entry.side == side && entry.is_registered()) {
            entry.state = State::Removed(now);
        }
    }

    pub(crate) fn call_begins(&mut self, index: usize, events: Option<Events>) {
        assert!(!self.in_operation, "called inside an operation");
        let entry = &self.entries[index];
        let loop_state = &self.sides[entry.side];
        let turn = loop_state.turn.as_ref().expect("called outside a turn");
        assert!(!self.of(entry.side).any(|entry| entry.running), "two calls");
        assert!(entry.is_registered(), "called after its removal");
        assert!(!entry.freed, "called after it was freed");
        assert!(
            entry.added < turn.began,
            "called in the turn of its addition"
        );
        // After a failed wait, a refusal may be reported in a turn in which the handle is called again.
        let is_reported =
            loop_state.refused_ever && loop_state.failed_ever && events == Some(Events::ERROR);
        let is_second = entry.called_in == Some(turn.number);
        assert!(!is_second || is_reported, "called twice in a turn");
        assert!(turn.frees_began.is_none(), "called after the frees");
        let (number, now) = (turn.number, turn.now);
        let refused_ever = loop_state.refused_ever;
        let found = loop_state.found;
        let entry = &mut self.entries[index];
        match (&mut entry.kind, events) {
            (Kind::Handle { fd, interest, .. }, Some(events)) => {
                assert!(!events.is_empty(), "called with an empty set");
                let share = interest.filter_ready(found[*fd as usize]);
                if refused_ever && events == Events::ERROR && events != share {
                    *interest = Events::NONE;
                } else {
                    assert_eq!(events, share, "called with other events");
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

    /// Records the free call; returns true if it executes steps of the script.
    pub(crate) fn freed(&mut self, index: usize) -> bool {
        let entry = &mut self.entries[index];
        assert!(!entry.freed, "freed twice");
        assert!(!entry.running, "freed while it runs");
        entry.freed = true;
        let (side, acts_on_free) = (entry.side, entry.acts_on_free);
        match entry.state {
            // The failed addition returned it, and the caller drops it.
            State::Refused => return false,
            State::Removed(_) => assert!(!self.in_operation, "freed inside an operation"),
            state => panic!("freed while it is {state:?}"),
        }
        let now = self.tick();
        if let Some(turn) = &mut self.sides[side].turn {
            turn.frees_began.get_or_insert(now);
        }
        acts_on_free
    }

    pub(crate) fn source_dropped(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        assert!(!entry.source_dropped, "a source dropped twice");
        assert!(entry.freed, "a source dropped before its callback");
        let refused = entry.state == State::Refused;
        assert!(refused || !self.in_operation, "dropped in an operation");
        entry.source_dropped = true;
    }

    /// Checks that all entries of the loop are freed.
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

fn turn_stamp(loop_state: &LoopState) -> Stamp {
    loop_state.turn.as_ref().map_or(0, |turn| turn.began)
}
