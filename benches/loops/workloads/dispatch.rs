//! W0: calls of handles that are always ready, among idle ones. The callback counts.

use super::{Figures, add_idle, calls, count_call, descriptor};
use crate::section::Section;
use crate::subject::Subject;
use std::time::Duration;

const TURNS_PER_CHECK: usize = 8;

pub(super) fn run<S: Subject>(duration: Duration, ready: u64, all: u64) -> Figures {
    let mut subject = S::new();
    add_idle(&mut subject, all - ready);
    for _ in 0..ready {
        subject.add(descriptor(1), |_| count_call());
    }
    for _ in 0..TURNS_PER_CHECK {
        subject.turn();
    }
    let before = calls();
    let mut section = Section::begin(duration);
    while !section.is_over() {
        for _ in 0..TURNS_PER_CHECK {
            subject.turn();
        }
    }
    vec![("cpu", section.cpu_per(calls() - before))]
}
