//! The vocabulary: everything that can happen to the table.

use eventry::Events;
use std::os::fd::RawFd;

/// How long a timeout's interval is, in nanoseconds; none disables it.
pub type Interval = Option<u64>;

/// One thing that happens.
///
/// `nth` counts all ids ever issued of its kind, modulo their number, so ids of removed entries are as
/// likely as others. An op that makes no sense in its state, such as finishing a call when none is out,
/// does nothing: any sequence is meaningful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Any thread adds a handle.
    AddHandle {
        /// The descriptor; negative ones are to be refused.
        fd: RawFd,
        /// What it wants.
        interest: Events,
    },
    /// Any thread updates a handle.
    UpdateHandle {
        /// Which of the ids ever issued.
        nth: usize,
        /// What it wants from now on.
        interest: Events,
    },
    /// Any thread removes a handle.
    RemoveHandle {
        /// Which of the ids ever issued.
        nth: usize,
    },
    /// Some thread that is about to add or update a timeout reads the clock. Others may take the lock
    /// before it does, so that it comes with a time that is over.
    Sample,
    /// Any thread adds a timeout.
    AddTimeout {
        /// Its interval.
        interval: Interval,
    },
    /// Any thread updates a timeout.
    UpdateTimeout {
        /// Which of the ids ever issued.
        nth: usize,
        /// Its new interval.
        interval: Interval,
    },
    /// Any thread removes a timeout.
    RemoveTimeout {
        /// Which of the ids ever issued.
        nth: usize,
    },
    /// The loop tells the poller what it must know before it sleeps. What cannot wait so long is told at
    /// once after every op and is not an op of its own.
    Flush {
        /// The descriptors 0, 1, … that the poller refuses, by bit.
        refused: u8,
    },
    /// The loop asks for the next deadline and fetches from the poller what is ready. Things may change
    /// before the turn begins with that batch.
    Poll {
        /// What the descriptors 0, 1, … are ready for.
        ready: [Events; FDS],
    },
    /// The loop begins a turn with the batch it fetched last.
    Turn,
    /// The loop begins a turn that only frees.
    Frees,
    /// The loop begins the next call of the turn. A free call is over at once, since the table has no
    /// part in it any more.
    Step,
    /// The callback that runs returns.
    Finish,
    /// This much time passes, also while a callback runs.
    Tick(u64),
    /// The poller is made anew and knows nothing: it had reported what nobody can end.
    Rebuild,
    /// The loop is dropped.
    Close,
}

/// How many descriptors [`Op::Poll`] and [`Op::Flush`] speak of.
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
                // Rare, since little can happen afterwards.
                _ if bytes.ratio(1u8, 16)? => Op::Close,
                _ if bytes.ratio(1u8, 4)? => Op::Rebuild,
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
