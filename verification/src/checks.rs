//! What must hold of a call, and of the table after every op.

use crate::oracle::{Label, What};
use crate::{Violation, World};
use eventry::Events;
use eventry::table::Change;

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

    /// Carries out the effects of the op, and checks what must hold after every op.
    pub(crate) fn settle(&mut self) -> Result<(), Violation> {
        self.settle_effects()?;
        self.check_told()?;
        self.check_sleep()?;
        self.table.check_invariants().map_err(|broken| {
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
        let held = (self.table.handle_count(), self.table.timeout_count());
        Violation::unless(held == (handles, timeouts), "I6", || {
            format!(
                "{held:?} entries are held, {:?} are right",
                (handles, timeouts)
            )
        })?;
        let (waiting, right) = (self.table.pending_frees(), self.oracle.pending_frees());
        let rule = "I7";
        Violation::unless(waiting == right, rule, || {
            format!("{waiting} wait, {right} are right")
        })
    }

    /// The poller forgets a descriptor before the next op exactly if a removal left nobody who wants
    /// something of it: it may be closed next.
    ///
    /// Nothing wakes the loop: here it does not sleep.
    fn settle_effects(&mut self) -> Result<(), Violation> {
        let right = self.oracle.take_urgent();
        let asked = std::mem::take(&mut self.asked);
        let fd = asked.deregister.map(|source| source.fd);
        if let Some(source) = &asked.deregister {
            let fd = source.fd;
            self.mirror.apply(&Change::Deregister { source, fd })?;
        }
        Violation::unless(fd == right, "I13", || {
            format!("{fd:?} is urgent, {right:?} is right")
        })?;
        Violation::unless(!asked.wake, "I17", || {
            "a loop that does not sleep is woken".to_owned()
        })
    }

    /// The poller was told what the oracle says, and where that is not what the handles want together,
    /// it will be told when the loop sleeps, or it refused and all of them are to hear of it.
    fn check_told(&self) -> Result<(), Violation> {
        let told = self.mirror.registered().iter().map(|(fd, ..)| *fd);
        for fd in told.chain(self.oracle.descriptors()) {
            let (told, right) = (self.mirror.interest(fd), self.oracle.told(fd));
            Violation::unless(told == right, "I13", || {
                format!("the poller was told {told:?} of {fd}, {right:?} is right")
            })?;
            let union = self.oracle.union(fd);
            let refused = told == Events::NONE && self.oracle.all_are_to_hear(fd);
            let cared_for = told == union || refused || self.oracle.changed().contains(&fd);
            Violation::unless(cared_for, "I13", || {
                format!("the poller was told {told:?} of {fd} for good, {union:?} is wanted")
            })?;
        }
        Ok(())
    }

    /// The loop is kept from sleeping, or woken, exactly if it has something to do.
    fn check_sleep(&self) -> Result<(), Violation> {
        let table = (self.table.is_busy(), self.table.has_changes());
        let right = (self.oracle.is_busy(), !self.oracle.changed().is_empty());
        Violation::unless(table == right, "I17", || {
            format!("busy and changed: {table:?}, but {right:?} is right")
        })
    }
}
