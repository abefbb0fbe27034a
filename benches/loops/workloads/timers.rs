//! W4: additions, updates, removals and calls of many timers. Every section does one operation per timer.

use super::{Figures, Random, Ticks, calls, count_call};
use crate::section::Section;
use crate::subject::Subject;
use std::thread;
use std::time::Duration;

const HOUR: u64 = 3_600_000;

/// Longest interval of the timers that expire, in milliseconds.
const EXPIRES_WITHIN: u64 = 100;

/// Adds timers that are due in one to two hours, updates and removes them in random order.
pub(super) fn change<S: Subject>(count: u64) -> Figures {
    let mut random = Random::new();
    let order = random_order(count, &mut random);
    let (mut subject, ticks) = start::<S>();
    let mut timers = Vec::with_capacity(order.len());
    let mut after = || Duration::from_millis(HOUR + random.below(HOUR));

    let section = Section::begin(Duration::ZERO);
    for _ in 0..count {
        timers.push(subject.add_timer(after(), never));
    }
    let add = section.cpu_per(count);
    ticks.turn(&mut subject);

    let section = Section::begin(Duration::ZERO);
    for &index in &order {
        subject.restart_timer(timers[index as usize], after());
    }
    let update = section.cpu_per(count);
    ticks.turn(&mut subject);

    let section = Section::begin(Duration::ZERO);
    for &index in &order {
        subject.remove_timer(timers[index as usize]);
    }
    let remove = section.cpu_per(count);
    vec![("add", add), ("update", update), ("remove", remove)]
}

/// Adds timers of one interval, as for idle connections, and restarts them in random order.
pub(super) fn push<S: Subject>(count: u64) -> Figures {
    let order = random_order(count, &mut Random::new());
    let (mut subject, ticks) = start::<S>();
    let interval = Duration::from_millis(HOUR);
    let timers: Vec<_> = (0..count)
        .map(|_| subject.add_timer(interval, never))
        .collect();
    ticks.turn(&mut subject);
    let section = Section::begin(Duration::ZERO);
    for &index in &order {
        subject.restart_timer(timers[index as usize], interval);
    }
    vec![("push", section.cpu_per(count))]
}

/// Lets timers expire that are all due.
pub(super) fn expire<S: Subject>(count: u64) -> Figures {
    let mut random = Random::new();
    let (mut subject, _ticks) = start::<S>();
    for _ in 0..count {
        let after = Duration::from_millis(1 + random.below(EXPIRES_WITHIN));
        subject.add_timer(after, count_call);
    }
    // The clock of the floor may be old, which makes the timers due earlier.
    thread::sleep(Duration::from_millis(EXPIRES_WITHIN + 20));
    let section = Section::begin(Duration::ZERO);
    while calls() < count {
        subject.turn();
    }
    vec![("expire", section.cpu_per(count))]
}

fn start<S: Subject>() -> (S, Ticks) {
    let mut subject = S::new();
    let ticks = Ticks::add_to(&mut subject);
    ticks.turn(&mut subject);
    (subject, ticks)
}

fn never() {
    unreachable!("a timer was called after less than an hour");
}

fn random_order(count: u64, random: &mut Random) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}
