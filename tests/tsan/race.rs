//! Data race of two threads on a counter, which ThreadSanitizer must report if it works.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::thread;

struct Counter(UnsafeCell<u64>);

// SAFETY: none; the race is intended.
unsafe impl Sync for Counter {}

fn main() {
    let counter = Arc::new(Counter(UnsafeCell::new(0)));
    let threads = [(); 2].map(|()| {
        let counter = Arc::clone(&counter);
        thread::spawn(move || {
            for _ in 0..1_000 {
                // SAFETY: none; the race is intended.
                unsafe { *counter.0.get() += 1 };
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}
