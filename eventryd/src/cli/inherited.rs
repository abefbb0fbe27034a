//! State that the process inherits from the program that starts it: signals, the umask and descriptors (DM-111).
//!
//! Rust's runtime has already opened closed standard descriptors on `/dev/null` and ignored SIGPIPE. `exec` resets caught
//! signals in child processes, and [`std::process::Command`] unblocks signals there.

use close_fds::CloseFdsBuilder;
use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXFSZ,
};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signals that are caught and have no effect.
///
/// With SIGCHLD ignored, the kernel discards the exit status of children. Interval timers survive `exec`, and SIGALRM,
/// SIGVTALRM or SIGPROF would end the daemon. SIGXFSZ would end it instead of an error of the write to a log at the size
/// limit. SIGUSR1 and SIGUSR2 come from scripts for other daemons.
const WITHOUT_EFFECT: [i32; 7] = [
    SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXFSZ,
];

/// Sets the umask to 022. Files that must be private have an explicit mode.
pub(super) fn set_umask() {
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
}

/// Catches the signals that have no effect, also if they were ignored.
pub(super) fn catch_signals_without_effect() -> io::Result<()> {
    // The handlers stay for the life of the process, and the flag is not read.
    let flag = Arc::new(AtomicBool::new(false));
    for signal in WITHOUT_EFFECT {
        flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(())
}

/// Sets close-on-exec on the inherited descriptors above 2, which programs of the daemon must not get. The files stay
/// open, because the configuration may name them.
pub(super) fn close_descriptors_on_exec() {
    CloseFdsBuilder::new().cloexecfrom(3);
}

/// Unblocks all signals. To be called on the first thread before there are others, which inherit its mask, and after the
/// signals are caught, so that a pending signal has its effect.
pub(super) fn unblock_signals() -> io::Result<()> {
    SigSet::empty().thread_set_mask().map_err(io::Error::from)
}

/// Calls `read`, during which SIGINT, SIGQUIT and SIGTERM end the process although they are caught: a FIFO without a
/// writer, or standard output without a reader, blocks the process, and nothing exists yet that the process has to
/// remove (DM-113). A signal that came earlier is recorded, if it is caught.
pub(super) fn interruptible<T>(read: impl FnOnce() -> T) -> io::Result<T> {
    let is_reading = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGQUIT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&is_reading))?;
    }
    let result = read();
    is_reading.store(false, Ordering::Relaxed);
    Ok(result)
}
