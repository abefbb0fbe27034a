//! Real descriptors, which the loop only knows by number: filled, drained, closed and opened again.

use std::ffi::c_int;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

/// RemovalKind many there are at most; an input may close them and open others.
const MOST: usize = 8;

#[derive(Default)]
pub(crate) struct Descriptors {
    open: Vec<OwnedFd>,
}

impl Descriptors {
    /// One pair of each kind.
    pub(crate) fn new() -> Descriptors {
        let mut descriptors = Descriptors::default();
        for kind in 0..3 {
            descriptors.open(kind);
        }
        descriptors
    }

    /// The number of one of them, unless all are closed.
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

    /// Closes one of them; its number.
    pub(crate) fn close(&mut self, nth: usize) -> Option<RawFd> {
        let count = self.open.len();
        (count > 0)
            .then(|| self.open.swap_remove(nth % count).into_raw_fd())
            .inspect(|fd| {
                // SAFETY: the number was this owner's, and nobody else has it.
                drop(unsafe { OwnedFd::from_raw_fd(*fd) });
            })
    }

    /// Makes the number of the first one for the file of the second.
    pub(crate) fn replace(&mut self, first: usize, second: usize) -> Option<RawFd> {
        let count = self.open.len().max(1);
        let (first, second) = (first % count, second % count);
        let twin = self.open.get(second)?.try_clone().ok()?;
        let target = self.open.get_mut(first)?;
        rustix::io::dup2(&twin, target).expect("both are open");
        Some(target.as_raw_fd())
    }

    /// Writes a little, if that is possible.
    pub(crate) fn fill(&self, nth: usize) {
        if let Some(mut file) = self.file(nth) {
            // What cannot be written to, or is full, stays as it is.
            let _ = file.write(&1_u64.to_ne_bytes());
        }
    }

    /// Reads all there is, if that is possible.
    pub(crate) fn drain(&self, nth: usize) {
        if let Some(mut file) = self.file(nth) {
            let mut bytes = [0; 64];
            while matches!(file.read(&mut bytes), Ok(1..)) {}
        }
    }

    /// A duplicate that is closed at once.
    fn file(&self, nth: usize) -> Option<File> {
        let fd = self.open.get(nth % self.open.len().max(1))?;
        let flags = rustix::fs::fcntl_getfl(fd).ok()?;
        // What would block is left alone.
        flags.contains(OFlags::NONBLOCK).then_some(())?;
        Some(fd.try_clone().ok()?.into())
    }

    /// What poll(2) says of a descriptor, by libvirt's bits.
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

/// Writing to a pipe that nobody reads is an error, not a signal.
pub(crate) fn ignore_broken_pipes() {
    const SIGPIPE: c_int = 13;
    const IGNORE: usize = 1;
    // SAFETY: to ignore a signal calls nothing.
    unsafe { signal(SIGPIPE, IGNORE) };
}

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
}
