//! W2: additions and removals of handles, beside 1,000 idle ones.

use super::{Figures, Ticks, add_idle, descriptor};
use crate::section::{Section, cpu_time};
use crate::subject::{Remote, SharedSubject, Subject};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const IDLE: u64 = 1_000;

/// Number of handles that are added and removed in a round.
const CHANGED: u64 = 16;

/// Adds the handles, runs a turn, removes them, runs a turn.
pub(super) fn in_turns<S: Subject>(duration: Duration) -> Figures {
    let descriptors: Vec<_> = (0..CHANGED).map(|_| Arc::new(descriptor(0))).collect();
    rounds::<S>(duration, |subject, ticks| {
        let added: Vec<_> = descriptors
            .iter()
            .map(|descriptor| subject.add_shared(descriptor, |_| {}))
            .collect();
        ticks.turn(subject);
        added.into_iter().for_each(|handle| subject.remove(handle));
        ticks.turn(subject);
    })
}

/// Does the same with new descriptors in each round. The floor and eventry close them when the handle is gone.
pub(super) fn new_descriptors<S: Subject>(duration: Duration) -> Figures {
    rounds::<S>(duration, |subject, ticks| {
        let added: Vec<_> = (0..CHANGED)
            .map(|_| subject.add(descriptor(0), |_| {}))
            .collect();
        ticks.turn(subject);
        added.into_iter().for_each(|handle| subject.remove(handle));
        ticks.turn(subject);
    })
}

/// Adds and removes without a turn in between.
pub(super) fn back_to_back<S: Subject>(duration: Duration) -> Figures {
    let descriptors: Vec<_> = (0..CHANGED).map(|_| Arc::new(descriptor(0))).collect();
    rounds::<S>(duration, |subject, ticks| {
        for descriptor in &descriptors {
            let handle = subject.add_shared(descriptor, |_| {});
            subject.remove(handle);
        }
        ticks.turn(subject);
    })
}

/// Measures rounds, each of CHANGED additions and removals.
fn rounds<S: Subject>(duration: Duration, mut round: impl FnMut(&mut S, &Ticks)) -> Figures {
    let mut subject = S::new();
    add_idle(&mut subject, IDLE);
    let ticks = Ticks::add_to(&mut subject);
    round(&mut subject, &ticks);
    let mut changes = 0;
    let mut section = Section::begin(duration);
    while !section.is_over() {
        round(&mut subject, &ticks);
        changes += CHANGED;
    }
    vec![("cpu", section.cpu_per(changes))]
}

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Adds and removes a handle from another thread, while the loop waits. The figure is the CPU time of that thread.
pub(super) fn from_thread<S: SharedSubject>(duration: Duration) -> Figures {
    let mut subject = S::new();
    let remote = subject.remote();
    for _ in 0..IDLE {
        remote.add(&Arc::new(descriptor(0)), || {
            unreachable!("an idle handle was called")
        });
    }
    let thread = thread::spawn(move || {
        let changed = Arc::new(descriptor(0));
        let start = cpu_time();
        let mut changes = 0;
        let mut section = Section::begin(duration);
        while !section.is_over() {
            for _ in 0..CHANGED {
                let handle = remote.add(&changed, || {});
                remote.remove(handle);
            }
            changes += CHANGED;
        }
        let per_change = (cpu_time() - start) as f64 / changes as f64;
        remote.add(&Arc::new(descriptor(1)), || {
            STOPPED.store(true, Ordering::Relaxed)
        });
        per_change
    });
    while !STOPPED.load(Ordering::Relaxed) {
        subject.turn();
    }
    vec![("cpu", thread.join().unwrap())]
}
