//! The oracle's part of the key of a state.

use super::{Answer, EntryKind, Label, Oracle};
use crate::World;
use crate::key::Form;

impl Oracle {
    /// Writes everything that later answers depend on. The latest time passed to the table is part of it
    /// only as long as a thread holds an earlier one.
    pub(crate) fn write_form(&self, form: &mut Form, world: &World) {
        form.option(world.sampled.map(|_| self.clock), Form::time);
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
        let calls = &self.calls;
        form.all(&calls.over, |form, label| form.labelled(0, *label));
        if !world.is_in_last_call() {
            form.literal(u64::from(calls.has_begun) << 1 | u64::from(calls.is_changed));
        }
        let running = calls.left.first().filter(|_| world.is_in_call());
        form.option(running, |form, call| form.labelled(0, call.label));
        let left = &calls.left[usize::from(running.is_some())..];
        form.all(left, |form, call| {
            form.labelled(call.is_updated.into(), call.label);
            form.literal(call.reported.bits().into());
            if let Answer::Handle(_, _, events) = call.answer {
                form.literal(events.bits().into());
            }
        });
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
