//! The loop's surroundings: who does what to it and when, and a naive list of what there is, from which
//! follows whether it may sleep.

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

/// What any thread may do, also while the loop sleeps, and any callback.
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
    /// Of all that were ever added.
    Remove {
        nth: usize,
    },
    /// A descriptor is ready for this from now on.
    Ready {
        fd: RawFd,
        events: Events,
    },
    Advance(u64),
    Stop,
    StopBySignal,
}

/// How often what is rare was met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    pub(crate) stopped_asleep: usize,
    pub(crate) signalled_asleep: usize,
    pub(crate) stopped_before_run: usize,
    pub(crate) removed_asleep: usize,
    pub(crate) nearer_asleep: usize,
    pub(crate) changed_asleep: usize,
    pub(crate) removed_running: usize,
    pub(crate) calls: usize,
}

/// The loop, from outside.
pub(crate) struct Outside {
    pub(crate) event_loop: EventLoop<SleepPoller>,
    pub(crate) shared: Shared,
}

/// What the test, the poller and the callbacks share.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

struct World {
    /// Set as soon as there is a loop.
    doors: Option<Doors>,
    model: Model,
    entries: Vec<Entry>,
    /// The entry whose callback runs.
    running: Option<usize>,
    /// Whether a stop is pending, of either kind.
    stop: bool,
    /// Whether the loop is in a wait that may last, and until when; none is for ever.
    asleep: Option<Option<MonotonicTime>>,
    /// How often the poller had been woken when it fell asleep.
    wakes: usize,
    /// Whether a signal has woken it since, which the registry does not know.
    signalled: bool,
    /// When the turn looked at the clock.
    turn: MonotonicTime,
    waits: usize,
    /// After so many more waits of a run, somebody stops it.
    patience: Option<usize>,
    happens_asleep: Vec<Act>,
    happens_in_call: Vec<Act>,
    broken: Option<String>,
    met: Met,
}

#[derive(Clone)]
struct Doors {
    registry: Registry<SleepPoller>,
    stopper: Stopper<SleepPoller>,
    by_signal: SignalStopper<SleepPoller>,
}

struct Entry {
    what: What,
    registered: bool,
    frees: usize,
}

#[derive(Clone, Copy)]
enum What {
    /// Added, but its id is not known yet.
    Unnamed,
    Handle(HandleId, RawFd, Events),
    Timeout(TimeoutId, Option<u64>, Option<MonotonicTime>),
}

/// Dropped with the callback that owns it.
struct Freed(Shared, usize);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.lock().entries[self.1].frees += 1;
    }
}

impl Outside {
    pub(crate) fn new() -> Outside {
        let (inner, model) = ModelPoller::new();
        let shared = Shared(Arc::new(Mutex::new(World {
            doors: None,
            model,
            entries: Vec::new(),
            running: None,
            stop: false,
            asleep: None,
            wakes: 0,
            signalled: false,
            turn: MonotonicTime::ZERO,
            waits: 0,
            patience: None,
            happens_asleep: Vec::new(),
            happens_in_call: Vec::new(),
            broken: None,
            met: Met::default(),
        })));
        let event_loop = EventLoop::with_poller(SleepPoller::new(inner, shared.clone()));
        shared.lock().doors = Some(Doors {
            registry: event_loop.registry(),
            stopper: event_loop.stopper(),
            by_signal: event_loop.signal_stopper(),
        });
        Outside { event_loop, shared }
    }

    /// One turn, after which whatever was removed has been freed.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) {
        let turned = self.event_loop.run_once(timeout);
        self.shared.turn_is_over(turned.is_ok());
    }

    /// Runs until somebody stops the loop, which is seen to after some waits.
    pub(crate) fn run(&mut self) {
        let (was_stopped, waits) = {
            let mut world = self.shared.lock();
            world.patience = Some(3);
            world.met.stopped_before_run += usize::from(world.stop);
            (world.stop, world.waits)
        };
        let ran = self.event_loop.run();
        self.shared.turn_is_over(ran.is_ok());
        let mut world = self.shared.lock();
        world.patience = None;
        let turns = world.waits - waits;
        let was_asked_to = std::mem::take(&mut world.stop);
        world.expect(was_asked_to, "it ended though nobody stopped it");
        world.expect(
            !was_stopped || turns == 1,
            "a stop that came before did not end it",
        );
    }

    /// What was found wrong, and what was met.
    pub(crate) fn end(self) -> (Option<String>, Met) {
        let Outside { event_loop, shared } = self;
        drop(event_loop);
        let mut world = shared.lock();
        for entry in &mut world.entries {
            entry.registered = false;
        }
        let freed = world.entries.iter().all(|entry| entry.frees == 1);
        world.expect(
            freed,
            "the loop is gone and something is not freed, or twice",
        );
        // It holds the registry, which holds the callbacks that hold this.
        world.doors = None;
        (world.broken.take(), world.met)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    pub(crate) fn later_asleep(&self, act: Act) {
        self.lock().happens_asleep.push(act);
    }

    pub(crate) fn later_in_call(&self, act: Act) {
        self.lock().happens_in_call.push(act);
    }

    /// Does it, and looks whether the loop is woken if and only if it must be.
    pub(crate) fn act(&self, act: Act) {
        let doors = self.lock().doors.clone();
        let Some(doors) = doors else { return };
        let wakes = self.lock().model.wakes();
        self.act_on(&doors, act);
        let mut world = self.lock();
        let mut woken = world.model.wakes() - wakes;
        if matches!(act, Act::StopBySignal) {
            // Its wakes are latched, whether somebody sleeps or not.
            world.signalled = true;
            world.expect(woken == 1, "a signal does not wake the poller");
        }
        if world.signalled {
            return;
        }
        let is_asleep = world.asleep.is_some() && world.model.wakes() - woken == world.wakes;
        let must = is_asleep && world.must_not_sleep();
        if must {
            world.expect(woken > 0, "the loop sleeps past it");
            woken = woken.saturating_sub(1);
        }
        world.expect(woken == 0, "the loop is woken for nothing");
        if is_asleep {
            let met = &mut world.met;
            met.stopped_asleep += usize::from(matches!(act, Act::Stop));
            met.removed_asleep += usize::from(matches!(act, Act::Remove { .. }) && must);
            let is_timeout = matches!(act, Act::AddTimeout { .. } | Act::UpdateTimeout { .. });
            met.nearer_asleep += usize::from(is_timeout && must);
            let is_handle = matches!(act, Act::AddHandle { .. } | Act::UpdateHandle { .. });
            met.changed_asleep += usize::from(is_handle && must);
        }
    }

    fn act_on(&self, doors: &Doors, act: Act) {
        let registry = &doors.registry;
        match act {
            Act::AddHandle { fd, interest } => {
                let (nth, guard) = self.new_entry();
                let shared = self.clone();
                let added = registry.add_source(ModelSource(fd), interest, move |event| {
                    let _owned = &guard;
                    shared.handle_is_called(nth, event.events);
                });
                let id = added.expect("the loop is there");
                self.lock().entries[nth].what = What::Handle(id, fd, interest);
            }
            Act::AddTimeout { interval } => {
                let (nth, guard) = self.new_entry();
                let shared = self.clone();
                let added = registry.add_timeout(interval.map(Duration::from_nanos), move |_| {
                    let _owned = &guard;
                    shared.timeout_is_called(nth);
                });
                let id = added.expect("the loop is there");
                let mut world = self.lock();
                let deadline = world.deadline(interval);
                world.entries[nth].what = What::Timeout(id, interval, deadline);
            }
            Act::UpdateHandle { nth, interest } => {
                let Some((nth, What::Handle(id, fd, _), registered)) = self.nth(nth) else {
                    return;
                };
                let updated = registry.update_handle(id, interest);
                let mut world = self.lock();
                world.entries[nth].what = What::Handle(id, fd, interest);
                world.expect(updated.is_ok() == registered, "I2: an update");
            }
            Act::UpdateTimeout { nth, interval } => {
                let Some((nth, What::Timeout(id, ..), registered)) = self.nth(nth) else {
                    return;
                };
                let updated = registry.update_timeout(id, interval.map(Duration::from_nanos));
                let mut world = self.lock();
                let deadline = world.deadline(interval);
                world.entries[nth].what = What::Timeout(id, interval, deadline);
                world.expect(updated.is_ok() == registered, "I2: an update");
            }
            Act::Remove { nth } => self.remove(doors, nth),
            Act::Ready { fd, events } => {
                let model = self.lock().model.clone();
                model.set_ready(fd, events);
            }
            Act::Advance(nanos) => self.lock().model.advance(Duration::from_nanos(nanos)),
            Act::Stop => {
                self.lock().stop = true;
                doors.stopper.stop();
            }
            Act::StopBySignal => {
                let mut world = self.lock();
                world.stop = true;
                world.met.signalled_asleep += usize::from(world.asleep.is_some());
                drop(world);
                doors.by_signal.stop();
            }
        }
    }

    fn remove(&self, doors: &Doors, nth: usize) {
        let Some((nth, what, registered)) = self.nth(nth) else {
            return;
        };
        let removed = match what {
            What::Handle(id, ..) => doors.registry.remove_handle(id),
            What::Timeout(id, ..) => doors.registry.remove_timeout(id),
            What::Unnamed => return,
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
        world.met.removed_running += usize::from(runs && registered);
    }

    fn nth(&self, nth: usize) -> Option<(usize, What, bool)> {
        let world = self.lock();
        let nth = nth.checked_rem(world.entries.len())?;
        let entry = &world.entries[nth];
        Some((nth, entry.what, entry.registered))
    }

    fn new_entry(&self) -> (usize, Freed) {
        let mut world = self.lock();
        let nth = world.entries.len();
        world.entries.push(Entry {
            what: What::Unnamed,
            registered: true,
            frees: 0,
        });
        (nth, Freed(self.clone(), nth))
    }

    /// The loop begins to wait.
    pub(crate) fn falls_asleep(&self, timeout: Option<Duration>) {
        let mut world = self.lock();
        world.waits += 1;
        world.wakes = world.model.wakes();
        world.signalled = false;
        if timeout != Some(Duration::ZERO) {
            let now = world.model.now();
            world.asleep = Some(timeout.map(|timeout| now.saturating_add(timeout)));
            let may = !world.must_not_sleep();
            world.expect(may, "it sleeps past what it should do");
        }
    }

    /// What was meant for the sleep happens; a run that has waited often enough is stopped.
    pub(crate) fn let_happen_asleep(&self) {
        let acts = std::mem::take(&mut self.lock().happens_asleep);
        for act in acts {
            self.act(act);
        }
        let mut world = self.lock();
        let Some(patience) = &mut world.patience else {
            return;
        };
        *patience = patience.saturating_sub(1);
        let is_over = *patience == 0;
        drop(world);
        if is_over {
            self.act(Act::Stop);
        }
    }

    /// The wait is over, and the loop looks at the clock.
    pub(crate) fn wakes_up(&self, now: MonotonicTime) {
        let mut world = self.lock();
        world.asleep = None;
        world.turn = now;
    }

    fn handle_is_called(&self, nth: usize, events: Events) {
        let mut world = self.lock();
        if let What::Handle(_, _, interest) = world.entries[nth].what {
            let fits = !events.is_empty() && interest.share_of(events) == events;
            world.expect(fits, "I9: a handle is called with what it does not want");
        }
        self.is_called(world, nth);
    }

    fn timeout_is_called(&self, nth: usize) {
        let mut world = self.lock();
        if let What::Timeout(id, interval, deadline) = world.entries[nth].what {
            let turn = world.turn;
            let is_due = deadline.is_some_and(|deadline| deadline <= turn);
            world.expect(is_due, "a timeout is early");
            let next = interval.map(|nanos| turn.saturating_add(Duration::from_nanos(nanos)));
            world.entries[nth].what = What::Timeout(id, interval, next);
        }
        self.is_called(world, nth);
    }

    fn is_called(&self, mut world: MutexGuard<'_, World>, nth: usize) {
        world.met.calls += 1;
        let registered = world.entries[nth].registered;
        world.expect(registered, "I3: called after it was removed");
        let idle = world.running.replace(nth).is_none();
        world.expect(idle, "I8: called during a call");
        let acts = std::mem::take(&mut world.happens_in_call);
        drop(world);
        for act in acts {
            self.act(act);
        }
        self.lock().running = None;
    }

    fn turn_is_over(&self, is_ok: bool) {
        let mut world = self.lock();
        world.expect(is_ok, "the turn fails");
        let freed = world.entries.iter();
        let right = freed
            .clone()
            .all(|entry| entry.frees == usize::from(!entry.registered));
        world.expect(
            right,
            "I5: what is removed is freed by the end of the turn, once",
        );
    }
}

impl World {
    fn expect(&mut self, condition: bool, otherwise: &str) {
        if !condition && self.broken.is_none() {
            self.broken = Some(otherwise.to_owned());
        }
    }

    fn deadline(&self, interval: Option<u64>) -> Option<MonotonicTime> {
        let now = self.model.now();
        interval.map(|nanos| now.saturating_add(Duration::from_nanos(nanos)))
    }

    /// Whether there is something that the loop must not sleep past, said in the plainest way.
    fn must_not_sleep(&self) -> bool {
        let frees = self.entries.iter().any(|e| !e.registered && e.frees == 0);
        let until = self.asleep.flatten();
        let registered = self.entries.iter().filter(|entry| entry.registered);
        let due = registered.clone().any(|entry| match entry.what {
            What::Timeout(_, _, Some(deadline)) => until.is_none_or(|until| deadline < until),
            _ => false,
        });
        let mut wanted: Vec<(RawFd, Events)> = Vec::new();
        for entry in registered {
            let What::Handle(_, fd, interest) = entry.what else {
                continue;
            };
            match wanted.iter_mut().find(|(own, _)| *own == fd) {
                Some((_, union)) => *union |= interest,
                None => wanted.push((fd, interest)),
            }
        }
        wanted.retain(|(_, union)| !union.is_empty());
        wanted.sort_unstable();
        self.stop || frees || due || wanted != self.model.registered()
    }
}
