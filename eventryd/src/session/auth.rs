//! How a client proves who it is, as far as the protocol knows: whose turn it is, and how often it failed.
//!
//! ```text
//!   SASL    Begin ── SASL_INIT ──► Start ── SASL_START ──► Step ──┐ SASL_STEP, as often as it takes
//!   polkit  Begin ── POLKIT ─────────────────┐              │ ▲───┘
//!                                            ▼              ▼
//!                                           Done ◄──────────┘      a failure leads back to Begin
//! ```
//!
//! What the data mean, and who the client is then, is decided by the session's owner.

use std::num::NonZeroU32;

use super::{Auth, Ticket};
use crate::auth::{Nonce, Sasl, SaslError, SaslExchange, SaslProgress};
use crate::wire::{
    Call, CharArray, PolkitRet, Procedure, RemoteError, Reply, SASL_DATA_MAX, SaslRet, WireString,
};

/// Something to decide about who a client is; exactly one
/// [`Session::authenticate`](super::Session::authenticate) is due for it, and no other call is handed out
/// before.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// What to answer it with.
    pub ticket: Ticket,
    /// The client's number for the call, for the log.
    pub serial: u32,
    /// What to decide.
    pub step: AuthStep,
}

/// What a client does to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthStep {
    /// It begins with a SASL mechanism of its choice.
    SaslStart {
        /// The mechanism's name, which need not be one that was offered.
        mechanism: WireString,
        /// What it begins with; no data is not the same as no bytes of it.
        data: Option<Vec<u8>>,
    },
    /// It answers what the server said.
    SaslStep {
        /// The answer; no data is not the same as no bytes of it.
        data: Option<Vec<u8>>,
    },
    /// It wants polkit to be asked.
    Polkit,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthResult {
    /// SASL goes on: the server says this.
    Continue(Option<Vec<u8>>),
    /// The client has proved who it is; SASL ends with this.
    Complete(Option<Vec<u8>>),
    /// It has not.
    Failed(RemoteError),
}

impl AuthStep {
    /// What SASL decides, with the client's `exchange` so far and a new `nonce`; `None` if polkit is to
    /// decide.
    pub fn by_sasl(
        &self,
        exchange: &mut SaslExchange,
        sasl: &Sasl,
        nonce: &Nonce,
    ) -> Option<Result<SaslProgress, SaslError>> {
        match self {
            AuthStep::SaslStart { mechanism, data } => {
                Some(exchange.start(sasl, mechanism.as_bytes(), data.as_deref(), nonce))
            }
            AuthStep::SaslStep { data } => Some(exchange.step(sasl, data.as_deref(), nonce)),
            AuthStep::Polkit => None,
        }
    }
}

impl From<Result<SaslProgress, SaslError>> for AuthResult {
    /// The client is not told what was wrong.
    fn from(progress: Result<SaslProgress, SaslError>) -> AuthResult {
        match progress {
            Ok(SaslProgress::Continue(data)) => AuthResult::Continue(data),
            Ok(SaslProgress::Complete { data, .. }) => AuthResult::Complete(Some(data)),
            Err(_) => AuthResult::Failed(RemoteError::authentication_failed()),
        }
    }
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has begun.
    Begin,
    /// The mechanisms are told.
    Start,
    /// A mechanism has begun.
    Step,
    /// It has proved who it is.
    Done,
}

/// One client's way to prove who it is.
#[derive(Debug)]
pub(super) struct Authentication {
    scheme: Auth,
    peer_is_root: bool,
    stage: Stage,
    failures: u32,
    max_failures: NonZeroU32,
}

/// What to do with a call that is in turn.
pub(super) enum Turn {
    /// Tell the mechanisms.
    Mechanisms,
    /// Have it decided.
    Decide(AuthStep),
}

impl Authentication {
    pub(super) fn new(scheme: Auth, peer_is_root: bool, max_failures: NonZeroU32) -> Self {
        let stage = match scheme {
            Auth::None => Stage::Done,
            Auth::Sasl | Auth::Polkit => Stage::Begin,
        };
        Self {
            scheme,
            peer_is_root,
            stage,
            failures: 0,
            max_failures,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    pub(super) fn complete(&mut self) {
        self.stage = Stage::Done;
    }

    pub(super) fn go_on(&mut self) {
        self.stage = Stage::Step;
    }

    /// The scheme to tell a client that asks. Polkit lets root pass, and this is the moment (DM-1003).
    pub(super) fn list(&mut self) -> Auth {
        if self.scheme == Auth::Polkit && self.peer_is_root {
            self.complete();
        }
        if self.is_done() {
            Auth::None
        } else {
            self.scheme
        }
    }

    /// What to do with an authentication call; `None` if it is out of turn, which changes nothing.
    pub(super) fn turn(&mut self, call: &mut Call) -> Option<Turn> {
        match (self.scheme, self.stage, call) {
            (Auth::Sasl, Stage::Begin, Call::AuthSaslInit(())) => {
                self.stage = Stage::Start;
                Some(Turn::Mechanisms)
            }
            (Auth::Sasl, Stage::Start, Call::AuthSaslStart(args)) => {
                let mechanism = std::mem::take(&mut args.mech);
                let data = data(args.nil, &mut args.data);
                Some(Turn::Decide(AuthStep::SaslStart { mechanism, data }))
            }
            (Auth::Sasl, Stage::Step, Call::AuthSaslStep(args)) => {
                let data = data(args.nil, &mut args.data);
                Some(Turn::Decide(AuthStep::SaslStep { data }))
            }
            (Auth::Polkit, Stage::Begin, Call::AuthPolkit(())) => {
                Some(Turn::Decide(AuthStep::Polkit))
            }
            _ => None,
        }
    }

    /// The client has to begin again.
    pub(super) fn restart(&mut self) {
        self.stage = Stage::Begin;
    }

    /// Counts a failure; whether it was the last one that the client may have (DM-1005). Who has proved who
    /// it is may ask out of turn as often as it likes: there is nothing left to guess.
    pub(super) fn fail(&mut self) -> bool {
        if self.is_done() {
            return false;
        }
        self.failures += 1;
        self.failures >= self.max_failures.get()
    }
}

/// Whether it is one of the calls that go by turns.
pub(super) fn goes_by_turns(procedure: &Procedure) -> bool {
    (SASL_INIT..=POLKIT).contains(&procedure.number)
}

/// The reply to a decided call that did not fail.
pub(super) fn progress(procedure: i32, complete: bool, data: Option<Vec<u8>>) -> Reply {
    let complete_word = i32::from(complete);
    if procedure == POLKIT {
        assert!(complete, "polkit decides at once");
        return Reply::AuthPolkit(PolkitRet {
            complete: complete_word,
        });
    }
    let answer = SaslRet {
        complete: complete_word,
        nil: i32::from(data.is_none()),
        data: CharArray(data.unwrap_or_default()),
    };
    if procedure == SASL_START {
        Reply::AuthSaslStart(answer)
    } else {
        Reply::AuthSaslStep(answer)
    }
}

/// The wire tells no data from no bytes of it, and so do mechanisms.
fn data(nil: i32, data: &mut CharArray<SASL_DATA_MAX>) -> Option<Vec<u8>> {
    (nil == 0).then(|| std::mem::take(&mut data.0))
}

const SASL_INIT: i32 = 67;
const SASL_START: i32 = 68;
const POLKIT: i32 = 70;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_of_the_procedure_that_was_called() {
        for procedure in [SASL_START, SASL_START + 1, POLKIT] {
            let reply = progress(procedure, true, None);
            assert_eq!(reply.procedure().number, procedure);
        }
    }
}
