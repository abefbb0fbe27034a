//! The oracle of one client: plain lists of its messages, how each was handled, and which replies are expected.

use crate::claims::claim;
use crate::keepalive::KeepaliveOracle;
use crate::message::{Expected, Handling, Kind, SessionModel};
use crate::wire::{self, Head};

/// The limits of one client that the rules name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LedgerLimits {
    pub(crate) max_requests: usize,
    pub(crate) max_output: usize,
    pub(crate) max_tx_bytes: usize,
}

#[derive(Debug)]
struct Message {
    kind: Kind,
    serial: u32,
    /// The offset of its end in the client's stream. A bad length word ends with itself.
    end: usize,
    /// The expected reply; `None` until the server has taken the message.
    expected: Option<Expected>,
    is_answered: bool,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    id: u64,
    limits: LedgerLimits,
    messages: Vec<Message>,
    /// The number of bytes that the client has queued.
    written: usize,
    /// The number of the client's bytes that the session has received.
    pub(crate) delivered: usize,
    pub(crate) session: SessionModel,
    /// The serials of the calls that are dispatched and not completed.
    pub(crate) in_progress: Vec<u32>,
    /// The values of `is_open` and `read_only` before the open in progress.
    before_open: Option<(bool, bool)>,
    /// The call in progress whose failure ends the session.
    final_call: Option<u32>,
    /// The number of bytes that the server has produced for the client.
    produced: u64,
    /// The number of bytes that the server has sent.
    pub(crate) sent: u64,
    pongs: usize,
    dropped_keepalives: usize,
    largest: usize,
    pub(crate) keepalive: KeepaliveOracle,
    /// The client sends nothing more, or the server reads nothing more.
    pub(crate) input_ended: bool,
    pub(crate) is_waiting: bool,
    /// The longest message before authentication.
    pub(crate) max_frame_before_auth: usize,
    /// The server has detected a protocol violation.
    pub(crate) has_violation: bool,
}

/// The state of a session as seen from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    pub(crate) has_more: bool,
    pub(crate) wants_read: bool,
    pub(crate) unsent: usize,
}

impl Ledger {
    /// Creates the ledger of a client that is not accepted yet.
    pub(crate) fn new(id: u64, max_frame_before_auth: usize, session: SessionModel) -> Ledger {
        Ledger {
            id,
            limits: LedgerLimits {
                max_requests: 0,
                max_output: 0,
                max_tx_bytes: 0,
            },
            messages: Vec::new(),
            written: 0,
            delivered: 0,
            session,
            in_progress: Vec::new(),
            before_open: None,
            final_call: None,
            produced: 0,
            sent: 0,
            pongs: 0,
            dropped_keepalives: 0,
            largest: 0,
            keepalive: KeepaliveOracle::default(),
            input_ended: false,
            is_waiting: false,
            max_frame_before_auth,
            has_violation: false,
        }
    }

    /// Records that the client is accepted with these limits.
    pub(crate) fn accept(
        &mut self,
        limits: LedgerLimits,
        max_failures: u32,
        keepalive: KeepaliveOracle,
    ) {
        (self.limits, self.keepalive) = (limits, keepalive);
        self.session.max_failures = max_failures;
    }

    /// Records a message that the client queues.
    pub(crate) fn write(&mut self, kind: Kind, serial: u32, bytes: &[u8]) {
        self.written += bytes.len();
        self.messages.push(Message {
            kind,
            serial,
            end: self.written,
            expected: None,
            is_answered: false,
        });
    }

    /// Returns the kind of the message with this serial.
    pub(crate) fn kind_of(&self, serial: u32) -> Option<&Kind> {
        let mut messages = self.messages.iter();
        messages
            .find(|message| message.serial == serial)
            .map(|message| &message.kind)
    }

    /// Records how the server handles the message with this serial, which must be the next one (DM-809). Keepalive
    /// messages are counted elsewhere.
    fn take(&mut self, serial: u32, handling: Handling) {
        let (id, session) = (self.id, &mut self.session);
        claim!(
            !session.has_ended,
            "DM-811",
            "client {id}: call {serial} is taken after the end of the session"
        );
        let mut waiting = self.messages.iter_mut();
        let next =
            waiting.find(|message| !message.kind.is_keepalive() && message.expected.is_none());
        let Some(next) = next.filter(|next| next.serial == serial) else {
            panic!("DM-809: client {id}: call {serial} is taken out of order");
        };
        claim!(
            next.end <= self.delivered,
            "DM-801",
            "client {id}: call {serial} is taken before all of its bytes are received"
        );
        let before = (session.is_open, session.read_only);
        let (expected_handling, expected) = session.take(&next.kind);
        if expected_handling == Handling::Dispatched && session.has_ended {
            // The session ends when the failure is decided, not when the call is dispatched.
            session.has_ended = false;
            self.final_call = Some(serial);
        }
        let rule = match (&next.kind, &expected, handling) {
            (
                Kind::Write { .. },
                Expected::Failure(wire::OPERATION_DENIED),
                Handling::Dispatched,
            ) => "DM-1103",
            (_, Expected::Failure(wire::RPC), Handling::Dispatched) => "DM-805",
            _ => "DM-804",
        };
        claim!(
            expected_handling == handling,
            rule,
            "client {id}: call {serial} {:?} is {handling:?} instead of {expected_handling:?}",
            next.kind
        );
        if matches!(next.kind, Kind::Open { .. }) {
            self.before_open = Some(before);
        }
        // A dropped message gets no reply.
        next.is_answered = expected == Expected::Nothing;
        next.expected = Some(expected);
        let asks = next.kind == Kind::RequestKeepalive;
        let now = self.keepalive.now;
        if asks && handling == Handling::Answered {
            self.keepalive.enable(now);
        }
        if self.session.has_ended {
            self.keepalive.begin_close(now);
        }
    }

    /// Records that a call was dispatched.
    pub(crate) fn dispatch(&mut self, serial: u32) {
        self.take(serial, Handling::Dispatched);
        claim!(
            self.in_progress.len() < self.limits.max_requests,
            "DM-806",
            "client {}: call {serial} exceeds the limit of calls in progress",
            self.id
        );
        claim!(
            !self.has_barrier(),
            "DM-1102",
            "client {}: call {serial} overtakes a call that decides which calls are allowed",
            self.id
        );
        self.in_progress.push(serial);
    }

    /// Returns `true` if a call is in progress that decides which calls are allowed.
    fn has_barrier(&self) -> bool {
        let mut kinds = self
            .in_progress
            .iter()
            .flat_map(|serial| self.kind_of(*serial));
        kinds.any(Kind::is_barrier)
    }

    /// Checks that the error reply of a refused message was produced before the session reports the refusal.
    pub(crate) fn refused(&mut self, serial: u32) {
        let id = self.id;
        let message = self.by_serial(serial);
        claim!(
            message.is_answered && matches!(message.expected, Some(Expected::Failure(_))),
            "DM-804",
            "client {id}: {message:?} is refused without a reply"
        );
    }

    pub(crate) fn drop_message(&mut self, head_is_keepalive: bool, serial: u32) {
        if head_is_keepalive {
            self.dropped_keepalives += 1;
        } else {
            self.take(serial, Handling::Dropped);
        }
    }

    /// Records that the session reports a protocol violation.
    pub(crate) fn record_violation(&mut self) {
        let mut waiting = self.messages.iter();
        let breach = waiting.position(|message| matches!(message.kind, Kind::Break(_)));
        let Some(at) = breach.filter(|at| self.messages[*at].end <= self.delivered) else {
            panic!(
                "DM-801: client {}: a violation is reported without one",
                self.id
            );
        };
        let before = &self.messages[..at];
        let untaken = before
            .iter()
            .filter(|message| message.expected.is_none() && !message.kind.is_keepalive());
        claim!(
            untaken.count() <= 1,
            "DM-801",
            "client {}: calls before the violation are lost",
            self.id
        );
        self.session.has_ended = true;
        self.has_violation = true;
    }

    /// Records that no worker could run the call, so that it fails.
    pub(crate) fn fail(&mut self, serial: u32) {
        let message = self.by_serial(serial);
        message.expected = Some(Expected::Failure(wire::INTERNAL_ERROR));
        if matches!(message.kind, Kind::Open { .. }) {
            let before = self.before_open.take().expect("an open is in progress");
            (self.session.is_open, self.session.read_only) = before;
        }
    }

    /// Records that a call is complete. Its reply follows.
    pub(crate) fn complete(&mut self, serial: u32) {
        self.in_progress.retain(|own| *own != serial);
        if self.final_call == Some(serial) {
            self.session.has_ended = true;
            self.keepalive.begin_close(self.keepalive.now);
        }
    }

    fn by_serial(&mut self, serial: u32) -> &mut Message {
        let mut messages = self.messages.iter_mut();
        let found = messages.find(|message| message.serial == serial);
        found.unwrap_or_else(|| panic!("DM-806: no message has the serial {serial}"))
    }

    /// Reads the new messages of the server's output. `output` holds the bytes that are not sent yet.
    pub(crate) fn read_output(&mut self, output: &[u8]) {
        let skip = usize::try_from(self.produced - self.sent).expect("it fits");
        let mut fresh = &output[skip..];
        while !fresh.is_empty() {
            let Some((head, body, length)) = wire::first(fresh) else {
                panic!(
                    "DM-801: client {}: the output ends within a message",
                    self.id
                );
            };
            self.frame(head, body);
            self.largest = self.largest.max(length);
            self.produced += length as u64;
            fresh = &fresh[length..];
        }
    }

    fn frame(&mut self, head: Head, body: &[u8]) {
        let id = self.id;
        if head.program == wire::KEEPALIVE {
            match head.procedure {
                1 => self.keepalive.ping(id),
                _ => {
                    claim!(
                        head == Head::keepalive(2),
                        "DM-902",
                        "client {id}: {head:?}"
                    );
                    self.pongs += 1;
                }
            }
            return;
        }
        if self.by_serial(head.serial).expected.is_none() {
            let handling = if head.status == 0 {
                Handling::Answered
            } else {
                Handling::Refused
            };
            self.take(head.serial, handling);
        }
        let is_running = self.in_progress.contains(&head.serial);
        let message = self.by_serial(head.serial);
        claim!(
            !is_running && !message.is_answered,
            "DM-806",
            "client {id}: a second or an early reply: {head:?}"
        );
        message.is_answered = true;
        let number = wire::word(body, 0);
        let fits = match (&message.expected, head.status) {
            (Some(Expected::Success(expected)), 0) => body.starts_with(expected),
            (Some(Expected::Failure(code)), 1) => number == Some(*code),
            (Some(Expected::Reply), 0 | 1) => true,
            _ => false,
        };
        let (kind, expected) = (&message.kind, &message.expected);
        claim!(
            fits && head.kind == wire::REPLY,
            "DM-804",
            "client {id}: {kind:?} expects {expected:?} and gets {head:?} {body:?}"
        );
    }

    /// Checks the limits and the flow control of the client after the server has handled an input.
    pub(crate) fn check(&mut self, observed: Observation) {
        let id = self.id;
        self.keepalive
            .record_activity(observed, !self.in_progress.is_empty());
        let cap = self
            .limits
            .max_tx_bytes
            .max(self.limits.max_output + self.largest);
        claim!(
            observed.unsent <= cap,
            "DM-812",
            "client {id}: {} bytes are unsent, the limit is {cap}",
            observed.unsent
        );
        if self.session.has_ended {
            return;
        }
        let is_full = observed.unsent >= self.limits.max_output;
        claim!(
            !(is_full && observed.wants_read),
            "DM-812",
            "client {id} does not read, and the server reads from it"
        );
        if is_full || observed.has_more {
            return;
        }
        let is_busy = self.in_progress.len() >= self.limits.max_requests || self.has_barrier();
        let (mut waiting, mut pings, mut odd) = (0, 0, 0);
        for message in &self.messages {
            if message.end > self.delivered || waiting == 2 {
                break;
            }
            match message.kind {
                Kind::Break(_) => {
                    panic!("DM-801: client {id}: the session goes on after a violation")
                }
                Kind::Ping => pings += 1,
                Kind::OddKeepalive => odd += 1,
                Kind::Pong => {}
                _ if message.expected.is_some() => {}
                _ => waiting += 1,
            }
        }
        self.is_waiting = waiting > 0;
        claim!(
            waiting == 0 || is_busy,
            "DM-806",
            "client {id}: a call waits while {} of at most {} are in progress",
            self.in_progress.len(),
            self.limits.max_requests
        );
        claim!(
            (self.pongs, self.dropped_keepalives) == (pings, odd),
            "DM-905",
            "client {id}: {pings} pings were read, {} were answered",
            self.pongs
        );
        claim!(
            observed.wants_read == (waiting < 2) || self.input_ended,
            "DM-905",
            "client {id}: wants_read is {} while {waiting} calls wait",
            observed.wants_read
        );
    }

    /// Checks that every message that was read has its reply, and that every reply was sent.
    pub(crate) fn check_answered(&self) {
        let id = self.id;
        claim!(
            self.in_progress.is_empty() && self.produced == self.sent,
            "DM-809",
            "client {id} is closed with {} calls in progress and {} bytes unsent",
            self.in_progress.len(),
            self.produced - self.sent
        );
        let mut over = false;
        for message in &self.messages {
            let is_read = message.end <= self.delivered && !over;
            claim!(
                message.is_answered || !is_read || message.kind.is_keepalive(),
                "DM-809",
                "client {id}: {message:?} was read and has no reply"
            );
            // Messages after the one that ended the session have no effect.
            over |= message.expected.is_some() && self.is_last(message);
        }
    }

    fn is_last(&self, message: &Message) -> bool {
        let mut taken = self
            .messages
            .iter()
            .filter(|message| message.expected.is_some() && !message.kind.is_keepalive());
        self.session.has_ended
            && taken
                .next_back()
                .is_some_and(|last| last.serial == message.serial)
    }

    /// Returns `true` if `unsent` bytes exceed the limit that closes the client.
    pub(crate) fn exceeds_max_tx_bytes(&self, unsent: usize) -> bool {
        unsent > self.limits.max_tx_bytes
    }

    /// Returns `true` if `unsent` bytes stop the server from reading.
    pub(crate) fn is_full(&self, unsent: usize) -> bool {
        unsent >= self.limits.max_output
    }

    /// Returns the domain names of the calls that must reach the hypervisor.
    pub(crate) fn tags(&self) -> impl Iterator<Item = String> {
        let reached = self.messages.iter().filter(|message| {
            matches!(
                message.expected,
                Some(Expected::Success(_) | Expected::Reply)
            )
        });
        reached.filter_map(|message| message.kind.tag(self.id, message.serial))
    }

    /// Returns `true` if everything that the client sent was read and answered.
    pub(crate) fn is_done(&self) -> bool {
        let complete = self
            .messages
            .last()
            .is_none_or(|last| last.end <= self.delivered);
        complete
            && self.in_progress.is_empty()
            && self.produced == self.sent
            && self
                .messages
                .iter()
                .all(|message| message.is_answered || message.kind.is_keepalive())
    }
}
