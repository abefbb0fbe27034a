//! polkit: what it is asked, and what it may answer.

use super::AuthError;
use std::fmt;
use std::time::Duration;

/// The process that polkit decides about. The three together name one process for good: a number alone may
/// be another process's by the time polkit looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its number.
    pub pid: i32,
    /// When it was started, in the system's ticks since its own start. Never 0.
    pub start_time: u64,
    /// Its user when it connected.
    pub uid: u32,
}

/// What a client of a service may do, by libvirt's names (DM-1003).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Everything.
    Manage,
    /// Look, without changing anything.
    Monitor,
}

/// What polkit has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// It may.
    Granted,
    /// It may not.
    Denied,
    /// The user was asked and has dismissed the question.
    Dismissed,
    /// The user would have to be asked, and there is nobody to do it.
    NoAgent,
    /// Nobody knows, for this reason.
    Failed(String),
}

/// Decides what processes may do.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Whether it can be asked at all; a daemon that is to ask it does not start otherwise.
    ///
    /// # Errors
    /// [`AuthError`] that says what is missing.
    fn check(&self) -> Result<(), AuthError>;

    /// Whether `subject` may do `action`. It may take as long as a user thinks, but no longer than
    /// `timeout`, so it is not called on the thread of the event loop.
    fn authorize(&self, subject: Subject, action: Action, timeout: Duration) -> Authorization;
}

impl Action {
    /// The action's name for polkit.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Action::Manage => "org.libvirt.unix.manage",
            Action::Monitor => "org.libvirt.unix.monitor",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.pid, self.start_time, self.uid)
    }
}
