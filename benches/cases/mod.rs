//! What is measured: by the clock in `speed.rs`, by the instruction in `instructions.rs`.

use eventry::{EventLoop, Events, HandleId, Registry, TimeoutId};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One thing to measure.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How often a run does it.
    pub(crate) units: u64,
    /// Whether a run leaves everything as it was, so that another one may follow.
    pub(crate) repeats: bool,
    /// Prepares everything, and returns what is to be measured.
    pub(crate) set_up: fn() -> Run,
}

/// What is measured, with all that it needs.
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

/// A turn of a loop with `all` handles of which `ready` are ready for ever. It has had one in which it told
/// the poller of them.
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

/// Changes the interest of one handle among many, back and forth, while the loop is elsewhere.
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

/// Adds and removes handles beside many others, then frees them.
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

/// A turn in which every timeout is due, and armed for the next.
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

/// A loop that has looked at its many handles, none of which is ready.
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

/// A loop with many timeouts that are due some day.
fn idle_timeouts() -> (EventLoop, Registry, Vec<TimeoutId>) {
    let event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    let timeouts = intervals(1)
        .into_iter()
        .map(|interval| registry.add_timeout(interval, |_| {}).unwrap())
        .collect();
    (event_loop, registry, timeouts)
}

/// Intervals in no order, and so far apart that the order of the deadlines does not depend on how long it
/// takes to set them.
fn intervals(seed: u64) -> Vec<Duration> {
    let mut state = seed;
    let shuffled = (0..TIMEOUTS).map(|_| {
        // A step of Knuth's generator; its high bits are good enough.
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
        setrlimit(Resource::Nofile, raised)
            .unwrap_or_else(|error| panic!("{wanted} descriptors are needed: {error}"));
    }
}
