//! Real descriptors, passed to the loop by number, that are filled, drained, closed and reopened.

use std::ffi::c_int;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

/// Maximum number of open descriptors.
const MOST: usize = 8;

#[derive(Default)]
pub(crate) struct Descriptors {
    open: Vec<OwnedFd>,
}

impl Descriptors {
    /// Opens one of each kind.
    pub(crate) fn new() -> Descriptors {
        let mut descriptors = Descriptors::default();
        for kind in 0..3 {
            descriptors.open(kind);
        }
        descriptors
    }

    /// Returns the number of one descriptor, unless all are closed.
    pub(crate) fn nth(&self, nth: usize) -> Option<RawFd> {
        let fd = self.open.get(nth % self.open.len().max(1))?;
        Some(fd.as_raw_fd())
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = RawFd> {
        self.open.iter().map(AsRawFd::as_raw_fd)
    }

    pub(crate) fn open(&mut self, kind: usize) {
        if self.open.len() >= MOST {
            return;
        }
        match kind % 4 {
            0 => {
                let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
                self.open.extend([reader, writer]);
            }
            1 => self
                .open
                .push(eventfd(0, EventfdFlags::NONBLOCK).expect("an eventfd")),
            2 => {
                let (near, far) = UnixStream::pair().expect("a pair");
                for end in [near, far] {
                    end.set_nonblocking(true).expect("a socket");
                    self.open.push(end.into());
                }
            }
            _ => self
                .open
                .push(File::open("/dev/null").expect("a file").into()),
        }
    }

    /// Closes a descriptor, and returns its number.
    pub(crate) fn close(&mut self, nth: usize) -> Option<RawFd> {
        let count = self.open.len();
        (count > 0)
            .then(|| self.open.swap_remove(nth % count).into_raw_fd())
            .inspect(|fd| {
                // SAFETY: `into_raw_fd` has given up the ownership of this descriptor.
                drop(unsafe { OwnedFd::from_raw_fd(*fd) });
            })
    }

    /// Makes the first number a duplicate of the second, and returns it.
    pub(crate) fn replace(&mut self, first: usize, second: usize) -> Option<RawFd> {
        let count = self.open.len().max(1);
        let (first, second) = (first % count, second % count);
        let twin = self.open.get(second)?.try_clone().ok()?;
        let target = self.open.get_mut(first)?;
        rustix::io::dup2(&twin, target).expect("both are open");
        Some(target.as_raw_fd())
    }

    /// Writes eight bytes to a non-blocking descriptor.
    pub(crate) fn fill(&self, nth: usize) {
        if let Some(mut file) = self.file(nth) {
            // A full or read-only descriptor is left unchanged.
            let _ = file.write(&1_u64.to_ne_bytes());
        }
    }

    /// Reads all available bytes from a non-blocking descriptor.
    pub(crate) fn drain(&self, nth: usize) {
        if let Some(mut file) = self.file(nth) {
            let mut bytes = [0; 64];
            while matches!(file.read(&mut bytes), Ok(1..)) {}
        }
    }

    /// Returns a duplicate of a non-blocking descriptor.
    fn file(&self, nth: usize) -> Option<File> {
        let fd = self.open.get(nth % self.open.len().max(1))?;
        let flags = rustix::fs::fcntl_getfl(fd).ok()?;
        flags.contains(OFlags::NONBLOCK).then_some(())?;
        Some(fd.try_clone().ok()?.into())
    }

    /// Returns the readiness of a descriptor according to `poll(2)`, in libvirt's bits.
    pub(crate) fn ready(&self, fd: RawFd) -> Option<i32> {
        let owned = self.open.iter().find(|open| open.as_raw_fd() == fd)?;
        let asked = PollFlags::IN | PollFlags::OUT;
        let mut polled = [PollFd::new(owned, asked)];
        poll(&mut polled, Some(&Timespec::default())).ok()?;
        let found = polled[0].revents();
        let bits = [
            (PollFlags::IN, 1),
            (PollFlags::OUT, 2),
            (PollFlags::ERR, 4),
            (PollFlags::HUP, 8),
        ];
        let bits = bits.iter().filter(|(flag, _)| found.contains(*flag));
        Some(bits.map(|(_, bit)| bit).sum())
    }
}

/// Ignores SIGPIPE, so that writing to a pipe without a reader is an error.
pub(crate) fn ignore_broken_pipes() {
    const SIGPIPE: c_int = 13;
    const IGNORE: usize = 1;
    // SAFETY: ignoring a signal installs no handler.
    unsafe { signal(SIGPIPE, IGNORE) };
}

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
}
