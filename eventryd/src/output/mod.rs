//! Output that must not delay the threads that produce it: a bounded queue with a writer thread of its own.
//!
//! [`OutputQueue`] is a pure value: it decides which messages are accepted, counts the dropped ones, and tells the
//! writer what to do next. [`OutputWriter`] adds the lock and the thread. An output that hangs delays only its own
//! writer.

mod queue;
mod standard;
mod writer;

pub use queue::{OutputQueue, PushResult, WriterStep};
pub use standard::{LineWriter, StandardStream, print_in_time};
pub use writer::{OutputTarget, OutputWriter};
