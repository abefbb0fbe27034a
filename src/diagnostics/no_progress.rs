//! Handles that are called turn after turn without effect.

use super::Warning;
use crate::events::Events;
use crate::id::HandleId;
use crate::time::MonotonicTime;
use std::time::Duration;

/// The longest turn of a loop that does nothing but spin. Other turns have work to do, or waited.
pub(super) const SPINNING_TURN: Duration = Duration::from_micros(10);

/// The number of handles that are remembered after a warning.
pub(super) const REMEMBERED: usize = 16;

/// The handle that is watched, with memory from turn to turn.
#[derive(Clone, Debug, Default)]
pub(super) struct NoProgress {
    suspect: Option<Suspect>,
    /// The first handle of this turn that is not suspected.
    other: Option<HandleId>,
    /// Handles that were warned of, the latest at the end.
    pub(super) reported: Vec<HandleId>,
}

/// A handle that is called turn after turn.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    handle: HandleId,
    /// The number of turns in a row in which it has been called without a change of the table.
    turns: u32,
    /// The time when the first of them began.
    since: MonotonicTime,
    /// The events of its last call.
    events: Events,
    /// Whether each call told of an error or a hang-up. Those do not go away by themselves.
    is_broken: bool,
    /// Whether it has been called in this turn.
    is_called: bool,
}

impl NoProgress {
    /// Notes a call in the turn that began at `began`, and whether the table was changed meanwhile.
    pub(super) fn called(
        &mut self,
        handle: HandleId,
        events: Events,
        changed: bool,
        began: MonotonicTime,
    ) {
        match &mut self.suspect {
            Some(suspect) if suspect.handle == handle => suspect.called(events, changed, began),
            _ if self.other.is_none() && !self.reported.contains(&handle) => {
                self.other = Some(handle);
            }
            _ => {}
        }
    }

    /// Ends the turn that began at `began`: `limit` turns in a row are too many.
    pub(super) fn turn_ended(&mut self, began: MonotonicTime, limit: u32) -> Option<Warning> {
        let other = self.other.take();
        match &mut self.suspect {
            Some(suspect) if suspect.is_called => {
                suspect.is_called = false;
                if suspect.turns >= limit {
                    return self.report(began);
                }
            }
            _ => self.suspect = other.map(|handle| Suspect::new(handle, began)),
        }
        None
    }

    /// Warns of the suspect, unless its turns took long enough to do something.
    #[cold]
    fn report(&mut self, began: MonotonicTime) -> Option<Warning> {
        let suspect = self.suspect.take()?;
        if !suspect.is_broken
            && began.saturating_duration_since(suspect.since) > SPINNING_TURN * suspect.turns
        {
            self.suspect = Some(Suspect::new(suspect.handle, began));
            return None;
        }
        if self.reported.len() == REMEMBERED {
            self.reported.remove(0);
        }
        self.reported.push(suspect.handle);
        Some(Warning::NoProgress {
            handle: suspect.handle,
            events: suspect.events,
            turns: suspect.turns,
        })
    }
}

impl Suspect {
    /// A handle that was called in the turn that began at `since`; its calls count from the next turn on.
    fn new(handle: HandleId, since: MonotonicTime) -> Suspect {
        Suspect {
            handle,
            turns: 0,
            since,
            events: Events::NONE,
            is_broken: true,
            is_called: false,
        }
    }

    fn called(&mut self, events: Events, changed: bool, began: MonotonicTime) {
        if changed {
            *self = Suspect::new(self.handle, began);
        } else {
            self.turns += 1;
            self.events = events;
            self.is_broken &= events.intersects(Events::UNCONDITIONAL);
        }
        self.is_called = true;
    }
}
