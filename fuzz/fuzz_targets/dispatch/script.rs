//! The steps of a run, decoded from bytes.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use eventry::Events;

/// Number of descriptors of each model, from 0.
pub(crate) const FDS: RawFd = 6;

/// One of the two loops.
pub(crate) type Side = usize;

/// An operation on one of the loops. `nth` counts all ids issued by both loops, so stale ids and ids of the other loop
/// are common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) side: Side,
    pub(crate) op: Op,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    AddHandle {
        fd: RawFd,
        interest: Events,
        /// The free call executes steps of the script.
        acts_on_free: bool,
    },
    UpdateHandle {
        nth: usize,
        interest: Events,
    },
    RemoveHandle {
        nth: usize,
        waits: bool,
    },
    AddTimeout {
        interval: Option<Duration>,
        acts_on_free: bool,
    },
    UpdateTimeout {
        nth: usize,
        interval: Option<Duration>,
    },
    RemoveTimeout {
        nth: usize,
        waits: bool,
    },
    SetReady {
        fd: RawFd,
        events: Events,
    },
    Advance(Duration),
    Stop,
    /// Makes the poller refuse or accept later registrations.
    Refuse(bool),
    FailNextWait,
    /// Makes the descriptor's registration stale: it cannot be ended.
    MakeStale {
        fd: RawFd,
        events: Events,
    },
    ClearStale,
    /// Runs one turn, unless the loop is in one.
    Turn(Option<Duration>),
    /// Runs the loop until it is stopped.
    Run,
    Drain,
    /// Drops the loop.
    Close,
    /// Ends the steps of the current callback, hook or thread.
    End(Ending),
}

/// The result of a callback; ignored for other actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Keep,
    Disable,
    Remove,
    Panic,
}

/// The actors besides callbacks and free calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actors {
    /// The hooks of every turn.
    pub(crate) hooks: bool,
    /// Other threads, while the loop sleeps.
    pub(crate) during_wait: bool,
    /// Other threads, after the poller has fetched what is ready.
    pub(crate) after_wait: bool,
}

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) actors: Actors,
    pub(crate) steps: VecDeque<Step>,
}

impl Script {
    pub(crate) fn read(from: &mut Unstructured<'_>) -> Result<Script> {
        let choice: u8 = from.arbitrary()?;
        let actors = Actors {
            hooks: choice & 1 != 0,
            during_wait: choice & 2 != 0,
            after_wait: choice & 4 != 0,
        };
        let mut steps = VecDeque::new();
        while !from.is_empty() {
            steps.push_back(step(from)?);
        }
        Ok(Script { actors, steps })
    }
}

fn step(from: &mut Unstructured<'_>) -> Result<Step> {
    // One byte selects the loop and the operation; the first loop is more frequent.
    let word: u8 = from.arbitrary()?;
    let side = usize::from(word >> 6 == 3);
    let op = match word & 0x3f {
        0..=6 => {
            let (which, rest): (u8, u8) = from.arbitrary()?;
            Op::AddHandle {
                // Few numbers are invalid.
                fd: if which > 0xf8 { -1 } else { fd(which) },
                interest: events(rest),
                acts_on_free: rest & 0x80 != 0,
            }
        }
        7..=9 => {
            let (nth, interest) = (nth(from)?, events(from.arbitrary()?));
            Op::UpdateHandle { nth, interest }
        }
        10..=14 => {
            let (nth, waits) = (nth(from)?, word & 0x80 != 0);
            Op::RemoveHandle { nth, waits }
        }
        15..=19 => {
            let (interval, acts_on_free) = (interval(from)?, word & 0x40 != 0);
            Op::AddTimeout {
                interval,
                acts_on_free,
            }
        }
        20..=22 => {
            let (nth, interval) = (nth(from)?, interval(from)?);
            Op::UpdateTimeout { nth, interval }
        }
        23..=26 => {
            let (nth, waits) = (nth(from)?, word & 0x80 != 0);
            Op::RemoveTimeout { nth, waits }
        }
        27..=31 => {
            let what: u8 = from.arbitrary()?;
            let (fd, events) = (fd(what >> 4), events(what));
            Op::SetReady { fd, events }
        }
        32..=34 => Op::Advance(Duration::from_nanos(from.int_in_range(0..=20)?)),
        35 => Op::Stop,
        36 => Op::Refuse(word & 0x80 != 0),
        37 => Op::FailNextWait,
        38 => {
            let what: u8 = from.arbitrary()?;
            let (fd, events) = (fd(what >> 4), events(what));
            Op::MakeStale { fd, events }
        }
        39 => Op::ClearStale,
        40..=43 => Op::Turn(Some(Duration::ZERO)),
        44..=45 => Op::Turn(None),
        46 => Op::Turn(Some(Duration::from_nanos(from.int_in_range(0..=20)?))),
        47 => Op::Run,
        48 => Op::Drain,
        // Rare, because it ends most activity.
        49 if from.ratio(1_u8, 8)? => Op::Close,
        50 => Op::End(Ending::Panic),
        51..=52 => Op::End(Ending::Disable),
        53..=54 => Op::End(Ending::Remove),
        _ => Op::End(Ending::Keep),
    };
    Ok(Step { side, op })
}

fn nth(from: &mut Unstructured<'_>) -> Result<usize> {
    Ok(from.arbitrary::<u8>()?.into())
}

fn fd(word: u8) -> RawFd {
    RawFd::from(word) % FDS
}

fn events(word: u8) -> Events {
    Events::from_bits_truncate(word.into())
}

fn interval(from: &mut Unstructured<'_>) -> Result<Option<Duration>> {
    Ok(match from.int_in_range(0..=17_u8)? {
        0 => None,
        1 => Some(Duration::MAX),
        nanos => Some(Duration::from_nanos(u64::from(nanos) - 2)),
    })
}
