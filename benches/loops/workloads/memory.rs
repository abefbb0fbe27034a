//! W7: resident memory per idle handle and per timer, with the caller's id, without the memory of the kernel.

use super::{Figures, Random, Ticks, descriptor};
use crate::subject::Subject;
use std::fs;
use std::time::Duration;

pub(super) fn handles<S: Subject>(count: u64) -> Figures {
    let mut subject = S::new();
    let ticks = Ticks::add_to(&mut subject);
    let descriptors: Vec<_> = (0..count).map(|_| descriptor(0)).collect();
    ticks.turn(&mut subject);
    let before = resident();
    let mut handles = Vec::with_capacity(descriptors.len());
    // The vector of descriptors is not freed before the end, which would count as a reduction.
    let mut descriptors = descriptors.into_iter();
    for descriptor in descriptors.by_ref() {
        handles.push(subject.add(descriptor, |_| unreachable!("an idle handle was called")));
    }
    ticks.turn(&mut subject);
    ticks.turn(&mut subject);
    vec![("bytes", (resident() - before) as f64 / handles.len() as f64)]
}

pub(super) fn timers<S: Subject>(count: u64) -> Figures {
    let mut subject = S::new();
    let ticks = Ticks::add_to(&mut subject);
    ticks.turn(&mut subject);
    let mut random = Random::new();
    let before = resident();
    let mut timers = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let after = Duration::from_secs(3_600 + random.below(3_600));
        timers.push(subject.add_timer(after, || unreachable!("a timer was called")));
    }
    ticks.turn(&mut subject);
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
