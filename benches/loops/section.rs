//! Measured sections: clocks, and the CPU time of the current thread per operation.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Returns the monotonic time in nanoseconds.
pub(crate) fn now() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Returns the CPU time that the current thread has used, in nanoseconds.
pub(crate) fn cpu_time() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Factor between the CPU time of a section and its longest wall-clock time, on a machine with other load.
const LONGEST: u64 = 8;

/// A section of a program whose CPU time is measured. It is over after a given CPU time, so that other load on the
/// machine does not reduce the number of operations.
pub(crate) struct Section {
    cpu_start: u64,
    duration: u64,
    /// Wall-clock time of the next look at the CPU time, which takes a system call.
    next_check: u64,
    end: u64,
}

impl Section {
    pub(crate) fn begin(duration: Duration) -> Section {
        let duration = duration.as_nanos() as u64;
        let now = now();
        Section {
            duration,
            next_check: now + duration,
            end: now + LONGEST * duration,
            cpu_start: cpu_time(),
        }
    }

    /// Returns whether the section has used its CPU time, or LONGEST times as much wall-clock time.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = now();
        if now < self.next_check {
            return false;
        }
        let left = self.duration.saturating_sub(cpu_time() - self.cpu_start);
        self.next_check = now + left;
        left == 0 || now >= self.end
    }

    /// Returns the CPU time per operation, in nanoseconds.
    pub(crate) fn cpu_per(&self, operations: u64) -> f64 {
        (cpu_time() - self.cpu_start) as f64 / operations.max(1) as f64
    }
}
