//! Timeouts: one that repeats, one that changes its interval, one that stops the loop.

#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "it is what an example does")]

use eventry::EventLoop;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = EventLoop::new()?;
    let registry = event_loop.registry();
    let stopper = event_loop.stopper();

    let mut ticks = 0;
    registry.add_timeout(Duration::from_millis(100), move |_| {
        ticks += 1;
        println!("tick {ticks}");
    })?;

    // The interval doubles after each call.
    let mut interval = Duration::from_millis(50);
    registry.add_timeout(interval, move |event| {
        println!("    {interval:?} have passed");
        interval *= 2;
        event
            .registry
            .update_timeout(event.id, interval)
            .expect("a timeout is registered while it is called");
    })?;

    registry.add_timeout(Duration::from_millis(550), move |_| stopper.stop())?;

    event_loop.run()?;
    Ok(())
}
