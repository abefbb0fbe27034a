//! The cases that `speed.rs` measures in time and `instructions.rs` in instructions.

use eventry::{EventLoop, Events, HandleId, Registry, TimeoutId};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A measured operation.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The number of operations of a run.
    pub(crate) units: u64,
    /// Set if a run restores the initial state, so that it can be repeated.
    pub(crate) repeats: bool,
    /// Prepares a run.
    pub(crate) set_up: fn() -> Run,
}

/// A prepared run, which is measured.
pub(crate) type Run = Box<dyn FnMut()>;

const CHANGES: usize = 1_000;
const TIMEOUTS: usize = 100_000;

pub(crate) const CASES: &[Case] = &[
    repeated("dispatch/1 ready of 100", 1, || dispatch(1, 100)),
    repeated("dispatch/1 ready of 1000", 1, || dispatch(1, 1_000)),
    repeated("dispatch/1 ready of 10000", 1, || dispatch(1, 10_000)),
    repeated("dispatch/100 ready of 100", 100, || dispatch(100, 100)),
    repeated("dispatch/100 ready of 1000", 100, || dispatch(100, 1_000)),
    repeated("dispatch/100 ready of 10000", 100, || dispatch(100, 10_000)),
    repeated("handles/update back to back", CHANGES as u64, update),
    repeated("handles/add and remove", CHANGES as u64, add_and_remove),
    once("timeouts/add 100000", TIMEOUTS as u64, add_timeouts),
    repeated("timeouts/update 100000", TIMEOUTS as u64, update_timeouts),
    once("timeouts/remove 100000", TIMEOUTS as u64, remove_timeouts),
    repeated("timeouts/expire 100000", TIMEOUTS as u64, expire_timeouts),
];

const fn repeated(name: &'static str, units: u64, set_up: fn() -> Run) -> Case {
    Case {
        name,
        units,
        repeats: true,
        set_up,
    }
}

const fn once(name: &'static str, units: u64, set_up: fn() -> Run) -> Case {
    Case {
        name,
        units,
        repeats: false,
        set_up,
    }
}

/// Prepares a turn of a loop with `all` handles, of which `ready` are always ready. An earlier turn registers
/// them with the poller.
fn dispatch(ready: usize, all: usize) -> Run {
    allow_descriptors(all as u64 + 100);
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let calls = Arc::new(AtomicU64::new(0));
    for number in 0..all {
        let is_ready = u32::from(number % (all / ready) == 0);
        let calls = Arc::clone(&calls);
        let added = registry.add_handle(descriptor(is_ready), Events::READABLE, move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
        added.unwrap();
    }
    turn(&mut event_loop);
    Box::new(move || turn(&mut event_loop))
}

/// Prepares alternating changes of the interest of one handle among many. The loop does not run.
fn update() -> Run {
    let (event_loop, registry, handles) = idle_handles();
    let id = handles[CHANGES / 2];
    Box::new(move || {
        let _alive = &event_loop;
        for _ in 0..CHANGES / 2 {
            let both = Events::READABLE | Events::WRITABLE;
            registry.update_handle(id, both).unwrap();
            registry.update_handle(id, Events::READABLE).unwrap();
        }
    })
}

/// Prepares additions and removals of handles beside many others, and a turn that frees them.
fn add_and_remove() -> Run {
    let (mut event_loop, registry, _) = idle_handles();
    let shared = Arc::new(descriptor(0));
    Box::new(move || {
        for _ in 0..CHANGES {
            let added = registry.add_handle(Arc::clone(&shared), Events::READABLE, |_| {});
            let _ = registry.remove_handle(added.unwrap()).unwrap();
        }
        turn(&mut event_loop);
    })
}

fn add_timeouts() -> Run {
    let event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let intervals = intervals(1);
    Box::new(move || {
        let _alive = &event_loop;
        for interval in &intervals {
            registry.add_timeout(*interval, |_| {}).unwrap();
        }
    })
}

fn update_timeouts() -> Run {
    let (event_loop, registry, timeouts) = idle_timeouts();
    let intervals = intervals(2);
    Box::new(move || {
        let _alive = &event_loop;
        for (id, interval) in timeouts.iter().zip(&intervals) {
            registry.update_timeout(*id, *interval).unwrap();
        }
    })
}

fn remove_timeouts() -> Run {
    let (event_loop, registry, timeouts) = idle_timeouts();
    Box::new(move || {
        let _alive = &event_loop;
        for id in &timeouts {
            let _ = registry.remove_timeout(*id).unwrap();
        }
    })
}

/// Prepares a turn in which every timeout is due and is armed again.
fn expire_timeouts() -> Run {
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    for _ in 0..TIMEOUTS {
        registry
            .add_timeout(Duration::from_nanos(1), |_| {})
            .unwrap();
    }
    turn(&mut event_loop);
    Box::new(move || turn(&mut event_loop))
}

fn turn(event_loop: &mut EventLoop) {
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
}

/// Creates a loop with many registered handles, none of which is ready.
fn idle_handles() -> (EventLoop, Registry, Vec<HandleId>) {
    allow_descriptors(CHANGES as u64 + 100);
    let mut event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let handles = (0..CHANGES).map(|_| {
        let added = registry.add_handle(descriptor(0), Events::READABLE, |_| {});
        added.unwrap()
    });
    let handles = handles.collect();
    turn(&mut event_loop);
    (event_loop, registry, handles)
}

/// Creates a loop with many timeouts that are due after an hour at the earliest.
fn idle_timeouts() -> (EventLoop, Registry, Vec<TimeoutId>) {
    let event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let timeouts = intervals(1)
        .into_iter()
        .map(|interval| registry.add_timeout(interval, |_| {}).unwrap())
        .collect();
    (event_loop, registry, timeouts)
}

/// Returns intervals in pseudo-random order. They differ by minutes, so that the order of the deadlines does
/// not depend on the speed of the machine.
fn intervals(seed: u64) -> Vec<Duration> {
    let mut state = seed;
    let shuffled = (0..TIMEOUTS).map(|_| {
        // Knuth's linear congruential generator, of which the high bits are used.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_secs(3_600 + (state >> 40) * 60)
    });
    shuffled.collect()
}

fn descriptor(counter: u32) -> OwnedFd {
    eventfd(counter, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap()
}

fn allow_descriptors(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).unwrap_or_else(|error| {
            panic!("cannot raise the limit of descriptors to {wanted}: {error}")
        });
    }
}
