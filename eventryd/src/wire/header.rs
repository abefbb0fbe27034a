//! The header of 24 bytes at the start of every message.

use super::{DecodeError, Decoder, Encoder, Procedure, Xdr};

/// A program: a set of procedures. Every program has version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// The libvirt API, 0x20008086.
    Remote,
    /// The QEMU extensions, 0x20008087.
    Qemu,
    /// The LXC extensions, 0x00068000.
    Lxc,
    /// Keepalive messages, 0x6b656570 ("keep" in ASCII).
    Keepalive,
    /// Administration of the daemon, 0x06900690.
    Admin,
}

impl Program {
    /// The version of every program.
    pub const VERSION: u32 = 1;

    /// Returns the program number in the header.
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

    /// Returns the program with this number and version, if it is defined.
    #[must_use]
    pub fn find(number: u32, version: u32) -> Option<Self> {
        use Program::{Admin, Keepalive, Lxc, Qemu, Remote};
        [Remote, Qemu, Lxc, Keepalive, Admin]
            .into_iter()
            .find(|program| (program.number(), Self::VERSION) == (number, version))
    }
}

/// The type of a message. An undefined number is preserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// Call (0), the only type that a server replies to.
    Call,
    /// Reply to a call (1).
    Reply,
    /// Message without a reply (2), such as an event or a ping.
    Message,
    /// Part of a stream (3).
    Stream,
    /// Call with file descriptors (4). The payload starts with their count.
    CallWithFds,
    /// Reply with file descriptors (5).
    ReplyWithFds,
    /// Hole in a stream (6).
    StreamHole,
    /// Undefined type.
    Unknown(i32),
}

/// The status of a call or a stream. A call must have [`Status::Ok`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success (0).
    Ok,
    /// Failure (1). The payload is a [`RemoteError`](super::RemoteError).
    Error,
    /// More data of the stream follows (2).
    Continue,
    /// Undefined status.
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
    /// The header of a message, with the values that the peer sent, unchecked.
    #[derive(Copy)]
    Header {
        /// Program number; [`Program::find`] returns the program if it is defined.
        program: u32,
        /// Program version.
        version: u32,
        /// Procedure number within the program.
        procedure: i32,
        /// Message type.
        kind: MessageType,
        /// The caller's number for the call, repeated in the reply. It need not be unique.
        serial: u32,
        /// Status.
        status: Status,
    }
}

impl Header {
    /// Returns the header of a call of a procedure of [`Program::Remote`].
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

    /// Returns the header of the reply to the call with this header. Only type and status differ.
    #[must_use]
    pub const fn reply(self, status: Status) -> Self {
        Self {
            kind: MessageType::Reply,
            status,
            ..self
        }
    }

    /// Returns the header of the reply to a keepalive request (DM-902).
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

    /// Returns the header of a keepalive request (DM-902).
    #[must_use]
    pub const fn ping() -> Self {
        Self {
            procedure: Self::PING,
            ..Self::pong()
        }
    }

    /// Keepalive request, a procedure of [`Program::Keepalive`] (DM-902).
    pub const PING: i32 = 1;
    /// Keepalive reply, a procedure of [`Program::Keepalive`] (DM-902).
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
