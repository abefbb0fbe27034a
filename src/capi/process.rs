//! The loop of the process, which a forked child cannot use.

use super::errno::Errno;
use crate::event_impl::{IntLoop, default_loop};
use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set in a child that was forked after the creation of the loop.
static FORKED: AtomicBool = AtomicBool::new(false);
/// The loop; set after the fork handler is installed.
static LOOP: OnceLock<&'static IntLoop> = OnceLock::new();

/// Returns the loop of this process, which the first call creates.
///
/// A forked child gets `EPERM`: the descriptors are shared with the parent, and another thread may have held a
/// lock during the fork (EV-1105). The check needs no system call, because the C library calls
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
    // SAFETY: `mark_forked` only stores into a static, which is permitted in a child of a threaded process.
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
