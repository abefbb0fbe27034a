//! W7: resident memory per idle descriptor with a task that waits for it, and per timer.

use crate::{Figures, Random, descriptor, readable, timers};
use std::fs;
use std::time::Duration;
use tokio::task::yield_now;

pub(crate) async fn handles(count: u64) -> Figures {
    let descriptors: Vec<_> = (0..count).map(|_| descriptor(0)).collect();
    yield_now().await;
    let before = resident();
    // The vector of descriptors is not freed before the end, which would count as a reduction.
    let mut descriptors = descriptors.into_iter();
    for descriptor in descriptors.by_ref() {
        tokio::spawn(async move {
            let idle = readable(descriptor);
            let _ = idle.readable().await;
            unreachable!("an idle descriptor was ready");
        });
    }
    yield_now().await;
    yield_now().await;
    vec![("bytes", (resident() - before) as f64 / count as f64)]
}

pub(crate) async fn timers(count: u64) -> Figures {
    yield_now().await;
    let mut random = Random::new();
    let before = resident();
    let mut timers = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let after = Duration::from_secs(3_600 + random.below(3_600));
        timers.push(timers::add(after));
    }
    yield_now().await;
    vec![("bytes", (resident() - before) as f64 / timers.len() as f64)]
}

/// Returns the resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let kilobytes = lines.find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    let kilobytes: u64 = kilobytes.unwrap().trim().parse().unwrap();
    kilobytes * 1_024
}
