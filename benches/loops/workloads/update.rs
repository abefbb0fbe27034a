//! W3: changes of the interest of 16 handles, beside 1,000 idle ones: to readable and writable, and back.

use super::{Figures, Ticks, add_idle, count_call};
use crate::section::Section;
use crate::subject::Subject;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::OwnedFd;
use std::time::Duration;

const IDLE: u64 = 1_000;
const CHANGED: u64 = 16;

/// A turn follows each change; the handles are writable in every second one.
pub(super) fn in_turns<S: Subject>(duration: Duration) -> Figures {
    rounds::<S>(duration, |subject, ticks, handles| {
        for handle in handles {
            subject.update(handle, true);
        }
        ticks.turn(subject);
        for handle in handles {
            subject.update(handle, false);
        }
        ticks.turn(subject);
    })
}

/// No turn sees the changed interest.
pub(super) fn back_to_back<S: Subject>(duration: Duration) -> Figures {
    rounds::<S>(duration, |subject, ticks, handles| {
        for handle in handles {
            subject.update(handle, true);
            subject.update(handle, false);
        }
        ticks.turn(subject);
    })
}

/// Measures rounds, each of two changes of every handle.
fn rounds<S: Subject>(
    duration: Duration,
    mut round: impl FnMut(&mut S, &Ticks, &[S::Handle]),
) -> Figures {
    let mut subject = S::new();
    add_idle(&mut subject, IDLE);
    let ticks = Ticks::add_to(&mut subject);
    let (handles, _others): (Vec<_>, Vec<OwnedFd>) = (0..CHANGED)
        .map(|_| {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
            let (near, far) = pair.unwrap();
            (subject.add(near, |_| count_call()), far)
        })
        .unzip();
    round(&mut subject, &ticks, &handles);
    let mut changes = 0;
    let mut section = Section::begin(duration);
    while !section.is_over() {
        round(&mut subject, &ticks, &handles);
        changes += 2 * CHANGED;
    }
    vec![("cpu", section.cpu_per(changes))]
}
