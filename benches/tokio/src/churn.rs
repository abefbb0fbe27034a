//! W6: threads register and deregister descriptors, 32 at a time, while 8 tasks are kept busy.

use crate::section::now;
use crate::{Figures, descriptor, idle, readable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;

const IDLE: u64 = 100;
const READY: u64 = 8;
const CHANGED: u64 = 32;

pub(crate) async fn run(duration: Duration, threads: u64) -> Figures {
    let idle = idle(IDLE);
    let calls = Arc::new(AtomicU64::new(0));
    for _ in 0..READY {
        tokio::spawn(keep_busy(Arc::clone(&calls)));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let start = now();
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let (runtime, is_over) = (Handle::current(), Arc::clone(&is_over));
            thread::spawn(move || change_until_over(&runtime, &is_over))
        })
        .collect();
    tokio::time::sleep(duration).await;
    is_over.store(true, Ordering::Relaxed);
    let seconds = (now() - start) as f64 / 1e9;
    let called = calls.load(Ordering::Relaxed) as f64;
    let changes: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    drop(idle);
    vec![
        ("changes", changes as f64 / seconds),
        ("calls", called / seconds),
    ]
}

/// Reads a descriptor and makes it ready again: readiness is edge-triggered, so a descriptor that stays ready is not
/// reported again.
async fn keep_busy(calls: Arc<AtomicU64>) {
    let ready = readable(descriptor(1));
    loop {
        let mut guard = ready.readable().await.unwrap();
        rustix::io::read(ready.get_ref(), &mut [0; 8]).unwrap();
        guard.clear_ready();
        calls.store(calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        rustix::io::write(ready.get_ref(), &1_u64.to_ne_bytes()).unwrap();
    }
}

/// Returns the number of registrations with their deregistrations.
fn change_until_over(runtime: &Handle, is_over: &AtomicBool) -> u64 {
    let _entered = runtime.enter();
    let descriptors: Vec<_> = (0..CHANGED).map(|_| Arc::new(descriptor(0))).collect();
    let mut added = Vec::with_capacity(descriptors.len());
    let mut changes = 0;
    while !is_over.load(Ordering::Relaxed) {
        added.extend(descriptors.iter().map(|fd| readable(Arc::clone(fd))));
        added.clear();
        changes += CHANGED;
    }
    changes
}
