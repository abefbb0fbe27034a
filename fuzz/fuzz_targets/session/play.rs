//! A run of a script in pieces of given lengths, with a server that drives the connection like the daemon's, and its
//! observable behaviour.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use eventry::{Events, MonotonicTime};
use eventryd::connection::{Action, ClientAuth, Connection, ProgressChange};
use eventryd::driver::MemoryDriver;
use eventryd::server::CallHandler;
use eventryd::session::{Access, AuthResult, ClientLimits, Request, SessionState, Ticket};
use eventryd::wire::RemoteError;

use crate::pipe::{Pipe, PipeState};
use crate::script::{MAX_OUTPUT, Script, Then};

/// Upper bound of an answer of the in-memory hypervisor, in bytes.
const LONGEST_ANSWER: usize = 8_192;

/// The observable behaviour of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// All actions, including log messages.
    actions: Vec<String>,
    /// All bytes sent to the client.
    sent: Vec<u8>,
    /// The state after each step.
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    actions: usize,
    unsent: usize,
    in_progress: usize,
    state: SessionState,
    access: Access,
    is_identified: bool,
    is_closed: bool,
}

struct Play {
    now: MonotonicTime,
    limits: Arc<ClientLimits>,
    connection: Connection<Pipe>,
    pipe: Rc<RefCell<PipeState>>,
    calls: CallHandler,
    limit: usize,
    waiting: Vec<Request>,
    /// The authentication step that waits for its result.
    undecided: Option<Ticket>,
    /// The next authentication step succeeds.
    grants: bool,
    is_identified: bool,
    is_closed: bool,
    /// Number of bytes that the client has sent.
    received: usize,
    observed: Observation,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The connection is closed.
    Closed,
    /// The time would advance while the client is not read, because it does not read its answers. From there on the
    /// moment at which it expires depends on the pieces: those that wait in the transport are not heard.
    Unread,
}

/// Runs the script until the connection is closed, or as `until` says.
pub(crate) fn play(script: &Script, pieces: &[usize], until: Until) -> Observation {
    let pipe = Rc::new(RefCell::new(PipeState {
        handshake: script.handshake,
        pieces: pieces.to_vec(),
        ..PipeState::default()
    }));
    let transport = Pipe(Rc::clone(&pipe));
    let auth = ClientAuth::default();
    let mut play = Play {
        now: MonotonicTime::ZERO,
        limits: Arc::clone(&script.config.limits),
        connection: Connection::new(transport, script.config.clone(), auth, true),
        pipe,
        calls: CallHandler::new(Arc::new(MemoryDriver::with_hostname("fuzz"))),
        limit: script.limit(),
        waiting: Vec::new(),
        undecided: None,
        grants: false,
        is_identified: false,
        is_closed: false,
        received: 0,
        observed: Observation::default(),
    };
    for step in &script.steps {
        if play.is_closed {
            break;
        }
        play.received += step.sent.len();
        play.pipe.borrow_mut().unread.extend_from_slice(&step.sent);
        play.run_turns();
        let is_unread = !play.is_closed && !play.connection.session().wants_read();
        if until == Until::Unread && is_unread && matches!(step.then, Then::Advance(_)) {
            break;
        }
        play.act(step.then);
        play.run_turns();
        play.record_snapshot();
    }
    play.finish();
    play.observed.sent = play.pipe.take().sent;
    play.observed
}

impl Play {
    /// Runs turns while the connection has input to process.
    fn run_turns(&mut self) {
        // A turn reads at least one byte or processes at least one received message.
        let mut turns_left = 2 * self.received + 16;
        while !self.is_closed && self.is_ready() {
            assert!(
                turns_left > 0,
                "the connection requests turns without an end"
            );
            turns_left -= 1;
            if self.is_due() {
                self.connection.on_deadline(self.now);
            } else {
                self.connection.on_ready(Events::READABLE, self.now);
            }
            self.pull();
        }
        self.check_time();
    }

    fn is_due(&self) -> bool {
        let deadline = self.connection.watch().deadline;
        deadline.is_some_and(|deadline| deadline <= self.now)
    }

    /// Checks that no client stays in the handshake, or anonymous, for too long.
    fn check_time(&self) {
        let passed = |timeout| MonotonicTime::ZERO.saturating_add(timeout) <= self.now;
        let in_handshake = self.pipe.borrow().handshake > 0;
        let is_late = (in_handshake && passed(self.limits.handshake_timeout))
            || (self.connection.session().is_anonymous() && passed(self.limits.auth_timeout));
        assert!(self.is_closed || !is_late, "closed too late");
    }

    fn is_ready(&self) -> bool {
        let watch = self.connection.watch();
        let pipe = self.pipe.borrow();
        let has_input = pipe.ended || !pipe.unread.is_empty();
        // A deadline that has passed requests another turn.
        self.is_due() || (has_input && watch.interest.intersects(Events::READABLE))
    }

    fn pull(&mut self) {
        while let Some(action) = self.connection.next_action(self.now) {
            assert!(!self.is_closed, "nothing follows a close");
            if let Action::Progress(change) = action {
                // The number of progress reports depends on the turns; identification is reported once.
                if matches!(change, ProgressChange::Identified { .. }) {
                    assert!(!self.is_identified);
                    self.is_identified = true;
                }
                continue;
            }
            self.observed.actions.push(format!("{action:?}"));
            match action {
                Action::Dispatch(request) => self.waiting.push(request),
                Action::Authenticate(request) => {
                    assert_eq!(self.undecided, None, "one step at a time");
                    self.undecided = Some(request.ticket);
                    if self.grants {
                        self.decide(AuthResult::Complete(None));
                    }
                }
                Action::Close(_) => {
                    self.is_closed = true;
                    self.waiting.clear();
                    self.undecided = None;
                }
                Action::Linger(reason) => panic!("a pipe does not linger: {reason}"),
                Action::Progress(_) | Action::Log(_) => {}
            }
        }
        let session = self.connection.session();
        if !self.is_closed {
            let asked = self.waiting.len() + usize::from(self.undecided.is_some());
            assert_eq!(asked, session.calls_in_progress());
        }
        assert!(self.waiting.len() <= self.limit);
        let bound = MAX_OUTPUT + (1 + self.limit) * LONGEST_ANSWER;
        assert!(session.output().len() <= bound);
    }

    fn act(&mut self, then: Then) {
        if self.is_closed {
            return;
        }
        match then {
            Then::Nothing => {}
            Then::AnswerOldest | Then::AnswerNewest if self.undecided.is_some() => {
                self.decide(AuthResult::Failed(RemoteError::authentication_failed()));
            }
            Then::AnswerOldest if !self.waiting.is_empty() => {
                let request = self.waiting.remove(0);
                self.answer(request);
            }
            Then::AnswerNewest => {
                if let Some(request) = self.waiting.pop() {
                    self.answer(request);
                }
            }
            Then::AnswerOldest => {}
            Then::Send(count) => self.send(count),
            Then::Advance(time) => self.now = self.now.saturating_add(time),
            Then::Authenticate if self.undecided.is_some() => {
                self.decide(AuthResult::Complete(None));
            }
            Then::Authenticate => self.grants = true,
        }
        self.pull();
    }

    fn answer(&mut self, request: Request) {
        let result = self.calls.handle_call(self.now, request.call);
        self.connection.complete(request.ticket, result, self.now);
    }

    fn decide(&mut self, result: AuthResult) {
        if let Some(ticket) = self.undecided.take() {
            self.connection.authenticated(ticket, result, self.now);
        }
    }

    fn send(&mut self, count: usize) {
        self.pipe.borrow_mut().room = count;
        self.connection.on_ready(Events::WRITABLE, self.now);
        self.pull();
        self.pipe.borrow_mut().room = 0;
    }

    fn record_snapshot(&mut self) {
        let session = self.connection.session();
        self.observed.snapshots.push(Snapshot {
            actions: self.observed.actions.len(),
            unsent: session.output().len(),
            in_progress: session.calls_in_progress(),
            state: session.state(),
            access: session.access(),
            is_identified: self.is_identified,
            is_closed: self.is_closed,
        });
    }

    /// Answers and sends until all input has been read or the connection is closed.
    fn finish(&mut self) {
        while !self.is_closed && self.has_work() {
            for then in [Then::AnswerOldest, Then::Send(usize::MAX)] {
                self.act(then);
                // A protocol error must be detected at the same step for all pieces.
                self.run_turns();
            }
        }
        self.record_snapshot();
        if !self.is_closed {
            let is_read = self.pipe.borrow().unread.is_empty();
            assert!(is_read, "an idle connection does not read");
            self.pipe.borrow_mut().ended = true;
            self.run_turns();
            assert!(self.is_closed);
        }
        self.record_snapshot();
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty()
            || self.undecided.is_some()
            || self.connection.session().wants_write()
    }
}
