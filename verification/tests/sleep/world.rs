//! The surroundings of the loop: operations on it, and a naive list of its entries that decides when the loop
//! must not sleep.

use crate::poller::SleepPoller;
use eventry::poller::Registrar;
use eventry::poller::model::{Model, ModelPoller, ModelSource};
use eventry::table::Removal;
use eventry::{
    EventLoop, Events, HandleId, MonotonicTime, Registry, SignalStopper, Stopper, TimeoutId,
};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// An operation of any thread, also while the loop sleeps, or of a callback.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    AddHandle {
        fd: RawFd,
        interest: Events,
    },
    UpdateHandle {
        nth: usize,
        interest: Events,
    },
    AddTimeout {
        interval: Option<u64>,
    },
    UpdateTimeout {
        nth: usize,
        interval: Option<u64>,
    },
    /// Removes one of all entries ever added.
    Remove {
        nth: usize,
    },
    /// Sets the events for which a descriptor is ready.
    Ready {
        fd: RawFd,
        events: Events,
    },
    Advance(u64),
    Stop,
    StopBySignal,
}

/// Counts of rare situations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) stopped_asleep: usize,
    pub(crate) signalled_asleep: usize,
    pub(crate) stopped_before_run: usize,
    pub(crate) removed_asleep: usize,
    pub(crate) nearer_asleep: usize,
    pub(crate) changed_asleep: usize,
    pub(crate) removed_running: usize,
    pub(crate) calls: usize,
}

/// The loop under test.
pub(crate) struct Harness {
    pub(crate) event_loop: EventLoop<SleepPoller>,
    pub(crate) shared: Shared,
}

/// State shared by the test, the poller and the callbacks.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

struct World {
    /// Set after the loop was created.
    controls: Option<Controls>,
    model: Model,
    entries: Vec<Entry>,
    /// Entry whose callback runs.
    running: Option<usize>,
    /// A stop of either kind is pending.
    stop: bool,
    /// A handle was added or updated with an interest since the last wait began. Its number may be another file.
    is_used: bool,
    /// End of the wait that the loop is in: the outer none is no wait, the inner none a wait without an end.
    asleep: Option<Option<MonotonicTime>>,
    /// Number of wakes of the poller when the wait began.
    wakes: usize,
    /// A signal has woken the poller since, which the registry does not know.
    signalled: bool,
    /// Time that the turn read from the clock.
    turn: MonotonicTime,
    waits: usize,
    /// Number of further waits after which a run is stopped.
    waits_left: Option<usize>,
    acts_asleep: Vec<Act>,
    acts_in_call: Vec<Act>,
    failure: Option<String>,
    counts: Counts,
}

/// Interfaces of the loop for other threads.
#[derive(Clone)]
struct Controls {
    registry: Registry<SleepPoller>,
    stopper: Stopper<SleepPoller>,
    by_signal: SignalStopper<SleepPoller>,
}

struct Entry {
    kind: EntryKind,
    registered: bool,
    frees: usize,
}

#[derive(Clone, Copy)]
enum EntryKind {
    /// Added, but its id is not known yet.
    Adding,
    Handle(HandleId, RawFd, Events),
    Timeout(TimeoutId, Option<u64>, Option<MonotonicTime>),
}

/// Counts the free of an entry when it is dropped with the callback that owns it.
struct FreeCounter(Shared, usize);

impl Drop for FreeCounter {
    fn drop(&mut self) {
        self.0.lock().entries[self.1].frees += 1;
    }
}

impl Harness {
    pub(crate) fn new() -> Harness {
        let (inner, model) = ModelPoller::new();
        let shared = Shared(Arc::new(Mutex::new(World {
            controls: None,
            model,
            entries: Vec::new(),
            running: None,
            stop: false,
            is_used: false,
            asleep: None,
            wakes: 0,
            signalled: false,
            turn: MonotonicTime::ZERO,
            waits: 0,
            waits_left: None,
            acts_asleep: Vec::new(),
            acts_in_call: Vec::new(),
            failure: None,
            counts: Counts::default(),
        })));
        let event_loop = EventLoop::with_poller(SleepPoller::new(inner, shared.clone()));
        shared.lock().controls = Some(Controls {
            registry: event_loop.registry(),
            stopper: event_loop.stopper(),
            by_signal: event_loop.signal_stopper(),
        });
        Harness { event_loop, shared }
    }

    /// Runs one turn, after which all removed entries must be freed.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) {
        let turned = self.event_loop.run_once(timeout);
        self.shared.end_turn(turned.is_ok());
    }

    /// Runs the loop until it is stopped, which happens after three waits at the latest.
    pub(crate) fn run(&mut self) {
        let (was_stopped, waits) = {
            let mut world = self.shared.lock();
            world.waits_left = Some(3);
            world.counts.stopped_before_run += usize::from(world.stop);
            (world.stop, world.waits)
        };
        let ran = self.event_loop.run();
        self.shared.end_turn(ran.is_ok());
        let mut world = self.shared.lock();
        world.waits_left = None;
        let turns = world.waits - waits;
        let was_asked_to = std::mem::take(&mut world.stop);
        world.expect(was_asked_to, "the run ended without a stop");
        world.expect(
            !was_stopped || turns == 1,
            "an earlier stop did not end the run",
        );
    }

    /// Drops the loop, and returns the failure and the counts.
    pub(crate) fn end(self) -> (Option<String>, Counts) {
        let Harness { event_loop, shared } = self;
        drop(event_loop);
        let mut world = shared.lock();
        for entry in &mut world.entries {
            entry.registered = false;
        }
        let freed = world.entries.iter().all(|entry| entry.frees == 1);
        world.expect(
            freed,
            "an entry is not freed exactly once after the loop was dropped",
        );
        // The controls hold the registry, and thereby the callbacks, which hold this state.
        world.controls = None;
        (world.failure.take(), world.counts)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    pub(crate) fn queue_asleep(&self, act: Act) {
        self.lock().acts_asleep.push(act);
    }

    pub(crate) fn queue_in_call(&self, act: Act) {
        self.lock().acts_in_call.push(act);
    }

    /// Performs `act`, and checks that the loop is woken if and only if it must be.
    pub(crate) fn act(&self, act: Act) {
        let controls = self.lock().controls.clone();
        let Some(controls) = controls else { return };
        let wakes = self.lock().model.wakes();
        self.perform(&controls, act);
        let mut world = self.lock();
        let mut woken = world.model.wakes() - wakes;
        if matches!(act, Act::StopBySignal) {
            // A signal wakes the poller even if the loop does not sleep; the wake is latched.
            world.signalled = true;
            world.expect(woken == 1, "a signal does not wake the poller");
        }
        if world.signalled {
            return;
        }
        let is_asleep = world.asleep.is_some() && world.model.wakes() - woken == world.wakes;
        let must = is_asleep && world.must_not_sleep();
        if must {
            world.expect(woken > 0, "the loop is not woken for the change");
            woken = woken.saturating_sub(1);
        }
        world.expect(woken == 0, "the loop is woken without a reason");
        if is_asleep {
            let counts = &mut world.counts;
            counts.stopped_asleep += usize::from(matches!(act, Act::Stop));
            counts.removed_asleep += usize::from(matches!(act, Act::Remove { .. }) && must);
            let is_timeout = matches!(act, Act::AddTimeout { .. } | Act::UpdateTimeout { .. });
            counts.nearer_asleep += usize::from(is_timeout && must);
            let is_handle = matches!(act, Act::AddHandle { .. } | Act::UpdateHandle { .. });
            counts.changed_asleep += usize::from(is_handle && must);
        }
    }

    fn perform(&self, controls: &Controls, act: Act) {
        let registry = &controls.registry;
        match act {
            Act::AddHandle { fd, interest } => {
                let (nth, guard) = self.new_entry();
                let shared = self.clone();
                let added = registry.add_source(ModelSource(fd), interest, move |event| {
                    let _owned = &guard;
                    shared.on_handle_call(nth, event.events);
                });
                let id = added.expect("the loop exists");
                let mut world = self.lock();
                world.entries[nth].kind = EntryKind::Handle(id, fd, interest);
                world.is_used |= !interest.is_empty();
            }
            Act::AddTimeout { interval } => {
                let (nth, guard) = self.new_entry();
                let shared = self.clone();
                let added = registry.add_timeout(interval.map(Duration::from_nanos), move |_| {
                    let _owned = &guard;
                    shared.on_timeout_call(nth);
                });
                let id = added.expect("the loop exists");
                let mut world = self.lock();
                let deadline = world.deadline(interval);
                world.entries[nth].kind = EntryKind::Timeout(id, interval, deadline);
            }
            Act::UpdateHandle { nth, interest } => {
                let Some((nth, EntryKind::Handle(id, fd, _), registered)) = self.nth(nth) else {
                    return;
                };
                let updated = registry.update_handle(id, interest);
                let mut world = self.lock();
                world.entries[nth].kind = EntryKind::Handle(id, fd, interest);
                world.is_used |= registered && !interest.is_empty();
                world.expect(updated.is_ok() == registered, "I2: an update");
            }
            Act::UpdateTimeout { nth, interval } => {
                let Some((nth, EntryKind::Timeout(id, ..), registered)) = self.nth(nth) else {
                    return;
                };
                let updated = registry.update_timeout(id, interval.map(Duration::from_nanos));
                let mut world = self.lock();
                let deadline = world.deadline(interval);
                world.entries[nth].kind = EntryKind::Timeout(id, interval, deadline);
                world.expect(updated.is_ok() == registered, "I2: an update");
            }
            Act::Remove { nth } => self.remove(controls, nth),
            Act::Ready { fd, events } => {
                let model = self.lock().model.clone();
                model.set_ready(fd, events);
            }
            Act::Advance(nanos) => self.lock().model.advance(Duration::from_nanos(nanos)),
            Act::Stop => {
                self.lock().stop = true;
                controls.stopper.stop();
            }
            Act::StopBySignal => {
                let mut world = self.lock();
                world.stop = true;
                world.counts.signalled_asleep += usize::from(world.asleep.is_some());
                drop(world);
                controls.by_signal.stop();
            }
        }
    }

    fn remove(&self, controls: &Controls, nth: usize) {
        let Some((nth, kind, registered)) = self.nth(nth) else {
            return;
        };
        let removed = match kind {
            EntryKind::Handle(id, ..) => controls.registry.remove_handle(id),
            EntryKind::Timeout(id, ..) => controls.registry.remove_timeout(id),
            EntryKind::Adding => return,
        };
        let mut world = self.lock();
        let runs = world.running == Some(nth);
        let right = registered.then_some(if runs {
            Removal::InFlight
        } else {
            Removal::Idle
        });
        world.expect(removed.ok() == right, "I2, I3: a removal");
        world.entries[nth].registered = false;
        world.counts.removed_running += usize::from(runs && registered);
    }

    fn nth(&self, nth: usize) -> Option<(usize, EntryKind, bool)> {
        let world = self.lock();
        let nth = nth.checked_rem(world.entries.len())?;
        let entry = &world.entries[nth];
        Some((nth, entry.kind, entry.registered))
    }

    fn new_entry(&self) -> (usize, FreeCounter) {
        let mut world = self.lock();
        let nth = world.entries.len();
        world.entries.push(Entry {
            kind: EntryKind::Adding,
            registered: true,
            frees: 0,
        });
        (nth, FreeCounter(self.clone(), nth))
    }

    /// Records that the loop begins to wait.
    pub(crate) fn begin_wait(&self, timeout: Option<Duration>) {
        let mut world = self.lock();
        world.waits += 1;
        world.wakes = world.model.wakes();
        world.signalled = false;
        world.is_used = false;
        if timeout != Some(Duration::ZERO) {
            let now = world.model.now();
            world.asleep = Some(timeout.map(|timeout| now.saturating_add(timeout)));
            let may = !world.must_not_sleep();
            world.expect(may, "the loop sleeps although it has work");
        }
    }

    /// Performs the operations queued for the wait, and stops a run after its last allowed wait.
    pub(crate) fn run_acts_asleep(&self) {
        let acts = std::mem::take(&mut self.lock().acts_asleep);
        for act in acts {
            self.act(act);
        }
        let mut world = self.lock();
        let Some(waits_left) = &mut world.waits_left else {
            return;
        };
        *waits_left = waits_left.saturating_sub(1);
        let is_over = *waits_left == 0;
        drop(world);
        if is_over {
            self.act(Act::Stop);
        }
    }

    /// Records that the wait has ended and the loop has read the clock.
    pub(crate) fn end_wait(&self, now: MonotonicTime) {
        let mut world = self.lock();
        world.asleep = None;
        world.turn = now;
    }

    fn on_handle_call(&self, nth: usize, events: Events) {
        let mut world = self.lock();
        if let EntryKind::Handle(_, _, interest) = world.entries[nth].kind {
            let fits = !events.is_empty() && interest.filter_ready(events) == events;
            world.expect(
                fits,
                "I9: a handle is called with events outside its interest",
            );
        }
        self.on_call(world, nth);
    }

    fn on_timeout_call(&self, nth: usize) {
        let mut world = self.lock();
        if let EntryKind::Timeout(id, interval, deadline) = world.entries[nth].kind {
            let turn = world.turn;
            let is_due = deadline.is_some_and(|deadline| deadline <= turn);
            world.expect(is_due, "a timeout fires before its deadline");
            let next = interval.map(|nanos| turn.saturating_add(Duration::from_nanos(nanos)));
            world.entries[nth].kind = EntryKind::Timeout(id, interval, next);
        }
        self.on_call(world, nth);
    }

    fn on_call(&self, mut world: MutexGuard<'_, World>, nth: usize) {
        world.counts.calls += 1;
        let registered = world.entries[nth].registered;
        world.expect(registered, "I3: an entry is called after its removal");
        let idle = world.running.replace(nth).is_none();
        world.expect(idle, "I8: an entry is called during a call");
        let acts = std::mem::take(&mut world.acts_in_call);
        drop(world);
        for act in acts {
            self.act(act);
        }
        self.lock().running = None;
    }

    fn end_turn(&self, is_ok: bool) {
        let mut world = self.lock();
        world.expect(is_ok, "the turn failed");
        let freed = world.entries.iter();
        let right = freed
            .clone()
            .all(|entry| entry.frees == usize::from(!entry.registered));
        world.expect(
            right,
            "I5: a removed entry is not freed exactly once by the end of the turn",
        );
    }
}

impl World {
    fn expect(&mut self, condition: bool, otherwise: &str) {
        if !condition && self.failure.is_none() {
            self.failure = Some(otherwise.to_owned());
        }
    }

    fn deadline(&self, interval: Option<u64>) -> Option<MonotonicTime> {
        let now = self.model.now();
        interval.map(|nanos| now.saturating_add(Duration::from_nanos(nanos)))
    }

    /// Returns true if the loop has work before its wait ends.
    fn must_not_sleep(&self) -> bool {
        let frees = self.entries.iter().any(|e| !e.registered && e.frees == 0);
        let until = self.asleep.flatten();
        let registered = self.entries.iter().filter(|entry| entry.registered);
        let due = registered.clone().any(|entry| match entry.kind {
            EntryKind::Timeout(_, _, Some(deadline)) => until.is_none_or(|until| deadline < until),
            _ => false,
        });
        let mut wanted: Vec<(RawFd, Events)> = Vec::new();
        for entry in registered {
            let EntryKind::Handle(_, fd, interest) = entry.kind else {
                continue;
            };
            match wanted.iter_mut().find(|(own, _)| *own == fd) {
                Some((_, union)) => *union |= interest,
                None => wanted.push((fd, interest)),
            }
        }
        wanted.retain(|(_, union)| !union.is_empty());
        wanted.sort_unstable();
        self.stop || frees || due || self.is_used || wanted != self.model.registered()
    }
}
