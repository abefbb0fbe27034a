//! The models of the writers of outputs. A lost wake-up is a flush or a writer that never ends, which shows as a deadlock.

use eventryd::output::{OutputTarget, OutputWriter};
use loom::thread;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A target that counts messages, written or reported as lost.
struct Counted(Arc<AtomicU64>);

impl OutputTarget for Counted {
    fn write(&mut self, _message: &[u8]) -> io::Result<()> {
        self.0.fetch_add(1, Relaxed);
        Ok(())
    }

    fn report_lost(&mut self, messages: u64) -> io::Result<()> {
        self.0.fetch_add(messages, Relaxed);
        Ok(())
    }
}

/// Starts a writer whose queue has room for one message.
fn start() -> (OutputWriter, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let writer = OutputWriter::start("writer", 100, Counted(Arc::clone(&count)));
    (writer.unwrap(), count)
}

/// A message is queued while the writer goes to sleep, and the flush sees it written. Then the writer ends.
pub(crate) fn push_x_sleep_x_close() {
    let (writer, count) = start();
    writer.push(vec![0]);
    assert_eq!(writer.flush(Duration::MAX), 0);
    assert_eq!(count.load(Relaxed), 1);
    writer.close();
}

/// Two threads queue a message each. One of them may be dropped, and is reported.
pub(crate) fn push_x_push_x_flush() {
    let (writer, count) = start();
    let writer = Arc::new(writer);
    let other = Arc::clone(&writer);
    let pushed = thread::spawn(move || other.push(vec![1]));
    writer.push(vec![2]);
    pushed.join().unwrap();
    assert_eq!(writer.flush(Duration::MAX), 0);
    assert_eq!(count.load(Relaxed), 2);
}
