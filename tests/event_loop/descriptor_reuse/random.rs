//! A descriptor number that is closed while it has handles and opened again as different files, in any order
//! (EV-1002, EV-1003).
//!
//! This is an error of the caller, and epoll continues to report the file that was registered first. The following
//! still holds. A handle is called at most once in a turn (EV-505), and only for the file that the number is or
//! that it was when its registration last changed. If both are the same file, the handle is called for it (EV-308).
//! A stale registration does not keep the loop awake.

use super::standard_input;
use crate::support::{AT_ONCE, R, W};
use eventry::{Backend, EventLoop, Events, HandleId};
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::dup2_stdin;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write, stdin};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

const SOCKETS: usize = 3;
/// Number of files: the sockets, and one that cannot be polled.
const FILES: usize = SOCKETS + 1;
const MAX_HANDLES: usize = 2;
/// Number of turns without a change after which no stale registration is left; each is reported twice.
const FEW: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(Events),
    Update(usize, Events),
    Remove(usize),
    Replace(usize),
    Fill(usize),
    Drain(usize),
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    let interest = || prop_oneof![Just(Events::NONE), Just(R), Just(W), Just(R | W)];
    prop_oneof![
        2 => interest().prop_map(Step::Add),
        3 => (any::<usize>(), interest()).prop_map(|(nth, interest)| Step::Update(nth, interest)),
        1 => any::<usize>().prop_map(Step::Remove),
        3 => (0..FILES).prop_map(Step::Replace),
        1 => (0..SOCKETS).prop_map(Step::Fill),
        1 => (0..SOCKETS).prop_map(Step::Drain),
        4 => Just(Step::Turn),
    ]
}

/// The files, and the peers of the sockets.
struct Files {
    near: Vec<OwnedFd>,
    far: Vec<UnixStream>,
}

impl Files {
    fn new() -> Files {
        let pairs = (0..SOCKETS).map(|_| UnixStream::pair().unwrap());
        let (near, far): (Vec<UnixStream>, Vec<UnixStream>) = pairs.unzip();
        let mut near: Vec<OwnedFd> = near.into_iter().map(OwnedFd::from).collect();
        near.push(File::open("/dev/null").unwrap().into());
        Files { near, far }
    }

    /// Returns the events for which the file is ready.
    fn ready(&self, file: usize) -> Events {
        let found = polled(self.near[file].as_fd(), PollFlags::IN | PollFlags::OUT);
        let mut ready = Events::NONE;
        if found.contains(PollFlags::IN) {
            ready |= R;
        }
        if found.contains(PollFlags::OUT) {
            ready |= W;
        }
        ready
    }

    fn drain(&self, file: usize) {
        let mut near = UnixStream::from(self.near[file].try_clone().unwrap());
        while self.ready(file).contains(R) {
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
    /// Sockets that are registered with epoll under the number.
    known: BTreeSet<usize>,
    /// In the last turn epoll had a socket other than that of the last registration.
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
                self.handles.push(Handle { name, id, interest });
            }
            Step::Update(nth, interest) if !self.handles.is_empty() => {
                let nth = nth % self.handles.len();
                self.handles[nth].interest = interest;
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
                self.file = file;
            }
            Step::Fill(file) => self.files.far[file].write_all(b"x").unwrap(),
            Step::Drain(file) => self.files.drain(file),
            Step::Turn => self.turn(),
            Step::Add(_) | Step::Update(..) | Step::Remove(_) => {}
        }
    }

    /// Returns the union of the interests of the handles.
    fn union(&self) -> Events {
        let interests = self.handles.iter().map(|handle| handle.interest);
        interests.fold(Events::NONE, |union, interest| union | interest)
    }

    /// Registers the union for the current file of the number.
    fn flush(&mut self) {
        let union = self.union();
        if union.is_empty() {
            self.registered = None;
            self.known.remove(&self.file);
        } else {
            self.registered = Some((union, self.file));
            self.known
                .extend((self.file < SOCKETS).then_some(self.file));
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
        if registered != self.union() {
            self.flush();
        }
        let current = self.registered.map(|(_, file)| file);
        self.had_stale = self.known.iter().any(|file| Some(*file) != current);
        let called: Vec<_> = self.called.try_iter().collect();
        for Handle { name, interest, .. } in &self.handles {
            let mut calls = called.iter().filter(|(called, _)| called == name);
            let found = calls.next().map_or(Events::NONE, |(_, events)| *events);
            assert!(calls.next().is_none(), "called twice in a turn");
            let registered = current.unwrap_or(self.file);
            let share = |file| interest.filter_ready(self.files.ready(file));
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
