//! What a poller would know if it believed every word it is told, and forgave nothing.

use crate::Violation;
use crate::oracle::{Label, share};
use eventry::table::Change;
use eventry::{Events, Token};
use std::os::fd::RawFd;

/// Names a descriptor to the mirror; kept in the table with its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The handle it was added with.
    pub label: Label,
    /// The descriptor.
    pub fd: RawFd,
}

/// A poller without a kernel that fails where a kernel would shrug.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    registered: Vec<(RawFd, Token, Events)>,
    /// Every token ever seen.
    used: Vec<Token>,
}

impl Mirror {
    /// Believes one change.
    ///
    /// # Errors
    ///
    /// `I13` if it contradicts what was said before.
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
                let fits = known.is_some_and(|(_, own, told)| {
                    *own = token;
                    std::mem::replace(told, interest) != interest
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

    /// Refuses what was said last of `fd`, as a poller does when the descriptor is not open: it knows
    /// nothing of it.
    pub fn refuse(&mut self, fd: RawFd) {
        self.registered.retain(|(own, ..)| *own != fd);
    }

    /// The poller is gone.
    pub fn clear(&mut self) {
        self.registered.clear();
    }

    /// The descriptor of the registration that has this token, if it is not over.
    #[must_use]
    pub fn fd_of(&self, token: Token) -> Option<RawFd> {
        let registered = self.registered.iter();
        registered
            .filter(|(_, own, _)| *own == token)
            .map(|(fd, ..)| *fd)
            .next()
    }

    /// What is reported of `fd`.
    #[must_use]
    pub fn interest(&self, fd: RawFd) -> Events {
        let at = self.position(fd).map(|at| self.registered[at].2);
        at.unwrap_or(Events::NONE)
    }

    /// What is registered: descriptor, token and interest.
    #[must_use]
    pub fn registered(&self) -> &[(RawFd, Token, Events)] {
        &self.registered
    }

    /// What a wait reports when the descriptors 0, 1, … are ready for `ready`.
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
