//! The turns: what the loop may wait for, what a turn must have done when it ends.

use std::sync::Arc;
use std::time::Duration;

use eventry::RunError;
use eventry::poller::Registrar;

use crate::book::{Book, Run, Turn};
use crate::entry::{Kind, Life};
use crate::scene::Scene;
use crate::tape::Side;

/// After so many turns somebody stops a run that nobody has stopped.
const TURNS_OF_A_RUN: usize = 3;

impl Scene {
    /// The hook before the wait.
    pub(crate) fn before_wait(self: &Arc<Scene>, side: Side) {
        if self.actors.hooks {
            self.act();
        }
        let mut book = self.book();
        book.sides[side].prepared = book.tick();
    }

    /// The loop has looked at the table and is about to wait.
    pub(crate) fn begin_wait(self: &Arc<Scene>, side: Side, timeout: Option<Duration>) {
        let desk = &self.desks[side];
        let now = desk.model.now();
        self.book().check_wait(side, timeout, now);
        self.check_registered(side);
        let (wakes, until) = (
            desk.model.wakes(),
            timeout.map(|timeout| now.saturating_add(timeout)),
        );
        let is_last = self.book().begin_wait(side);
        if is_last {
            self.stop(side);
        }
        if self.actors.during_wait {
            self.act();
        }
        if timeout == Some(Duration::ZERO) {
            return;
        }
        let book = self.book();
        let deadline = book.next_deadline(side);
        let nearer = deadline.is_some_and(|deadline| until.is_none_or(|until| deadline < until));
        let must_wake = nearer
            || book.has_pending(side)
            || book.sides[side].stop
            || !self.is_registered_exactly(&book, side);
        assert!(!must_wake || desk.model.wakes() > wakes, "nobody woke it");
    }

    /// The poller has looked.
    pub(crate) fn end_wait(self: &Arc<Scene>, side: Side, waited: bool) {
        let mut book = self.book();
        let account = &mut book.sides[side];
        account.found = Default::default();
        for (fd, interest) in self.desks[side].model.registered() {
            let fd = fd as usize;
            account.found[fd] = interest.share_of(account.ready[fd]);
        }
        account.wait_failed = !waited;
        account.failed_ever |= !waited;
        if !waited {
            return;
        }
        drop(book);
        if self.actors.after_wait {
            self.act();
        }
        let now = self.desks[side].model.now();
        self.book().turn_begins(side, now);
    }

    /// The hook after the last free call of a turn.
    pub(crate) fn after_dispatch(self: &Arc<Scene>, side: Side) {
        self.book().turn_ends(side);
        self.check_counts(side);
        if self.actors.hooks {
            self.act();
        }
        let account = &mut self.book().sides[side];
        if let Some(run) = &mut account.run {
            run.must_end = account.stop;
        }
    }

    /// I13: the poller knows exactly what the handles want.
    fn check_registered(&self, side: Side) {
        let book = self.book();
        assert!(
            self.is_registered_exactly(&book, side),
            "the poller knows {:?}",
            self.desks[side].model.registered()
        );
    }

    fn is_registered_exactly(&self, book: &Book, side: Side) -> bool {
        let unions = book.unions(side);
        let wanted = (0..).zip(unions).filter(|(_, union)| !union.is_empty());
        book.sides[side].refused_ever || wanted.eq(self.desks[side].model.registered())
    }

    fn check_counts(&self, side: Side) {
        let stats = self.desks[side].registry.stats();
        let book = self.book();
        let held = |is_handle: bool| {
            let entries = book
                .of(side)
                .filter(|entry| entry.is_registered() || entry.is_pending());
            entries
                .filter(|entry| matches!(entry.kind, Kind::Handle { .. }) == is_handle)
                .count()
        };
        let pending = book.of(side).filter(|entry| entry.is_pending()).count();
        let expected = (held(true), held(false), pending);
        assert_eq!(
            (stats.handles, stats.timeouts, stats.pending_frees),
            expected
        );
    }
}

impl Book {
    pub(crate) fn run_begins(&mut self, side: Side, run: Run) {
        let account = &mut self.sides[side];
        account.run = Some(run);
        account.panics = 0;
        account.wait_failed = false;
    }

    pub(crate) fn run_ends(&mut self, side: Side, result: &Result<(), RunError>) {
        let account = &mut self.sides[side];
        account.run = None;
        account.turn = None;
        match result {
            Err(RunError::Wait(_)) => assert!(account.wait_failed),
            Err(RunError::CallbackPanicked(panics)) => {
                assert!(!account.wait_failed);
                assert_eq!(panics.len(), account.panics);
            }
            Ok(()) => assert!(!account.wait_failed && account.panics == 0),
            Err(error) => panic!("{error}"),
        }
        assert!(!self.of(side).any(|entry| entry.running));
    }

    fn begin_wait(&mut self, side: Side) -> bool {
        let account = &mut self.sides[side];
        // What the last turn called is settled; nothing is called before the wait is over.
        account.turn = None;
        let run = account.run.as_mut().expect("only a run waits");
        run.waits += 1;
        run.until_stopped && run.waits >= TURNS_OF_A_RUN
    }

    /// A wait is not longer than it may be, and not shorter without a reason.
    fn check_wait(&self, side: Side, timeout: Option<Duration>, now: eventry::MonotonicTime) {
        let account = &self.sides[side];
        let run = account.run.expect("only a run waits");
        let deadline = self.next_deadline(side);
        assert!(
            !run.must_end,
            "a turn after the one that was to be the last"
        );
        let until = timeout.map(|timeout| now.saturating_add(timeout));
        if let Some(limit) = run.limit {
            assert!(
                until.is_some_and(|until| until <= now.saturating_add(limit)),
                "longer than asked"
            );
        }
        if let Some(deadline) = deadline {
            let in_time = until.is_some_and(|until| until <= deadline.max(now));
            assert!(in_time, "sleeps past {deadline:?}: {timeout:?}");
        }
        let stops = account.stop;
        let has_reason = stops
            || self.has_pending(side)
            || run.limit == Some(Duration::ZERO)
            || deadline.is_some_and(|deadline| deadline <= now)
            || account.refused_ever;
        let at_once = timeout == Some(Duration::ZERO);
        assert!(has_reason || !at_once, "kept awake by nothing");
        assert!(
            at_once || !(stops || self.has_pending(side)),
            "sleeps with work to do"
        );
    }

    fn turn_begins(&mut self, side: Side, now: eventry::MonotonicTime) {
        let began = self.tick();
        let account = &self.sides[side];
        let is_due = |entry: &crate::entry::Entry| match entry.interest() {
            Some((fd, interest)) => {
                !account.refused_ever
                    && entry.touched < account.prepared
                    && !interest.share_of(account.found[fd as usize]).is_empty()
            }
            None => entry.deadline().is_some_and(|deadline| deadline <= now),
        };
        let entries = self.entries.iter().enumerate();
        let due = entries.filter(|(_, entry)| entry.side == side && is_due(entry));
        let due = due.map(|(index, _)| index).collect();
        let account = &mut self.sides[side];
        account.turns += 1;
        account.turn = Some(Turn {
            number: account.turns,
            began,
            now,
            due,
            frees_began: None,
        });
    }

    fn turn_ends(&mut self, side: Side) {
        let turn = self.sides[side].turn.take().expect("it has begun");
        for index in turn.due {
            let entry = &self.entries[index];
            let changed = entry.touched > turn.began || !entry.is_registered();
            let called = entry.called_in == Some(turn.number);
            assert!(called || changed, "due and not called: {entry:?}");
        }
        for entry in self.of(side).filter(|entry| entry.is_pending()) {
            let late = match (entry.life, turn.frees_began) {
                (Life::Removed(at), Some(began)) => at > began,
                _ => false,
            };
            assert!(late, "not freed at the end of the turn: {entry:?}");
        }
    }
}
