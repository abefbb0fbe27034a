//! The oracle's part of the key of a state.

use super::{EntryKind, Label, Oracle};
use crate::key::Form;

impl Oracle {
    /// Writes everything that later answers depend on. The latest time passed to the table is part of it
    /// only as long as a thread holds an earlier one.
    pub(crate) fn write_form(&self, form: &mut Form, with_latest_time: bool) {
        form.option(with_latest_time.then_some(self.clock), Form::time);
        form.literal(self.closed.into());
        form.all(&self.registrations, |form, entry| {
            form.labelled(entry.freed.into(), entry.label);
            if !entry.freed {
                form.literal(entry.running.into());
                let wanted = entry.registered.then_some(&entry.kind);
                form.option(wanted, |form, kind| kind.write_form(form));
                if let Some(EntryKind::Handle { .. }) = wanted {
                    form.literal((entry.label.0 < self.flushed).into());
                }
            }
        });
        form.all(&self.removed, |form, label| form.labelled(0, *label));
        form.all(self.changed(), |form, fd| {
            form.literal(u64::from(fd.cast_unsigned()))
        });
        form.all(&self.refused, |form, label| form.labelled(0, *label));
        let is_armed = |label: &&Label| {
            let entry = self.registration(**label);
            entry.is_some_and(|entry| entry.registered && entry.deadline().is_some())
        };
        for label in self.armed.iter().filter(is_armed) {
            form.labelled(0, *label);
        }
        let turn = &self.turn;
        form.option(turn.frees.as_ref(), |form, frees| {
            form.all(frees, |form, label| form.labelled(0, *label));
        });
        if turn.frees.is_none() {
            form.time(turn.now);
            form.all(&turn.due, |form, label| form.labelled(0, *label));
            form.all(&turn.ready, |form, (label, events)| {
                form.labelled(events.bits().into(), *label);
            });
            form.all(&turn.refused, |form, label| form.labelled(0, *label));
        }
    }
}

impl EntryKind {
    fn write_form(&self, form: &mut Form) {
        match *self {
            EntryKind::Handle { fd, interest } => {
                form.literal(u64::from(fd.cast_unsigned()));
                form.literal(interest.bits().into());
            }
            EntryKind::Timeout { interval, deadline } => {
                form.option(interval, Form::literal);
                form.option(deadline, Form::time);
            }
        }
    }
}
