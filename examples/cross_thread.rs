//! Adds and removes a handle of a loop that runs on another thread. The result of the removal tells whether the data
//! of the callback may be used at once.

#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "it is what an example does")]

use eventry::{EventLoop, Events, Removal};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// Data of the callback, which prints a message when it is dropped.
struct Owned {
    calls: Arc<AtomicU32>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let thread = thread::current();
        let name = thread.name().unwrap_or("?");
        println!("the callback was dropped by the thread {name:?}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = EventLoop::new()?;
    let registry = event_loop.registry();
    let stopper = event_loop.stopper();
    let runner = thread::Builder::new()
        .name("event loop".to_owned())
        .spawn(move || event_loop.run())?;

    let calls = Arc::new(AtomicU32::new(0));
    let owned = Owned {
        calls: Arc::clone(&calls),
    };
    let (called, was_called) = channel();
    let (near, mut far) = UnixStream::pair()?;
    // The addition wakes the loop if it sleeps.
    let id = registry.add_handle(near, Events::READABLE, move |_| {
        // Nothing is read, so the descriptor stays ready, and the callback is called in every turn.
        owned.calls.fetch_add(1, Ordering::Relaxed);
        let _ = called.send(());
    })?;
    far.write_all(b"x")?;
    was_called.recv()?;

    match registry.remove_handle(id)? {
        Removal::Idle => println!("removed: no call runs, and none will begin"),
        Removal::InFlight => {
            println!("removed: one last call is running");
            // The sender is dropped with the callback, after that call.
            while was_called.recv().is_ok() {}
        }
    }
    println!("called {} times", calls.load(Ordering::Relaxed));

    stopper.stop();
    runner.join().expect("no callback panicked")?;
    Ok(())
}
