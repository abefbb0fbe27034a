//! A callback event loop whose handles and timeouts may be added, updated and removed from any thread and
//! from inside callbacks, with a strict answer to "may I free this now?".
//!
// Under loom there are the models and no other test: not the examples of the following text either.
#![cfg(not(all(loom, any(test, doctest))))]

//! It re-creates libvirt's event API: level-triggered handles on file descriptors, repeating timeouts, and
//! free callbacks that run from a clean stack. What it adds is [`Removal`]: a removal tells
//! whether one last call is still running, and if it says [`Idle`](Removal::Idle), none runs and none
//! will begin, on any thread.
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
//! // A handle: called whenever its descriptor is ready.
//! let (near, mut far) = UnixStream::pair()?;
//! let handle = registry.add_handle(near, Events::READABLE, move |event| {
//!     let mut word = [0; 4];
//!     event.source.as_ref().read_exact(&mut word).unwrap();
//!     assert_eq!(&word, b"ping");
//!     stopper.stop();
//! })?;
//!
//! // A timeout: called every interval. Both may be added and removed from any thread.
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
//! # Who does what
//!
//! | type | role |
//! |---|---|
//! | [`EventLoop`] | owns the wait, runs the callbacks |
//! | [`Registry`] | adds, updates and removes; clone it, send it, use it anywhere |
//! | [`Stopper`] | makes the loop return |
//! | [`LoopThread`] | a loop on a thread of its own |
//! | [`table::Table`] | every decision, as a pure value without I/O, clock or lock |
//! | [`poller::Poller`] | readiness, time and waking: by epoll, by `poll(2)` ([`Backend`]), or by a model of them |
//!
//! # The life of a callback
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
//!       │ the loop drops it, and what it owns: at the end of the turn, or of a drain, or its own
//!       ▼
//!     gone
//! ```
//!
//! Whoever removes it, from wherever, takes the arrow that fits. An id names its entry as long as that is
//! registered or running; once it is removed, every operation with the id is refused. A handle without
//! interest and a timeout without interval are registered too; they are only never due.
//!
//! # What may be called from where
//!
//! | | other threads | a callback | a hook | the drop of a callback |
//! |---|---|---|---|---|
//! | add, update, remove | yes | yes, also on itself | yes | yes |
//! | remove and wait | yes, holding nothing the callback takes | yes, but not for itself | yes | yes |
//! | [`Stopper::stop`] | yes | yes | yes | yes |
//! | [`SignalStopper::stop`] | yes, and signal handlers | yes | yes | yes |
//! | [`Registry::stats`], [`Registry::is_idle`] | yes | yes | yes | yes |
//! | [`LoopThread::join`] | yes | yes, but on its own thread it does not wait | the same | the same |
//! | [`EventLoop::run`], [`run_once`](EventLoop::run_once), [`drain`](EventLoop::drain) | need the loop itself, so one at a time | no | no | no |
//!
//! None of them calls or drops a callback but those of the last row, and none but the removals that say so
//! and the join waits for one. None but [`SignalStopper::stop`] may be called by a signal handler, and none by
//! a child that was forked without an `exec`.
//!
//! # Others
//!
//! [`comparison`] says where libvirt's own loop, GLib, libuv and calloop do the same and where not.
//!
//! # Features
//!
//! None is on by default: the event loop alone needs mio, rustix, thiserror and bitflags.
//!
//! `tracing`: the library tells `tracing` of turns and wakes (`TRACE`), of what is added and removed
//! (`DEBUG`), of its [warnings](Warning) (`WARN`) and of callbacks that panic (`ERROR`), under the target `eventry`. No lock of
//! ours is held meanwhile. Without the feature nothing of it is compiled.
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
