//! The calls of the turn: taken in batches, then made one by one.
//!
//! The loop takes several calls with the lock and makes them without it. The first one begins at once. The
//! loop publishes each other one when the call before has returned. If no taken entry was changed since the batch was
//! taken, the call begins in that moment, whatever changes afterwards; otherwise the loop asks, and the present state
//! of the entry decides.

use super::{Answer, EntryKind, Label, Oracle, pop_front, share};
use eventry::Events;

/// The calls that are out.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// The taken calls, first the one that runs or was published.
    pub(super) left: Vec<TakenCall>,
    /// Entries of the batch whose calls are over or were skipped.
    pub(super) over: Vec<Label>,
    /// The first of the calls has begun.
    pub(super) has_begun: bool,
    /// A taken entry was changed since the batch was taken.
    pub(super) is_changed: bool,
}

/// A taken call.
#[derive(Clone, Debug)]
pub(super) struct TakenCall {
    pub(super) label: Label,
    pub(super) answer: Answer,
    /// Events of the descriptor of a handle.
    pub(super) reported: Events,
    /// A timeout was armed anew or disabled.
    pub(super) is_updated: bool,
}

impl Oracle {
    /// Takes the next batch of calls, `limit` at most.
    pub fn take_calls(&mut self, limit: usize) -> Vec<Answer> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(call) = self.take_call(taken.is_empty())
        {
            taken.push(call);
        }
        let answers = taken.iter().map(|call| call.answer.clone()).collect();
        self.calls = Calls {
            left: taken,
            ..Calls::default()
        };
        self.begin_first();
        answers
    }

    /// Returns true if calls are out.
    #[must_use]
    pub fn has_calls_out(&self) -> bool {
        !self.calls.left.is_empty()
    }

    /// Ends the call that runs, or skips the one that is not due any more, and publishes the next one of the batch.
    pub fn end_call(&mut self) {
        let over = self.calls.left.remove(0);
        self.calls.over.push(over.label);
        for entry in &mut self.registrations {
            entry.running = false;
        }
        self.calls.has_begun = false;
        if self.calls.left.is_empty() {
            self.calls = Calls::default();
        } else if !self.calls.is_changed {
            self.begin_first();
        }
    }

    /// Asks about the published call. Returns the call if it begins, or has begun when it was published.
    pub fn confirm_call(&mut self) -> Answer {
        let Some(call) = self.calls.left.first().cloned() else {
            return Answer::Nothing;
        };
        if self.calls.has_begun {
            return call.answer;
        }
        let entry = self.registration(call.label);
        let kind = entry
            .filter(|entry| entry.registered)
            .map(|entry| entry.kind);
        let answer = match (kind, call.answer) {
            (Some(EntryKind::Handle { interest, .. }), Answer::Handle(label, fd, _)) => {
                let delivered = share(interest, call.reported);
                (delivered != Events::NONE).then_some(Answer::Handle(label, fd, delivered))
            }
            (Some(EntryKind::Timeout { .. }), answer) if !call.is_updated => Some(answer),
            _ => None,
        };
        match answer {
            Some(answer) => {
                self.begin_first();
                answer
            }
            None => Answer::Skipped,
        }
    }

    /// Records that `label` is changed, or is removed already, if the entry is taken.
    pub(super) fn record_change_of(&mut self, label: Label) {
        let mut left = self.calls.left.iter_mut();
        let call = left.find(|call| call.label == label);
        if let Some(call) = call {
            call.is_updated = true;
            self.calls.is_changed = true;
        }
        self.calls.is_changed |= self.calls.over.contains(&label);
    }

    fn begin_first(&mut self) {
        if let Some(call) = self.calls.left.first() {
            let label = call.label;
            self.calls.has_begun = true;
            for entry in &mut self.registrations {
                entry.running |= entry.label == label;
            }
        }
    }

    /// Takes the next call of the turn. One for a refusal is taken alone.
    fn take_call(&mut self, is_first: bool) -> Option<TakenCall> {
        let taken = |label, answer, reported| {
            Some(TakenCall {
                label,
                answer,
                reported,
                is_updated: false,
            })
        };
        if self.turn.frees.is_some() {
            return None;
        }
        if let Some(label) = pop_front(&mut self.turn.due) {
            self.fire(label);
            return taken(label, Answer::Timeout(label), Events::NONE);
        }
        while let Some((label, events)) = pop_front(&mut self.turn.ready) {
            let Some(entry) = self.registered(label) else {
                continue;
            };
            if let EntryKind::Handle { fd, interest } = entry.kind {
                let delivered = share(interest, events);
                if delivered != Events::NONE {
                    return taken(label, Answer::Handle(label, fd, delivered), events);
                }
            }
        }
        while is_first && let Some(label) = pop_front(&mut self.turn.refused) {
            self.refused.retain(|refused| *refused != label);
            if let Some(entry) = self.registered(label)
                && let EntryKind::Handle { fd, interest } = &mut entry.kind
                && *interest != Events::NONE
            {
                *interest = Events::NONE;
                let fd = *fd;
                self.record_change(fd);
                let answer = Answer::Handle(label, fd, Events::ERROR);
                return taken(label, answer, Events::ERROR);
            }
        }
        None
    }
}
