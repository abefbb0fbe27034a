//! A strict model of a poller.

use crate::Violation;
use crate::oracle::{Label, share};
use eventry::table::Change;
use eventry::{Events, Token};
use std::os::fd::RawFd;

/// Source of a handle, kept in the table with the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its handle.
    pub label: Label,
    /// The descriptor.
    pub fd: RawFd,
}

/// A poller without a kernel that rejects changes which a kernel would accept.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    registered: Vec<(RawFd, Token, Events)>,
    /// Every token ever used.
    used: Vec<Token>,
}

impl Mirror {
    /// Applies one change.
    ///
    /// # Errors
    ///
    /// `I13` if it contradicts the registrations or repeats a token.
    pub fn apply(&mut self, change: &Change<'_, Source>) -> Result<(), Violation> {
        let fault = match *change {
            Change::Register {
                source,
                fd,
                token,
                interest,
            } => {
                let known = self.position(fd).is_some();
                let used = self.used.contains(&token);
                self.registered.push((fd, token, interest));
                self.used.push(token);
                known || used || interest.is_empty() || source.fd != fd
            }
            Change::Reregister {
                source,
                fd,
                token,
                interest,
            } => {
                let used = self.used.contains(&token);
                self.used.push(token);
                let known = self.position(fd).map(|at| &mut self.registered[at]);
                let fits = known.is_some_and(|(_, own, registered)| {
                    *own = token;
                    std::mem::replace(registered, interest) != interest
                });
                !fits || used || interest.is_empty() || source.fd != fd
            }
            Change::Deregister { source, fd } => {
                let known = self.position(fd).map(|at| self.registered.remove(at));
                known.is_none() || source.fd != fd
            }
        };
        Violation::unless(!fault, "I13", || format!("{change:?} contradicts {self:?}"))
    }

    /// Drops the registration of `fd`, as a poller does that refuses a descriptor which is not open.
    pub fn refuse(&mut self, fd: RawFd) {
        self.registered.retain(|(own, ..)| *own != fd);
    }

    /// Drops all registrations.
    pub fn clear(&mut self) {
        self.registered.clear();
    }

    /// Returns the descriptor whose current registration has this token.
    #[must_use]
    pub fn fd_of(&self, token: Token) -> Option<RawFd> {
        let registered = self.registered.iter();
        registered
            .filter(|(_, own, _)| *own == token)
            .map(|(fd, ..)| *fd)
            .next()
    }

    /// Returns the registered interest in `fd`.
    #[must_use]
    pub fn interest(&self, fd: RawFd) -> Events {
        let at = self.position(fd).map(|at| self.registered[at].2);
        at.unwrap_or(Events::NONE)
    }

    /// Returns descriptor, token and interest of every registration.
    #[must_use]
    pub fn registered(&self) -> &[(RawFd, Token, Events)] {
        &self.registered
    }

    /// Returns the events of a wait in which the descriptors 0, 1, … are ready for `ready`.
    #[must_use]
    pub fn report(&self, ready: &[Events]) -> Vec<(Token, Events)> {
        let mut report = Vec::new();
        for (fd, token, interest) in &self.registered {
            let pending = usize::try_from(*fd).ok().and_then(|fd| ready.get(fd));
            let events = share(*interest, pending.copied().unwrap_or_default());
            if !events.is_empty() {
                report.push((*token, events));
            }
        }
        report
    }

    fn position(&self, fd: RawFd) -> Option<usize> {
        self.registered.iter().position(|(own, ..)| *own == fd)
    }
}
