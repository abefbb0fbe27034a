//! Arbitrary bytes, in pieces of any size, with answers after any delay: a connection does not panic, sends whole
//! messages only, and holds a bounded amount of memory.
//!
//! The first byte selects the configuration. Each step is a control byte and, for some steps, a payload: see
//! `Step`. Recorded client bytes, cut anywhere, are therefore useful seeds.

#![no_main]

mod pipe;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use eventry::{Events, MonotonicTime};
use eventryd::connection::{Action, ClientAuth, Connection};
use eventryd::driver::MemoryDriver;
use eventryd::server::CallHandler;
use eventryd::session::{
    Access, Auth, AuthResult, ClientLimits, Request, SessionConfig, SessionState,
};
use eventryd::wire::{Decoder, FrameSplitter, MAX_FRAME, RemoteError, Reply, Status, Xdr};
use libfuzzer_sys::fuzz_target;
use pipe::{Pipe, PipeState};

/// Limit of the output in bytes; small, so that a short input reaches it.
const MAX_OUTPUT: usize = 256;

/// Upper bound of an answer of the in-memory hypervisor, in bytes.
const LONGEST_ANSWER: usize = 8_192;

enum Step<'a> {
    /// The client sends these bytes.
    Receive(&'a [u8]),
    /// The oldest call completes.
    Answer,
    /// Up to this number of bytes of output is sent.
    Send(usize),
    /// All later authentication steps of the client succeed.
    Authenticate,
    /// The client closes its sending side.
    End,
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let mut run = Run::new(choice);
    for step in steps(data) {
        run.step(step);
    }
    run.finish();
});

fn steps(mut data: &[u8]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    while let Some((&control, rest)) = data.split_first() {
        data = rest;
        steps.push(match control {
            0xff => Step::End,
            0xfe => Step::Authenticate,
            0xc0..0xfe => Step::Answer,
            0x80..0xc0 => Step::Send(usize::from(control & 0x3f)),
            length => {
                let (piece, rest) = data.split_at(data.len().min(usize::from(length)));
                data = rest;
                Step::Receive(piece)
            }
        });
    }
    steps
}

struct Run {
    connection: Connection<Pipe>,
    pipe: Rc<RefCell<PipeState>>,
    calls: CallHandler,
    limit: usize,
    waiting: Vec<Request>,
    /// Authentication steps succeed.
    grants: bool,
    is_closed: bool,
    sent: FrameSplitter,
    now: MonotonicTime,
}

impl Run {
    fn new(choice: u8) -> Self {
        let limit = 1 + usize::from(choice >> 2 & 3);
        let limits = ClientLimits {
            max_client_requests: NonZeroUsize::new(limit).expect("at least one"),
            max_output: NonZeroUsize::new(MAX_OUTPUT).expect("not zero"),
            max_frame_before_auth: 1_024,
            ..ClientLimits::default()
        };
        let access = if choice & 1 == 0 {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let auth = if choice & 2 == 0 {
            Auth::None
        } else {
            Auth::Sasl
        };
        let config = SessionConfig {
            access,
            auth,
            limits: limits.into(),
            ..SessionConfig::default()
        };
        let pipe = Rc::new(RefCell::new(PipeState::default()));
        let transport = Pipe(Rc::clone(&pipe));
        Self {
            connection: Connection::new(transport, config, ClientAuth::default(), true),
            pipe,
            calls: CallHandler::new(Arc::new(MemoryDriver::with_hostname("fuzz"))),
            limit,
            waiting: Vec::new(),
            grants: false,
            is_closed: false,
            sent: FrameSplitter::new(MAX_FRAME),
            now: MonotonicTime::ZERO,
        }
    }

    fn step(&mut self, step: Step<'_>) {
        self.now = MonotonicTime::from_nanos(self.now.as_nanos() + 1);
        match step {
            Step::Receive(bytes) => self.pipe.borrow_mut().unread.extend_from_slice(bytes),
            Step::Answer => self.answer(),
            Step::Send(count) => self.send(count),
            Step::Authenticate => self.grants = true,
            Step::End => self.pipe.borrow_mut().ended = true,
        }
        self.turn(Events::READABLE);
    }

    /// Starts a turn, and executes its actions.
    fn turn(&mut self, events: Events) {
        if !self.is_closed {
            self.connection.on_ready(events, self.now);
            self.pull();
        }
    }

    fn pull(&mut self) {
        while let Some(action) = self.connection.next_action(self.now) {
            assert!(!self.is_closed, "nothing follows a close");
            match action {
                Action::Dispatch(request) => self.waiting.push(request),
                Action::Authenticate(request) => {
                    let result = if self.grants {
                        AuthResult::Complete(None)
                    } else {
                        AuthResult::Failed(RemoteError::authentication_failed())
                    };
                    let (ticket, now) = (request.ticket, self.now);
                    self.connection.authenticated(ticket, result, now);
                }
                Action::Close(_) => self.is_closed = true,
                Action::Linger(reason) => panic!("a pipe does not linger: {reason}"),
                Action::Progress(_) | Action::Log(_) => {}
            }
        }
        assert!(self.waiting.len() <= self.limit);
        let answers = 1 + self.limit;
        let unsent = self.connection.session().output().len();
        assert!(unsent <= MAX_OUTPUT + answers * LONGEST_ANSWER);
        self.check_sent();
    }

    fn answer(&mut self) {
        if self.is_closed || self.waiting.is_empty() {
            return;
        }
        let request = self.waiting.remove(0);
        let result = self.calls.handle_call(self.now, request.call);
        self.connection.complete(request.ticket, result, self.now);
        self.pull();
    }

    fn send(&mut self, count: usize) {
        self.pipe.borrow_mut().room = count;
        self.turn(Events::WRITABLE);
        self.pipe.borrow_mut().room = 0;
    }

    /// Checks that only whole messages were sent.
    fn check_sent(&mut self) {
        self.sent
            .push(&std::mem::take(&mut self.pipe.borrow_mut().sent));
        while let Some(frame) = self.sent.head().expect("whole messages") {
            let decoded = match frame.header.status {
                Status::Error => RemoteError::decode(&mut Decoder::new(frame.payload)).is_ok(),
                _ if frame.header == eventryd::wire::Header::pong() => frame.payload.is_empty(),
                _ => Reply::decode(frame.header.procedure, frame.payload).is_ok(),
            };
            assert!(decoded, "{frame:?}");
            self.sent.consume();
        }
    }

    /// Completes all calls and sends all output until the connection closes. After a protocol error, the output may end
    /// in the middle of a message.
    fn finish(mut self) {
        self.pipe.borrow_mut().ended = true;
        while !self.is_closed {
            self.answer();
            self.send(usize::MAX);
            self.turn(Events::READABLE);
        }
        if self.connection.session().state() != SessionState::Broken {
            assert_eq!(self.sent.buffered(), 0, "half a message was sent");
        }
    }
}
