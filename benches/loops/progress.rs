//! Progress on stderr: on a terminal one line that is replaced, otherwise a line from time to time.

#![allow(clippy::print_stderr, reason = "the progress is printed")]

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Time between two lines if stderr is no terminal.
const PERIOD: Duration = Duration::from_secs(10);

pub(crate) struct Progress {
    steps: usize,
    /// Number of steps that have begun.
    begun: usize,
    start: Instant,
    last: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Progress {
        Progress {
            steps,
            begun: 0,
            start: Instant::now(),
            last: None,
            is_terminal: stderr().is_terminal(),
        }
    }

    pub(crate) fn begin(&mut self, step: &str) {
        self.begun += 1;
        let is_due = self.last.is_none_or(|last| last.elapsed() >= PERIOD);
        if !self.is_terminal && !is_due {
            return;
        }
        self.last = Some(Instant::now());
        let done = self.begun - 1;
        let elapsed = self.start.elapsed();
        let left = if done == 0 {
            String::new()
        } else {
            let left = elapsed.mul_f64((self.steps - done) as f64 / done as f64);
            format!(", about {} s left", left.as_secs() + 1)
        };
        let (start, end) = if self.is_terminal {
            ("\r\x1b[K", "")
        } else {
            ("", "\n")
        };
        eprint!("{start}{} of {}: {step}{left}{end}", self.begun, self.steps);
        // Progress that cannot be printed is lost.
        let _ = stderr().flush();
    }

    pub(crate) fn warn(&self, message: &str) {
        let start = if self.is_terminal { "\r\x1b[K" } else { "" };
        eprintln!("{start}{message}");
    }

    pub(crate) fn end(self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
        eprintln!(
            "{} measurements of all loops took {} s",
            self.begun,
            self.start.elapsed().as_secs()
        );
    }
}
