//! Two loops, the tape, and the carrying out of its steps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventry::poller::model::Model;
use eventry::{EventLoop, Registry, RunError, Stopper};

use crate::book::{Book, Run};
use crate::probe::{Place, ProbePoller};
use crate::tape::{Actors, Ending, Op, Side, Step, Tape};

pub(crate) type ProbeLoop = EventLoop<ProbePoller>;

pub(crate) struct Scene {
    pub(crate) actors: Actors,
    pub(crate) desks: [Desk; 2],
    steps: Mutex<VecDeque<Step>>,
    book: Mutex<Book>,
}

/// A loop, and what acts on it.
pub(crate) struct Desk {
    /// Locked by whoever is in a turn of it.
    event_loop: Mutex<Option<ProbeLoop>>,
    pub(crate) registry: Registry<ProbePoller>,
    pub(crate) stopper: Stopper<ProbePoller>,
    pub(crate) model: Model,
}

impl Scene {
    pub(crate) fn new(tape: Tape) -> Arc<Scene> {
        let place = Place::default();
        let scene = Arc::new(Scene {
            actors: tape.actors,
            desks: [0, 1].map(|side| Desk::new(side, &place)),
            steps: Mutex::new(tape.steps),
            book: Mutex::default(),
        });
        let known = place.set(Arc::downgrade(&scene));
        known.expect("the place is new");
        for side in [0, 1] {
            scene.set_hooks(side);
        }
        scene
    }

    fn set_hooks(self: &Arc<Scene>, side: Side) {
        let mut event_loop = lock(&self.desks[side].event_loop);
        let event_loop = event_loop.as_mut().expect("it is new");
        let scene = Arc::clone(self);
        event_loop.set_before_wait(move || scene.before_wait(side));
        let scene = Arc::clone(self);
        event_loop.set_after_dispatch(move || scene.after_dispatch(side));
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Carries the tape out to its end.
    pub(crate) fn play(self: &Arc<Scene>) {
        while let Some(step) = self.next_step() {
            self.perform(step);
        }
    }

    /// What somebody does until the tape says that he is done.
    pub(crate) fn act(self: &Arc<Scene>) -> Ending {
        while let Some(step) = self.next_step() {
            if let Op::End(ending) = step.op {
                return ending;
            }
            self.perform(step);
        }
        Ending::Keep
    }

    /// A last turn each, and the end of both loops.
    pub(crate) fn wind_up(self: &Arc<Scene>) {
        for side in [0, 1] {
            self.turn(side, Some(Duration::ZERO));
        }
        for side in [0, 1] {
            self.close(side);
        }
        for side in [0, 1] {
            self.book().check_end(side);
            assert!(self.desks[side].registry.is_idle());
        }
    }

    fn next_step(&self) -> Option<Step> {
        lock(&self.steps).pop_front()
    }

    fn perform(self: &Arc<Scene>, Step { side, op }: Step) {
        let desk = &self.desks[side];
        match op {
            Op::SetReady { fd, events } => {
                desk.model.set_ready(fd, events);
                self.book().sides[side].ready[fd as usize] = events;
            }
            Op::Advance(by) => desk.model.advance(by),
            Op::Stop => self.stop(side),
            Op::Refuse(refuses) => {
                let error = refuses.then_some(std::io::ErrorKind::PermissionDenied);
                desk.model.refuse_registrations(error);
                self.book().sides[side].refused_ever |= refuses;
            }
            Op::FailNextWait => desk.model.fail_next_wait(std::io::ErrorKind::OutOfMemory),
            Op::Haunt { fd, events } => desk.model.haunt(fd, events),
            Op::Exorcise => desk.model.exorcise(),
            Op::Turn(limit) => self.turn(side, limit),
            Op::Run => self.run(side),
            Op::Drain => self.drain(side),
            Op::Close => self.close(side),
            Op::End(_) => {}
            operation => self.operate(side, operation),
        }
    }

    pub(crate) fn stop(&self, side: Side) {
        self.operation(|| self.desks[side].stopper.stop());
        self.book().sides[side].stop = true;
    }

    /// Runs an operation of a registry, in which nothing may be called or dropped.
    pub(crate) fn operation<T>(&self, operation: impl FnOnce() -> T) -> T {
        self.book().in_operation = true;
        let result = operation();
        self.book().in_operation = false;
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
            self.book().sides[side].stop = false;
        }
    }

    fn drain(&self, side: Side) {
        if self.with_loop(side, Run::default(), ProbeLoop::drain) {
            assert!(!self.book().has_pending(side), "a drain left something");
        }
    }

    /// Does something with the loop, unless it is in a turn or gone; whether it did.
    fn with_loop(
        &self,
        side: Side,
        run: Run,
        work: impl FnOnce(&mut ProbeLoop) -> Result<(), RunError>,
    ) -> bool {
        let Ok(mut event_loop) = self.desks[side].event_loop.try_lock() else {
            return false;
        };
        let Some(event_loop) = event_loop.as_mut() else {
            return false;
        };
        self.book().run_begins(side, run);
        let result = work(event_loop);
        self.book().run_ends(side, &result);
        true
    }

    fn close(&self, side: Side) {
        let event_loop = match self.desks[side].event_loop.try_lock() {
            Ok(mut event_loop) => event_loop.take(),
            Err(_) => None,
        };
        if event_loop.is_some() {
            self.book().close(side);
            drop(event_loop);
            self.book().check_end(side);
        }
    }
}

impl Desk {
    fn new(side: Side, place: &Place) -> Desk {
        let (poller, model) = ProbePoller::new(side, Arc::clone(place));
        let event_loop = EventLoop::with_poller(poller);
        Desk {
            registry: event_loop.registry(),
            stopper: event_loop.stopper(),
            event_loop: Mutex::new(Some(event_loop)),
            model,
        }
    }
}

/// A check that fails while the lock is held has the last word; what the destructors say then is noise.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
