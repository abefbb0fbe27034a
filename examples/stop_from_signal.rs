//! Stops the loop on Ctrl-C, so that the data of its callbacks is dropped before the program ends.
//!
//! `cargo run --example stop_from_signal wait` waits for Ctrl-C. Without an argument the example sends the signal to
//! itself.

#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "it is what an example does")]
#![allow(unsafe_code, reason = "signal handlers are installed like this")]

use eventry::EventLoop;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{raise, register};
use std::time::Duration;

/// Data that must be dropped before the program ends.
struct Work;

impl Drop for Work {
    fn drop(&mut self) {
        println!("cleaned up");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = EventLoop::new()?;
    for signal in [SIGINT, SIGTERM] {
        let stopper = event_loop.signal_stopper();
        // SAFETY: the handler only calls `stop`, which stores a flag and writes to a descriptor.
        unsafe { register(signal, move || stopper.stop())? };
    }

    let work = Work;
    event_loop
        .registry()
        .add_timeout(Duration::from_secs(1), move |_| {
            let _busy = &work;
            println!("still running");
        })?;
    if std::env::args().nth(1).is_some() {
        println!("waiting for Ctrl-C");
    } else {
        event_loop
            .registry()
            .add_timeout(Duration::from_millis(10), |_| {
                raise(SIGINT).expect("the signal exists");
            })?;
    }

    event_loop.run()?;
    println!("stopped by a signal");
    Ok(())
}
