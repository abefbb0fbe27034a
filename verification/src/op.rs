//! The operations on the table and its surroundings.

use eventry::Events;
use std::os::fd::RawFd;

/// Interval of a timeout in nanoseconds; none disables it.
pub type Interval = Option<u64>;

/// One operation.
///
/// `nth` is an index into all ids ever issued of its kind, modulo their number, so that ids of removed
/// entries are as likely as others. An op that does not apply to the state, such as finishing a call when
/// none runs, does nothing, so every sequence is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Any thread adds a handle.
    AddHandle {
        /// The descriptor; the table must refuse negative ones.
        fd: RawFd,
        /// Its interest.
        interest: Events,
    },
    /// Any thread updates a handle.
    UpdateHandle {
        /// Index into the ids ever issued.
        nth: usize,
        /// Its new interest.
        interest: Events,
    },
    /// Any thread removes a handle.
    RemoveHandle {
        /// Index into the ids ever issued.
        nth: usize,
    },
    /// Some thread that is about to add or update a timeout reads the clock. Other threads may take the
    /// lock before it does, so that it passes an earlier time than they do.
    Sample,
    /// Any thread adds a timeout.
    AddTimeout {
        /// Its interval.
        interval: Interval,
    },
    /// Any thread updates a timeout.
    UpdateTimeout {
        /// Index into the ids ever issued.
        nth: usize,
        /// Its new interval.
        interval: Interval,
    },
    /// Any thread removes a timeout.
    RemoveTimeout {
        /// Index into the ids ever issued.
        nth: usize,
    },
    /// The loop passes the pending changes to the poller before it sleeps. Changes that cannot wait until
    /// then are applied after every op and are not ops of their own.
    Flush {
        /// Bit mask of the descriptors 0, 1, … that the poller refuses.
        refused: u8,
    },
    /// The loop asks for the next deadline and fetches the ready events from the poller. Other ops may
    /// follow before the turn begins with that batch.
    Poll {
        /// Events for which the descriptors 0, 1, … are ready.
        ready: [Events; FDS],
    },
    /// The number of a registered descriptor is closed and opened again as another file. Nothing notifies the
    /// table.
    Reopen {
        /// The number.
        fd: RawFd,
        /// A duplicate keeps the earlier file open, so that the poller continues to report it.
        duplicated: bool,
    },
    /// The wait that fetched the batch found a registered descriptor closed and ended its registration.
    Lose {
        /// The number of the descriptor.
        fd: RawFd,
    },
    /// The loop begins a turn with the batch it fetched last.
    Turn,
    /// The loop begins a turn that makes only free calls.
    Frees,
    /// The loop takes the next calls of the turn, of which the first one begins, or begins the call that it has
    /// published, or skips it. If only free calls are left, it makes the next one, which ends at once, since the table
    /// takes no further part in it.
    Step,
    /// The callback that runs returns. The loop publishes the next call of the batch, or finishes the batch.
    Finish,
    /// This many nanoseconds pass, also while a callback runs.
    Tick(u64),
    /// The loop replaces the poller, which had reported a registration that cannot be ended, by a new one
    /// without registrations.
    Recreate,
    /// The loop is dropped.
    Close,
}

/// Number of descriptors in [`Op::Poll`] and [`Op::Flush`].
pub const FDS: usize = 8;

#[cfg(feature = "arbitrary")]
mod from_bytes {
    use super::*;
    use arbitrary::{Arbitrary, Result, Unstructured};

    impl<'a> Arbitrary<'a> for Op {
        fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Op> {
            Ok(match bytes.int_in_range(0..=19u8)? {
                0 | 1 => Op::AddHandle {
                    fd: bytes.int_in_range(-1..=FDS as RawFd - 1)?,
                    interest: events(bytes)?,
                },
                2 => Op::Flush { refused: 0 },
                18 => Op::Flush {
                    refused: bytes.arbitrary()?,
                },
                3 => Op::UpdateHandle {
                    nth: nth(bytes)?,
                    interest: events(bytes)?,
                },
                4 => Op::RemoveHandle { nth: nth(bytes)? },
                5 => Op::Sample,
                6 | 7 => Op::AddTimeout {
                    interval: interval(bytes)?,
                },
                8 => Op::UpdateTimeout {
                    nth: nth(bytes)?,
                    interval: interval(bytes)?,
                },
                9 => Op::RemoveTimeout { nth: nth(bytes)? },
                10 => {
                    let mut ready = [Events::NONE; FDS];
                    for events_of_one in &mut ready {
                        *events_of_one = events(bytes)?;
                    }
                    Op::Poll { ready }
                }
                11 => Op::Turn,
                12 => Op::Frees,
                13 | 14 => Op::Step,
                15 | 16 => Op::Finish,
                17 => Op::Tick(bytes.int_in_range(0..=20u8)?.into()),
                // Rare, since few ops have an effect afterwards.
                _ if bytes.ratio(1u8, 16)? => Op::Close,
                _ if bytes.ratio(1u8, 4)? => Op::Recreate,
                _ if bytes.ratio(1u8, 2)? => Op::Reopen {
                    fd: bytes.int_in_range(0..=FDS as RawFd - 1)?,
                    duplicated: bytes.arbitrary()?,
                },
                _ if bytes.ratio(1u8, 2)? => Op::Lose {
                    fd: bytes.int_in_range(0..=FDS as RawFd - 1)?,
                },
                _ => Op::Step,
            })
        }
    }

    fn events(bytes: &mut Unstructured<'_>) -> Result<Events> {
        Ok(Events::from_bits_truncate(bytes.int_in_range(0..=15)?))
    }

    fn nth(bytes: &mut Unstructured<'_>) -> Result<usize> {
        Ok(bytes.int_in_range(0..=63u8)?.into())
    }

    fn interval(bytes: &mut Unstructured<'_>) -> Result<Interval> {
        Ok(match bytes.int_in_range(0..=17u8)? {
            0 => None,
            1 => Some(u64::MAX - bytes.int_in_range(0..=5u64)?),
            n => Some(u64::from(n) - 2),
        })
    }
}
