//! State that the process inherits from the program that starts it: signals, the umask and descriptors (DM-111).
//!
//! Rust's runtime has already opened closed standard descriptors on `/dev/null` and ignored SIGPIPE. `exec` resets caught
//! signals in child processes, and [`std::process::Command`] unblocks signals there.

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXFSZ,
};
use signal_hook::flag;
use std::fs::{self, DirEntry};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uds::UnixStreamExt;

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
/// open, because the configuration may name them. To be called before anything is opened or another thread exists.
///
/// Without `unsafe`, the flag of a bare number cannot be set. Each file is sent over a socket, and what is received takes
/// the number. Locks of flock(2) stay, and those of fcntl(2) end. A file that cannot be sent, as one of io_uring, is left
/// as it is, and so are all files if /proc is missing.
pub(super) fn close_descriptors_on_exec() -> io::Result<()> {
    let Ok(listed) = fs::read_dir("/proc/self/fd") else {
        return Ok(());
    };
    let number = |entry: io::Result<DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    // The descriptor of the directory is in the list and is closed.
    let numbers: Vec<RawFd> = listed.filter_map(number).collect();
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let is_inherited = |number: &RawFd| *number > 2 && (*number as u64) < limit;
    let (sender, receiver) = UnixStream::pair()?;
    let own = [sender.as_raw_fd(), receiver.as_raw_fd()];
    for number in numbers.into_iter().filter(is_inherited) {
        if own.contains(&number) {
            continue;
        }
        let Some(copy) = pass(number, &sender, &receiver)? else {
            continue;
        };
        nix::unistd::close(number)?;
        // The lowest free number from this one on.
        let renewed = fcntl_dupfd_cloexec(&copy, number)?;
        // Stays open for the life of the process, as before.
        let _ = renewed.into_raw_fd();
    }
    Ok(())
}

/// Sends a file, and returns what is received, with close-on-exec. Returns `None` if there is no file, or if it cannot be
/// sent.
fn pass(number: RawFd, sender: &UnixStream, receiver: &UnixStream) -> io::Result<Option<OwnedFd>> {
    if sender.send_fds(&[0], &[number]).is_err() {
        return Ok(None);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut received = RecvAncillaryBuffer::new(&mut space);
    let (mut byte, flags) = ([0], RecvFlags::CMSG_CLOEXEC);
    recvmsg(
        receiver,
        &mut [IoSliceMut::new(&mut byte)],
        &mut received,
        flags,
    )?;
    let files = received.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    Ok(files.flatten().next())
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
