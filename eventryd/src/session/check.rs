//! The checks of a message, without side effects.

use super::{Access, DropReason, Refusal};
use crate::wire::{
    Call, CallError, Frame, Header, MessageType, Permission, Procedure, Program, Status,
};

/// The state of the session that the checks depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checks {
    pub(super) authenticated: bool,
    pub(super) access: Access,
}

/// A message that was checked.
#[derive(Debug)]
pub(super) enum Checked {
    /// A ping, to be answered with a pong.
    Ping,
    /// A pong, which has no other effect than to show that the client is alive.
    Pong,
    /// A message to drop.
    Drop(DropReason),
    /// A message to answer with an error.
    Refuse(Refusal),
    /// A call to execute.
    Call(Call),
}

/// Tests if a message is processed before the calls that wait (DM-905).
pub(super) fn is_keepalive(header: &Header) -> bool {
    header.kind == MessageType::Message
        && Program::find(header.program, header.version) == Some(Program::Keepalive)
}

impl Checks {
    /// Checks a message. Clients see the order of the checks: a program or procedure that is not served is reported
    /// as such even to a client that is not authenticated.
    ///
    /// Read-only access is checked after decoding and before any effect.
    pub(super) fn check(self, frame: &Frame<'_>) -> Checked {
        if is_keepalive(&frame.header) {
            return match frame.header.procedure {
                Header::PING => Checked::Ping,
                Header::PONG => Checked::Pong,
                _ => Checked::Drop(DropReason::UnknownKeepalive),
            };
        }
        let Header {
            program,
            version,
            procedure: number,
            kind,
            status,
            ..
        } = frame.header;
        let is_call = matches!(kind, MessageType::Call | MessageType::CallWithFds);
        let served = match Program::find(program, version) {
            Some(served @ (Program::Remote | Program::Qemu | Program::Lxc)) => served,
            _ if is_call => {
                return Checked::Refuse(Refusal::UnknownProgram { program, version });
            }
            _ => return Checked::Drop(DropReason::UnknownProgram),
        };
        if !is_call {
            return Checked::Drop(DropReason::NotACall);
        }
        if status != Status::Ok {
            return Checked::Refuse(Refusal::Status(i32::from(status) as u32));
        }
        // Programs for one hypervisor are known, but none of their procedures is served.
        let procedure = match served {
            Program::Remote => Procedure::find(number),
            _ => None,
        };
        let Some(procedure) = procedure else {
            return Checked::Refuse(Refusal::UnknownProcedure(number));
        };
        if !self.authenticated && !procedure.is_authentication() {
            return Checked::Refuse(Refusal::AuthenticationRequired);
        }
        match Call::decode(number, frame.payload) {
            Err(CallError::UnknownProcedure(number)) => {
                Checked::Refuse(Refusal::UnknownProcedure(number))
            }
            Err(CallError::Undecodable(error)) => Checked::Refuse(Refusal::Undecodable(error)),
            Ok(_)
                if self.access == Access::ReadOnly && procedure.read_only != Permission::Allow =>
            {
                Checked::Refuse(Refusal::ReadOnly(procedure))
            }
            Ok(call) => Checked::Call(call),
        }
    }
}
