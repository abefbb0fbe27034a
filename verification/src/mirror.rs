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

/// File of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The number is this file.
    Current,
    /// The number was closed, and with it the file: the poller has dropped the registration.
    Closed,
    /// The number was closed, and a duplicate keeps the file open: the poller still reports it, and cannot end the
    /// registration.
    Duplicated,
}

/// A registration that the table has made and not ended.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// The number of the descriptor.
    pub fd: RawFd,
    /// The token of its events.
    pub token: Token,
    /// The registered interest.
    pub interest: Events,
    /// The file that was registered.
    pub file: File,
}

/// A poller without a kernel that rejects changes which a kernel would accept. Like epoll, it registers the file that a
/// number is.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    registered: Vec<Registered>,
    /// Registrations of duplicated files that the table has ended or replaced.
    stale: Vec<(Token, Events)>,
    /// Numbers of which a handle was added or enabled after they were last opened.
    used: Vec<RawFd>,
    /// Every token ever used.
    tokens: Vec<Token>,
}

/// Answer of the poller to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The change was made.
    Done,
    /// The file of the number is not registered.
    NotFound,
}

impl Mirror {
    /// Applies one change.
    ///
    /// # Errors
    ///
    /// `I13` if it contradicts the registrations or repeats a token.
    pub fn apply(&mut self, change: &Change<'_, Source>) -> Result<Applied, Violation> {
        let mut applied = Applied::Done;
        let fault = match *change {
            Change::Register {
                source,
                fd,
                token,
                interest,
            } => {
                let known = self.position(fd).is_some();
                self.registered.push(Registered {
                    fd,
                    token,
                    interest,
                    file: File::Current,
                });
                self.repeats(token) || known || interest.is_empty() || source.fd != fd
            }
            Change::Reregister {
                source,
                fd,
                token,
                interest,
            } => {
                let known = self.end(fd);
                if known == Some(File::Current) {
                    self.registered.push(Registered {
                        fd,
                        token,
                        interest,
                        file: File::Current,
                    });
                } else {
                    applied = Applied::NotFound;
                }
                self.repeats(token) || known.is_none() || interest.is_empty() || source.fd != fd
            }
            Change::Deregister { source, fd } => self.end(fd).is_none() || source.fd != fd,
        };
        Violation::unless(!fault, "I13", || format!("{change:?} contradicts {self:?}"))?;
        Ok(applied)
    }

    /// Ends the registration of `fd` and returns its file. The registration of a duplicated file becomes stale.
    pub fn end(&mut self, fd: RawFd) -> Option<File> {
        let at = self.position(fd)?;
        let ended = self.registered.remove(at);
        if ended.file == File::Duplicated {
            self.stale.push((ended.token, ended.interest));
        }
        Some(ended.file)
    }

    /// Records that the number of a registered descriptor is another file now.
    pub fn reopen(&mut self, fd: RawFd, duplicated: bool) {
        self.used.retain(|used| *used != fd);
        if let Some(at) = self.position(fd) {
            let registered = &mut self.registered[at];
            match (registered.file, duplicated) {
                (File::Current, true) => registered.file = File::Duplicated,
                (File::Current, false) => registered.file = File::Closed,
                _ => {}
            }
        }
    }

    /// Records that a handle of `fd` was added or updated with an interest.
    pub fn record_use(&mut self, fd: RawFd) {
        if !self.used.contains(&fd) {
            self.used.push(fd);
        }
    }

    /// Checks that the registrations of the numbers in use are those of their files.
    ///
    /// # Errors
    ///
    /// `I13`
    pub fn check_files(&self) -> Result<(), Violation> {
        let used = self.registered.iter();
        let mut used = used.filter(|own| self.used.contains(&own.fd));
        let other = used.find(|own| own.file != File::Current);
        Violation::unless(other.is_none(), "I13", || {
            format!("the registration {other:?} is not that of the file of its number")
        })
    }

    /// Drops all registrations.
    pub fn clear(&mut self) {
        self.registered.clear();
        self.stale.clear();
    }

    /// Returns the descriptor whose current registration has this token.
    #[must_use]
    pub fn fd_of(&self, token: Token) -> Option<RawFd> {
        let mut registered = self.registered.iter();
        registered.find(|own| own.token == token).map(|own| own.fd)
    }

    /// Returns the registration of `fd`.
    #[must_use]
    pub fn registration(&self, fd: RawFd) -> Option<&Registered> {
        self.position(fd).map(|at| &self.registered[at])
    }

    /// Returns the registered interest in `fd`.
    #[must_use]
    pub fn interest(&self, fd: RawFd) -> Events {
        self.registration(fd)
            .map_or(Events::NONE, |own| own.interest)
    }

    /// Returns every registration.
    #[must_use]
    pub fn registered(&self) -> &[Registered] {
        &self.registered
    }

    /// Returns the stale registrations.
    #[must_use]
    pub fn stale(&self) -> &[(Token, Events)] {
        &self.stale
    }

    /// Returns the numbers in use whose registration is not that of their file.
    pub(crate) fn unknown_files(&self) -> Vec<RawFd> {
        let used = self.used.iter().copied();
        used.filter(|fd| {
            self.registration(*fd)
                .is_some_and(|own| own.file != File::Current)
        })
        .collect()
    }

    /// Returns the events of a wait in which all files of the descriptors 0, 1, … are ready for `ready`.
    #[must_use]
    pub fn report(&self, ready: &[Events]) -> Vec<(Token, Events)> {
        let registered = self.registered.iter();
        let open = registered.filter(|own| own.file != File::Closed);
        let open = open.map(|own| (own.token, own.interest));
        let mut report = Vec::new();
        for (token, interest) in open.chain(self.stale.iter().copied()) {
            let pending = ready.get(fd_in(token) as usize);
            let events = share(interest, pending.copied().unwrap_or_default());
            if !events.is_empty() {
                report.push((token, events));
            }
        }
        report
    }

    /// Returns true if the token was used before, and records it.
    fn repeats(&mut self, token: Token) -> bool {
        let repeats = self.tokens.contains(&token);
        self.tokens.push(token);
        repeats
    }

    fn position(&self, fd: RawFd) -> Option<usize> {
        self.registered.iter().position(|own| own.fd == fd)
    }
}

/// Returns the descriptor in a token.
pub(crate) fn fd_in(token: Token) -> RawFd {
    token.into_bits() as u32 as RawFd
}
