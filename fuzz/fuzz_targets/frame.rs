//! Any bytes, in any pieces, with any delay of the answers: a session neither panics nor sends anything but
//! whole messages, and what it holds stays bounded.
//!
//! The first byte chooses the configuration. Then each step is a control byte and, for some, a payload: see
//! `Step`. So a corpus of recorded client bytes, cut anywhere, is a corpus for this target.

#![no_main]

use std::num::NonZeroUsize;
use std::sync::Arc;

use eventry::Time;
use eventryd::driver::MemoryDriver;
use eventryd::server::Dispatcher;
use eventryd::session::{Access, Auth, Event, Limits, Request, Session, SessionConfig};
use eventryd::wire::{Decoder, FrameSplitter, MAX_FRAME, RemoteError, Reply, Status, Xdr};
use libfuzzer_sys::fuzz_target;
use test_support::peer::refuse_authentication;

/// Small, so that a short input reaches it.
const MAX_OUTPUT: usize = 256;

/// No answer of the in-memory hypervisor is longer.
const LONGEST_ANSWER: usize = 8_192;

enum Step<'a> {
    /// The client sends these bytes.
    Receive(&'a [u8]),
    /// The oldest call ends.
    Answer,
    /// So many bytes of output are sent.
    Send(usize),
    /// The client has proved who it is.
    Authenticate,
    /// The client sends no more.
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
    session: Session,
    dispatcher: Dispatcher,
    limit: usize,
    waiting: Vec<Request>,
    sent: FrameSplitter,
    now: Time,
}

impl Run {
    fn new(choice: u8) -> Self {
        let limit = 1 + usize::from(choice >> 2 & 3);
        let limits = Limits {
            max_client_requests: NonZeroUsize::new(limit).expect("at least one"),
            max_output: NonZeroUsize::new(MAX_OUTPUT).expect("not zero"),
            max_frame_before_auth: 1_024,
            ..Limits::default()
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
        Self {
            session: Session::new(SessionConfig {
                access,
                auth,
                limits: limits.into(),
                ..SessionConfig::default()
            }),
            dispatcher: Dispatcher::new(Arc::new(MemoryDriver::with_hostname("fuzz"))),
            limit,
            waiting: Vec::new(),
            sent: FrameSplitter::new(MAX_FRAME),
            now: Time::ZERO,
        }
    }

    fn step(&mut self, step: Step<'_>) {
        self.now = Time::from_nanos(self.now.as_nanos() + 1);
        match step {
            // A server does not read from a client that has to wait.
            Step::Receive(bytes) if self.session.wants_read() => {
                self.session.receive(self.now, bytes);
            }
            Step::Receive(_) => {}
            Step::Answer => self.answer(),
            Step::Send(count) => self.send(count),
            Step::Authenticate => self.session.mark_authenticated(),
            Step::End => self.session.end_of_input(),
        }
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll() {
            match event {
                Event::Request(request) => self.waiting.push(request),
                Event::Violation(_) => assert!(self.session.should_close()),
                Event::Authenticate(request) => refuse_authentication(&mut self.session, &request),
                _ => {}
            }
        }
        assert!(self.waiting.len() <= self.limit);
        let answers = 1 + self.limit;
        assert!(self.session.output().len() <= MAX_OUTPUT + answers * LONGEST_ANSWER);
    }

    fn answer(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let request = self.waiting.remove(0);
        let result = self.dispatcher.dispatch(self.now, request.call);
        self.session.reply(request.ticket, result);
    }

    fn send(&mut self, count: usize) {
        let count = count.min(self.session.output().len());
        self.sent.push(&self.session.output()[..count]);
        self.session.advance_output(count);
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

    /// Lets everything finish: a session that is served always comes to rest, and then to its end.
    fn finish(mut self) {
        self.session.end_of_input();
        self.poll();
        while !self.waiting.is_empty() || self.session.wants_write() {
            self.answer();
            self.send(usize::MAX);
            self.poll();
        }
        assert!(self.session.should_close());
        assert_eq!(self.sent.buffered(), 0, "half a message was sent");
    }
}
