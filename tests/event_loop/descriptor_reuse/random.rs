//! A number that is closed under its handles and opened again as one file and another, in any order (EV-1002,
//! EV-1003).
//!
//! That is a mistake of the caller's, and epoll goes on reporting what it was told of first. What holds all the
//! same: a handle is called once in a turn at most (EV-505), and for nothing but the file that the number is or
//! was when the poller was last told of it; if those are the same, it is called for that (EV-308). What is
//! nobody's any more keeps nobody awake.

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
/// The sockets, and one that cannot be polled.
const FILES: usize = SOCKETS + 1;
const MOST_HANDLES: usize = 2;
/// After so many turns without a change no phantom is left: each is seen twice.
const FEW: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Move {
    Add(Events),
    Update(usize, Events),
    Remove(usize),
    Replace(usize),
    Fill(usize),
    Drain(usize),
    Turn,
}

fn a_move() -> impl Strategy<Value = Move> {
    let interest = || prop_oneof![Just(Events::NONE), Just(R), Just(W), Just(R | W)];
    prop_oneof![
        2 => interest().prop_map(Move::Add),
        3 => (any::<usize>(), interest()).prop_map(|(nth, interest)| Move::Update(nth, interest)),
        1 => any::<usize>().prop_map(Move::Remove),
        3 => (0..FILES).prop_map(Move::Replace),
        1 => (0..SOCKETS).prop_map(Move::Fill),
        1 => (0..SOCKETS).prop_map(Move::Drain),
        4 => Just(Move::Turn),
    ]
}

/// The files, and the other ends of those that have one.
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

    /// What the file is ready for.
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

fn polled(fd: BorrowedFd<'_>, asked: PollFlags) -> PollFlags {
    let mut polled = [PollFd::from_borrowed_fd(fd, asked)];
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
    /// Which file the number is.
    file: usize,
    /// What the poller was told last of the number, and which file that was.
    told: Option<(Events, usize)>,
    /// The sockets that epoll knows under the number.
    known: BTreeSet<usize>,
    /// Whether it knew one in the last turn that it was not told of last: a phantom.
    haunted: bool,
    tell: Sender<(usize, Events)>,
    called: Receiver<(usize, Events)>,
}

impl World {
    fn new(backend: Backend) -> World {
        let files = Files::new();
        dup2_stdin(&files.near[0]).unwrap();
        let (tell, called) = channel();
        World {
            event_loop: EventLoop::builder().backend(backend).build().unwrap(),
            backend,
            files,
            handles: Vec::new(),
            added: 0,
            file: 0,
            told: None,
            known: BTreeSet::new(),
            haunted: false,
            tell,
            called,
        }
    }

    fn play(&mut self, a_move: Move) {
        let registry = self.event_loop.registry();
        match a_move {
            Move::Add(interest) if self.handles.len() < MOST_HANDLES => {
                let (name, tell) = (self.added, self.tell.clone());
                let id = registry
                    .add_handle(stdin(), interest, move |event| {
                        tell.send((name, event.events)).unwrap();
                    })
                    .unwrap();
                self.added += 1;
                self.handles.push(Handle { name, id, interest });
            }
            Move::Update(nth, interest) if !self.handles.is_empty() => {
                let nth = nth % self.handles.len();
                self.handles[nth].interest = interest;
                registry
                    .update_handle(self.handles[nth].id, interest)
                    .unwrap();
            }
            Move::Remove(nth) if !self.handles.is_empty() => {
                let handle = self.handles.remove(nth % self.handles.len());
                let _ = registry.remove_handle(handle.id).unwrap();
                // Nobody wants anything: that is told at once (EV-713).
                if self.told.is_some() && self.union().is_empty() {
                    self.tell();
                }
            }
            Move::Replace(file) => {
                dup2_stdin(&self.files.near[file]).unwrap();
                self.file = file;
            }
            Move::Fill(file) => self.files.far[file].write_all(b"x").unwrap(),
            Move::Drain(file) => self.files.drain(file),
            Move::Turn => self.turn(),
            Move::Add(_) | Move::Update(..) | Move::Remove(_) => {}
        }
    }

    /// What the handles want together.
    fn union(&self) -> Events {
        let interests = self.handles.iter().map(|handle| handle.interest);
        interests.fold(Events::NONE, |union, interest| union | interest)
    }

    /// The poller is told what the handles want of the number as it is.
    fn tell(&mut self) {
        let union = self.union();
        if union.is_empty() {
            self.told = None;
            self.known.remove(&self.file);
        } else {
            self.told = Some((union, self.file));
            self.known
                .extend((self.file < SOCKETS).then_some(self.file));
        }
    }

    /// The poller's own descriptor, which is another one after a rebuilding.
    fn poll_fd(&self) -> Option<RawFd> {
        self.event_loop.poll_fd().map(|fd| fd.as_raw_fd())
    }

    fn turn(&mut self) {
        let before = self.poll_fd();
        self.event_loop.run_once(AT_ONCE).unwrap();
        if self.poll_fd() != before {
            assert!(self.haunted, "made anew although there was no phantom");
            self.told = None;
            self.known.clear();
        }
        let told = self.told.map_or(Events::NONE, |(told, _)| told);
        if told != self.union() {
            self.tell();
        }
        let current = self.told.map(|(_, file)| file);
        self.haunted = self.known.iter().any(|file| Some(*file) != current);
        let called: Vec<_> = self.called.try_iter().collect();
        for Handle { name, interest, .. } in &self.handles {
            let mut calls = called.iter().filter(|(called, _)| called == name);
            let found = calls.next().map_or(Events::NONE, |(_, events)| *events);
            assert!(calls.next().is_none(), "called twice in a turn");
            let told = self.told.map_or(self.file, |(_, file)| file);
            let share = |file| interest.share_of(self.files.ready(file));
            // poll(2) takes the number for what it is.
            let counts = match self.backend {
                Backend::Poll => self.file,
                _ => told,
            };
            assert_eq!(found, share(counts), "{name} on {:?}", self.backend);
        }
        let known = |name| self.handles.iter().any(|handle| handle.name == name);
        assert!(called.iter().all(|(name, _)| known(*name)), "{called:?}");
    }

    /// Without handles nothing is left, whatever is ready.
    fn wind_up(&mut self) {
        while !self.handles.is_empty() {
            self.play(Move::Remove(0));
        }
        for file in 0..SOCKETS {
            self.play(Move::Fill(file));
        }
        for _ in 0..FEW {
            self.turn();
        }
        assert_eq!(self.event_loop.prepare(), None, "it does not sleep");
        let fd = self.event_loop.poll_fd();
        let left = fd.map_or(PollFlags::empty(), |fd| polled(fd, PollFlags::IN));
        assert!(left.is_empty(), "a phantom keeps the loop awake");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1_000)
    })]

    #[test]
    fn replaced_files_call_once_per_turn_for_one_file(
        moves in vec(a_move(), 1..60),
    ) {
        let _alone = standard_input();
        for backend in [Backend::Epoll, Backend::Poll] {
            let mut world = World::new(backend);
            for a_move in &moves {
                world.play(*a_move);
            }
            world.wind_up();
        }
    }
}
