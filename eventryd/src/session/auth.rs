//! Authentication state of the protocol: the call that is permitted next, and the number of failures.
//!
//! ```text
//!   SASL    Begin ── SASL_INIT ──► Start ── SASL_START ──► Step ──┐ SASL_STEP, repeated
//!   polkit  Begin ── POLKIT ─────────────────┐              │ ▲───┘
//!                                            ▼              ▼
//!                                           Done ◄──────────┘      a failure leads back to Begin
//! ```
//!
//! The owner of the session decides about the data and the identity of the client.

use std::num::NonZeroU32;

use super::{Auth, AuthStep};
use crate::wire::{Call, CharArray, PolkitRet, Procedure, Reply, SASL_DATA_MAX, SaslRet};

/// The stage of a client's authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Authentication has not begun.
    Begin,
    /// The client has the list of mechanisms.
    Start,
    /// A mechanism has begun.
    Step,
    /// The client is authenticated.
    Done,
}

/// Authentication of one client.
#[derive(Debug)]
pub(super) struct Authentication {
    scheme: Auth,
    peer_is_root: bool,
    stage: Stage,
    failures: u32,
    max_failures: NonZeroU32,
}

/// The reaction to a call that is in turn.
pub(super) enum Turn {
    /// A request for the list of mechanisms.
    Mechanisms,
    /// A step that the owner of the session decides.
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

    /// Returns the scheme for the reply to AUTH_LIST. With polkit, this call authenticates root (DM-1003).
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

    /// Returns the reaction to an authentication call; `None` if it is out of turn, which changes nothing.
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

    /// Resets the exchange after a failure: the client must begin again.
    pub(super) fn restart(&mut self) {
        self.stage = Stage::Begin;
    }

    /// Counts a failure; returns `true` if the client has no further attempt (DM-1005). Failures of an
    /// authenticated client are not counted, because it has no password left to guess.
    pub(super) fn fail(&mut self) -> bool {
        if self.is_done() {
            return false;
        }
        self.failures += 1;
        self.failures >= self.max_failures.get()
    }
}

/// Tests if a call is a step of authentication, which is permitted at one stage only.
pub(super) fn is_auth_step(procedure: &Procedure) -> bool {
    (SASL_INIT..=POLKIT).contains(&procedure.number)
}

/// Returns the reply to a step that did not fail.
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

/// Returns the data of a step. The wire, like mechanisms, distinguishes no data from empty data.
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
    fn progress_replies_to_the_procedure_that_was_called() {
        for procedure in [SASL_START, SASL_START + 1, POLKIT] {
            let reply = progress(procedure, true, None);
            assert_eq!(reply.procedure().number, procedure);
        }
    }
}
