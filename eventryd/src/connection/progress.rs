//! Authentication progress of a client, which decides whether it may be evicted.

use crate::session::Session;
use eventry::MonotonicTime;

/// Authentication progress of a client, which decides whether it may be evicted.
#[derive(Debug)]
pub(super) struct ClientProgress {
    /// Set if the client was anonymous when it connected.
    anonymous: bool,
    /// The progress at the last change; `None` once the client is identified.
    reported: Option<Progress>,
    auth_steps: u32,
    /// Set once the client has made a call or was sent an answer.
    used: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    was_heard: bool,
    is_open: bool,
    auth_steps: u32,
    waits_for_daemon: bool,
}

/// A change of a client's progress, for admission control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressChange {
    /// A client that waits for a slot has sent its first byte.
    Spoke,
    /// The client has made progress in its handshake or authentication.
    Advanced {
        /// Set if the daemon has to decide next.
        waits_for_daemon: bool,
    },
    /// The client has authenticated or, where it need not, has made a call.
    Identified {
        /// Set if the client had to authenticate, or to complete the handshake of its transport.
        was_anonymous: bool,
    },
}

impl ClientProgress {
    /// Creates the progress of a new connection. `is_open` is true if its transport has no
    /// handshake.
    pub(super) fn new(session: &Session, is_open: bool) -> ClientProgress {
        ClientProgress {
            anonymous: session.is_anonymous(),
            reported: Some(Progress {
                was_heard: false,
                is_open,
                auth_steps: 0,
                waits_for_daemon: false,
            }),
            auth_steps: 0,
            used: false,
        }
    }

    /// Records a step of authentication.
    pub(super) fn record_auth_step(&mut self) {
        self.auth_steps += 1;
    }

    /// Records a call of the client or output to it.
    pub(super) fn record_use(&mut self) {
        self.used = true;
    }

    /// Returns the change since the last call, if there is one.
    pub(super) fn change(&mut self, session: &Session, is_open: bool) -> Option<ProgressChange> {
        let reported = self.reported?;
        if !session.is_anonymous() {
            let was_anonymous = self.anonymous;
            return (was_anonymous || self.used).then(|| {
                self.reported = None;
                ProgressChange::Identified { was_anonymous }
            });
        }
        let progress = Progress {
            was_heard: session.last_heard() != MonotonicTime::ZERO,
            is_open,
            auth_steps: self.auth_steps,
            waits_for_daemon: session.calls_in_progress() > 0,
        };
        (progress != reported).then(|| {
            self.reported = Some(progress);
            let Progress {
                waits_for_daemon, ..
            } = progress;
            ProgressChange::Advanced { waits_for_daemon }
        })
    }
}
