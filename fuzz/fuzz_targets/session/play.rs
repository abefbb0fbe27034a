//! A script played in chunks of given lengths, by a daemon that does as `server` does, and all there is to see
//! of it.

use std::sync::Arc;

use eventry::Time;
use eventryd::driver::MemoryDriver;
use eventryd::server::Dispatcher;
use eventryd::session::{Access, Event, Request, Session, SessionState};

use crate::script::{Action, MAX_OUTPUT, Script};
use test_support::peer::refuse_authentication;

/// No answer of the in-memory hypervisor is longer.
const LONGEST_ANSWER: usize = 8_192;

/// What can be seen from outside.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Everything handed out and logged.
    events: Vec<String>,
    /// Everything sent to the client.
    sent: Vec<u8>,
    /// How things stood after each step.
    stands: Vec<Stand>,
}

#[derive(Debug, PartialEq, Eq)]
struct Stand {
    events: usize,
    unsent: usize,
    in_progress: usize,
    state: SessionState,
    access: Access,
    should_close: bool,
}

struct Play<'a> {
    session: Session,
    dispatcher: Dispatcher,
    limit: usize,
    chunks: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    /// What the client has sent and nobody has read.
    unread: Vec<u8>,
    waiting: Vec<Request>,
    seen: Seen,
}

/// Plays it until the session is over.
pub(crate) fn play(script: &Script, chunks: &[usize]) -> Seen {
    let mut play = Play {
        session: Session::new(script.config.clone()),
        dispatcher: Dispatcher::new(Arc::new(MemoryDriver::with_hostname("fuzz"))),
        limit: script.limit(),
        chunks: chunks.iter().cycle(),
        unread: Vec::new(),
        waiting: Vec::new(),
        seen: Seen::default(),
    };
    for step in &script.steps {
        play.unread.extend_from_slice(&step.sent);
        play.read();
        play.act(step.then);
        play.read();
        play.note();
    }
    play.finish();
    play.seen
}

impl Play<'_> {
    /// Reads while the session wants to, as a daemon reads from a socket.
    fn read(&mut self) {
        self.poll();
        let mut at = 0;
        while at < self.unread.len() && self.session.wants_read() {
            let length = *self.chunks.next().expect("there are chunks");
            let end = self.unread.len().min(at.saturating_add(length));
            self.session.receive(Time::ZERO, &self.unread[at..end]);
            at = end;
            self.poll();
        }
        self.unread.drain(..at);
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll() {
            self.seen.events.push(format!("{event:?}"));
            match event {
                Event::Request(request) => self.waiting.push(request),
                Event::Violation(_) => {
                    assert!(self.session.should_close());
                    self.waiting.clear();
                }
                Event::Authenticate(request) => refuse_authentication(&mut self.session, &request),
                _ => {}
            }
        }
        assert_eq!(self.waiting.len(), self.session.calls_in_progress());
        assert!(self.waiting.len() <= self.limit);
        let bound = MAX_OUTPUT + (1 + self.limit) * LONGEST_ANSWER;
        assert!(self.session.output().len() <= bound);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Nothing => {}
            Action::AnswerOldest if !self.waiting.is_empty() => {
                let request = self.waiting.remove(0);
                self.answer(request);
            }
            Action::AnswerNewest => {
                if let Some(request) = self.waiting.pop() {
                    self.answer(request);
                }
            }
            Action::AnswerOldest => {}
            Action::Send(count) => self.send(count),
            Action::Authenticate => self.session.mark_authenticated(),
        }
    }

    fn answer(&mut self, request: Request) {
        let result = self.dispatcher.dispatch(Time::ZERO, request.call);
        self.session.reply(request.ticket, result);
    }

    fn send(&mut self, count: usize) {
        let count = count.min(self.session.output().len());
        self.seen
            .sent
            .extend_from_slice(&self.session.output()[..count]);
        self.session.advance_output(count);
    }

    fn note(&mut self) {
        self.seen.stands.push(Stand {
            events: self.seen.events.len(),
            unsent: self.session.output().len(),
            in_progress: self.session.calls_in_progress(),
            state: self.session.state(),
            access: self.session.access(),
            should_close: self.session.should_close(),
        });
    }

    /// Answers and sends until everything the client sent has been read or the session is over. A client
    /// that is served always gets there.
    fn finish(&mut self) {
        while self.has_work() {
            self.act(Action::AnswerOldest);
            self.send(usize::MAX);
            self.read();
        }
        if self.session.state() == SessionState::Serving {
            assert!(self.unread.is_empty(), "an idle session does not read");
        }
        self.note();
        self.session.end_of_input();
        self.poll();
        assert!(self.session.should_close());
        self.note();
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.session.wants_write()
    }
}
