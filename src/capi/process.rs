//! The one loop of the process, and how a forked child is kept away from it.

use super::errno::Errno;
use crate::event_impl::{IntLoop, default_loop};
use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set in a child that was forked after the loop had been made.
static FORKED: AtomicBool = AtomicBool::new(false);
/// The loop, once forks are watched.
static LOOP: OnceLock<&'static IntLoop> = OnceLock::new();

/// The loop of this process, made on first use.
///
/// In a forked child there is none: the descriptors are the parent's too, and a lock may have been copied
/// while another thread held it (EV-1105). That costs a load, not a system call: the C library calls
/// [`mark_forked`] in every child.
pub(super) fn event_loop() -> Result<&'static IntLoop, Errno> {
    if FORKED.load(Ordering::Relaxed) {
        return Err(Errno::PERM);
    }
    match LOOP.get() {
        Some(event_loop) => Ok(event_loop),
        None => init_event_loop(),
    }
}

#[cold]
fn init_event_loop() -> Result<&'static IntLoop, Errno> {
    let event_loop = default_loop()?;
    if event_loop.is_forked() {
        return Err(Errno::PERM);
    }
    // SAFETY: `mark_forked` only stores into a static, which is allowed in a child of a process with threads.
    if unsafe { pthread_atfork(None, None, Some(mark_forked)) } != 0 {
        return Err(Errno::NOMEM);
    }
    Ok(*LOOP.get_or_init(|| event_loop))
}

extern "C" fn mark_forked() {
    FORKED.store(true, Ordering::Relaxed);
}

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}
