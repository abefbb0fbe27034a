//! What a client says, and what the specification says must come of it.

use crate::wire::{self, Head, chars, counted, domain};

/// One message of a client, by what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ping,
    Pong,
    /// Of the keepalive program, and neither of the two.
    OddKeepalive,
    /// An answer that nobody asked for.
    UnexpectedReply,
    /// A call of a program that is not served.
    UnknownProgram,
    /// A call whose status says that it failed.
    BadStatus,
    UnknownProcedure,
    /// A call of an existing procedure, but its arguments are missing.
    MissingArguments,
    AuthList {
        /// Bytes behind the arguments, which are to be ignored.
        padding: usize,
    },
    SaslInit,
    SaslStart {
        /// The mechanism is offered.
        offered: bool,
    },
    SaslStep {
        valid: bool,
        data: Vec<u8>,
    },
    Polkit {
        /// What the user will say.
        granted: bool,
    },
    Open {
        read_only: bool,
        /// The hypervisor is there.
        exists: bool,
    },
    Close,
    /// Whether the server answers pings: from then on it may ping.
    RequestKeepalive,
    Hostname,
    Read,
    /// Reads, and is no urgent call.
    Slow,
    Write {
        urgent: bool,
    },
    Break(Breach),
}

/// What ends the connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A length word that is no message's.
    Length(u32),
    /// A call that brings descriptors.
    Descriptors,
}

impl Kind {
    /// Whether it passes by calls in progress.
    pub(crate) fn is_keepalive(&self) -> bool {
        matches!(self, Kind::Ping | Kind::Pong | Kind::OddKeepalive)
    }

    /// Whether nobody knows what the next call may do until it is over.
    pub(crate) fn is_barrier(&self) -> bool {
        matches!(
            self,
            Kind::Open { .. }
                | Kind::SaslStart { .. }
                | Kind::SaslStep { .. }
                | Kind::Polkit { .. }
        )
    }

    /// The name under which it asks for the domain, if it does.
    pub(crate) fn tag(&self, client: u64, serial: u32) -> Option<String> {
        matches!(self, Kind::Read | Kind::Slow | Kind::Write { .. })
            .then(|| format!("{client}/{serial}"))
    }

    /// The bytes.
    pub(crate) fn encode(&self, client: u64, serial: u32) -> Vec<u8> {
        let call = |procedure| Head::call(procedure, serial);
        let tag = self.tag(client, serial).unwrap_or_default();
        match self {
            Kind::Ping => Head::keepalive(1).with(&[]),
            Kind::Pong => Head::keepalive(2).with(&[]),
            Kind::OddKeepalive => Head::keepalive(3).with(&[]),
            Kind::UnexpectedReply => {
                let kind = wire::REPLY;
                Head {
                    kind,
                    ..call(wire::LOOKUP)
                }
                .with(&counted(b"test"))
            }
            Kind::UnknownProgram => {
                let program = 0x1234_5678;
                Head { program, ..call(1) }.with(&[])
            }
            Kind::BadStatus => {
                let status = 1;
                Head {
                    status,
                    ..call(wire::HOSTNAME)
                }
                .with(&[])
            }
            Kind::UnknownProcedure => call(9_999).with(&[]),
            Kind::MissingArguments => call(wire::FEATURE).with(&[]),
            Kind::AuthList { padding } => call(wire::AUTH_LIST).with(&vec![0xee; *padding]),
            Kind::SaslInit => call(wire::SASL_INIT).with(&[]),
            Kind::SaslStart { offered } => {
                let mechanism: &[u8] = if *offered { b"SCRAM-SHA-256" } else { b"PLAIN" };
                let first = chars(FIRST.as_bytes());
                call(wire::SASL_START).with(&[counted(mechanism), vec![0; 4], first].concat())
            }
            Kind::SaslStep { data, .. } => {
                call(wire::SASL_STEP).with(&[vec![0; 4], chars(data)].concat())
            }
            Kind::Polkit { .. } => call(wire::POLKIT).with(&[]),
            Kind::Open { read_only, exists } => {
                let uri: &[u8] = if *exists {
                    b"test:///default"
                } else {
                    b"nosuch:///"
                };
                let flags = u32::from(*read_only).to_be_bytes();
                let is_there = 1_u32.to_be_bytes();
                call(wire::OPEN).with(&[&is_there[..], &counted(uri), &flags].concat())
            }
            Kind::Close => call(wire::CLOSE).with(&[]),
            Kind::RequestKeepalive => call(wire::FEATURE).with(&10_u32.to_be_bytes()),
            Kind::Hostname => call(wire::HOSTNAME).with(&[]),
            Kind::Read => call(wire::LOOKUP).with(&counted(tag.as_bytes())),
            Kind::Slow => call(wire::INFO).with(&domain(&tag)),
            Kind::Write { urgent: true } => call(wire::DESTROY).with(&domain(&tag)),
            Kind::Write { urgent: false } => call(wire::SUSPEND).with(&domain(&tag)),
            Kind::Break(Breach::Length(length)) => length.to_be_bytes().to_vec(),
            Kind::Break(Breach::Descriptors) => {
                let kind = 4;
                Head {
                    kind,
                    ..call(wire::HOSTNAME)
                }
                .with(&1_u32.to_be_bytes())
            }
        }
    }
}

/// What a client says first in an exchange.
pub(crate) const FIRST: &str = "n,,n=alice,r=simulated";
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &[u8] = b"wonderland";

/// What must come of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing.
    Nothing,
    /// A reply whose body begins so.
    Success(Vec<u8>),
    /// A reply that the call failed, with this number.
    Failure(u32),
    /// A reply; whether the call succeeded depends on the hypervisor.
    Reply,
    /// The end, without a reply.
    End,
}

/// How a message is to be dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// By the session alone.
    Answered,
    /// With an error, by the session.
    Refused,
    /// Not at all.
    Dropped,
    /// By the hypervisor, or whoever knows passwords.
    Dispatched,
}

/// What a client has reached with the messages so far; they count in the order in which they were sent.
#[derive(Clone, Debug)]
pub(crate) struct SessionModel {
    /// How to authenticate: 0 not at all, 1 by SASL, 2 by polkit.
    pub(crate) scheme: u32,
    pub(crate) is_root: bool,
    pub(crate) is_authenticated: bool,
    /// How many steps of SASL it has behind it.
    sasl_step: u32,
    failures: u32,
    pub(crate) max_failures: u32,
    pub(crate) read_only: bool,
    pub(crate) is_open: bool,
    /// Nothing it sends has any effect any more.
    pub(crate) has_ended: bool,
    pub(crate) hostname: Vec<u8>,
}

impl SessionModel {
    pub(crate) fn new(scheme: u32, read_only: bool) -> SessionModel {
        SessionModel {
            scheme,
            is_root: false,
            is_authenticated: scheme == 0,
            sasl_step: 0,
            failures: 0,
            max_failures: 3,
            read_only,
            is_open: false,
            has_ended: false,
            hostname: Vec::new(),
        }
    }

    /// Takes the next message: what must come of it, and how.
    pub(crate) fn take(&mut self, kind: &Kind) -> (Handling, Expected) {
        let refused = |code| (Handling::Refused, Expected::Failure(code));
        match kind {
            Kind::Ping | Kind::Pong | Kind::OddKeepalive | Kind::UnexpectedReply => {
                (Handling::Dropped, Expected::Nothing)
            }
            Kind::UnknownProgram | Kind::BadStatus | Kind::UnknownProcedure => refused(wire::RPC),
            Kind::Break(_) => {
                self.has_ended = true;
                (Handling::Dropped, Expected::End)
            }
            Kind::AuthList { .. } => {
                self.is_authenticated |= self.scheme == 2 && self.is_root;
                let scheme = if self.is_authenticated {
                    0
                } else {
                    self.scheme
                };
                (Handling::Answered, Expected::Success(words(&[1, scheme])))
            }
            Kind::SaslInit
            | Kind::SaslStart { .. }
            | Kind::SaslStep { .. }
            | Kind::Polkit { .. } => self.authenticate(kind),
            _ if !self.is_authenticated => refused(wire::RPC),
            Kind::MissingArguments => refused(wire::RPC),
            Kind::Write { .. } if self.read_only => refused(wire::OPERATION_DENIED),
            Kind::RequestKeepalive => (Handling::Answered, Expected::Success(words(&[1]))),
            Kind::Close => {
                self.has_ended = true;
                (Handling::Answered, Expected::Success(Vec::new()))
            }
            Kind::Open { .. } if self.is_open => (
                Handling::Dispatched,
                Expected::Failure(wire::INTERNAL_ERROR),
            ),
            Kind::Open { exists: false, .. } => {
                (Handling::Dispatched, Expected::Failure(wire::NO_CONNECT))
            }
            Kind::Open { read_only, .. } => {
                self.is_open = true;
                self.read_only |= *read_only;
                (Handling::Dispatched, Expected::Success(Vec::new()))
            }
            _ if !self.is_open => (
                Handling::Dispatched,
                Expected::Failure(wire::INTERNAL_ERROR),
            ),
            Kind::Hostname => (
                Handling::Dispatched,
                Expected::Success(counted(&self.hostname)),
            ),
            Kind::Read | Kind::Slow => (Handling::Dispatched, Expected::Success(Vec::new())),
            Kind::Write { .. } => (Handling::Dispatched, Expected::Reply),
        }
    }

    fn authenticate(&mut self, kind: &Kind) -> (Handling, Expected) {
        let is_turn = !self.is_authenticated
            && match kind {
                Kind::SaslInit => (self.scheme, self.sasl_step) == (1, 0),
                Kind::SaslStart { .. } => (self.scheme, self.sasl_step) == (1, 1),
                Kind::SaslStep { .. } => (self.scheme, self.sasl_step) == (1, 2),
                _ => self.scheme == 2,
            };
        let body = match kind {
            _ if !is_turn => {
                self.fail();
                return (Handling::Refused, Expected::Failure(wire::AUTH_FAILED));
            }
            Kind::SaslInit => {
                self.sasl_step = 1;
                return (
                    Handling::Answered,
                    Expected::Success(counted(b"SCRAM-SHA-256")),
                );
            }
            Kind::SaslStart { offered: true } => {
                self.sasl_step = 2;
                words(&[0, 0])
            }
            Kind::SaslStep { valid: true, .. } => {
                self.is_authenticated = true;
                words(&[1, 0])
            }
            Kind::Polkit { granted: true } => {
                self.is_authenticated = true;
                words(&[1])
            }
            _ => {
                self.sasl_step = 0;
                self.fail();
                return (Handling::Dispatched, Expected::Failure(wire::AUTH_FAILED));
            }
        };
        (Handling::Dispatched, Expected::Success(body))
    }

    /// How many steps of SASL it has behind it.
    pub(crate) fn sasl_step(&self) -> u32 {
        self.sasl_step
    }

    /// DM-1005.
    fn fail(&mut self) {
        if !self.is_authenticated {
            self.failures += 1;
            self.has_ended |= self.failures >= self.max_failures;
        }
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
