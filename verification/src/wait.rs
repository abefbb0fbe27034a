//! The loop's side of a turn: changes for the poller, the wait, and the begin of the turn.

use crate::mirror::{Applied, Source};
use crate::op::FDS;
use crate::oracle::{Answer, InterestChange};
use crate::world::{Comparison, DONE, SKIPPED};
use crate::{Violation, World};
use eventry::Events;
use eventry::table::Change;
use std::os::fd::RawFd;

impl World {
    /// Passes the pending changes to the poller, one change per descriptor with its net effect.
    pub(crate) fn flush(&mut self, refused: u8) -> Result<Comparison, Violation> {
        let refuses = |fd: RawFd| refused.checked_shr(fd.cast_unsigned()).unwrap_or(0) & 1 == 1;
        let most = self.oracle.changed().len();
        let expected = self.oracle.flush(refuses);
        let mut changes = Vec::new();
        let mut unknown = None;
        while changes.len() <= most
            && let Some(change) = self.table.next_change()
        {
            let fd = change.fd();
            let interest = self.mirror.interest(fd);
            let named = change_source(&change).label;
            let named = self.oracle.registration(named);
            // A descriptor is known to be open only as long as its source is registered.
            let open = named.is_some_and(|entry| entry.registered);
            Violation::unless(open, "I13", || {
                format!("the source of {change:?} is removed")
            })?;
            let applied = self.mirror.apply(&change)?;
            if applied == Applied::NotFound {
                // The next change must register the file.
                self.table.registration_not_found(fd);
                unknown = Some((fd, interest));
                continue;
            }
            let before = unknown.take().filter(|(own, _)| *own == fd);
            let before = before.map_or(interest, |(_, before)| before);
            let after = self.mirror.interest(fd);
            changes.push(InterestChange { fd, before, after });
            if after != Events::NONE && refuses(fd) {
                self.mirror.end(fd);
                self.table.refused(fd);
            }
        }
        self.mirror.check_files()?;
        Ok(("I13", expected, Answer::Flushed(changes)))
    }

    /// Asks for the next deadline and fetches the ready events.
    pub(crate) fn poll(&mut self, ready: &[Events; FDS]) -> Comparison {
        self.batch = Some(self.mirror.report(ready));
        self.lost.clear();
        let expected = Answer::Deadline(self.oracle.deadline());
        let answer = Answer::Deadline(self.table.next_deadline());
        ("I12", expected, answer)
    }

    /// Records that the wait ended a registration.
    pub(crate) fn lose(&mut self, fd: RawFd) -> Comparison {
        let registered = self.mirror.registration(fd).map(|own| own.token);
        let (Some(batch), Some(token)) = (&mut self.batch, registered) else {
            return SKIPPED;
        };
        batch.retain(|(own, _)| *own != token);
        if !self.lost.contains(&token) {
            self.lost.push(token);
        }
        DONE
    }

    pub(crate) fn begin_turn(&mut self) -> Comparison {
        let Some(batch) = self.batch.take() else {
            return SKIPPED;
        };
        for token in std::mem::take(&mut self.lost) {
            if let Some(fd) = self.mirror.fd_of(token) {
                self.mirror.end(fd);
                self.oracle.lost(fd);
            }
            self.table.lost(token);
        }
        let fresh = batch.iter().filter_map(|(token, events)| {
            let fd = self.mirror.fd_of(*token)?;
            Some((fd, *events))
        });
        let fresh: Vec<(RawFd, Events)> = fresh.collect();
        let tokens = batch.iter().map(|(token, _)| *token);
        let stale = tokens.filter(|token| self.mirror.fd_of(*token).is_none());
        self.stale = stale.min();
        self.oracle.begin_turn(self.now, &fresh);
        self.table.begin_turn(self.now, batch);
        self.turn_began = self.oracle.added();
        DONE
    }

    /// Checks the stale token that the table recorded in the turn that ends now.
    ///
    /// If an event of the turn was stale, there must be one. It must not be later than the tokens that were
    /// stale when the turn began, and it must belong to no registration.
    pub(crate) fn check_stale(&mut self) -> Result<(), Violation> {
        let expected = self.stale.take();
        let named = self.table.take_stale();
        let is_over = named.is_none_or(|token| self.mirror.fd_of(token).is_none());
        let is_least = expected.is_none_or(|least| named.is_some_and(|named| named <= least));
        Violation::unless(is_over && is_least, "I18", || {
            format!("the recorded stale token is {named:?}, at most {expected:?} expected")
        })
    }
}

fn change_source<'a>(change: &Change<'a, Source>) -> &'a Source {
    match *change {
        Change::Register { source, .. }
        | Change::Reregister { source, .. }
        | Change::Deregister { source, .. } => source,
    }
}
