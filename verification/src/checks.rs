//! What must hold of a call, and of the table after every op.

use crate::oracle::{Label, What};
use crate::{Violation, World};
use eventry::Events;
use std::os::fd::RawFd;

impl World {
    /// A call begins: may it?
    pub(crate) fn check_call(&self, label: Label) -> Result<(), Violation> {
        let entry = self.oracle.registration(label);
        let registered = entry.is_some_and(|entry| entry.registered);
        Violation::unless(registered, "I3", || {
            format!("{label:?} is called, removed as it is")
        })?;
        let old = label.0 < self.turn_began;
        let rule = "I10";
        Violation::unless(old, rule, || {
            format!("{label:?} is called in the turn it was added in")
        })
    }

    /// A handle is called with `events`: may it?
    pub(crate) fn check_events(&self, label: Label, events: Events) -> Result<(), Violation> {
        let Some(What::Handle { interest, .. }) =
            self.oracle.registration(label).map(|entry| entry.what)
        else {
            return Ok(());
        };
        let may = interest.bits() | Events::ERROR.bits() | Events::HANGUP.bits();
        let fits = !interest.is_empty() && !events.is_empty() && events.bits() & !may == 0;
        Violation::unless(fits, "I9", || {
            format!("{label:?} wants {interest:?}, got {events:?}")
        })
    }

    /// Tells the mirror what the poller is told, and checks what must hold after every op.
    pub(crate) fn settle(&mut self) -> Result<(), Violation> {
        while let Some(change) = self.core.next_change() {
            self.mirror.apply(&change)?;
        }
        self.mirror.refused_is_settled();
        self.check_unions()?;
        self.core.check_invariants().map_err(|broken| {
            let rule = broken
                .0
                .split_once(':')
                .map_or("invariant", |(rule, _)| rule);
            let detail = broken.0.to_owned();
            Violation { rule, detail }
        })?;
        let (mut handles, mut timeouts) = (0, 0);
        for entry in self
            .oracle
            .registrations()
            .iter()
            .filter(|entry| !entry.freed)
        {
            match entry.what {
                What::Handle { .. } => handles += 1,
                What::Timeout { .. } => timeouts += 1,
            }
        }
        let held = (self.core.handle_count(), self.core.timeout_count());
        Violation::unless(held == (handles, timeouts), "I6", || {
            format!(
                "{held:?} entries are held, {:?} are right",
                (handles, timeouts)
            )
        })?;
        let (waiting, right) = (self.core.pending_frees(), self.oracle.pending_frees());
        let rule = "I7";
        Violation::unless(waiting == right, rule, || {
            format!("{waiting} wait, {right} are right")
        })
    }

    fn check_unions(&self) -> Result<(), Violation> {
        let registered = self.mirror.registered();
        let told = |fd: RawFd| {
            let own = registered.iter().find(|(own, ..)| *own == fd);
            own.map_or(Events::NONE, |(.., interest)| *interest)
        };
        let handles = self.oracle.registrations().iter();
        let wanted = handles.filter_map(|entry| match entry.what {
            What::Handle { fd, .. } => Some(fd),
            What::Timeout { .. } => None,
        });
        for fd in wanted.chain(registered.iter().map(|(fd, ..)| *fd)) {
            let (told, right) = (told(fd), self.oracle.union(fd));
            Violation::unless(told == right, "I13", || {
                format!("the poller was told {told:?} of {fd}, {right:?} is right")
            })?;
        }
        Ok(())
    }
}
