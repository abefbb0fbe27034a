//! What becomes of a message, decided without side effects.

use super::{Access, DropReason, Refusal};
use crate::wire::{
    Call, CallError, Frame, Header, MessageType, Permission, Procedure, Program, Status,
};

/// What the decision depends on besides the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checks {
    pub(super) authenticated: bool,
    pub(super) access: Access,
}

/// The decision.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Answer with a pong.
    Ping,
    /// It has been heard; that is all.
    Pong,
    /// Do nothing.
    Drop(DropReason),
    /// Answer with an error.
    Refuse(Refusal),
    /// Carry it out.
    Call(Call),
}

/// Whether a message is one that passes by the calls in progress (DM-905).
pub(super) fn is_keepalive(header: &Header) -> bool {
    header.kind == MessageType::Message
        && Program::find(header.program, header.version) == Some(Program::Keepalive)
}

impl Checks {
    /// Decides. The order of the checks is part of what clients see: a program and a procedure that are
    /// not served are reported as such even to a client that has not authenticated.
    ///
    /// The read-only gate stands behind the decoding, and in front of everything that could have an effect.
    pub(super) fn judge(self, frame: &Frame<'_>) -> Verdict {
        if is_keepalive(&frame.header) {
            return match frame.header.procedure {
                Header::PING => Verdict::Ping,
                Header::PONG => Verdict::Pong,
                _ => Verdict::Drop(DropReason::UnknownKeepalive),
            };
        }
        let Header {
            program,
            version,
            kind,
            ..
        } = frame.header;
        let is_call = matches!(kind, MessageType::Call | MessageType::CallWithFds);
        let served = match Program::find(program, version) {
            Some(served @ (Program::Remote | Program::Qemu | Program::Lxc)) => served,
            _ if is_call => {
                return Verdict::Refuse(Refusal::UnknownProgram { program, version });
            }
            _ => return Verdict::Drop(DropReason::UnknownProgram),
        };
        if !is_call {
            return Verdict::Drop(DropReason::NotACall);
        }
        self.judge_call(served, frame)
            .map_or_else(Verdict::Refuse, Verdict::Call)
    }

    fn judge_call(self, program: Program, frame: &Frame<'_>) -> Result<Call, Refusal> {
        let Header {
            procedure: number,
            status,
            ..
        } = frame.header;
        if status != Status::Ok {
            return Err(Refusal::Status(i32::from(status) as u32));
        }
        // The programs for one hypervisor only are known, but none of their procedures is served.
        let procedure = match program {
            Program::Remote => Procedure::find(number),
            _ => None,
        };
        let procedure = procedure.ok_or(Refusal::UnknownProcedure(number))?;
        if !self.authenticated && !procedure.is_authentication() {
            return Err(Refusal::AuthenticationRequired);
        }
        let call = Call::decode(number, frame.payload).map_err(|error| match error {
            CallError::UnknownProcedure(number) => Refusal::UnknownProcedure(number),
            CallError::Undecodable(error) => Refusal::Undecodable(error),
        })?;
        if self.access == Access::ReadOnly && procedure.read_only != Permission::Allow {
            return Err(Refusal::ReadOnly(procedure));
        }
        Ok(call)
    }
}
