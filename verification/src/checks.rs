//! Checks of each call, and of the table after every op.

use crate::oracle::{EntryKind, Label};
use crate::{Violation, World};
use eventry::Events;
use eventry::table::Change;

impl World {
    /// Checks that the entry may be called.
    pub(crate) fn check_call(&self, label: Label) -> Result<(), Violation> {
        let entry = self.oracle.registration(label);
        let registered = entry.is_some_and(|entry| entry.registered);
        Violation::unless(registered, "I3", || {
            format!("{label:?} is called after its removal")
        })?;
        let is_handle = matches!(
            entry.map(|entry| entry.kind),
            Some(EntryKind::Handle { .. })
        );
        let old = label.0 < self.turn_began && (!is_handle || label.0 < self.oracle.flushed());
        let rule = "I10";
        Violation::unless(old, rule, || {
            format!("{label:?} is called in the turn in which it was added")
        })
    }

    /// Checks that the handle may be called with `events`.
    pub(crate) fn check_events(&self, label: Label, events: Events) -> Result<(), Violation> {
        let Some(EntryKind::Handle { interest, .. }) =
            self.oracle.registration(label).map(|entry| entry.kind)
        else {
            return Ok(());
        };
        let may = interest.bits() | Events::ERROR.bits() | Events::HANGUP.bits();
        let fits = !interest.is_empty() && !events.is_empty() && events.bits() & !may == 0;
        Violation::unless(fits, "I9", || {
            format!("{label:?} has the interest {interest:?} and got {events:?}")
        })
    }

    /// Applies the effects of the op, and runs the checks that follow every op.
    pub(crate) fn check_after_op(&mut self) -> Result<(), Violation> {
        self.apply_effects()?;
        self.check_registered_interest()?;
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
            match entry.kind {
                EntryKind::Handle { .. } => handles += 1,
                EntryKind::Timeout { .. } => timeouts += 1,
            }
        }
        let held = (self.table.handle_count(), self.table.timeout_count());
        Violation::unless(held == (handles, timeouts), "I6", || {
            format!(
                "the table has {held:?} entries, {:?} expected",
                (handles, timeouts)
            )
        })?;
        let (waiting, right) = (self.table.pending_frees(), self.oracle.pending_frees());
        let rule = "I7";
        Violation::unless(waiting == right, rule, || {
            format!("{waiting} entries wait to be freed, {right} expected")
        })
    }

    /// Applies the effects of the op to the poller.
    ///
    /// The descriptor is deregistered before the next op exactly if a removal left it without an enabled
    /// handle, because the caller may close it next. The loop is not woken, since it does not sleep here.
    fn apply_effects(&mut self) -> Result<(), Violation> {
        let right = self.oracle.take_urgent();
        let effects = std::mem::take(&mut self.effects);
        let fd = effects.deregister.map(|source| source.fd);
        if let Some(source) = &effects.deregister {
            let fd = source.fd;
            self.mirror.apply(&Change::Deregister { source, fd })?;
        }
        Violation::unless(fd == right, "I13", || {
            format!("{fd:?} is deregistered at once, {right:?} expected")
        })?;
        Violation::unless(!effects.wake, "I17", || {
            "the loop is woken although it does not sleep".to_owned()
        })
    }

    /// Compares the poller's registrations with the oracle's.
    ///
    /// A registration may differ from the union of the handles' interests only until the loop next sleeps,
    /// or if the poller refused the descriptor and the refusal is still to be reported to all its handles.
    fn check_registered_interest(&self) -> Result<(), Violation> {
        let registered = self.mirror.registered().iter().map(|own| own.fd);
        for fd in registered.chain(self.oracle.descriptors()) {
            let (interest, right) = (
                self.mirror.interest(fd),
                self.oracle.registered_interest(fd),
            );
            Violation::unless(interest == right, "I13", || {
                format!("the poller has {interest:?} for {fd}, {right:?} expected")
            })?;
            let union = self.oracle.union(fd);
            let refused = interest == Events::NONE && self.oracle.refusal_is_pending_for_all(fd);
            let is_expected = interest == union || refused || self.oracle.changed().contains(&fd);
            Violation::unless(is_expected, "I13", || {
                format!("the poller keeps {interest:?} for {fd}, the union is {union:?}")
            })?;
        }
        Ok(())
    }

    /// Checks that the loop stays awake, or is woken, exactly if it has work.
    fn check_sleep(&self) -> Result<(), Violation> {
        let table = (self.table.is_busy(), self.table.has_changes());
        let right = (self.oracle.is_busy(), !self.oracle.changed().is_empty());
        Violation::unless(table == right, "I17", || {
            format!("busy and changed are {table:?}, {right:?} expected")
        })
    }
}
