//! Checks of the length of each wait, and of the calls and frees of each turn.

use std::sync::Arc;
use std::time::Duration;

use eventry::RunError;
use eventry::poller::Registrar;

use crate::entry::{Kind, State};
use crate::ledger::{Ledger, Run, Turn};
use crate::script::Side;
use crate::world::World;

/// Number of turns after which a run is stopped.
const TURNS_OF_A_RUN: usize = 3;

impl World {
    /// The hook before the wait.
    pub(crate) fn before_wait(self: &Arc<World>, side: Side) {
        if self.actors.hooks {
            self.act();
        }
        let mut ledger = self.ledger();
        ledger.sides[side].prepared = ledger.tick();
    }

    /// Checks the wait that begins, and executes steps during it.
    pub(crate) fn begin_wait(self: &Arc<World>, side: Side, timeout: Option<Duration>) {
        let test_loop = &self.loops[side];
        let now = test_loop.model.now();
        self.ledger().check_wait(side, timeout, now);
        self.check_registered(side);
        let (wakes, until) = (
            test_loop.model.wakes(),
            timeout.map(|timeout| now.saturating_add(timeout)),
        );
        let is_last = self.ledger().begin_wait(side);
        if is_last {
            self.stop(side);
        }
        if self.actors.during_wait {
            self.act();
        }
        if timeout == Some(Duration::ZERO) {
            return;
        }
        let ledger = self.ledger();
        let deadline = ledger.next_deadline(side);
        let nearer = deadline.is_some_and(|deadline| until.is_none_or(|until| deadline < until));
        let must_wake = nearer
            || ledger.has_pending(side)
            || ledger.sides[side].stop
            || !self.is_registered_exactly(&ledger, side);
        assert!(
            !must_wake || test_loop.model.wakes() > wakes,
            "the loop was not woken"
        );
    }

    /// Records the events of the wait, and executes steps after it.
    pub(crate) fn end_wait(self: &Arc<World>, side: Side, waited: bool) {
        let mut ledger = self.ledger();
        let loop_state = &mut ledger.sides[side];
        loop_state.found = Default::default();
        for (fd, interest) in self.loops[side].model.registered() {
            let fd = fd as usize;
            loop_state.found[fd] = interest.filter_ready(loop_state.ready[fd]);
        }
        loop_state.wait_failed = !waited;
        loop_state.failed_ever |= !waited;
        if !waited {
            return;
        }
        drop(ledger);
        if self.actors.after_wait {
            self.act();
        }
        let now = self.loops[side].model.now();
        self.ledger().turn_begins(side, now);
    }

    /// The hook after the last free call of a turn.
    pub(crate) fn after_dispatch(self: &Arc<World>, side: Side) {
        self.ledger().turn_ends(side);
        self.check_counts(side);
        if self.actors.hooks {
            self.act();
        }
        let loop_state = &mut self.ledger().sides[side];
        if let Some(run) = &mut loop_state.run {
            run.must_end = loop_state.stop;
        }
    }

    /// Checks I13: the poller's registrations are the unions of the handles' interests.
    fn check_registered(&self, side: Side) {
        let ledger = self.ledger();
        assert!(
            self.is_registered_exactly(&ledger, side),
            "the poller's registrations are {:?}",
            self.loops[side].model.registered()
        );
    }

    fn is_registered_exactly(&self, ledger: &Ledger, side: Side) -> bool {
        let unions = ledger.unions(side);
        let wanted = (0..).zip(unions).filter(|(_, union)| !union.is_empty());
        ledger.sides[side].refused_ever || wanted.eq(self.loops[side].model.registered())
    }

    fn check_counts(&self, side: Side) {
        let stats = self.loops[side].registry.stats();
        let ledger = self.ledger();
        let held = |is_handle: bool| {
            let entries = ledger
                .of(side)
                .filter(|entry| entry.is_registered() || entry.is_pending());
            entries
                .filter(|entry| matches!(entry.kind, Kind::Handle { .. }) == is_handle)
                .count()
        };
        let pending = ledger.of(side).filter(|entry| entry.is_pending()).count();
        let expected = (held(true), held(false), pending);
        assert_eq!(
            (stats.handles, stats.timeouts, stats.pending_frees),
            expected
        );
    }
}

impl Ledger {
    pub(crate) fn run_begins(&mut self, side: Side, run: Run) {
        let loop_state = &mut self.sides[side];
        loop_state.run = Some(run);
        loop_state.panics = 0;
        loop_state.wait_failed = false;
    }

    pub(crate) fn run_ends(&mut self, side: Side, result: &Result<(), RunError>) {
        let loop_state = &mut self.sides[side];
        loop_state.run = None;
        loop_state.turn = None;
        match result {
            Err(RunError::Wait(_)) => assert!(loop_state.wait_failed),
            Err(RunError::CallbackPanicked(panics)) => {
                assert!(!loop_state.wait_failed);
                assert_eq!(panics.len(), loop_state.panics);
            }
            Ok(()) => assert!(!loop_state.wait_failed && loop_state.panics == 0),
            Err(error) => panic!("{error}"),
        }
        assert!(!self.of(side).any(|entry| entry.running));
    }

    fn begin_wait(&mut self, side: Side) -> bool {
        let loop_state = &mut self.sides[side];
        // No callback is called before the wait is over.
        loop_state.turn = None;
        let run = loop_state.run.as_mut().expect("only a run waits");
        run.waits += 1;
        run.until_stopped && run.waits >= TURNS_OF_A_RUN
    }

    /// Checks that a wait is not too long, and not shorter without a reason.
    fn check_wait(&self, side: Side, timeout: Option<Duration>, now: eventry::MonotonicTime) {
        let loop_state = &self.sides[side];
        let run = loop_state.run.expect("only a run waits");
        let deadline = self.next_deadline(side);
        assert!(!run.must_end, "a turn after a stop");
        let until = timeout.map(|timeout| now.saturating_add(timeout));
        if let Some(limit) = run.limit {
            assert!(
                until.is_some_and(|until| until <= now.saturating_add(limit)),
                "longer than the limit"
            );
        }
        if let Some(deadline) = deadline {
            let in_time = until.is_some_and(|until| until <= deadline.max(now));
            assert!(in_time, "sleeps past {deadline:?}: {timeout:?}");
        }
        let stops = loop_state.stop;
        let has_reason = stops
            || self.has_pending(side)
            || run.limit == Some(Duration::ZERO)
            || deadline.is_some_and(|deadline| deadline <= now)
            || loop_state.refused_ever;
        let at_once = timeout == Some(Duration::ZERO);
        assert!(has_reason || !at_once, "does not sleep without a reason");
        assert!(
            at_once || !(stops || self.has_pending(side)),
            "sleeps with work to do"
        );
    }

    fn turn_begins(&mut self, side: Side, now: eventry::MonotonicTime) {
        let began = self.tick();
        let loop_state = &self.sides[side];
        let is_due = |entry: &crate::entry::Entry| match entry.interest() {
            Some((fd, interest)) => {
                !loop_state.refused_ever
                    && entry.touched < loop_state.prepared
                    && !interest
                        .filter_ready(loop_state.found[fd as usize])
                        .is_empty()
            }
            None => entry.deadline().is_some_and(|deadline| deadline <= now),
        };
        let entries = self.entries.iter().enumerate();
        let due = entries.filter(|(_, entry)| entry.side == side && is_due(entry));
        let due = due.map(|(index, _)| index).collect();
        let loop_state = &mut self.sides[side];
        loop_state.turns += 1;
        loop_state.turn = Some(Turn {
            number: loop_state.turns,
            began,
            now,
            due,
            frees_began: None,
        });
    }

    fn turn_ends(&mut self, side: Side) {
        let turn = self.sides[side].turn.take().expect("the turn has begun");
        for index in turn.due {
            let entry = &self.entries[index];
            let changed = entry.touched > turn.began || !entry.is_registered();
            let called = entry.called_in == Some(turn.number);
            assert!(called || changed, "due and not called: {entry:?}");
        }
        for entry in self.of(side).filter(|entry| entry.is_pending()) {
            let late = match (entry.state, turn.frees_began) {
                (State::Removed(at), Some(began)) => at > began,
                _ => false,
            };
            assert!(late, "not freed at the end of the turn: {entry:?}");
        }
    }
}
