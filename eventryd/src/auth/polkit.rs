//! Requests to polkit and their results.

use super::{AuthError, Cancellation};
use std::fmt;
use std::time::Duration;

/// Process that polkit authorizes.
///
/// The three fields together identify one process. The ID alone may belong to another process by
/// the time polkit looks it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Process ID.
    pub pid: i32,
    /// Start time of the process in clock ticks since boot. Never 0.
    pub start_time: u64,
    /// User ID of the process when it connected.
    pub uid: u32,
}

/// Action that a client requests, as libvirt's polkit policy names it (DM-1003).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolkitAction {
    /// Full access, for the read-write socket.
    Manage,
    /// Read-only access, for the read-only socket.
    Monitor,
}

/// Result of a request to polkit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The action is allowed.
    Granted,
    /// The action is not allowed.
    Denied,
    /// The user dismissed the authentication dialog.
    Dismissed,
    /// The user must authenticate, but the session has no authentication agent.
    NoAgent,
    /// polkit gave no decision, for this reason.
    Failed(String),
}

/// Authority that decides which actions a process may perform.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Checks that the authority is available. A daemon that uses it does not start otherwise.
    ///
    /// # Errors
    ///
    /// [`AuthError`] that names the missing part.
    fn check(&self) -> Result<(), AuthError>;

    /// Requests the decision whether `subject` may perform `action`.
    ///
    /// The call blocks until the user has answered, for `timeout` at most, so it must not run on
    /// the thread of the event loop. After a cancellation it returns soon, and its result is not used.
    fn authorize(
        &self,
        subject: Subject,
        action: PolkitAction,
        timeout: Duration,
        cancellation: &Cancellation,
    ) -> Authorization;
}

impl PolkitAction {
    /// Returns the action ID in libvirt's polkit policy.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            PolkitAction::Manage => "org.libvirt.unix.manage",
            PolkitAction::Monitor => "org.libvirt.unix.monitor",
        }
    }
}

/// Text for the log.
impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Authorization::Granted => "access granted",
            Authorization::Denied => "access denied by policy",
            Authorization::Dismissed => "the user dismissed the authentication dialog",
            Authorization::NoAgent => "the session of the user has no authentication agent",
            Authorization::Failed(reason) => reason,
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.pid, self.start_time, self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_shown_as_its_reason() {
        let failed = Authorization::Failed("Error getting authority: \u{201c}x\u{201d}".to_owned());
        assert_eq!(
            failed.to_string(),
            "Error getting authority: \u{201c}x\u{201d}"
        );
        assert_eq!(Authorization::Denied.to_string(), "access denied by policy");
    }
}
