//! The queue of an output, as a pure value.

use std::collections::VecDeque;

/// Memory of a queued message besides its bytes, rounded up: its entry in the queue and the allocator's header.
const ENTRY_COST: usize = 64;

/// Messages that wait for an output, in order, and the number of those that it has lost.
///
/// A message that does not fit is dropped and counted. From then on messages are dropped until half of the queue is
/// free, so that a slow output has few gaps instead of many. The count is reported at the place of the gap.
///
/// ```
/// use eventryd::output::{OutputQueue, PushResult, WriterStep};
///
/// let mut queue = OutputQueue::new(100);
/// assert_eq!(queue.push(b"one".to_vec()), PushResult::Queued);
/// assert_eq!(queue.push(b"two".to_vec()), PushResult::Dropped);
/// assert_eq!(queue.next_step(), WriterStep::Write(b"one".to_vec()));
/// queue.finish_step(true);
/// assert_eq!(queue.next_step(), WriterStep::Report(1));
/// queue.finish_step(true);
/// assert_eq!(queue.next_step(), WriterStep::Wait);
/// ```
#[derive(Clone, Debug)]
pub struct OutputQueue {
    /// Bound of `used`.
    capacity: usize,
    entries: VecDeque<Entry>,
    /// Bytes of the entries, with their [`ENTRY_COST`].
    used: usize,
    /// Messages that are lost and not in a report yet.
    dropped: u64,
    /// Set by the first dropped message, until half of the queue is free.
    is_full: bool,
    /// Messages that the current step of the writer stands for.
    in_progress: Option<u64>,
    /// The last step failed, so a report would fail too.
    is_failing: bool,
    is_closed: bool,
    /// The writer has got [`WriterStep::Exit`].
    has_exited: bool,
    /// The writer sleeps.
    is_waiting: bool,
}

#[derive(Clone, Debug)]
enum Entry {
    Message(Vec<u8>),
    /// So many messages are lost here.
    Gap(u64),
    /// The destination is replaced here.
    Reopen,
}

/// Result of [`OutputQueue::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushResult {
    /// The message is queued, and the writer is awake.
    Queued,
    /// The message is queued, and the writer must be woken.
    Wake,
    /// The message is dropped and counted.
    Dropped,
}

/// Next step of the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterStep {
    /// Write the message, then call [`OutputQueue::finish_step`].
    Write(Vec<u8>),
    /// Write the number of lost messages, then call [`OutputQueue::finish_step`].
    Report(u64),
    /// Replace the destination, then call [`OutputQueue::finish_step`].
    Reopen,
    /// Sleep until a push or the end wakes the writer.
    Wait,
    /// End: the queue is closed and everything is written.
    Exit,
}

impl OutputQueue {
    /// Creates an empty queue for so many bytes. Each message counts for 64 bytes more than it has.
    #[must_use]
    pub fn new(capacity: usize) -> OutputQueue {
        OutputQueue {
            capacity,
            entries: VecDeque::new(),
            used: 0,
            dropped: 0,
            is_full: false,
            in_progress: None,
            is_failing: false,
            is_closed: false,
            has_exited: false,
            is_waiting: false,
        }
    }

    /// Adds a message, unless the queue is full or closed.
    pub fn push(&mut self, message: Vec<u8>) -> PushResult {
        let gap = if self.dropped > 0 { ENTRY_COST } else { 0 };
        let needed = message.len() + ENTRY_COST + gap;
        let limit = if self.is_full {
            self.capacity / 2
        } else {
            self.capacity
        };
        if self.is_closed || self.used.saturating_add(needed) > limit {
            self.is_full = true;
            self.dropped += 1;
            return PushResult::Dropped;
        }
        self.is_full = false;
        if self.dropped > 0 {
            self.entries.push_back(Entry::Gap(self.dropped));
            self.dropped = 0;
        }
        self.entries.push_back(Entry::Message(message));
        self.used += needed;
        self.wake()
    }

    /// Adds the step [`WriterStep::Reopen`] after the queued messages, also if the queue is full. A queued step of this
    /// kind stays where it is, and no second one is added.
    pub fn push_reopen(&mut self) -> PushResult {
        let mut entries = self.entries.iter();
        if !entries.any(|entry| matches!(entry, Entry::Reopen)) {
            self.entries.push_back(Entry::Reopen);
        }
        self.wake()
    }

    fn wake(&mut self) -> PushResult {
        if std::mem::take(&mut self.is_waiting) {
            PushResult::Wake
        } else {
            PushResult::Queued
        }
    }

    /// Returns the next step of the writer, which has finished the previous one.
    pub fn next_step(&mut self) -> WriterStep {
        debug_assert!(self.in_progress.is_none(), "the step is not finished");
        match self.entries.pop_front() {
            Some(Entry::Message(message)) => {
                self.used -= message.len() + ENTRY_COST;
                self.in_progress = Some(1);
                WriterStep::Write(message)
            }
            Some(Entry::Gap(count)) => {
                self.used -= ENTRY_COST;
                self.report(count)
            }
            Some(Entry::Reopen) => {
                self.in_progress = Some(0);
                WriterStep::Reopen
            }
            None => {
                // Also for a message that would not fit into half of the queue.
                self.is_full = false;
                match std::mem::take(&mut self.dropped) {
                    count if count > 0 && !self.is_failing => self.report(count),
                    count => {
                        self.dropped = count;
                        self.is_waiting = !self.is_closed;
                        if self.is_closed {
                            self.has_exited = true;
                            WriterStep::Exit
                        } else {
                            WriterStep::Wait
                        }
                    }
                }
            }
        }
    }

    fn report(&mut self, count: u64) -> WriterStep {
        self.in_progress = Some(count);
        WriterStep::Report(count)
    }

    /// Ends a step of the writer. What a failed step stands for is lost and counted.
    pub fn finish_step(&mut self, is_written: bool) {
        let messages = self.in_progress.take().unwrap_or_default();
        self.is_failing = !is_written;
        if !is_written {
            self.dropped += messages;
        }
    }

    /// Refuses further messages. The writer ends after the queued ones.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.is_waiting = false;
    }

    /// Accepts messages again after [`OutputQueue::close`]. Returns `false` if the writer has ended.
    pub fn resume(&mut self) -> bool {
        self.is_closed = self.has_exited;
        !self.has_exited
    }

    /// Returns `true` if the writer has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let has_report = self.dropped > 0 && !self.is_failing;
        self.entries.is_empty() && self.in_progress.is_none() && !has_report
    }

    /// Returns the number of messages that are not written: queued, in progress, or lost and not reported.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        let queued = self.entries.iter().map(|entry| match entry {
            Entry::Message(_) => 1,
            Entry::Gap(count) => *count,
            Entry::Reopen => 0,
        });
        queued.sum::<u64>() + self.in_progress.unwrap_or_default() + self.dropped
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
