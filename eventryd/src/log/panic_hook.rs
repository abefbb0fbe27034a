//! Panics in the log.

use std::any::Any;
use std::panic::{PanicHookInfo, set_hook};

/// Replaces the panic hook of the process by one that logs the panic as an error, with its place.
///
/// The hook of `std` writes to standard error on the thread that panics, which may be the loop's thread, and would wait
/// for a reader there.
pub fn log_panics() {
    set_hook(Box::new(log_panic));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let message = message_of(info.payload());
    match info.location() {
        Some(place) => tracing::error!("thread {thread} panicked at {place}: {message}"),
        None => tracing::error!("thread {thread} panicked: {message}"),
    }
}

/// Returns the message of a panic, if it is a text.
fn message_of(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    let formatted = || payload.downcast_ref::<String>().map(String::as_str);
    literal.or_else(formatted).unwrap_or("no message")
}
