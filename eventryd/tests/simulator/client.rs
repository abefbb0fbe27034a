//! A simulated client: its messages, its reads and its disconnect.

use crate::ledger::Ledger;
use crate::message::{Breach, FIRST, Kind, PASSWORD};
use crate::wire;
use eventryd::admission::Peer;
use std::collections::VecDeque;
use test_support::rng::Rng;
use test_support::scram;

/// The behaviour of a client.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    /// The largest number of calls without a reply.
    pub(crate) window: usize,
    /// The number of calls to make.
    pub(crate) calls: usize,
    /// The largest number of bytes to send at once.
    pub(crate) chunk: usize,
    pub(crate) reads: bool,
    pub(crate) answers_pings: bool,
    pub(crate) requests_keepalive: bool,
    pub(crate) login: Login,
    /// One message in this many is a bad one; `None` for no bad messages.
    pub(crate) bad_message_rate: Option<usize>,
    pub(crate) departure: Departure,
    /// The last message is never complete.
    pub(crate) truncates_last: bool,
}

/// The behaviour of a client during authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Valid,
    /// The first attempt fails.
    FirstInvalid,
    /// The client does not authenticate.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    Close,
    HalfClose,
    Disconnect,
    Stay,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    /// The peer that the client counts as in admission control.
    pub(crate) peer: Peer,
    pub(crate) behaviour: Behaviour,
    rng: Rng,
    /// Encoded messages that are not sent yet.
    outbox: VecDeque<u8>,
    /// The number of handshake bytes that the server has not read yet.
    pub(crate) handshake: usize,
    /// Bytes sent by the client and not read by the server.
    pub(crate) to_server: VecDeque<u8>,
    /// Bytes sent by the server and not read by the client.
    pub(crate) from_server: VecDeque<u8>,
    /// The largest length of `from_server`.
    pub(crate) capacity: usize,
    inbox: Vec<u8>,
    /// The client has closed its sending direction.
    pub(crate) eof: bool,
    pub(crate) is_disconnected: bool,
    /// The connection fails at the next attempt to use it.
    pub(crate) is_broken: bool,
    pub(crate) ledger: Ledger,
    serial: u32,
    awaited: Vec<u32>,
    is_open: bool,
    challenge: Option<Vec<u8>>,
    invalid_left: usize,
    /// The number of pings that are read and not answered.
    unanswered_pings: usize,
    has_requested_keepalive: bool,
    /// The client sends nothing more, because its last message ends the session.
    has_ended: bool,
    /// The client reads everything, answers pings, and makes no new calls.
    pub(crate) is_cooperative: bool,
}

impl Client {
    pub(crate) fn new(
        (id, peer): (u64, Peer),
        behaviour: Behaviour,
        rng: Rng,
        capacity: usize,
        ledger: Ledger,
    ) -> Client {
        Client {
            id,
            peer,
            invalid_left: if behaviour.login == Login::FirstInvalid {
                1
            } else {
                0
            },
            behaviour,
            rng,
            outbox: VecDeque::new(),
            handshake: 0,
            to_server: VecDeque::new(),
            from_server: VecDeque::new(),
            capacity,
            inbox: Vec::new(),
            eof: false,
            is_disconnected: false,
            is_broken: false,
            ledger,
            serial: 0,
            awaited: Vec::new(),
            is_open: false,
            challenge: None,
            unanswered_pings: 0,
            has_requested_keepalive: false,
            has_ended: false,
            is_cooperative: false,
        }
    }

    /// Queues the bytes of a handshake, which precede all messages.
    pub(crate) fn begin_handshake(&mut self, bytes: usize) {
        self.handshake = bytes;
        self.outbox.extend(std::iter::repeat_n(0x16, bytes));
    }

    /// Takes one random step: queues a message, sends or reads.
    pub(crate) fn act(&mut self) {
        match self.rng.below(4) {
            0 => self.queue_next_message(),
            1 | 2 => self.send(),
            _ => {
                if self.behaviour.reads {
                    let most = 1 + self.rng.below(300);
                    self.read(most);
                }
            }
        }
    }

    /// Reads and sends everything, as a cooperative client; returns `true` if there was anything to read or send.
    pub(crate) fn cooperate(&mut self) -> bool {
        let before = (self.outbox.len(), self.from_server.len(), self.eof);
        self.is_cooperative = true;
        self.read(usize::MAX);
        self.behaviour.chunk = usize::MAX;
        self.behaviour.truncates_last = false;
        self.send();
        before.1 > 0 || before.0 > 0
    }

    /// Adds a message to the outbox.
    fn queue(&mut self, kind: Kind) {
        self.serial += 1;
        let bytes = kind.encode(self.id, self.serial);
        let is_call = !kind.is_keepalive() && kind != Kind::UnexpectedReply;
        if is_call {
            self.awaited.push(self.serial);
        }
        let serial = if kind.is_keepalive() { 0 } else { self.serial };
        self.ledger.write(kind, serial, &bytes);
        self.outbox.extend(bytes);
    }

    /// Queues a message chosen at random, unless the window is full or the session has ended.
    fn queue_next_message(&mut self) {
        if self.has_ended || self.eof || self.is_disconnected || self.is_cooperative {
            return;
        }
        if self.behaviour.calls == 0 {
            return self.end_session();
        }
        if self.awaited.len() >= self.behaviour.window {
            return;
        }
        if self
            .behaviour
            .bad_message_rate
            .is_some_and(|of| self.rng.one_in(of))
        {
            self.behaviour.calls -= 1;
            return self.queue_bad_message();
        }
        let session = &self.ledger.session;
        let (scheme, is_authenticated) = (session.scheme, session.is_authenticated);
        if scheme != 0 && !is_authenticated && self.behaviour.login != Login::Never {
            return self.authenticate(scheme);
        }
        self.behaviour.calls -= 1;
        let kind = match self.rng.below(12) {
            _ if self.behaviour.requests_keepalive && !self.has_requested_keepalive => {
                self.has_requested_keepalive = true;
                Kind::RequestKeepalive
            }
            _ if !self.is_open => {
                self.is_open = true;
                Kind::Open {
                    read_only: self.rng.one_in(5),
                    exists: !self.rng.one_in(8),
                }
            }
            0 => Kind::Ping,
            1 | 2 => Kind::Slow,
            3 => Kind::Write { urgent: true },
            4 => Kind::Write { urgent: false },
            5 | 6 => Kind::Hostname,
            _ => Kind::Read,
        };
        self.queue(kind);
    }

    /// Queues the next step of the authentication, unless the reply to the last step is missing.
    fn authenticate(&mut self, scheme: u32) {
        if !self.awaited.is_empty() {
            return;
        }
        let is_invalid = self.invalid_left > 0;
        let kind = match (scheme, self.challenge.take()) {
            (2, _) => {
                self.invalid_left = self.invalid_left.saturating_sub(1);
                Kind::Polkit {
                    granted: !is_invalid,
                }
            }
            (_, Some(challenge)) => {
                self.invalid_left = self.invalid_left.saturating_sub(1);
                let data = scram::proof(FIRST, PASSWORD, &challenge);
                if is_invalid {
                    Kind::SaslStep {
                        valid: false,
                        data: b"c=biws,r=simulated".to_vec(),
                    }
                } else {
                    Kind::SaslStep { valid: true, data }
                }
            }
            _ => match self.ledger.session.sasl_step() {
                0 if self.rng.one_in(3) => Kind::AuthList { padding: 0 },
                0 => Kind::SaslInit,
                _ => Kind::SaslStart {
                    offered: !(is_invalid && self.rng.one_in(2)),
                },
            },
        };
        self.queue(kind);
    }

    fn queue_bad_message(&mut self) {
        let cap = self.ledger.max_frame_before_auth;
        let kind = match self.rng.below(14) {
            0 => Kind::OddKeepalive,
            1 => Kind::UnexpectedReply,
            2 => Kind::UnknownProgram,
            3 => Kind::BadStatus,
            4 => Kind::UnknownProcedure,
            5 => Kind::MissingArguments,
            6 => Kind::SaslInit,
            7 => Kind::SaslStart { offered: false },
            8 => Kind::Polkit { granted: false },
            9 => Kind::Pong,
            // The longest message that is allowed before authentication.
            10 => Kind::AuthList {
                padding: cap - wire::HEADER,
            },
            11 => Kind::Open {
                read_only: false,
                exists: true,
            },
            12 => Kind::Break(Breach::Descriptors),
            _ => Kind::Break(Breach::Length(match self.rng.below(3) {
                0 => u32::try_from(self.rng.below(wire::HEADER)).expect("a small number"),
                1 if self.must_be_anonymous() => u32::try_from(cap + 1).expect("a small number"),
                _ => 33_554_437,
            })),
        };
        self.has_ended = matches!(kind, Kind::Break(_));
        self.queue(kind);
    }

    /// Returns `true` if the server reads the next message before the client is authenticated.
    fn must_be_anonymous(&self) -> bool {
        let session = &self.ledger.session;
        self.awaited.is_empty()
            && !session.is_authenticated
            && !(session.is_root && session.scheme == 2)
    }

    fn end_session(&mut self) {
        match self.behaviour.departure {
            Departure::Close => {
                self.queue(Kind::Close);
                self.has_ended = true;
            }
            Departure::HalfClose if self.outbox.is_empty() => self.half_close(),
            Departure::Disconnect => self.disconnect(),
            Departure::HalfClose | Departure::Stay => {}
        }
    }

    pub(crate) fn half_close(&mut self) {
        self.eof = true;
        self.has_ended = true;
    }

    /// Ends the connection. Bytes in flight are lost.
    pub(crate) fn disconnect(&mut self) {
        self.is_disconnected = true;
        self.has_ended = true;
    }

    /// Sends a part of the outbox.
    fn send(&mut self) {
        if self.eof || self.is_disconnected {
            return;
        }
        let keep = usize::from(self.behaviour.truncates_last);
        let most = self
            .outbox
            .len()
            .saturating_sub(keep)
            .min(self.behaviour.chunk);
        let count = if self.is_cooperative || most == 0 {
            most
        } else {
            1 + self.rng.below(most)
        };
        self.to_server.extend(self.outbox.drain(..count));
    }

    /// Reads at most `most` bytes, and answers pings.
    fn read(&mut self, most: usize) {
        let count = most.min(self.from_server.len());
        self.inbox.extend(self.from_server.drain(..count));
        let mut inbox = std::mem::take(&mut self.inbox);
        while let Some((head, body, length)) = wire::first(&inbox) {
            if head.program == wire::KEEPALIVE {
                self.unanswered_pings += usize::from(head.procedure == 1);
            } else {
                self.awaited.retain(|serial| *serial != head.serial);
                if head.procedure == wire::SASL_START && head.status == 0 {
                    self.challenge = wire::chars_in(body, 2);
                }
            }
            inbox.drain(..length);
        }
        self.inbox = inbox;
        if (self.behaviour.answers_pings || self.is_cooperative) && !self.eof {
            for _ in 0..std::mem::take(&mut self.unanswered_pings) {
                self.queue(Kind::Pong);
            }
        }
    }
}
