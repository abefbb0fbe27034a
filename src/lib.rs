//! A callback event loop whose handles and timeouts may be added, updated and removed from any thread and
//! from inside callbacks. A removal reports whether the caller may free its data at once.
//!
// Under loom only the models are tests. The examples in the following text are not run.
#![cfg(not(all(loom, any(test, doctest))))]

//! The loop implements libvirt's event API: level-triggered handles on file descriptors, repeating timeouts,
//! and free callbacks that are never called from inside another call. It adds [`Removal`], the result of a
//! removal, which reports whether a last call is still running. After [`Idle`](Removal::Idle) no call runs
//! and none will begin, on any thread.
//!
//! ```
//! use eventry::{EventLoop, Events, Removal};
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use std::time::Duration;
//!
//! let mut event_loop = EventLoop::new()?;
//! let registry = event_loop.registry();
//! let stopper = event_loop.stopper();
//!
//! // The callback of a handle is called in each turn in which its descriptor is ready.
//! let (near, mut far) = UnixStream::pair()?;
//! let handle = registry.add_handle(near, Events::READABLE, move |event| {
//!     let mut word = [0; 4];
//!     event.source.as_ref().read_exact(&mut word).unwrap();
//!     assert_eq!(&word, b"ping");
//!     stopper.stop();
//! })?;
//!
//! // The callback of a timeout is called after each interval. Any thread may add and remove both.
//! let from_another_thread = registry.clone();
//! std::thread::spawn(move || {
//!     from_another_thread
//!         .add_timeout(Duration::from_millis(1), move |_| far.write_all(b"ping").unwrap())
//!         .unwrap();
//! });
//!
//! event_loop.run()?;
//! assert_eq!(registry.remove_handle(handle)?, Removal::Idle);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Types
//!
//! | type | role |
//! |---|---|
//! | [`EventLoop`] | waits and calls the callbacks |
//! | [`Registry`] | adds, updates and removes; may be cloned and used on any thread |
//! | [`Stopper`] | stops the loop |
//! | [`LoopThread`] | a loop on a thread of its own |
//! | [`table::Table`] | all decisions about entries, without I/O, clock or lock |
//! | [`poller::Poller`] | readiness, time and wakes: with epoll, with `poll(2)` ([`Backend`]), or with a model |
//!
//! # States of a callback
//!
//! ```text
//!      add
//!       │
//!       ▼         due or ready
//! ┌────────────┐ ────────────────────► ┌────────────┐
//! │ registered │                       │  running   │
//! └────────────┘ ◄──────────────────── └────────────┘
//!       │          the call returns          │
//!       │                                    │ remove: Removal::InFlight
//!       │ remove: Removal::Idle              ▼
//!       │                              ┌────────────┐
//!       │                              │  running   │
//!       │                              │ a last time│
//!       ▼                              └────────────┘
//! ┌────────────┐   the call returns          │
//! │  removed   │ ◄───────────────────────────┘
//! └────────────┘
//!       │ the loop drops the callback at the end of a turn or of a drain, or when the loop is dropped
//!       ▼
//!    dropped
//! ```
//!
//! A removal from any thread follows the arrow of the current state. An id is valid until its entry is
//! removed; after that every operation with the id returns an error. A handle without interest and a timeout
//! without interval are registered, but never called.
//!
//! # Permitted calls
//!
//! | | other threads | a callback | a hook | the drop of a callback |
//! |---|---|---|---|---|
//! | add, update, remove | yes | yes, also on itself | yes | yes |
//! | remove and wait | yes, without a lock that the callback takes | yes, but not for itself | yes | yes |
//! | [`Stopper::stop`] | yes | yes | yes | yes |
//! | [`SignalStopper::stop`] | yes, and signal handlers | yes | yes | yes |
//! | [`Registry::stats`], [`Registry::is_idle`] | yes | yes | yes | yes |
//! | [`LoopThread::join`] | yes | yes, but on its own thread it does not wait | the same | the same |
//! | [`EventLoop::run`], [`run_once`](EventLoop::run_once), [`drain`](EventLoop::drain) | with `&mut EventLoop`, so one at a time | no | no | no |
//!
//! Only the functions of the last row call and drop callbacks. Only `remove_handle_and_wait`,
//! `remove_timeout_and_wait` and `join` wait for a callback. Signal handlers may call only
//! [`SignalStopper::stop`]. A child that was forked without an `exec` may call none of these functions.
//!
//! # Comparison
//!
//! [`comparison`] lists the common behaviour and the differences of libvirt's own loop, GLib, libuv and
//! calloop.
//!
//! # Features
//!
//! No feature is on by default. The event loop alone needs mio, rustix, thiserror and bitflags.
//!
//! `tracing`: the library reports to `tracing` turns and wakes (`TRACE`), additions and removals (`DEBUG`),
//! [warnings](Warning) (`WARN`) and callbacks that panic (`ERROR`), under the target `eventry`. It holds no
//! lock during a report. Without the feature this code is not compiled.
//!
//! `capi`: the functions that `include/eventry.h` declares, for programs in C and for
//! `virEventRegisterImpl`. `tools/install-capi` builds and installs the libraries.

#[cfg(all(feature = "capi", not(loom)))]
pub mod capi;
#[cfg(doc)]
#[doc = include_str!("../docs/comparison.md")]
pub mod comparison {}
#[cfg(doctest)]
#[doc = include_str!("../docs/getting-started-library.md")]
mod getting_started {}
pub mod diagnostics;
#[cfg(not(loom))]
pub mod event_impl;
mod event_loop;
mod events;
mod id;
pub mod poller;
pub mod registry;
mod sync;
pub mod table;
mod time;

pub use self::table::{NotRegistered, Refused, Removal};
pub use diagnostics::{Warning, WarningLimits};
pub use event_loop::{CallbackPanic, EventLoop, PanicPolicy, RunError, SignalStopper, Stopper};
#[cfg(not(loom))]
pub use event_loop::{EventLoopBuilder, LoopThread};
pub use events::Events;
pub use id::{CallbackId, HandleId, TimeoutId, Token};
#[cfg(not(loom))]
pub use poller::Backend;
pub use registry::{AddError, HandleEvent, Next, Registry, RemoveError, Stats, TimeoutEvent};
pub use time::MonotonicTime;
