//! The messages of a client, and the reply that the specification requires for each.

use crate::wire::{self, Head, chars, counted, domain};

/// The kind of a client's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ping,
    Pong,
    /// A message of the keepalive program that is neither ping nor pong.
    OddKeepalive,
    /// A reply without a call.
    UnexpectedReply,
    /// A call of an unknown program.
    UnknownProgram,
    /// A call with the status of an error.
    BadStatus,
    UnknownProcedure,
    /// A call of an existing procedure without its arguments.
    MissingArguments,
    AuthList {
        /// The number of bytes after the arguments, which the server ignores.
        padding: usize,
    },
    SaslInit,
    SaslStart {
        /// The server offers the mechanism.
        offered: bool,
    },
    SaslStep {
        valid: bool,
        data: Vec<u8>,
    },
    Polkit {
        /// The decision of polkit.
        granted: bool,
    },
    Open {
        read_only: bool,
        /// The hypervisor exists.
        exists: bool,
    },
    Close,
    /// The question whether the server supports keepalive, after which the server may send pings.
    RequestKeepalive,
    Hostname,
    Read,
    /// A read call of normal priority.
    Slow,
    Write {
        urgent: bool,
    },
    Break(Breach),
}

/// A violation of the protocol, which ends the connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// An invalid length word.
    Length(u32),
    /// A call with file descriptors.
    Descriptors,
}

impl Kind {
    /// Returns `true` for a message that does not wait for calls in progress.
    pub(crate) fn is_keepalive(&self) -> bool {
        matches!(self, Kind::Ping | Kind::Pong | Kind::OddKeepalive)
    }

    /// Returns `true` if the call decides which calls are allowed after it, so that the next one waits.
    pub(crate) fn is_barrier(&self) -> bool {
        matches!(
            self,
            Kind::Open { .. }
                | Kind::SaslStart { .. }
                | Kind::SaslStep { .. }
                | Kind::Polkit { .. }
        )
    }

    /// Returns the domain name in the call, if it has one.
    pub(crate) fn tag(&self, client: u64, serial: u32) -> Option<String> {
        matches!(self, Kind::Read | Kind::Slow | Kind::Write { .. })
            .then(|| format!("{client}/{serial}"))
    }

    /// Encodes the message.
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

/// The first message of the client in a SCRAM exchange.
pub(crate) const FIRST: &str = "n,,n=alice,r=simulated";
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &[u8] = b"wonderland";

/// The expected reply to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// No reply.
    Nothing,
    /// A success whose body begins with these bytes.
    Success(Vec<u8>),
    /// An error with this code.
    Failure(u32),
    /// A success or an error, which depends on the state of the domain.
    Reply,
    /// The end of the connection, without a reply.
    End,
}

/// The handling of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// The session answers.
    Answered,
    /// The session answers with an error.
    Refused,
    /// The session ignores the message.
    Dropped,
    /// The hypervisor or the authenticator answers.
    Dispatched,
}

/// A model of the protocol state of one client. Messages are applied in the order in which they were sent.
#[derive(Clone, Debug)]
pub(crate) struct SessionModel {
    /// The authentication type: 0 for none, 1 for SASL, 2 for polkit.
    pub(crate) scheme: u32,
    pub(crate) is_root: bool,
    pub(crate) is_authenticated: bool,
    /// The number of completed SASL steps.
    sasl_step: u32,
    failures: u32,
    pub(crate) max_failures: u32,
    pub(crate) read_only: bool,
    pub(crate) is_open: bool,
    /// Further messages have no effect.
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

    /// Applies the next message; returns its handling and the expected reply.
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

    /// Returns the number of completed SASL steps.
    pub(crate) fn sasl_step(&self) -> u32 {
        self.sasl_step
    }

    /// Counts a failed authentication (DM-1005).
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
