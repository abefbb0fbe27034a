//! Handles that are called in many consecutive turns without effect.

use super::Warning;
use crate::events::Events;
use crate::id::HandleId;
use crate::time::MonotonicTime;
use std::time::Duration;

/// The longest average turn of a loop that only spins. A longer turn has done work, or has waited.
pub(super) const SPINNING_TURN: Duration = Duration::from_micros(10);

/// The number of reported handles that are stored, so that each of them is reported once.
pub(super) const REMEMBERED: usize = 16;

/// The detection of handles without progress. It examines one handle at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct NoProgress {
    suspect: Option<Suspect>,
    /// The first other handle that was called in this turn.
    other: Option<HandleId>,
    /// The handles that were reported, the latest at the end.
    pub(super) reported: Vec<HandleId>,
}

/// The handle that is examined.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    handle: HandleId,
    /// The number of consecutive turns in which it has been called without a change of the table.
    turns: u32,
    /// The time when the first of them began.
    since: MonotonicTime,
    /// The events of its last call.
    events: Events,
    /// True if the events of each call include an error or a hang-up. Such a condition does not end by itself.
    is_broken: bool,
    /// True if it has been called in this turn.
    is_called: bool,
}

impl NoProgress {
    /// Records a call in the turn that began at `began`, and whether the table was changed during it.
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

    /// Ends the turn that began at `began`. Returns a warning if the handle was called in `limit` consecutive turns.
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

    /// Returns the warning, unless the turns were long enough to contain work.
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
    /// Begins to examine a handle that was called in the turn that began at `since`. Its calls count from the next turn
    /// on.
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
