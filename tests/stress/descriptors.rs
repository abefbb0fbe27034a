//! Descriptors of every kind, which are closed as soon as nothing is registered on them.

#![allow(
    unsafe_code,
    reason = "a program may close a descriptor as soon as the removal has returned, while the table still \
              has its number: so the number is all the table gets"
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

/// An open file. Callbacks that use it keep it open meanwhile.
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
        // SAFETY: the number is not −1. The owner of the descriptor removes every handle on it before he
        // closes it, and a poller uses it only to begin, to change and to end a registration.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// A descriptor that may be closed by now.
#[derive(Clone, Debug)]
pub(crate) struct Known(Weak<OwnedFd>);

impl Descriptor {
    /// Both ends, where there are two.
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

    /// Another number for the same open file.
    pub(crate) fn double(&self) -> Descriptor {
        Descriptor {
            file: Arc::new(self.file.try_clone().unwrap()),
            kind: self.kind,
        }
    }

    pub(crate) fn number(&self) -> Number {
        Number(self.file.as_raw_fd())
    }

    pub(crate) fn known(&self) -> Known {
        Known(Arc::downgrade(&self.file))
    }

    pub(crate) fn is(&self, known: &Known) -> bool {
        Weak::as_ptr(&known.0) == Arc::as_ptr(&self.file)
    }

    /// Whether it is always ready, so that the loop never sleeps.
    pub(crate) fn is_regular(&self) -> bool {
        self.kind == Kind::Regular
    }

    /// Ends what it sends, if it is a socket.
    pub(crate) fn shut_down(&self) {
        if self.kind == Kind::Socket {
            let socket = UnixStream::from(self.file.try_clone().unwrap());
            // The other end may be gone.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// What poll(2) says of it.
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

impl Known {
    /// Writes a little, or as much as a pipe or a socket takes.
    pub(crate) fn fill(&self, to_the_brim: bool) {
        let pieces = if to_the_brim { 128 } else { 1 };
        self.with(|file| {
            let piece = [0, 0, 0, 0, 0, 0, 0, 1].repeat(512);
            (0..pieces).all(|_| file.write(&piece).is_ok());
        });
    }

    /// Reads all there is.
    pub(crate) fn drain(&self) {
        self.with(|file| {
            let mut bytes = [0; 4096];
            while matches!(file.read(&mut bytes), Ok(1..)) {}
        });
    }

    /// Uses the file, unless it is closed. What cannot be read or written fails, and that is all.
    fn with(&self, using: impl FnOnce(&mut File)) {
        if let Some(file) = self.0.upgrade() {
            using(&mut File::from(file.try_clone().unwrap()));
        }
    }
}
