//! W5: the time from a notification by another thread until the waiting runtime polls the task.

use crate::Figures;
use crate::section::now;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::Notify;

/// Pause before each notification, in which the runtime begins to wait.
const PAUSE: Duration = Duration::from_micros(100);

pub(crate) async fn run(count: u64) -> Figures {
    let woken_at = Arc::new(AtomicU64::new(0));
    let wakes = Arc::new(AtomicU64::new(0));
    let notify = Arc::new(Notify::new());
    let (time, seen, notifier) = (woken_at.clone(), wakes.clone(), notify.clone());
    let thread = thread::spawn(move || {
        let mut latencies: Vec<u64> = (1..=count)
            .map(|number| {
                thread::sleep(PAUSE);
                let requested = now();
                notifier.notify_one();
                while seen.load(Ordering::Acquire) < number {
                    hint::spin_loop();
                }
                time.load(Ordering::Relaxed) - requested
            })
            .collect();
        latencies.sort_unstable();
        latencies[latencies.len() / 2]
    });
    for _ in 0..count {
        notify.notified().await;
        woken_at.store(now(), Ordering::Relaxed);
        wakes.fetch_add(1, Ordering::Release);
    }
    vec![("latency", thread.join().unwrap() as f64)]
}
