//! W6: threads add and remove handles, 32 at a time, while the loop calls 8 handles that are always ready.

use super::{Figures, calls, count_call, descriptor};
use crate::section::now;
use crate::subject::{Remote, SharedSubject};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const IDLE: u64 = 100;
const READY: u64 = 8;
const CHANGED: u64 = 32;

static STOPPED: AtomicBool = AtomicBool::new(false);

pub(super) fn run<S: SharedSubject>(duration: Duration, threads: u64) -> Figures {
    let mut subject = S::new();
    let remote = subject.remote();
    for _ in 0..IDLE {
        remote.add(&Arc::new(descriptor(0)), || {
            unreachable!("an idle handle was called")
        });
    }
    for _ in 0..READY {
        remote.add(&Arc::new(descriptor(1)), count_call);
    }
    let start = now();
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let remote = remote.clone();
            thread::spawn(move || change_until_stopped(&remote))
        })
        .collect();
    let end = start + duration.as_nanos() as u64;
    while now() < end {
        subject.turn();
    }
    STOPPED.store(true, Ordering::Relaxed);
    let seconds = (now() - start) as f64 / 1e9;
    let dispatched = calls() as f64;
    let changes: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    vec![
        ("changes", changes as f64 / seconds),
        ("calls", dispatched / seconds),
    ]
}

/// Returns the number of additions with their removals.
fn change_until_stopped(remote: &impl Remote) -> u64 {
    let descriptors: Vec<_> = (0..CHANGED).map(|_| Arc::new(descriptor(0))).collect();
    let mut handles = Vec::with_capacity(descriptors.len());
    let mut changes = 0;
    while !STOPPED.load(Ordering::Relaxed) {
        handles.extend(descriptors.iter().map(|fd| remote.add(fd, || {})));
        handles.drain(..).for_each(|handle| remote.remove(handle));
        changes += CHANGED;
    }
    changes
}
