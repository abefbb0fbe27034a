//! The oracle of one client: what it sent, what was made of it, and what it must still get. Plain lists.

use crate::claims::claim;
use crate::keepalive::KeepaliveOracle;
use crate::message::{Due, Kind, Standing, Way};
use crate::wire::{self, Head};

/// What one client may use, as far as the claims are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) max_requests: usize,
    pub(crate) max_output: usize,
    pub(crate) max_tx_bytes: usize,
}

#[derive(Debug)]
struct Message {
    kind: Kind,
    serial: u32,
    /// Where in the client's stream it ends; of a length that is none, where that ends.
    end: usize,
    /// What must come of it, once it was taken.
    due: Option<Due>,
    is_answered: bool,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    id: u64,
    terms: Terms,
    messages: Vec<Message>,
    /// How many bytes the client meant to send so far.
    written: usize,
    /// How many bytes of the client's the session has been given.
    pub(crate) delivered: usize,
    pub(crate) standing: Standing,
    /// Serials of calls that somebody carries out.
    pub(crate) in_progress: Vec<u32>,
    /// Before each open in progress.
    before_open: Option<(bool, bool)>,
    /// The call in progress whose failure ends the session.
    ends_with: Option<u32>,
    /// How many bytes the server had in all for the client when last looked at.
    seen: u64,
    /// How many bytes of the server's went out.
    pub(crate) sent: u64,
    pongs: usize,
    odd: usize,
    largest: usize,
    pub(crate) keepalive: KeepaliveOracle,
    /// It sends no more, or nothing more is taken from it.
    pub(crate) input_is_over: bool,
    pub(crate) is_waiting: bool,
    /// The longest message before the client is known.
    pub(crate) longest_while_anonymous: usize,
    /// It has broken the protocol, and that was noticed.
    pub(crate) is_breached: bool,
}

/// What is seen of a session from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) has_more: bool,
    pub(crate) wants_read: bool,
    pub(crate) unsent: usize,
}

impl Ledger {
    /// The ledger of a client that has not been accepted.
    pub(crate) fn new(id: u64, longest_while_anonymous: usize, standing: Standing) -> Ledger {
        Ledger {
            id,
            terms: Terms {
                max_requests: 0,
                max_output: 0,
                max_tx_bytes: 0,
            },
            messages: Vec::new(),
            written: 0,
            delivered: 0,
            standing,
            in_progress: Vec::new(),
            before_open: None,
            ends_with: None,
            seen: 0,
            sent: 0,
            pongs: 0,
            odd: 0,
            largest: 0,
            keepalive: KeepaliveOracle::default(),
            input_is_over: false,
            is_waiting: false,
            longest_while_anonymous,
            is_breached: false,
        }
    }

    /// The client is accepted, on these terms.
    pub(crate) fn accept(&mut self, terms: Terms, max_failures: u32, keepalive: KeepaliveOracle) {
        (self.terms, self.keepalive) = (terms, keepalive);
        self.standing.max_failures = max_failures;
    }

    /// Takes note of what the client is about to send.
    pub(crate) fn write(&mut self, kind: Kind, serial: u32, bytes: &[u8]) {
        self.written += bytes.len();
        self.messages.push(Message {
            kind,
            serial,
            end: self.written,
            due: None,
            is_answered: false,
        });
    }

    /// What the message of this serial is about.
    pub(crate) fn kind_of(&self, serial: u32) -> Option<&Kind> {
        let mut messages = self.messages.iter();
        messages
            .find(|message| message.serial == serial)
            .map(|message| &message.kind)
    }

    /// Takes the next message that is no keepalive, which has this serial: DM-809 says that none is left out.
    fn take(&mut self, serial: u32, way: Way) {
        let (id, standing) = (self.id, &mut self.standing);
        claim!(
            !standing.is_over,
            "DM-811",
            "client {id}: {serial} is taken after the end"
        );
        let mut waiting = self.messages.iter_mut();
        let next = waiting.find(|message| !message.kind.is_keepalive() && message.due.is_none());
        let Some(next) = next.filter(|next| next.serial == serial) else {
            panic!("DM-809: client {id}: {serial} is taken, and is not the next");
        };
        claim!(
            next.end <= self.delivered,
            "DM-801",
            "client {id}: {serial} is taken before it is there"
        );
        let before = (standing.is_open, standing.read_only);
        let (expected, due) = standing.take(&next.kind);
        if expected == Way::HandedOut && standing.is_over {
            // The last failure that it may have is one when it is decided.
            standing.is_over = false;
            self.ends_with = Some(serial);
        }
        let rule = match (&next.kind, &due, way) {
            (Kind::Write { .. }, Due::Failure(wire::OPERATION_DENIED), Way::HandedOut) => "DM-1103",
            (_, Due::Failure(wire::RPC), Way::HandedOut) => "DM-805",
            _ => "DM-804",
        };
        claim!(
            expected == way,
            rule,
            "client {id}: {serial} {:?} is {way:?}, not {expected:?}",
            next.kind
        );
        if matches!(next.kind, Kind::Open { .. }) {
            self.before_open = Some(before);
        }
        // A message that is dropped has had its answer.
        next.is_answered = due == Due::KeepaliveOracle;
        next.due = Some(due);
        let asks = next.kind == Kind::AskKeepalive;
        let now = self.keepalive.now;
        if asks && way == Way::Answered {
            self.keepalive.watch(now);
        }
        if self.standing.is_over {
            self.keepalive.begin_end(now);
        }
    }

    /// A call was handed out.
    pub(crate) fn hand_out(&mut self, serial: u32) {
        self.take(serial, Way::HandedOut);
        claim!(
            self.in_progress.len() < self.terms.max_requests,
            "DM-806",
            "client {}: {serial} is one call too many in progress",
            self.id
        );
        claim!(
            !self.is_barred(),
            "DM-1102",
            "client {}: {serial} overtakes a call that decides what it may do",
            self.id
        );
        self.in_progress.push(serial);
    }

    /// Whether a call is in progress that decides what the next may do.
    fn is_barred(&self) -> bool {
        let mut kinds = self
            .in_progress
            .iter()
            .flat_map(|serial| self.kind_of(*serial));
        kinds.any(Kind::is_barrier)
    }

    /// The session says that it has refused a message; its answer was seen before.
    pub(crate) fn refused(&mut self, serial: u32) {
        let id = self.id;
        let message = self.by_serial(serial);
        claim!(
            message.is_answered && matches!(message.due, Some(Due::Failure(_))),
            "DM-804",
            "client {id}: {message:?} is refused without an answer"
        );
    }

    pub(crate) fn drop_message(&mut self, head_is_keepalive: bool, serial: u32) {
        if head_is_keepalive {
            self.odd += 1;
        } else {
            self.take(serial, Way::Dropped);
        }
    }

    /// The session has found that the client breaks the protocol.
    pub(crate) fn end_by_violation(&mut self) {
        let mut waiting = self.messages.iter();
        let breach = waiting.position(|message| matches!(message.kind, Kind::Break(_)));
        let Some(at) = breach.filter(|at| self.messages[*at].end <= self.delivered) else {
            panic!("DM-801: client {}: it has not broken the protocol", self.id);
        };
        let before = &self.messages[..at];
        let untaken = before
            .iter()
            .filter(|message| message.due.is_none() && !message.kind.is_keepalive());
        claim!(
            untaken.count() <= 1,
            "DM-801",
            "client {}: calls before the breach are lost",
            self.id
        );
        self.standing.is_over = true;
        self.is_breached = true;
    }

    /// Nobody could carry the call out: it fails whatever it is.
    pub(crate) fn fail(&mut self, serial: u32) {
        let message = self.by_serial(serial);
        message.due = Some(Due::Failure(wire::INTERNAL_ERROR));
        if matches!(message.kind, Kind::Open { .. }) {
            let before = self.before_open.take().expect("one open at a time");
            (self.standing.is_open, self.standing.read_only) = before;
        }
    }

    /// A call is over; its answer follows.
    pub(crate) fn complete(&mut self, serial: u32) {
        self.in_progress.retain(|own| *own != serial);
        if self.ends_with == Some(serial) {
            self.standing.is_over = true;
            self.keepalive.begin_end(self.keepalive.now);
        }
    }

    fn by_serial(&mut self, serial: u32) -> &mut Message {
        let mut messages = self.messages.iter_mut();
        let found = messages.find(|message| message.serial == serial);
        found.unwrap_or_else(|| panic!("DM-806: nobody has sent {serial}"))
    }

    /// Looks at what the server has put out for the client and was not seen before; `output` is what is left
    /// of it to send.
    pub(crate) fn look(&mut self, output: &[u8]) {
        let skip = usize::try_from(self.seen - self.sent).expect("it fits");
        let mut fresh = &output[skip..];
        while !fresh.is_empty() {
            let Some((head, body, length)) = wire::first(fresh) else {
                panic!("DM-801: client {}: half a message is put out", self.id);
            };
            self.frame(head, body);
            self.largest = self.largest.max(length);
            self.seen += length as u64;
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
        if self.by_serial(head.serial).due.is_none() {
            let way = if head.status == 0 {
                Way::Answered
            } else {
                Way::Refused
            };
            self.take(head.serial, way);
        }
        let is_running = self.in_progress.contains(&head.serial);
        let message = self.by_serial(head.serial);
        claim!(
            !is_running && !message.is_answered,
            "DM-806",
            "client {id}: {head:?} is answered twice, or too early"
        );
        message.is_answered = true;
        let number = wire::word(body, 0);
        let fits = match (&message.due, head.status) {
            (Some(Due::Success(expected)), 0) => body.starts_with(expected),
            (Some(Due::Failure(code)), 1) => number == Some(*code),
            (Some(Due::Reply), 0 | 1) => true,
            _ => false,
        };
        let (kind, due) = (&message.kind, &message.due);
        claim!(
            fits && head.kind == wire::REPLY,
            "DM-804",
            "client {id}: {kind:?} has {due:?} due, and gets {head:?} {body:?}"
        );
    }

    /// Checks where the client stands once nothing moves any more.
    pub(crate) fn check(&mut self, look: Look) {
        let id = self.id;
        self.keepalive.settle(look, !self.in_progress.is_empty());
        let cap = self
            .terms
            .max_tx_bytes
            .max(self.terms.max_output + self.largest);
        claim!(
            look.unsent <= cap,
            "DM-812",
            "client {id}: {} bytes wait, more than {cap}",
            look.unsent
        );
        if self.standing.is_over {
            return;
        }
        let is_full = look.unsent >= self.terms.max_output;
        claim!(
            !(is_full && look.wants_read),
            "DM-812",
            "client {id} is read from and does not read"
        );
        if is_full || look.has_more {
            return;
        }
        let is_busy = self.in_progress.len() >= self.terms.max_requests || self.is_barred();
        let (mut waiting, mut pings, mut odd) = (0, 0, 0);
        for message in &self.messages {
            if message.end > self.delivered || waiting == 2 {
                break;
            }
            match message.kind {
                Kind::Break(_) => panic!("DM-801: client {id}: it breaks the protocol and goes on"),
                Kind::Ping => pings += 1,
                Kind::OddKeepalive => odd += 1,
                Kind::Pong => {}
                _ if message.due.is_some() => {}
                _ => waiting += 1,
            }
        }
        self.is_waiting = waiting > 0;
        claim!(
            waiting == 0 || is_busy,
            "DM-806",
            "client {id}: a call waits while {} of {} are in progress",
            self.in_progress.len(),
            self.terms.max_requests
        );
        claim!(
            (self.pongs, self.odd) == (pings, odd),
            "DM-905",
            "client {id}: {pings} pings are read, {} are answered",
            self.pongs
        );
        claim!(
            look.wants_read == (waiting < 2) || self.input_is_over,
            "DM-905",
            "client {id}: wants_read is {} while {waiting} calls wait",
            look.wants_read
        );
    }

    /// Checks that all that was read is answered, and all answers were taken by the connection.
    pub(crate) fn check_answered(&self) {
        let id = self.id;
        claim!(
            self.in_progress.is_empty() && self.seen == self.sent,
            "DM-809",
            "client {id} is left with {} calls in progress and {} bytes unsent",
            self.in_progress.len(),
            self.seen - self.sent
        );
        let mut over = false;
        for message in &self.messages {
            let is_read = message.end <= self.delivered && !over;
            claim!(
                message.is_answered || !is_read || message.kind.is_keepalive(),
                "DM-809",
                "client {id}: {message:?} was read and is not answered"
            );
            // What comes after the one that ended it has no effect.
            over |= message.due.is_some() && self.is_last(message);
        }
    }

    fn is_last(&self, message: &Message) -> bool {
        let mut taken = self
            .messages
            .iter()
            .filter(|message| message.due.is_some() && !message.kind.is_keepalive());
        self.standing.is_over
            && taken
                .next_back()
                .is_some_and(|last| last.serial == message.serial)
    }

    /// Whether so many bytes are more than may wait for the client.
    pub(crate) fn is_too_much(&self, unsent: usize) -> bool {
        unsent > self.terms.max_tx_bytes
    }

    /// Whether so many bytes are so many that nothing more is read.
    pub(crate) fn is_full(&self, unsent: usize) -> bool {
        unsent >= self.terms.max_output
    }

    /// The names under which the hypervisor was to be asked for the domain.
    pub(crate) fn tags(&self) -> impl Iterator<Item = String> {
        let reached = self
            .messages
            .iter()
            .filter(|message| matches!(message.due, Some(Due::Success(_) | Due::Reply)));
        reached.filter_map(|message| message.kind.tag(self.id, message.serial))
    }

    /// Whether everything that the client sent was read and answered.
    pub(crate) fn is_done(&self) -> bool {
        let complete = self
            .messages
            .last()
            .is_none_or(|last| last.end <= self.delivered);
        complete
            && self.in_progress.is_empty()
            && self.seen == self.sent
            && self
                .messages
                .iter()
                .all(|message| message.is_answered || message.kind.is_keepalive())
    }
}
