//! The calls of the loop: taken in batches, published, confirmed after changes, and finished.

use crate::oracle::{Answer, EntryKind, Label};
use crate::world::{Comparison, DONE};
use crate::{Violation, World};
use eventry::CallbackId;
use eventry::table::{FreedEntries, TakenCall};

impl World {
    /// Counts a change of a taken entry, as a thread does that is about to make it, and reads the published serial.
    pub(crate) fn observe(&mut self) {
        self.changes += 1;
        self.table.observe(self.published);
    }

    /// Takes the next calls, or makes the next free call. A difference breaks the most specific rule that applies.
    pub(crate) fn take(&mut self) -> Result<Comparison, Violation> {
        self.table.take_calls(&mut self.calls, self.limit);
        if self.calls.is_empty() {
            let taken = self.oracle.take_calls(self.limit);
            let expected = taken.into_iter().next();
            let expected = expected.unwrap_or_else(|| self.oracle.next_free());
            return self.free(expected);
        }
        for call in &self.calls {
            let label = self.label_of(call)?;
            self.check_call(label)?;
            self.check_events(label, call.events())?;
        }
        // A taken refusal disables its handle, so this follows the checks of the calls.
        let expected = Answer::Taken(self.oracle.take_calls(self.limit));
        let taken = self.calls.iter().map(|call| self.answer_of(call));
        let taken = Answer::Taken(taken.collect());
        self.published = self.calls[0].serial();
        self.seen = self.changes;
        Ok(("I4", expected, taken))
    }

    fn free(&mut self, expected: Answer) -> Result<Comparison, Violation> {
        let mut freed = FreedEntries::default();
        self.table.take_free(&mut freed);
        let FreedEntries {
            mut payloads,
            sources,
        } = freed;
        let Some(payload) = payloads.pop() else {
            if expected == Answer::Nothing {
                self.check_stale()?;
            }
            return Ok(("I4", expected, Answer::Nothing));
        };
        let own = payloads.is_empty() && sources.iter().all(|source| source.label == payload);
        Violation::unless(own, "I6", || {
            format!("{payload:?} was freed with {sources:?} and {payloads:?}")
        })?;
        let answer = Answer::Free(payload);
        Violation::unless(expected == answer, "I5", || {
            format!("the call is {answer:?}, {expected:?} expected")
        })?;
        Ok(("I5", expected, answer))
    }

    /// Begins the published call, unless there was a change and the table says that it is not due any more.
    pub(crate) fn confirm(&mut self) -> Result<Comparison, Violation> {
        let expected = self.oracle.confirm_call();
        let call = &mut self.calls[self.over];
        let is_due = self.changes == self.seen || self.table.confirm(call);
        self.is_published = false;
        let call = &self.calls[self.over];
        if is_due {
            let label = self.label_of(call)?;
            Violation::unless(!self.idle.contains(&label), "I3", || {
                format!("{label:?} is called after its removal had returned")
            })?;
            return Ok(("I4", expected, self.answer_of(call)));
        }
        if expected == Answer::Skipped {
            self.published = 0;
            self.end_call();
        }
        Ok(("I4", expected, Answer::Skipped))
    }

    /// Ends the call that runs, or skips one, and publishes the next one of the batch, or finishes the batch.
    pub(crate) fn end_call(&mut self) -> Comparison {
        self.over += 1;
        self.oracle.end_call();
        self.published = self.calls.get(self.over).map_or(0, TakenCall::serial);
        self.is_published = self.published != 0;
        if self.over == self.calls.len() {
            for call in self.calls.drain(..) {
                self.table.finish(call);
            }
            self.over = 0;
        }
        DONE
    }

    /// Returns the label for which the id of the call was issued, which must equal the payload.
    fn label_of(&self, call: &TakenCall<Label>) -> Result<Label, Violation> {
        let issued = match call.id() {
            CallbackId::Handle(id) => label_of(&self.handles, id),
            CallbackId::Timeout(id) => label_of(&self.timeouts, id),
            _ => None,
        };
        let payload = call.payload;
        Violation::unless(issued == Some(payload), "I6", || {
            format!("{:?} is called with {payload:?}", call.id())
        })?;
        Ok(payload)
    }

    fn answer_of(&self, call: &TakenCall<Label>) -> Answer {
        let label = call.payload;
        let kind = self.oracle.registration(label).map(|entry| entry.kind);
        match (kind, call.id()) {
            (Some(EntryKind::Handle { fd, .. }), CallbackId::Handle(_)) => {
                Answer::Handle(label, fd, call.events())
            }
            (_, CallbackId::Timeout(_)) => Answer::Timeout(label),
            _ => Answer::Nothing,
        }
    }
}

/// Returns the label for which `id` was issued.
fn label_of<I: PartialEq>(issued: &[(Label, I)], id: I) -> Option<Label> {
    let own = issued.iter().find(|(_, issued)| *issued == id);
    own.map(|(label, _)| *label)
}
