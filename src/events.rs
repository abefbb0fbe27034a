//! The event mask of a handle.

use bitflags::bitflags;
use std::fmt;

bitflags! {
    /// A set of events: the interest of a handle, or the events with which its callback is called.
    ///
    /// The bits are libvirt's (EV-301): [`READABLE`](Events::READABLE) 1, [`WRITABLE`](Events::WRITABLE) 2,
    /// [`ERROR`](Events::ERROR) 4, [`HANGUP`](Events::HANGUP) 8. They have the meaning of `POLLIN`, `POLLOUT`,
    /// `POLLERR` and `POLLHUP` in `poll(2)` (EV-302). A peer that shuts down only its sending side causes *no*
    /// hang-up (EV-305).
    ///
    /// ```
    /// use eventry::Events;
    ///
    /// let interest = Events::READABLE | Events::HANGUP;
    /// assert!(interest.contains(Events::READABLE));
    /// assert_eq!(format!("{interest:?}"), "READABLE|HANGUP");
    /// // Unknown bits are dropped (EV-306).
    /// assert_eq!(Events::from_bits_truncate(16), Events::NONE);
    /// ```
    #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct Events: u32 {
        /// Data or the end of the stream can be read.
        const READABLE = 1;
        /// Data can be written.
        const WRITABLE = 2;
        /// An error is pending. Every enabled handle receives this event (EV-303).
        const ERROR = 4;
        /// Both directions are closed. Every enabled handle receives this event (EV-303).
        const HANGUP = 8;
    }
}

impl Events {
    /// The empty set. As an interest it disables the handle (EV-401).
    pub const NONE: Events = Events::empty();
    /// All four events.
    pub const ALL: Events = Events::all();
    /// The events that every enabled handle receives, also without interest in them (EV-303).
    pub const UNCONDITIONAL: Events = Events::ERROR.union(Events::HANGUP);

    /// Returns the events of `ready` that a handle with this interest receives: those in the interest and in
    /// [`UNCONDITIONAL`](Events::UNCONDITIONAL), or none if the interest is empty (EV-303, EV-304, EV-401).
    #[must_use]
    pub const fn filter_ready(self, ready: Events) -> Events {
        if self.is_empty() {
            Events::NONE
        } else {
            ready.intersection(self.union(Events::UNCONDITIONAL))
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, _) in self.iter_names() {
            write!(f, "{separator}{name}")?;
            separator = "|";
        }
        if separator.is_empty() {
            f.write_str("NONE")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_ready_keeps_interest_errors_and_hangups() {
        // The four cases of EV-303, then EV-304 and EV-401.
        let (r, w, e, h) = (
            Events::READABLE,
            Events::WRITABLE,
            Events::ERROR,
            Events::HANGUP,
        );
        assert_eq!(r.filter_ready(h), h);
        assert_eq!(w.filter_ready(w | e), w | e);
        assert_eq!(e.filter_ready(h), h);
        assert_eq!(h.filter_ready(h), h);
        assert_eq!((e | h).filter_ready(r | w), Events::NONE);
        assert_eq!(Events::NONE.filter_ready(Events::ALL), Events::NONE);
    }

    #[test]
    fn unknown_bits_are_dropped() {
        assert_eq!(Events::from_bits_truncate(0xffff_fff0), Events::NONE);
        assert_eq!(Events::from_bits_truncate(0x13).bits(), 3);
    }
}
