//! The workloads, for the loops that are measured inside this program.

mod add_remove;
mod churn;
mod dispatch;
mod memory;
mod relay;
mod timers;
mod update;
mod wake;

use crate::subject::eventry::Eventry;
use crate::subject::floor::Floor;
use crate::subject::locked_floor::LockedFloor;
use crate::subject::{SharedSubject, Subject};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Figures of one measurement, by name.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// The command line of a measurement.
pub(crate) struct Measurement<'a> {
    pub(crate) peer: &'a str,
    pub(crate) workload: &'a str,
    /// CPU time of each section.
    pub(crate) duration: Duration,
    pub(crate) numbers: &'a [u64],
}

impl Measurement<'_> {
    /// Runs the workload in this process. Returns `None` if this program has no such peer or workload.
    pub(crate) fn run(&self) -> Option<Figures> {
        raise_descriptor_limit();
        match self.peer {
            "floor" => self.alone::<Floor>(),
            "locked floor" => self.shared::<LockedFloor>(),
            "eventry" => self.alone::<Eventry>().or_else(|| self.shared::<Eventry>()),
            _ => None,
        }
    }

    fn alone<S: Subject>(&self) -> Option<Figures> {
        let duration = self.duration;
        Some(match (self.workload, self.numbers) {
            ("dispatch", &[ready, all]) => dispatch::run::<S>(duration, ready, all),
            ("relay", &[tokens, pairs, with_timers]) => {
                relay::run::<S>(duration, tokens, pairs, with_timers != 0)
            }
            ("add-remove", []) => add_remove::in_turns::<S>(duration),
            ("add-remove-new", []) => add_remove::new_descriptors::<S>(duration),
            ("add-remove-back-to-back", []) => add_remove::back_to_back::<S>(duration),
            ("update", []) => update::in_turns::<S>(duration),
            ("update-back-to-back", []) => update::back_to_back::<S>(duration),
            ("timers", &[count]) => timers::change::<S>(count),
            ("timers-push", &[count]) => timers::push::<S>(count),
            ("timers-expire", &[count]) => timers::expire::<S>(count),
            ("wake", &[count]) => wake::run::<S>(count),
            ("memory-handles", &[count]) => memory::handles::<S>(count),
            ("memory-timers", &[count]) => memory::timers::<S>(count),
            _ => return None,
        })
    }

    fn shared<S: SharedSubject>(&self) -> Option<Figures> {
        Some(match (self.workload, self.numbers) {
            ("add-remove-thread", []) => add_remove::from_thread::<S>(self.duration),
            ("churn", &[threads]) => churn::run::<S>(self.duration, threads),
            _ => return None,
        })
    }
}

/// Number of calls of counted callbacks.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Counts a call. Only the loop's thread calls it, so the addition need not be atomic.
fn count_call() {
    CALLS.store(calls() + 1, Ordering::Relaxed);
}

fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// A handle that is always ready, so that no turn waits for other handles.
struct Ticks;

static TICKS: AtomicU64 = AtomicU64::new(0);

impl Ticks {
    fn add_to<S: Subject>(subject: &mut S) -> Ticks {
        subject.add(descriptor(1), |_| {
            TICKS.store(TICKS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        });
        Ticks
    }

    /// Runs turns until the handle has been called.
    fn turn<S: Subject>(&self, subject: &mut S) {
        let before = TICKS.load(Ordering::Relaxed);
        while TICKS.load(Ordering::Relaxed) == before {
            subject.turn();
        }
    }
}

/// Adds handles that are never ready. They stay registered.
fn add_idle<S: Subject>(subject: &mut S, count: u64) {
    for _ in 0..count {
        subject.add(descriptor(0), |_| unreachable!("an idle handle was called"));
    }
}

/// Creates a descriptor that is readable if `counter` is not 0.
fn descriptor(counter: u32) -> OwnedFd {
    let created = eventfd(counter, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
    created.unwrap_or_else(|error| panic!("cannot create a descriptor: {error}"))
}

fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Without it, only the cases with many descriptors fail.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Pseudo-random numbers, equal in every run: xorshift.
struct Random(u64);

impl Random {
    fn new() -> Random {
        Random(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
