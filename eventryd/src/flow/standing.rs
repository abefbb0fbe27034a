//! How far a client has got towards being somebody who cannot be told to give way.

use crate::session::Session;
use eventry::Time;

/// What a client has shown of itself, as far as [`Places`](super::Places) have to know.
#[derive(Debug)]
pub struct Standing {
    anonymous: bool,
    /// What was told last; none once it is settled.
    told: Option<Progress>,
    steps: u32,
    used: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    was_heard: bool,
    is_open: bool,
    steps: u32,
    waits_for_us: bool,
}

/// What there is to tell of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It has got further towards showing who it is: [`Places::progressed`](super::Places::progressed).
    Further {
        /// It now waits for us to decide.
        waits_for_us: bool,
    },
    /// It is no stranger any more: [`Places::settled`](super::Places::settled).
    Settled {
        /// It had to show who it is, and has; otherwise it has made a call.
        was_anonymous: bool,
    },
}

impl Standing {
    /// A client that was just accepted; whether its channel [is open](crate::net::Channel::is_open).
    pub fn new(session: &Session, is_open: bool) -> Standing {
        Standing {
            anonymous: session.is_anonymous(),
            told: Some(Progress {
                was_heard: false,
                is_open,
                steps: 0,
                waits_for_us: false,
            }),
            steps: 0,
            used: false,
        }
    }

    /// It has said something about who it is.
    pub fn step(&mut self) {
        self.steps += 1;
    }

    /// It is being answered, or will be.
    pub fn used(&mut self) {
        self.used = true;
    }

    /// What has not been told yet, if anything.
    pub fn news(&mut self, session: &Session, is_open: bool) -> Option<News> {
        let told = self.told?;
        if !session.is_anonymous() {
            let was_anonymous = self.anonymous;
            return (was_anonymous || self.used).then(|| {
                self.told = None;
                News::Settled { was_anonymous }
            });
        }
        let progress = Progress {
            was_heard: session.last_heard() != Time::ZERO,
            is_open,
            steps: self.steps,
            waits_for_us: session.calls_in_progress() > 0,
        };
        (progress != told).then(|| {
            self.told = Some(progress);
            let Progress { waits_for_us, .. } = progress;
            News::Further { waits_for_us }
        })
    }
}
