//! The cost of a callback through the loop, compared with a lower bound.
//!
//! 100 of 1,000 descriptors are ready in every turn. The lower bound is a bare `epoll_wait` with a direct call
//! of a boxed closure, without locks, table and removals. Both are measured alternately in the same process,
//! so that other load affects both. The result is the ratio.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, as the loop does not"
)]
#![allow(clippy::print_stdout, reason = "the results are printed")]

use eventry::{EventLoop, Events};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const DESCRIPTORS: usize = 1_000;
const READY: usize = 100;
const TURNS_PER_ROUND: usize = 2_000;
const ROUNDS: usize = 25;

/// The number of calls of all descriptors.
type Counter = Arc<AtomicU64>;

/// Creates descriptors of which every tenth is always ready.
fn descriptors() -> Vec<OwnedFd> {
    let every = DESCRIPTORS / READY;
    (0..DESCRIPTORS)
        .map(|number| {
            let ready = u32::from(number % every == 0);
            eventfd(ready, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap()
        })
        .collect()
}

/// The lower bound: waits, finds the closure by the data of the event, and calls it.
struct Bare {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    callbacks: Vec<Box<dyn FnMut(Events)>>,
    _descriptors: Vec<OwnedFd>,
}

impl Bare {
    fn new(counter: &Counter) -> Bare {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let descriptors = descriptors();
        let mut callbacks: Vec<Box<dyn FnMut(Events)>> = Vec::new();
        for (number, descriptor) in (0..).zip(&descriptors) {
            let data = EventData::new_u64(number);
            epoll::add(&epoll, descriptor, data, EventFlags::IN).unwrap();
            let counter = Arc::clone(counter);
            callbacks.push(Box::new(move |events| {
                counter.fetch_add(u64::from(events.bits()), Ordering::Relaxed);
            }));
        }
        Bare {
            epoll,
            events: Vec::with_capacity(1_024),
            callbacks,
            _descriptors: descriptors,
        }
    }

    fn turn(&mut self) {
        self.events.clear();
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let room = rustix::buffer::spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, room, Some(&at_once)).unwrap();
        for event in &self.events {
            // Copied, because the fields are not aligned on x86-64.
            let (flags, data) = (event.flags, event.data);
            let readable = flags.contains(EventFlags::IN);
            let events = Events::from_bits_truncate(u32::from(readable));
            self.callbacks[data.u64() as usize](events);
        }
    }
}

fn eventry_loop(counter: &Counter) -> EventLoop {
    let event_loop = EventLoop::new().unwrap();
    let registry = event_loop.registry();
    for descriptor in descriptors() {
        let counter = Arc::clone(counter);
        let added = registry.add_handle(descriptor, Events::READABLE, move |event| {
            counter.fetch_add(u64::from(event.events.bits()), Ordering::Relaxed);
        });
        added.unwrap();
    }
    event_loop
}

/// Returns the average duration of a call in a round, in nanoseconds.
fn round(counter: &Counter, mut turn: impl FnMut()) -> f64 {
    let before = counter.load(Ordering::Relaxed);
    let start = Instant::now();
    for _ in 0..TURNS_PER_ROUND {
        turn();
    }
    let took = start.elapsed();
    let calls = counter.load(Ordering::Relaxed) - before;
    assert_eq!(calls, (TURNS_PER_ROUND * READY) as u64);
    took.as_nanos() as f64 / calls as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let (bare_calls, eventry_calls) = (Counter::default(), Counter::default());
    let mut bare = Bare::new(&bare_calls);
    let mut event_loop = eventry_loop(&eventry_calls);
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let bare = round(&bare_calls, || bare.turn());
        let eventry = round(&eventry_calls, || {
            event_loop.run_once(Some(Duration::ZERO)).unwrap();
        });
        rounds.push((bare, eventry));
    }
    // The first round is a warm-up.
    let rounds = &rounds[1..];
    let bare = median(rounds.iter().map(|(bare, _)| *bare).collect());
    let eventry = median(rounds.iter().map(|(_, eventry)| *eventry).collect());
    let ratio = median(
        rounds
            .iter()
            .map(|(bare, eventry)| eventry / bare)
            .collect(),
    );
    println!(
        "{READY} ready of {DESCRIPTORS}, median of {ROUNDS} rounds of {} calls:",
        TURNS_PER_ROUND * READY
    );
    println!("  epoll_wait and a direct call {bare:7.1} ns per event");
    println!("  eventry                      {eventry:7.1} ns per event");
    println!("  ratio                        {ratio:7.2}");
}
