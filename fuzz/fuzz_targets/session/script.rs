//! The actions of a client and the daemon, decoded from bytes.
//!
//! Most messages are well-formed, because random bytes do not pass the header. Bytes are decoded from the front, so that
//! `session_seeds.py` can encode recorded sessions.

use std::num::NonZeroUsize;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use eventryd::session::{Access, Auth, ClientLimits, SessionConfig};
use eventryd::wire::{
    Call, ConnectOpenArgs, Header, LookupByNameArgs, MessageType, PROCEDURES, Program, Status,
};
use test_support::rpc::{PING, framed, message, message_of, message_with};

/// Limit of the output in bytes; small, so that a short input reaches it.
pub(crate) const MAX_OUTPUT: usize = 256;

/// The actions on one session.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) config: SessionConfig,
    /// The number of the first bytes that are the handshake of the transport.
    pub(crate) handshake: usize,
    /// Lengths of the pieces in which the bytes arrive, repeated cyclically.
    pub(crate) chunks: Vec<usize>,
    pub(crate) steps: Vec<Step>,
}

/// Bytes that the client sends, and the daemon's action after they have arrived.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) sent: Vec<u8>,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Then {
    #[default]
    Nothing,
    /// The oldest call completes.
    AnswerOldest,
    /// The newest call completes.
    AnswerNewest,
    /// Up to this number of bytes of output is sent.
    Send(usize),
    /// Time passes.
    Advance(Duration),
    /// The waiting authentication step succeeds, or else the next one.
    Authenticate,
}

impl Script {
    pub(crate) fn read(from: &mut Unstructured<'_>) -> Result<Script> {
        let choice = from.arbitrary()?;
        let config = config(choice);
        let count = from.int_in_range(0..=3_u8)?;
        let chunks = (0..=count)
            .map(|_| Ok(from.int_in_range(1..=64_u8)?.into()))
            .collect::<Result<_>>()?;
        let mut script = Script {
            config,
            handshake: usize::from(choice >> 4),
            chunks,
            steps: vec![Step::default()],
        };
        while !from.is_empty() {
            script.read_op(from)?;
        }
        Ok(script)
    }

    fn read_op(&mut self, from: &mut Unstructured<'_>) -> Result<()> {
        let step = self
            .steps
            .last_mut()
            .expect("a script has at least one step");
        let sent = &mut step.sent;
        match from.int_in_range(0..=12_u8)? {
            0 => sent.extend(some(from)?),
            1 => {
                let name = Some((*from.choose(&["test:///default", "test", ""])?).into());
                let flags = from.int_in_range(0..=3)?;
                let call = Call::ConnectOpen(ConnectOpenArgs { name, flags });
                sent.extend(message_of(&call, 0));
            }
            2 => {
                let name = (*from.choose(&["test", "none"])?).into();
                let serial = from.arbitrary::<u8>()?;
                let call = Call::DomainLookupByName(LookupByNameArgs { name });
                sent.extend(message_of(&call, serial.into()));
            }
            3 | 4 => {
                let procedure = from.choose(PROCEDURES)?;
                let serial = from.arbitrary::<u8>()?;
                let arguments = some(from)?;
                sent.extend(message(procedure.number, serial.into(), arguments));
            }
            5 => {
                sent.extend(framed(PING, &[]));
            }
            6 => {
                let header = header(from)?;
                sent.extend(message_with(header, some(from)?));
            }
            7 => {
                // Removes a suffix, so that later bytes are read as the rest of the message.
                let less = usize::from(from.arbitrary::<u8>()?);
                sent.truncate(sent.len().saturating_sub(less));
            }
            8 => {
                // Flips a bit.
                let at = usize::from(from.arbitrary::<u16>()?);
                let bit = from.int_in_range(0..=7_u8)?;
                let length = sent.len().max(1);
                if let Some(byte) = sent.get_mut(at % length) {
                    *byte ^= 1 << bit;
                }
            }
            9 => self.act(Then::AnswerOldest),
            10 => {
                let count = from.arbitrary::<u8>()?.into();
                self.act(Then::Send(count));
            }
            11 => {
                let seconds = from.int_in_range(1..=20_u8)?;
                self.act(Then::Advance(Duration::from_secs(seconds.into())));
            }
            _ => {
                let newest = from.ratio(3_u8, 4)?;
                self.act(if newest {
                    Then::AnswerNewest
                } else {
                    Then::Authenticate
                });
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Then) {
        if let Some(step) = self.steps.last_mut() {
            step.then = action;
        }
        self.steps.push(Step::default());
    }
}

impl Script {
    /// Maximum number of calls in progress.
    pub(crate) fn limit(&self) -> usize {
        self.config.limits.max_client_requests.get()
    }
}

fn config(choice: u8) -> SessionConfig {
    let limits = ClientLimits {
        max_client_requests: NonZeroUsize::MIN.saturating_add(usize::from(choice >> 2 & 3)),
        max_output: NonZeroUsize::new(MAX_OUTPUT).expect("not zero"),
        max_frame_before_auth: 128,
        max_frame: 512,
        ..ClientLimits::default()
    };
    SessionConfig {
        access: [Access::ReadWrite, Access::ReadOnly][usize::from(choice & 1)],
        auth: [Auth::None, Auth::Sasl][usize::from(choice >> 1 & 1)],
        awaits_handshake: choice >> 4 != 0,
        limits: limits.into(),
        ..SessionConfig::default()
    }
}

/// Reads a length and that number of bytes, or all remaining bytes.
fn some<'a>(from: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let length = usize::from(from.arbitrary::<u8>()?);
    from.bytes(length.min(from.len()))
}

fn header(from: &mut Unstructured<'_>) -> Result<Header> {
    let program = *from.choose(&[
        Program::Remote.number(),
        Program::Keepalive.number(),
        Program::Qemu.number(),
        Program::Admin.number(),
        0,
    ])?;
    Ok(Header {
        program,
        version: from.int_in_range(0..=2)?,
        procedure: from.int_in_range(-1..=500)?,
        kind: MessageType::from(from.int_in_range(-1..=7)?),
        serial: from.arbitrary::<u8>()?.into(),
        status: Status::from(from.int_in_range(-1..=3)?),
    })
}
