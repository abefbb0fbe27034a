//! The 24 bytes that begin every message.

use super::{DecodeError, Decoder, Encoder, Procedure, Xdr};

/// A program: a set of procedures that a peer can serve. Every one has version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// The API of libvirt, 0x20008086.
    Remote,
    /// The extensions for QEMU, 0x20008087.
    Qemu,
    /// The extensions for LXC, 0x00068000.
    Lxc,
    /// Pings, 0x6b656570, which reads "keep".
    Keepalive,
    /// The administration of a daemon, 0x06900690.
    Admin,
}

impl Program {
    /// The version of every program.
    pub const VERSION: u32 = 1;

    /// The number in the header.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Program::Remote => 0x2000_8086,
            Program::Qemu => 0x2000_8087,
            Program::Lxc => 0x0006_8000,
            Program::Keepalive => 0x6b65_6570,
            Program::Admin => 0x0690_0690,
        }
    }

    /// The program of a header's number and version, if it is one of these.
    #[must_use]
    pub fn find(number: u32, version: u32) -> Option<Self> {
        use Program::{Admin, Keepalive, Lxc, Qemu, Remote};
        [Remote, Qemu, Lxc, Keepalive, Admin]
            .into_iter()
            .find(|program| (program.number(), Self::VERSION) == (number, version))
    }
}

/// What a message is. A number the protocol does not define is kept as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// A call (0); the only type that a server answers.
    Call,
    /// The answer to a call (1).
    Reply,
    /// A message without answer (2): an event, a ping.
    Message,
    /// A piece of a stream (3).
    Stream,
    /// A call with file descriptors (4); the payload begins with their count.
    CallWithFds,
    /// The answer to a call, with file descriptors (5).
    ReplyWithFds,
    /// A hole in a stream (6).
    StreamHole,
    /// Anything else.
    Unknown(i32),
}

/// How a call ended, or where a stream stands. In a call it must be [`Status::Ok`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success (0).
    Ok,
    /// The payload is a [`RemoteError`](super::RemoteError) (1).
    Error,
    /// More of the stream follows (2).
    Continue,
    /// Anything else.
    Unknown(i32),
}

macro_rules! open_enum {
    ($name:ident { $($number:literal => $variant:ident,)+ }) => {
        impl From<i32> for $name {
            fn from(word: i32) -> Self {
                match word {
                    $($number => $name::$variant,)+
                    other => $name::Unknown(other),
                }
            }
        }

        impl From<$name> for i32 {
            fn from(value: $name) -> i32 {
                match value {
                    $($name::$variant => $number,)+
                    $name::Unknown(other) => other,
                }
            }
        }

        impl Xdr for $name {
            const MIN_LEN: usize = 4;

            fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                from.i32().map(Self::from)
            }

            fn encode(&self, to: &mut Encoder<'_>) {
                to.i32((*self).into());
            }
        }
    };
}

open_enum!(MessageType {
    0 => Call,
    1 => Reply,
    2 => Message,
    3 => Stream,
    4 => CallWithFds,
    5 => ReplyWithFds,
    6 => StreamHole,
});

open_enum!(Status {
    0 => Ok,
    1 => Error,
    2 => Continue,
});

super::xdr_struct! {
    /// The header of a message. Nothing in it is checked: it says what the peer sent.
    #[derive(Copy)]
    Header {
        /// The program's number; [`Program::find`] knows the defined ones.
        program: u32,
        /// The program's version.
        version: u32,
        /// The procedure's number within the program.
        procedure: i32,
        /// What the message is.
        kind: MessageType,
        /// The caller's number for the call; the reply repeats it. Two calls may carry the same.
        serial: u32,
        /// How the call ended.
        status: Status,
    }
}

impl Header {
    /// The header of a call of a procedure of [`Program::Remote`].
    #[must_use]
    pub const fn call(procedure: &Procedure, serial: u32) -> Self {
        Self {
            program: Program::Remote.number(),
            version: Program::VERSION,
            procedure: procedure.number,
            kind: MessageType::Call,
            serial,
            status: Status::Ok,
        }
    }

    /// The header of the answer to the call with this header: all but type and status is repeated.
    #[must_use]
    pub const fn reply(self, status: Status) -> Self {
        Self {
            kind: MessageType::Reply,
            status,
            ..self
        }
    }

    /// The header of a ping's answer (DM-902).
    #[must_use]
    pub const fn pong() -> Self {
        Self {
            program: Program::Keepalive.number(),
            version: Program::VERSION,
            procedure: Self::PONG,
            kind: MessageType::Message,
            serial: 0,
            status: Status::Ok,
        }
    }

    /// The header of a message that asks for a sign of life (DM-902).
    #[must_use]
    pub const fn ping() -> Self {
        Self {
            procedure: Self::PING,
            ..Self::pong()
        }
    }

    /// The procedure of [`Program::Keepalive`] that asks for a sign of life (DM-902).
    pub const PING: i32 = 1;
    /// The procedure of [`Program::Keepalive`] that gives it (DM-902).
    pub const PONG: i32 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_numbers_survive_the_round_trip() {
        for word in -3..10 {
            assert_eq!(i32::from(MessageType::from(word)), word);
            assert_eq!(i32::from(Status::from(word)), word);
        }
        assert_eq!(MessageType::from(7), MessageType::Unknown(7));
        assert_eq!(Status::from(99), Status::Unknown(99));
    }

    #[test]
    fn find_ignores_programs_of_another_version() {
        assert_eq!(Program::find(0x2000_8086, 1), Some(Program::Remote));
        assert_eq!(Program::find(0x2000_8086, 2), None);
        assert_eq!(Program::find(0x1234_5678, 1), None);
    }
}
