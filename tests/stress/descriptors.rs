//! Descriptors of several kinds, which are closed as soon as they have no handle.

#![allow(
    unsafe_code,
    reason = "a program may close a descriptor as soon as the removal has returned, while the table still \
              has its source, so the source must not own the descriptor"
)]

use eventry::Events;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use test_support::rng::Rng;

/// An open file. Callbacks that use it keep it open during the use.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    file: Arc<OwnedFd>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pipe,
    Socket,
    Eventfd,
    Regular,
}

/// The number of a descriptor, which its owner keeps open while it is registered.
#[derive(Debug)]
pub(crate) struct Number(RawFd);

impl AsFd for Number {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the number is not −1. The fixture removes every handle of the descriptor before it closes it,
        // and a poller uses it only to begin, to change and to end a registration.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// A reference to a descriptor that may have been closed.
#[derive(Clone, Debug)]
pub(crate) struct WeakDescriptor(Weak<OwnedFd>);

impl Descriptor {
    /// Opens a descriptor of a random kind; returns both ends of a pipe or socket pair.
    pub(crate) fn open(rng: &mut Rng) -> Vec<Descriptor> {
        let (files, kind): (Vec<OwnedFd>, Kind) = match rng.below(12) {
            0..=4 => {
                let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
                (vec![reader, writer], Kind::Pipe)
            }
            5..=8 => {
                let (near, far) = UnixStream::pair().unwrap();
                for end in [&near, &far] {
                    end.set_nonblocking(true).unwrap();
                }
                (vec![near.into(), far.into()], Kind::Socket)
            }
            9..=10 => {
                let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
                (vec![eventfd(0, flags).unwrap()], Kind::Eventfd)
            }
            _ => (vec![tempfile::tempfile().unwrap().into()], Kind::Regular),
        };
        let of = |file| Descriptor {
            file: Arc::new(file),
            kind,
        };
        files.into_iter().map(of).collect()
    }

    /// Returns another descriptor of the same open file.
    pub(crate) fn duplicate(&self) -> Descriptor {
        Descriptor {
            file: Arc::new(self.file.try_clone().unwrap()),
            kind: self.kind,
        }
    }

    pub(crate) fn number(&self) -> Number {
        Number(self.file.as_raw_fd())
    }

    pub(crate) fn weak(&self) -> WeakDescriptor {
        WeakDescriptor(Arc::downgrade(&self.file))
    }

    pub(crate) fn is(&self, weak: &WeakDescriptor) -> bool {
        Weak::as_ptr(&weak.0) == Arc::as_ptr(&self.file)
    }

    /// Returns true if the descriptor is always ready and thereby prevents the loop from sleeping.
    pub(crate) fn is_regular(&self) -> bool {
        self.kind == Kind::Regular
    }

    /// Shuts down the sending side of a socket.
    pub(crate) fn shut_down(&self) {
        if self.kind == Kind::Socket {
            let socket = UnixStream::from(self.file.try_clone().unwrap());
            // Fails if the other end is closed.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Returns the events that `poll(2)` reports.
    pub(crate) fn ready(&self) -> Events {
        let mut polled = [PollFd::new(&self.file, PollFlags::IN | PollFlags::OUT)];
        poll(&mut polled, Some(&Timespec::default())).unwrap();
        let found = polled[0].revents();
        let mut events = Events::NONE;
        for (flag, event) in [
            (PollFlags::IN, Events::READABLE),
            (PollFlags::OUT, Events::WRITABLE),
            (PollFlags::ERR, Events::ERROR),
            (PollFlags::HUP, Events::HANGUP),
        ] {
            if found.contains(flag) {
                events |= event;
            }
        }
        events
    }
}

impl WeakDescriptor {
    /// Writes one piece of data, or as much as a pipe or a socket accepts.
    pub(crate) fn fill(&self, until_full: bool) {
        let pieces = if until_full { 128 } else { 1 };
        self.with(|file| {
            let piece = [0, 0, 0, 0, 0, 0, 0, 1].repeat(512);
            (0..pieces).all(|_| file.write(&piece).is_ok());
        });
    }

    /// Reads all pending data.
    pub(crate) fn drain(&self) {
        self.with(|file| {
            let mut bytes = [0; 4096];
            while matches!(file.read(&mut bytes), Ok(1..)) {}
        });
    }

    /// Uses the file, unless it is closed. Failed reads and writes are ignored.
    fn with(&self, using: impl FnOnce(&mut File)) {
        if let Some(file) = self.0.upgrade() {
            using(&mut File::from(file.try_clone().unwrap()));
        }
    }
}
