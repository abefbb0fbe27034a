//! W2: registrations and deregistrations of descriptors, beside 1,000 idle ones.

use crate::section::Section;
use crate::{Figures, descriptor, idle, readable};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::yield_now;

const IDLE: u64 = 1_000;

/// Number of descriptors that are registered and deregistered in a round.
const CHANGED: u64 = 16;

pub(crate) async fn in_turns(duration: Duration) -> Figures {
    let descriptors: Vec<_> = (0..CHANGED).map(|_| Arc::new(descriptor(0))).collect();
    let idle = idle(IDLE);
    let mut changes = 0;
    let mut section = Section::begin(duration);
    while !section.is_over() {
        let added: Vec<_> = descriptors
            .iter()
            .map(|fd| readable(Arc::clone(fd)))
            .collect();
        yield_now().await;
        drop(added);
        yield_now().await;
        changes += CHANGED;
    }
    let figures = vec![("cpu", section.cpu_per(changes))];
    drop(idle);
    figures
}

pub(crate) async fn new_descriptors(duration: Duration) -> Figures {
    let idle = idle(IDLE);
    let mut changes = 0;
    let mut section = Section::begin(duration);
    while !section.is_over() {
        let added: Vec<_> = (0..CHANGED).map(|_| readable(descriptor(0))).collect();
        yield_now().await;
        drop(added);
        yield_now().await;
        changes += CHANGED;
    }
    let figures = vec![("cpu", section.cpu_per(changes))];
    drop(idle);
    figures
}

pub(crate) async fn back_to_back(duration: Duration) -> Figures {
    let descriptors: Vec<_> = (0..CHANGED).map(|_| Arc::new(descriptor(0))).collect();
    let idle = idle(IDLE);
    let mut changes = 0;
    let mut section = Section::begin(duration);
    while !section.is_over() {
        for fd in &descriptors {
            drop(readable(Arc::clone(fd)));
        }
        yield_now().await;
        changes += CHANGED;
    }
    let figures = vec![("cpu", section.cpu_per(changes))];
    drop(idle);
    figures
}

/// Registers and deregisters a descriptor from another thread, while the runtime waits. The figure is the CPU time of
/// that thread.
pub(crate) async fn from_thread(duration: Duration) -> Figures {
    let idle = idle(IDLE);
    let runtime = Handle::current();
    let is_over = Arc::new(Notify::new());
    let notifier = Arc::clone(&is_over);
    let thread = thread::spawn(move || {
        let _entered = runtime.enter();
        let changed = Arc::new(descriptor(0));
        let mut changes = 0;
        let mut section = Section::begin(duration);
        while !section.is_over() {
            for _ in 0..CHANGED {
                drop(readable(Arc::clone(&changed)));
            }
            changes += CHANGED;
        }
        let per_change = section.cpu_per(changes);
        notifier.notify_one();
        per_change
    });
    is_over.notified().await;
    drop(idle);
    vec![("cpu", thread.join().unwrap())]
}
