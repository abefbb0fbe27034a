//! Two loops, the script, and the execution of its steps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventry::poller::model::Model;
use eventry::{EventLoop, Registry, RunError, Stopper};

use crate::ledger::{Ledger, Run};
use crate::probe::{ProbePoller, WorldCell};
use crate::script::{Actors, Ending, Op, Script, Side, Step};

pub(crate) type ProbeLoop = EventLoop<ProbePoller>;

pub(crate) struct World {
    pub(crate) actors: Actors,
    pub(crate) loops: [TestLoop; 2],
    steps: Mutex<VecDeque<Step>>,
    ledger: Mutex<Ledger>,
}

/// A loop with its registry, stopper and model.
pub(crate) struct TestLoop {
    /// Locked during a turn of the loop.
    event_loop: Mutex<Option<ProbeLoop>>,
    pub(crate) registry: Registry<ProbePoller>,
    pub(crate) stopper: Stopper<ProbePoller>,
    pub(crate) model: Model,
}

impl World {
    pub(crate) fn new(script: Script) -> Arc<World> {
        let world_cell = WorldCell::default();
        let world = Arc::new(World {
            actors: script.actors,
            loops: [0, 1].map(|side| TestLoop::new(side, &world_cell)),
            steps: Mutex::new(script.steps),
            ledger: Mutex::default(),
        });
        let known = world_cell.set(Arc::downgrade(&world));
        known.expect("the cell is empty");
        for side in [0, 1] {
            world.set_hooks(side);
        }
        world
    }

    fn set_hooks(self: &Arc<World>, side: Side) {
        let mut event_loop = lock(&self.loops[side].event_loop);
        let event_loop = event_loop.as_mut().expect("the loop is not dropped");
        let world = Arc::clone(self);
        event_loop.set_before_wait(move || world.before_wait(side));
        let world = Arc::clone(self);
        event_loop.set_after_dispatch(move || world.after_dispatch(side));
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Executes the whole script.
    pub(crate) fn play(self: &Arc<World>) {
        while let Some(step) = self.next_step() {
            self.perform(step);
        }
    }

    /// Executes steps until `Op::End`.
    pub(crate) fn act(self: &Arc<World>) -> Ending {
        while let Some(step) = self.next_step() {
            if let Op::End(ending) = step.op {
                return ending;
            }
            self.perform(step);
        }
        Ending::Keep
    }

    /// Runs a last turn of each loop, and drops both.
    pub(crate) fn finish(self: &Arc<World>) {
        for side in [0, 1] {
            self.turn(side, Some(Duration::ZERO));
        }
        for side in [0, 1] {
            self.close(side);
        }
        for side in [0, 1] {
            self.ledger().check_end(side);
            assert!(self.loops[side].registry.is_idle());
        }
    }

    fn next_step(&self) -> Option<Step> {
        lock(&self.steps).pop_front()
    }

    fn perform(self: &Arc<World>, Step { side, op }: Step) {
        let test_loop = &self.loops[side];
        match op {
            Op::SetReady { fd, events } => {
                test_loop.model.set_ready(fd, events);
                self.ledger().sides[side].ready[fd as usize] = events;
            }
            Op::Advance(by) => test_loop.model.advance(by),
            Op::Stop => self.stop(side),
            Op::Refuse(refuses) => {
                let error = refuses.then_some(std::io::ErrorKind::PermissionDenied);
                test_loop.model.refuse_registrations(error);
                self.ledger().sides[side].refused_ever |= refuses;
            }
            Op::FailNextWait => test_loop
                .model
                .fail_next_wait(std::io::ErrorKind::OutOfMemory),
            Op::MakeStale { fd, events } => test_loop.model.add_stale(fd, events),
            Op::ClearStale => test_loop.model.clear_stale(),
            Op::Turn(limit) => self.turn(side, limit),
            Op::Run => self.run(side),
            Op::Drain => self.drain(side),
            Op::Close => self.close(side),
            Op::End(_) => {}
            operation => self.operate(side, operation),
        }
    }

    pub(crate) fn stop(&self, side: Side) {
        self.operation(|| self.loops[side].stopper.stop());
        self.ledger().sides[side].stop = true;
    }

    /// Runs an operation of a registry, in which no callback may be called or dropped.
    pub(crate) fn operation<T>(&self, operation: impl FnOnce() -> T) -> T {
        self.ledger().in_operation = true;
        let result = operation();
        self.ledger().in_operation = false;
        result
    }

    fn turn(&self, side: Side, limit: Option<Duration>) {
        let run = Run {
            limit,
            ..Run::default()
        };
        self.with_loop(side, run, |event_loop| event_loop.run_once(limit));
    }

    fn run(&self, side: Side) {
        let run = Run {
            until_stopped: true,
            ..Run::default()
        };
        if self.with_loop(side, run, ProbeLoop::run) {
            self.ledger().sides[side].stop = false;
        }
    }

    fn drain(&self, side: Side) {
        if self.with_loop(side, Run::default(), ProbeLoop::drain) {
            assert!(!self.ledger().has_pending(side), "a drain left something");
        }
    }

    /// Runs `work` with the loop; returns false if the loop is in a turn or dropped.
    fn with_loop(
        &self,
        side: Side,
        run: Run,
        work: impl FnOnce(&mut ProbeLoop) -> Result<(), RunError>,
    ) -> bool {
        let Ok(mut event_loop) = self.loops[side].event_loop.try_lock() else {
            return false;
        };
        let Some(event_loop) = event_loop.as_mut() else {
            return false;
        };
        self.ledger().run_begins(side, run);
        let result = work(event_loop);
        self.ledger().run_ends(side, &result);
        true
    }

    fn close(&self, side: Side) {
        let event_loop = match self.loops[side].event_loop.try_lock() {
            Ok(mut event_loop) => event_loop.take(),
            Err(_) => None,
        };
        if event_loop.is_some() {
            self.ledger().close(side);
            drop(event_loop);
            self.ledger().check_end(side);
        }
    }
}

impl TestLoop {
    fn new(side: Side, world_cell: &WorldCell) -> TestLoop {
        let (poller, model) = ProbePoller::new(side, Arc::clone(world_cell));
        let event_loop = EventLoop::with_poller(poller);
        TestLoop {
            registry: event_loop.registry(),
            stopper: event_loop.stopper(),
            event_loop: Mutex::new(Some(event_loop)),
            model,
        }
    }
}

/// Ignores poisoning, so that a failed check is reported and not the panics of later destructors.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
