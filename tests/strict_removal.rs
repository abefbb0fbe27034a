//! After `remove` has returned `Removal::Idle`, no call of the callback begins (EV-702).
//!
//! Two threads add and remove handles and timeouts that are always ready, as fast as possible, while another thread
//! runs the loop. A flag is set right after the removal has returned, and the callback checks it first. Under the
//! same load libvirt's two loops began 10 and 170 such calls in four seconds.
//!
//! `EVENTRY_STRICT_SECONDS` sets the duration on each backend, `EVENTRY_STRICT_THREADS` the number of removing threads.

#![cfg(not(loom))]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock decides only the duration of the test"
)]
#![allow(clippy::print_stdout, reason = "the test prints its figures")]

use eventry::table::Removal;
use eventry::{Backend, EventLoop, Events, Registry};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use test_support::timeout::bounded;

/// Minimum number of registrations per second. Unoptimised code is much slower, since it checks the whole table
/// between turns.
const FLOOR_PER_SECOND: u64 = if cfg!(debug_assertions) {
    1_000
} else {
    25_000
};

/// State of one registration.
#[derive(Default)]
struct Registration {
    /// Set right before `remove` is called.
    removing: AtomicBool,
    /// Set right after `remove` has returned `Idle`.
    idle: AtomicBool,
    running: AtomicBool,
    freed: AtomicU8,
}

#[derive(Default)]
struct Counts {
    called: AtomicU64,
    late: AtomicU64,
    freed_too_early: AtomicU64,
}

/// State owned by the callback, whose drop is the free call.
struct Entry {
    registration: Arc<Registration>,
    counts: Arc<Counts>,
}

impl Entry {
    fn call(&self) {
        if self.registration.idle.load(Ordering::SeqCst) {
            self.counts.late.fetch_add(1, Ordering::SeqCst);
        }
        self.registration.running.store(true, Ordering::SeqCst);
        self.counts.called.fetch_add(1, Ordering::Relaxed);
        self.registration.running.store(false, Ordering::SeqCst);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let removing = self.registration.removing.load(Ordering::SeqCst);
        if !removing || self.registration.running.load(Ordering::SeqCst) {
            self.counts.freed_too_early.fetch_add(1, Ordering::SeqCst);
        }
        self.registration.freed.fetch_add(1, Ordering::SeqCst);
    }
}

/// The registrations of one thread, and the numbers of their removals by result.
#[derive(Default)]
struct Removals {
    registrations: Vec<Arc<Registration>>,
    idle: u64,
    in_flight: u64,
}

/// Adds an entry, pauses so that the loop may call it, and removes it; alternates handles and timeouts.
fn cycle(registry: &Registry, ready: &Arc<OwnedFd>, counts: &Arc<Counts>, number: u64) -> Cycle {
    let registration = Arc::new(Registration::default());
    let entry = Entry {
        registration: Arc::clone(&registration),
        counts: Arc::clone(counts),
    };
    // The pause varies from nothing to the length of a turn, and sometimes lasts until a call begins, so that the
    // removal coincides with every phase of the call.
    let pause = || match number % 256 {
        254 | 255 => (0..10_000)
            .take_while(|_| !registration.running.load(Ordering::SeqCst))
            .for_each(|_| std::hint::spin_loop()),
        length => (0..length).for_each(|_| std::hint::spin_loop()),
    };
    let removal = if number % 2 == 0 {
        let added = registry.add_handle(Arc::clone(ready), Events::READABLE, move |_| entry.call());
        let id = added.unwrap();
        pause();
        registration.removing.store(true, Ordering::SeqCst);
        registry.remove_handle(id).unwrap()
    } else {
        let id = registry
            .add_timeout(Duration::ZERO, move |_| entry.call())
            .unwrap();
        pause();
        registration.removing.store(true, Ordering::SeqCst);
        registry.remove_timeout(id).unwrap()
    };
    registration
        .idle
        .store(removal == Removal::Idle, Ordering::SeqCst);
    Cycle {
        registration,
        removal,
    }
}

struct Cycle {
    registration: Arc<Registration>,
    removal: Removal,
}

#[test]
fn no_call_begins_after_a_removal_has_returned_idle() {
    let setting = |name, default| {
        let text = std::env::var(name);
        text.map_or(default, |text| text.parse().expect(name))
    };
    let seconds = setting("EVENTRY_STRICT_SECONDS", 4);
    let threads = setting("EVENTRY_STRICT_THREADS", 2);
    for backend in [Backend::Epoll, Backend::Poll] {
        stress(backend, Duration::from_secs(seconds), threads);
    }
}

/// Adds and removes entries until `end`.
fn remove_often(
    registry: &Registry,
    ready: &Arc<OwnedFd>,
    counts: &Arc<Counts>,
    end: Instant,
) -> Removals {
    let mut removals = Removals::default();
    for number in 0.. {
        let Cycle {
            registration,
            removal,
        } = cycle(registry, ready, counts, number);
        removals.registrations.push(registration);
        match removal {
            Removal::Idle => removals.idle += 1,
            Removal::InFlight => removals.in_flight += 1,
        }
        if number % 64 == 0 && Instant::now() >= end {
            break;
        }
    }
    removals
}

fn stress(backend: Backend, length: Duration, threads: u64) {
    let counts = Arc::new(Counts::default());
    let mut event_loop = EventLoop::builder().backend(backend).build().unwrap();
    let registry = event_loop.registry();
    let stopper = event_loop.stopper();
    let runner = thread::spawn(move || {
        event_loop.run().unwrap();
        event_loop
    });

    let ready = Arc::new(eventfd(1, EventfdFlags::NONBLOCK).unwrap());
    let end = Instant::now() + length;
    let removals: Vec<Removals> = thread::scope(|scope| {
        let remove = || remove_often(&registry, &ready, &counts, end);
        let removers: Vec<_> = (0..threads).map(|_| scope.spawn(remove)).collect();
        let results = removers.into_iter().map(|remover| remover.join().unwrap());
        results.collect()
    });
    stopper.stop();
    let mut event_loop = bounded("the loop that was stopped", || runner.join().unwrap());
    event_loop.run_once(Some(Duration::ZERO)).unwrap();

    let all = || removals.iter().flat_map(|each| &each.registrations);
    let cycles = all().count() as u64;
    let idle: u64 = removals.iter().map(|each| each.idle).sum();
    let in_flight: u64 = removals.iter().map(|each| each.in_flight).sum();
    let called = counts.called.load(Ordering::SeqCst);
    let late = counts.late.load(Ordering::SeqCst);
    println!(
        "strict removal: {backend:?}: {threads} threads, {cycles} cycles in {length:?}, {called} calls, {in_flight} \
         removals during a call, {late} calls began after a removal had returned Idle"
    );
    assert_eq!(late, 0);
    assert_eq!(counts.freed_too_early.load(Ordering::SeqCst), 0);
    let freed_once =
        |registration: &&Arc<Registration>| registration.freed.load(Ordering::SeqCst) == 1;
    assert_eq!(
        all().filter(freed_once).count() as u64,
        cycles,
        "each callback is dropped exactly once"
    );
    assert_eq!(idle + in_flight, cycles);
    let floor = FLOOR_PER_SECOND * length.as_millis() as u64 / 1_000;
    assert!(cycles >= floor, "{cycles} cycles");
    assert!(called > 0, "no entry was called");
    assert!(
        in_flight > 0 || cfg!(debug_assertions),
        "no removal coincided with a running call"
    );
}
