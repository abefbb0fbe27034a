//! The writer thread of an output.

use super::{OutputQueue, PushResult, WriterStep};
use crate::sync::{Arc, Condvar, Mutex, spawn};
use std::fmt;
use std::io;
use std::time::Duration;

/// Destination of an [`OutputWriter`]. Its functions run on the writer's thread and may block.
pub trait OutputTarget: Send + 'static {
    /// Writes a message.
    ///
    /// # Errors
    ///
    /// Those of the destination. The message is lost and counted.
    fn write(&mut self, message: &[u8]) -> io::Result<()>;

    /// Writes that so many messages are lost.
    ///
    /// # Errors
    ///
    /// Those of the destination. The number is added to the next report.
    fn report_lost(&mut self, messages: u64) -> io::Result<()>;

    /// Replaces the destination, for [`OutputWriter::push_reopen`]. Does nothing by default.
    fn reopen(&mut self) {}
}

/// An output with a bounded queue and a thread that writes.
///
/// Dropping it closes the queue: the thread writes what is queued, and ends. A thread that hangs in a write ends when
/// the write returns.
///
/// ```
/// use eventryd::output::{OutputTarget, OutputWriter};
/// use std::sync::mpsc::{Sender, channel};
/// use std::{io, time::Duration};
///
/// struct Collected(Sender<Vec<u8>>);
///
/// impl OutputTarget for Collected {
///     fn write(&mut self, message: &[u8]) -> io::Result<()> {
///         self.0.send(message.to_vec()).map_err(io::Error::other)
///     }
///
///     fn report_lost(&mut self, messages: u64) -> io::Result<()> {
///         self.write(format!("{messages} messages lost").as_bytes())
///     }
/// }
///
/// let (sender, collected) = channel();
/// let writer = OutputWriter::start("example", 1024, Collected(sender)).unwrap();
/// writer.push(b"hello".to_vec());
/// assert_eq!(writer.flush(Duration::from_secs(1)), 0);
/// assert_eq!(collected.recv().unwrap(), b"hello");
/// ```
pub struct OutputWriter {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when the writer has something to do.
    queued: Condvar,
    /// Notified when the writer is idle and a thread waits for that.
    idle: Condvar,
}

struct State {
    queue: OutputQueue,
    /// Threads in [`OutputWriter::flush`].
    flushing: usize,
}

impl OutputWriter {
    /// Starts a writer with a queue of so many bytes, on a thread with this name.
    ///
    /// # Errors
    ///
    /// The error of the operating system if it cannot create a thread.
    pub fn start(
        name: &str,
        capacity: usize,
        target: impl OutputTarget,
    ) -> io::Result<OutputWriter> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: OutputQueue::new(capacity),
                flushing: 0,
            }),
            queued: Condvar::new(),
            idle: Condvar::new(),
        });
        let of_writer = Arc::clone(&shared);
        spawn(name, move || of_writer.run(target))?;
        Ok(OutputWriter { shared })
    }

    /// Queues a message, and never waits for the output. If the queue is full, the message is dropped and counted.
    pub fn push(&self, message: Vec<u8>) {
        let result = self.shared.state.lock().queue.push(message);
        if result == PushResult::Wake {
            self.shared.queued.notify_one();
        }
    }

    /// Queues a call of [`OutputTarget::reopen`] after the queued messages, unless one is queued already.
    pub fn push_reopen(&self) {
        let result = self.shared.state.lock().queue.push_reopen();
        if result == PushResult::Wake {
            self.shared.queued.notify_one();
        }
    }

    /// Waits until everything is written, for `timeout` at most. Returns the number of messages that are not written:
    /// still queued, or lost and not reported.
    pub fn flush(&self, timeout: Duration) -> u64 {
        let mut state = self.shared.state.lock();
        state.flushing += 1;
        let mut state = self
            .shared
            .idle
            .wait_timeout_while(state, timeout, |state| !state.queue.is_idle());
        state.flushing -= 1;
        state.queue.unwritten()
    }

    /// Returns `true` if the writer has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.state.lock().queue.is_idle()
    }

    /// Refuses further messages. The thread ends after the queued ones.
    pub fn close(&self) {
        self.shared.state.lock().queue.close();
        self.shared.queued.notify_one();
    }

    /// Accepts messages again after [`OutputWriter::close`]. Returns `false` if the thread has ended.
    #[must_use]
    pub fn resume(&self) -> bool {
        self.shared.state.lock().queue.resume()
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn run(&self, mut target: impl OutputTarget) {
        let mut state = self.state.lock();
        loop {
            let step = state.queue.next_step();
            let result = match step {
                WriterStep::Write(message) => {
                    drop(state);
                    target.write(&message)
                }
                WriterStep::Report(messages) => {
                    drop(state);
                    target.report_lost(messages)
                }
                WriterStep::Reopen => {
                    drop(state);
                    target.reopen();
                    Ok(())
                }
                WriterStep::Wait => {
                    state = self.queued.wait(state);
                    continue;
                }
                WriterStep::Exit => return,
            };
            state = self.state.lock();
            state.queue.finish_step(result.is_ok());
            if state.flushing > 0 && state.queue.is_idle() {
                self.idle.notify_all();
            }
        }
    }
}

impl fmt::Debug for OutputWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputWriter").finish_non_exhaustive()
    }
}
