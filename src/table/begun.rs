//! The record of the call that runs, among the calls that were taken.
//!
//! The loop takes several calls at a time and makes them one by one without the table. Before each call it publishes
//! the serial of the entry, and then reads a counter of the changes to taken entries. If there was none, the call
//! begins; otherwise the loop asks the table. A thread that changes a taken entry counts the change first and then
//! reads the published serial, so for each pair of a call and a change, either the loop notices the change or the
//! thread notices the call.
//!
//! A thread cannot distinguish a call that has begun from one that has been published and is going to be asked
//! about. It takes both for begun, and [`Begun`] makes that true: the table then confirms the call even though the
//! entry was removed.

/// The call that has begun, as far as changes and confirmations show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    /// The serial of the entry whose call has begun and may still run; 0 for none.
    serial: u64,
    /// True if a published serial was observed since the batch was taken. The loop asks before each of its later calls,
    /// so no call that is published later has begun.
    is_observed: bool,
}

impl Begun {
    /// Records that a batch was taken, and that its first call, of the entry with this serial, begins.
    pub(super) fn begin_first(&mut self, serial: u64) {
        *self = Begun {
            serial,
            is_observed: false,
        };
    }

    /// Records that the loop has asked: the call of the entry with this serial begins, or with 0 none does.
    pub(super) fn begin_confirmed(&mut self, serial: u64) {
        *self = Begun {
            serial,
            is_observed: true,
        };
    }

    /// Records the serial that a thread has read after it had counted its change.
    pub(super) fn observe(&mut self, published: u64) {
        if !self.is_observed {
            self.is_observed = true;
            self.serial = published;
        } else if self.serial != published {
            // The call is over, and the one published since has not begun.
            self.serial = 0;
        }
    }

    /// Returns the serial of the entry whose call has begun, or 0, and whether a published serial was observed.
    pub(super) fn parts(self) -> (u64, bool) {
        (self.serial, self.is_observed)
    }

    /// Returns whether the call of the entry with this serial has begun and may still run.
    pub(super) fn is(&self, serial: u64) -> bool {
        self.serial == serial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_observation_finds_the_published_call() {
        let mut begun = Begun::default();
        begun.begin_first(3);
        assert!(begun.is(3));
        begun.observe(4);
        assert!(begun.is(4) && !begun.is(3));
    }

    #[test]
    fn call_published_after_an_observation_has_not_begun() {
        let mut begun = Begun::default();
        begun.begin_first(3);
        begun.observe(3);
        assert!(begun.is(3));
        begun.observe(4);
        assert!(!begun.is(3) && !begun.is(4));
        begun.observe(4);
        assert!(!begun.is(4));
        begun.begin_confirmed(4);
        assert!(begun.is(4));
        begun.observe(5);
        assert!(!begun.is(4) && !begun.is(5));
    }
}
