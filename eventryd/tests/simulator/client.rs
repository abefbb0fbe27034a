//! A simulated client: what it sends, when it reads, and how it leaves.

use crate::ledger::Ledger;
use crate::message::{Breach, FIRST, Kind, PASSWORD};
use crate::wire;
use eventryd::admission::Peer;
use std::collections::VecDeque;
use test_support::rng::Rng;
use test_support::scram;

/// How a client behaves.
#[derive(Clone, Debug)]
pub(crate) struct Temper {
    /// How many answers it waits for at most before it sends more.
    pub(crate) window: usize,
    /// How many calls it means to make.
    pub(crate) calls: usize,
    /// How many bytes it sends at once at most.
    pub(crate) chunk: usize,
    pub(crate) reads: bool,
    pub(crate) answers_pings: bool,
    pub(crate) asks_keepalive: bool,
    pub(crate) proof: Proof,
    /// One message of so many is out of order, if any.
    pub(crate) mischief: Option<usize>,
    pub(crate) leaves: Leave,
    /// The last message is sent in half.
    pub(crate) half: bool,
}

/// How it says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Right,
    /// Wrong at first.
    Wrong,
    /// Not at all.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Close,
    HalfClose,
    Vanish,
    Stay,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    /// Who it counts as.
    pub(crate) peer: Peer,
    pub(crate) temper: Temper,
    rng: Rng,
    /// What it has not sent yet.
    outbox: VecDeque<u8>,
    /// How many bytes of a handshake it begins with.
    pub(crate) handshake: usize,
    /// What is on its way to the server.
    pub(crate) to_server: VecDeque<u8>,
    /// What the server has sent and the client has not read.
    pub(crate) from_server: VecDeque<u8>,
    /// How much of that there may be.
    pub(crate) room: usize,
    inbox: Vec<u8>,
    /// The end of what it sends is on its way.
    pub(crate) eof: bool,
    pub(crate) vanished: bool,
    /// The connection fails at the next attempt to use it.
    pub(crate) is_broken: bool,
    pub(crate) ledger: Ledger,
    serial: u32,
    awaited: Vec<u32>,
    is_open: bool,
    challenge: Option<Vec<u8>>,
    wrong_left: usize,
    /// Pings that it has read and not answered.
    owes: usize,
    has_asked: bool,
    /// It has sent what ends the connection.
    is_done: bool,
    /// It behaves from now on.
    pub(crate) is_polite: bool,
}

impl Client {
    pub(crate) fn new(
        (id, peer): (u64, Peer),
        temper: Temper,
        rng: Rng,
        room: usize,
        ledger: Ledger,
    ) -> Client {
        Client {
            id,
            peer,
            wrong_left: if temper.proof == Proof::Wrong { 1 } else { 0 },
            temper,
            rng,
            outbox: VecDeque::new(),
            handshake: 0,
            to_server: VecDeque::new(),
            from_server: VecDeque::new(),
            room,
            inbox: Vec::new(),
            eof: false,
            vanished: false,
            is_broken: false,
            ledger,
            serial: 0,
            awaited: Vec::new(),
            is_open: false,
            challenge: None,
            owes: 0,
            has_asked: false,
            is_done: false,
            is_polite: false,
        }
    }

    /// Begins with bytes that are not messages: its part of a handshake.
    pub(crate) fn shake_hands(&mut self, bytes: usize) {
        self.handshake = bytes;
        self.outbox.extend(std::iter::repeat_n(0x16, bytes));
    }

    /// Does one of the things it does.
    pub(crate) fn act(&mut self) {
        match self.rng.below(4) {
            0 => self.say(),
            1 | 2 => self.send(),
            _ => {
                if self.temper.reads {
                    let most = 1 + self.rng.below(300);
                    self.read(most);
                }
            }
        }
    }

    /// Does all that a client that behaves does now; whether there was anything.
    pub(crate) fn behave(&mut self) -> bool {
        let before = (self.outbox.len(), self.from_server.len(), self.eof);
        self.is_polite = true;
        self.read(usize::MAX);
        self.temper.chunk = usize::MAX;
        self.temper.half = false;
        self.send();
        before.1 > 0 || before.0 > 0
    }

    /// Adds a message to what it is about to send.
    fn put(&mut self, kind: Kind) {
        self.serial += 1;
        let bytes = kind.encode(self.id, self.serial);
        let is_call = !kind.is_keepalive() && kind != Kind::NotACall;
        if is_call {
            self.awaited.push(self.serial);
        }
        let serial = if kind.is_keepalive() { 0 } else { self.serial };
        self.ledger.write(kind, serial, &bytes);
        self.outbox.extend(bytes);
    }

    /// Thinks of something to say, if it may say more.
    fn say(&mut self) {
        if self.is_done || self.eof || self.vanished || self.is_polite {
            return;
        }
        if self.temper.calls == 0 {
            return self.leave();
        }
        if self.awaited.len() >= self.temper.window {
            return;
        }
        if self.temper.mischief.is_some_and(|of| self.rng.one_in(of)) {
            self.temper.calls -= 1;
            return self.misbehave();
        }
        let standing = &self.ledger.standing;
        let (scheme, is_known) = (standing.scheme, standing.is_known);
        if scheme != 0 && !is_known && self.temper.proof != Proof::Never {
            return self.prove(scheme);
        }
        self.temper.calls -= 1;
        let kind = match self.rng.below(12) {
            _ if self.temper.asks_keepalive && !self.has_asked => {
                self.has_asked = true;
                Kind::AskKeepalive
            }
            _ if !self.is_open => {
                self.is_open = true;
                Kind::Open {
                    read_only: self.rng.one_in(5),
                    good: !self.rng.one_in(8),
                }
            }
            0 => Kind::Ping,
            1 | 2 => Kind::Slow,
            3 => Kind::Write { urgent: true },
            4 => Kind::Write { urgent: false },
            5 | 6 => Kind::Hostname,
            _ => Kind::Read,
        };
        self.put(kind);
    }

    /// Goes on to say who it is; each step waits for the answer to the one before.
    fn prove(&mut self, scheme: u32) {
        if !self.awaited.is_empty() {
            return;
        }
        let is_wrong = self.wrong_left > 0;
        let kind = match (scheme, self.challenge.take()) {
            (2, _) => {
                self.wrong_left = self.wrong_left.saturating_sub(1);
                Kind::Polkit { granted: !is_wrong }
            }
            (_, Some(challenge)) => {
                self.wrong_left = self.wrong_left.saturating_sub(1);
                let data = scram::proof(FIRST, PASSWORD, &challenge);
                if is_wrong {
                    Kind::SaslStep {
                        right: false,
                        data: b"c=biws,r=simulated".to_vec(),
                    }
                } else {
                    Kind::SaslStep { right: true, data }
                }
            }
            _ => match self.ledger.standing.stage() {
                0 if self.rng.one_in(3) => Kind::AuthList { padding: 0 },
                0 => Kind::SaslInit,
                _ => Kind::SaslStart {
                    sound: !(is_wrong && self.rng.one_in(2)),
                },
            },
        };
        self.put(kind);
    }

    fn misbehave(&mut self) {
        let cap = self.ledger.longest_while_anonymous;
        let kind = match self.rng.below(14) {
            0 => Kind::OddKeepalive,
            1 => Kind::NotACall,
            2 => Kind::StrangeCall,
            3 => Kind::BadStatus,
            4 => Kind::UnknownProcedure,
            5 => Kind::Garbled,
            6 => Kind::SaslInit,
            7 => Kind::SaslStart { sound: false },
            8 => Kind::Polkit { granted: false },
            9 => Kind::Pong,
            // Exactly as long as a message may be before the client is known.
            10 => Kind::AuthList {
                padding: cap - wire::HEADER,
            },
            11 => Kind::Open {
                read_only: false,
                good: true,
            },
            12 => Kind::Break(Breach::Descriptors),
            _ => Kind::Break(Breach::Length(match self.rng.below(3) {
                0 => u32::try_from(self.rng.below(wire::HEADER)).expect("it is small"),
                1 if self.is_surely_anonymous() => u32::try_from(cap + 1).expect("it is small"),
                _ => 33_554_437,
            })),
        };
        self.is_done = matches!(kind, Kind::Break(_));
        self.put(kind);
    }

    /// Whether nobody can know who it is when the server reads what it sends next.
    fn is_surely_anonymous(&self) -> bool {
        let standing = &self.ledger.standing;
        self.awaited.is_empty() && !standing.is_known && !(standing.is_root && standing.scheme == 2)
    }

    fn leave(&mut self) {
        match self.temper.leaves {
            Leave::Close => {
                self.put(Kind::Close);
                self.is_done = true;
            }
            Leave::HalfClose if self.outbox.is_empty() => self.half_close(),
            Leave::Vanish => self.vanish(),
            Leave::HalfClose | Leave::Stay => {}
        }
    }

    pub(crate) fn half_close(&mut self) {
        self.eof = true;
        self.is_done = true;
    }

    /// Is gone, with all that was on its way.
    pub(crate) fn vanish(&mut self) {
        self.vanished = true;
        self.is_done = true;
    }

    /// Puts some of what it has to say on its way.
    fn send(&mut self) {
        if self.eof || self.vanished {
            return;
        }
        let keep = usize::from(self.temper.half);
        let most = self
            .outbox
            .len()
            .saturating_sub(keep)
            .min(self.temper.chunk);
        let count = if self.is_polite || most == 0 {
            most
        } else {
            1 + self.rng.below(most)
        };
        self.to_server.extend(self.outbox.drain(..count));
    }

    /// Reads at most so much, and answers what it has to.
    fn read(&mut self, most: usize) {
        let count = most.min(self.from_server.len());
        self.inbox.extend(self.from_server.drain(..count));
        let mut inbox = std::mem::take(&mut self.inbox);
        while let Some((head, body, length)) = wire::first(&inbox) {
            if head.program == wire::KEEPALIVE {
                self.owes += usize::from(head.procedure == 1);
            } else {
                self.awaited.retain(|serial| *serial != head.serial);
                if head.procedure == wire::SASL_START && head.status == 0 {
                    self.challenge = wire::chars_in(body, 2);
                }
            }
            inbox.drain(..length);
        }
        self.inbox = inbox;
        if (self.temper.answers_pings || self.is_polite) && !self.eof {
            for _ in 0..std::mem::take(&mut self.owes) {
                self.put(Kind::Pong);
            }
        }
    }
}
