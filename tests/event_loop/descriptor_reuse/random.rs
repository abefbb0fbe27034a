//! A descriptor number that is closed while it has handles and opened again as different files, in any order
//! (EV-1002, EV-1003).
//!
//! This is an error of the caller, and epoll continues to report a file that a duplicate keeps open. The following
//! still holds. A handle is called at most once in a turn (EV-505). After the number was opened, an addition or an
//! update that enables a handle has the effect that all handles are called for this file, as with `poll(2)` (EV-308).
//! Without one, a handle is called only for the file that the number was when its registration was last made. A
//! number that is closed by then is an error once (EV-1001). A stale registration does not keep the loop awake.

use super::{standard_input, unpollable};
use crate::support::{AT_ONCE, R, W};
use eventry::{Backend, EventLoop, Events, HandleId};
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::pipe;
use rustix::stdio::dup2_stdin;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write, stdin};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

const SOCKETS: usize = 3;
/// Number of files with a duplicate: the sockets, and one that cannot be polled.
const FILES: usize = SOCKETS + 1;
/// The number as a closed descriptor.
const CLOSED: usize = FILES;
/// The first file without a duplicate, which is closed when the number becomes another file.
const FIRST_ALONE: usize = CLOSED + 1;
const MAX_HANDLES: usize = 2;
/// Number of turns without a change after which no stale registration is left; each is reported twice.
const FEW: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(Events),
    Update(usize, Events),
    Remove(usize),
    Replace(usize),
    /// Closes the number.
    Close,
    /// Opens the number as a file without a duplicate.
    Open(Kind),
    /// Makes the file without a duplicate readable.
    FillAlone,
    Fill(usize),
    Drain(usize),
    Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Socket,
    Pipe,
    Regular,
}

fn step() -> impl Strategy<Value = Step> {
    let interest = || prop_oneof![Just(Events::NONE), Just(R), Just(W), Just(R | W)];
    let kind = prop_oneof![Just(Kind::Socket), Just(Kind::Pipe), Just(Kind::Regular)];
    prop_oneof![
        2 => interest().prop_map(Step::Add),
        3 => (any::<usize>(), interest()).prop_map(|(nth, interest)| Step::Update(nth, interest)),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => (0..FILES).prop_map(Step::Replace),
        1 => Just(Step::Close),
        3 => kind.prop_map(Step::Open),
        2 => Just(Step::FillAlone),
        1 => (0..SOCKETS).prop_map(Step::Fill),
        1 => (0..SOCKETS).prop_map(Step::Drain),
        4 => Just(Step::Turn),
    ]
}

/// The files, and the peers of the sockets.
struct Files {
    near: Vec<OwnedFd>,
    far: Vec<UnixStream>,
    /// The number of files without a duplicate so far; those that cannot be polled; and the peer of the last one.
    alone: usize,
    unpollable: BTreeSet<usize>,
    peer: Option<File>,
}

impl Files {
    fn new() -> Files {
        let pairs = (0..SOCKETS).map(|_| UnixStream::pair().unwrap());
        let (near, far): (Vec<UnixStream>, Vec<UnixStream>) = pairs.unzip();
        let mut near: Vec<OwnedFd> = near.into_iter().map(OwnedFd::from).collect();
        near.push(File::open("/dev/null").unwrap().into());
        Files {
            near,
            far,
            alone: 0,
            unpollable: BTreeSet::from([SOCKETS]),
            peer: None,
        }
    }

    /// Opens the number as a new file without a duplicate.
    fn open(&mut self, kind: Kind) -> usize {
        let file = FIRST_ALONE + self.alone;
        self.alone += 1;
        let (near, peer) = match kind {
            Kind::Socket => {
                let (near, far) = UnixStream::pair().unwrap();
                (near.into(), Some(File::from(OwnedFd::from(far))))
            }
            Kind::Pipe => {
                let (reader, writer) = pipe().unwrap();
                (reader, Some(writer.into()))
            }
            Kind::Regular => {
                self.unpollable.insert(file);
                (tempfile::tempfile().unwrap().into(), None)
            }
        };
        dup2_stdin(near).unwrap();
        self.peer = peer;
        file
    }

    /// Returns the events for which the file is ready; `current` is the file that the number is.
    fn ready(&self, file: usize, current: usize) -> Events {
        if self.unpollable.contains(&file) {
            return R | W;
        }
        let number = stdin();
        let near = match self.near.get(file) {
            Some(near) => near.as_fd(),
            None if file == current => number.as_fd(),
            // It is closed.
            None => return Events::NONE,
        };
        let found = polled(near, PollFlags::IN | PollFlags::OUT);
        let mut ready = Events::NONE;
        if found.contains(PollFlags::IN) {
            ready |= R;
        }
        if found.contains(PollFlags::OUT) {
            ready |= W;
        }
        if found.contains(PollFlags::HUP) {
            ready |= Events::HANGUP;
        }
        ready
    }

    fn drain(&self, file: usize) {
        let mut near = UnixStream::from(self.near[file].try_clone().unwrap());
        while self.ready(file, file).contains(R) {
            let _ = near.read(&mut [0; 64]).unwrap();
        }
    }
}

fn polled(fd: BorrowedFd<'_>, requested: PollFlags) -> PollFlags {
    let mut polled = [PollFd::from_borrowed_fd(fd, requested)];
    poll(&mut polled, Some(&Timespec::default())).unwrap();
    polled[0].revents()
}

struct Handle {
    name: usize,
    id: HandleId,
    interest: Events,
}

struct World {
    event_loop: EventLoop,
    backend: Backend,
    files: Files,
    handles: Vec<Handle>,
    added: usize,
    /// Current file of the number.
    file: usize,
    /// Interest and file of the last registration of the number.
    registered: Option<(Events, usize)>,
    /// A handle was added or updated with an interest since then.
    is_renewed: bool,
    /// Files that are registered with epoll under the number.
    known: BTreeSet<usize>,
    /// In the last turn epoll had a file other than that of the last registration.
    had_stale: bool,
    sender: Sender<(usize, Events)>,
    called: Receiver<(usize, Events)>,
}

impl World {
    fn new(backend: Backend) -> World {
        let files = Files::new();
        dup2_stdin(&files.near[0]).unwrap();
        let (sender, called) = channel();
        World {
            event_loop: EventLoop::builder().backend(backend).build().unwrap(),
            backend,
            files,
            handles: Vec::new(),
            added: 0,
            file: 0,
            registered: None,
            is_renewed: false,
            known: BTreeSet::new(),
            had_stale: false,
            sender,
            called,
        }
    }

    fn apply(&mut self, step: Step) {
        let registry = self.event_loop.registry();
        match step {
            Step::Add(interest) if self.handles.len() < MAX_HANDLES => {
                let (name, sender) = (self.added, self.sender.clone());
                let id = registry
                    .add_handle(stdin(), interest, move |event| {
                        sender.send((name, event.events)).unwrap();
                    })
                    .unwrap();
                self.added += 1;
                self.is_renewed |= !interest.is_empty();
                self.handles.push(Handle { name, id, interest });
            }
            Step::Update(nth, interest) if !self.handles.is_empty() => {
                let nth = nth % self.handles.len();
                self.handles[nth].interest = interest;
                self.is_renewed |= !interest.is_empty();
                registry
                    .update_handle(self.handles[nth].id, interest)
                    .unwrap();
            }
            Step::Remove(nth) if !self.handles.is_empty() => {
                let handle = self.handles.remove(nth % self.handles.len());
                let _ = registry.remove_handle(handle.id).unwrap();
                // Without an enabled handle the number is deregistered at once (EV-713).
                if self.registered.is_some() && self.union().is_empty() {
                    self.flush();
                }
            }
            Step::Replace(file) => {
                dup2_stdin(&self.files.near[file]).unwrap();
                self.becomes(file);
            }
            Step::Close => {
                dup2_stdin(unpollable()).unwrap();
                self.becomes(CLOSED);
            }
            Step::Open(kind) => {
                let file = self.files.open(kind);
                self.becomes(file);
            }
            Step::FillAlone => {
                if let Some(peer) = &mut self.files.peer {
                    peer.write_all(b"x").unwrap();
                }
            }
            Step::Fill(file) => self.files.far[file].write_all(b"x").unwrap(),
            Step::Drain(file) => self.files.drain(file),
            Step::Turn => self.turn(),
            Step::Add(_) | Step::Update(..) | Step::Remove(_) => {}
        }
    }

    /// Records that the number is another file now. Without a duplicate, the last one is closed.
    fn becomes(&mut self, file: usize) {
        if self.file >= FIRST_ALONE {
            self.known.remove(&self.file);
        }
        if file < FIRST_ALONE {
            self.files.peer = None;
        }
        self.file = file;
    }

    /// Returns the union of the interests of the handles.
    fn union(&self) -> Events {
        let interests = self.handles.iter().map(|handle| handle.interest);
        interests.fold(Events::NONE, |union, interest| union | interest)
    }

    /// Registers the union for the current file of the number.
    fn flush(&mut self) {
        let union = self.union();
        self.is_renewed = false;
        self.registered = None;
        if union.is_empty() {
            self.known.remove(&self.file);
        } else if self.file != CLOSED {
            self.registered = Some((union, self.file));
            let is_pollable = !self.files.unpollable.contains(&self.file);
            self.known.extend(is_pollable.then_some(self.file));
        }
    }

    /// Returns the poller's own descriptor, which changes when the poller is recreated.
    fn poll_fd(&self) -> Option<RawFd> {
        self.event_loop.poll_fd().map(|fd| fd.as_raw_fd())
    }

    fn turn(&mut self) {
        let before = self.poll_fd();
        self.event_loop.run_once(AT_ONCE).unwrap();
        if self.poll_fd() != before {
            assert!(self.had_stale, "recreated without a stale registration");
            self.registered = None;
            self.known.clear();
        }
        let registered = self.registered.map_or(Events::NONE, |(events, _)| events);
        let is_watched = !self.union().is_empty();
        let changes = registered != self.union() || self.is_renewed && is_watched;
        if changes {
            self.flush();
        }
        let is_refused =
            self.file == CLOSED && is_watched && (changes || self.backend == Backend::Poll);
        if is_refused {
            self.registered = None;
        }
        let current = self.registered.map(|(_, file)| file);
        self.had_stale = self.known.iter().any(|file| Some(*file) != current);
        let called: Vec<_> = self.called.try_iter().collect();
        for Handle { name, interest, .. } in &mut self.handles {
            let mut calls = called.iter().filter(|(called, _)| called == name);
            let found = calls.next().map_or(Events::NONE, |(_, events)| *events);
            assert!(calls.next().is_none(), "called twice in a turn");
            if is_refused {
                let expected = if interest.is_empty() {
                    Events::NONE
                } else {
                    Events::ERROR
                };
                assert_eq!(found, expected, "{name} on {:?}, closed", self.backend);
                *interest = Events::NONE;
                continue;
            }
            let registered = current.unwrap_or(self.file);
            let share = |file| interest.filter_ready(self.files.ready(file, self.file));
            // poll(2) reports the current file of the number.
            let counts = match self.backend {
                Backend::Poll => self.file,
                _ => registered,
            };
            assert_eq!(found, share(counts), "{name} on {:?}", self.backend);
        }
        let known = |name| self.handles.iter().any(|handle| handle.name == name);
        assert!(called.iter().all(|(name, _)| known(*name)), "{called:?}");
    }

    /// Removes all handles, and checks that no registration is left even if all files are ready.
    fn finish(&mut self) {
        while !self.handles.is_empty() {
            self.apply(Step::Remove(0));
        }
        for file in 0..SOCKETS {
            self.apply(Step::Fill(file));
        }
        for _ in 0..FEW {
            self.turn();
        }
        assert_eq!(self.event_loop.prepare(), None, "the loop does not sleep");
        let fd = self.event_loop.poll_fd();
        let left = fd.map_or(PollFlags::empty(), |fd| polled(fd, PollFlags::IN));
        assert!(left.is_empty(), "a stale registration keeps the loop awake");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1_000)
    })]

    #[test]
    fn replaced_files_call_once_per_turn_for_one_file(
        steps in vec(step(), 1..60),
    ) {
        let _alone = standard_input();
        for backend in [Backend::Epoll, Backend::Poll] {
            let mut world = World::new(backend);
            for step in &steps {
                world.apply(*step);
            }
            world.finish();
        }
    }
}
