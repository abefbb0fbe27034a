//! Generation of long sequences of ops, and the check of one sequence.

use eventry::Events;
use eventry_verification::op::{FDS, Interval};
use eventry_verification::oracle::EntryKind;
use eventry_verification::situations::Situations;
use eventry_verification::{Op, Violation, World};
use proptest::prelude::*;
use std::os::fd::RawFd;

/// One step of a generated run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Move {
    /// One op.
    Op(Op),
    /// A handle, which may be disabled first, is removed and a new one is added on the same descriptor
    /// number, as when a descriptor is closed and the next one opened.
    Replace {
        nth: usize,
        disable: bool,
        interest: Events,
    },
    /// The number of a handle is opened again as another file, and a new handle is added on it.
    Reopen {
        nth: usize,
        duplicated: bool,
        interest: Events,
    },
    /// The wait finds the number of a handle closed, and meanwhile the handle is updated for another file.
    LoseAndUpdate { nth: usize, interest: Events },
    /// The running handle gets a new interest, and the poller refuses its descriptor during the call.
    RefuseRunning(Events),
    /// The entry whose call the loop has published is removed before the loop looks for changes.
    RemovePublished,
    /// The interval of a timeout that the turn is going to call is divided by this number.
    Shorten(u64),
    /// The loop is dropped while a callback runs, as after a panic.
    CloseDuringCall,
    /// The next step of the loop: the callback returns, the next call begins, the next turn begins, or, after
    /// a turn, the loop flushes the changes, of which the poller refuses some, and polls.
    Loop { ready: [Events; FDS], refused: u8 },
}

impl Move {
    /// Returns the ops of the move in `world`.
    pub(crate) fn ops(self, world: &World) -> Vec<Op> {
        match self {
            Move::Op(op) => vec![op],
            Move::Replace {
                nth,
                disable,
                interest,
            } => {
                let Some(fd) = world.nth_handle_fd(nth) else {
                    return Vec::new();
                };
                let disable = disable.then_some(Op::UpdateHandle {
                    nth,
                    interest: Events::NONE,
                });
                let replace = [Op::RemoveHandle { nth }, Op::AddHandle { fd, interest }];
                disable.into_iter().chain(replace).collect()
            }
            Move::Reopen {
                nth,
                duplicated,
                interest,
            } => match world.nth_handle_fd(nth) {
                Some(fd) => vec![
                    Op::Reopen { fd, duplicated },
                    Op::AddHandle { fd, interest },
                ],
                None => Vec::new(),
            },
            Move::LoseAndUpdate { nth, interest } => match world.nth_handle_fd(nth) {
                Some(fd) => vec![Op::Lose { fd }, Op::UpdateHandle { nth, interest }],
                None => Vec::new(),
            },
            Move::RefuseRunning(interest) => {
                let mut entries = world.oracle().registrations().iter();
                let running = entries.find(|entry| entry.running).map(|entry| entry.label);
                let Some(nth) =
                    (0..64).find(|nth| running.is_some() && world.nth_handle(*nth) == running)
                else {
                    return Vec::new();
                };
                vec![
                    Op::UpdateHandle { nth, interest },
                    Op::Flush { refused: u8::MAX },
                ]
            }
            Move::RemovePublished => {
                let published = world.published();
                let is_published = |label| published.is_some() && label == published;
                let handle = (0..64).find(|nth| is_published(world.nth_handle(*nth)));
                let timeout = (0..64).find(|nth| is_published(world.nth_timeout(*nth)));
                let handle = handle.map(|nth| Op::RemoveHandle { nth });
                let removal = handle.or(timeout.map(|nth| Op::RemoveTimeout { nth }));
                removal.into_iter().collect()
            }
            Move::Shorten(divisor) => {
                let due = (0..64).filter_map(|nth| {
                    let label = world.nth_timeout(nth)?;
                    match world.oracle().registration(label)?.kind {
                        EntryKind::Timeout { interval, .. } => {
                            let is_due = world.oracle().will_call(label);
                            is_due.then_some((interval, nth))
                        }
                        EntryKind::Handle { .. } => None,
                    }
                });
                let Some((interval, nth)) = due.max() else {
                    return Vec::new();
                };
                let interval = interval.map(|interval| interval / divisor);
                vec![Op::UpdateTimeout { nth, interval }]
            }
            Move::CloseDuringCall if world.is_in_call() => vec![Op::Close],
            Move::CloseDuringCall => Vec::new(),
            Move::Loop { .. } if world.is_in_call() => vec![Op::Finish],
            Move::Loop { .. } if world.has_calls_out() || !world.oracle().has_turn_ended() => {
                vec![Op::Step]
            }
            Move::Loop { .. } if world.has_batch() => vec![Op::Turn],
            Move::Loop { ready, refused } => vec![Op::Flush { refused }, Op::Poll { ready }],
        }
    }
}

/// Generates up to `longest` moves, most of them steps of the loop, so that turns reach their ends.
pub(crate) fn moves(longest: usize) -> impl Strategy<Value = Vec<Move>> {
    proptest::collection::vec(one_move(), 0..longest)
}

/// Applies the moves and counts the situations.
///
/// # Errors
///
/// As [`World::apply`].
pub(crate) fn apply(
    world: &mut World,
    moves: &[Move],
    situations: &mut Situations,
) -> Result<(), Violation> {
    for step in moves {
        for op in step.ops(world) {
            situations.apply(world, op)?;
        }
    }
    Ok(())
}

fn one_move() -> impl Strategy<Value = Move> {
    let loops = (ready(), refused());
    let loops = loops.prop_map(|(ready, refused)| Move::Loop { ready, refused });
    let replaces = (0..64usize, any::<bool>(), events());
    let replaces = replaces.prop_map(|(nth, disable, interest)| Move::Replace {
        nth,
        disable,
        interest,
    });
    let reopenings = (0..64usize, any::<bool>(), events());
    let reopenings = reopenings.prop_map(|(nth, duplicated, interest)| Move::Reopen {
        nth,
        duplicated,
        interest,
    });
    let losses = (0..64usize, events());
    let losses = losses.prop_map(|(nth, interest)| Move::LoseAndUpdate { nth, interest });
    let refusals = events().prop_map(Move::RefuseRunning);
    let shortenings = (1..8u64).prop_map(Move::Shorten);
    prop_oneof![
        160 => loops,
        12 => replaces,
        4 => reopenings,
        10 => losses,
        18 => refusals,
        60 => shortenings,
        20 => Just(Move::RemovePublished),
        4 => Just(Move::CloseDuringCall),
        135 => any_op().prop_map(Move::Op),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let fd = -1..FDS as RawFd;
    let nth = 0..64usize;
    prop_oneof![
        6 => (fd, events()).prop_map(|(fd, interest)| Op::AddHandle { fd, interest }),
        2 => refused().prop_map(|refused| Op::Flush { refused }),
        4 => (nth.clone(), events()).prop_map(|(nth, interest)| Op::UpdateHandle { nth, interest }),
        5 => nth.clone().prop_map(|nth| Op::RemoveHandle { nth }),
        2 => Just(Op::Sample),
        4 => interval().prop_map(|interval| Op::AddTimeout { interval }),
        3 => (nth.clone(), interval()).prop_map(|(nth, interval)| Op::UpdateTimeout { nth, interval }),
        4 => nth.prop_map(|nth| Op::RemoveTimeout { nth }),
        2 => ready().prop_map(|ready| Op::Poll { ready }),
        1 => (0..FDS as RawFd, any::<bool>())
            .prop_map(|(fd, duplicated)| Op::Reopen { fd, duplicated }),
        1 => (0..FDS as RawFd).prop_map(|fd| Op::Lose { fd }),
        1 => Just(Op::Turn),
        1 => Just(Op::Frees),
        1 => Just(Op::Recreate),
        4 => (0..20u64).prop_map(Op::Tick),
        // Rare, since all later ops apply to a dropped loop.
        1 => proptest::bool::weighted(0.05).prop_map(|close| if close { Op::Close } else { Op::Step }),
    ]
}

pub(crate) fn events() -> impl Strategy<Value = Events> {
    prop_oneof![
        2 => Just(Events::NONE),
        3 => Just(Events::READABLE),
        4 => (0..16u32).prop_map(Events::from_bits_truncate),
    ]
}

pub(crate) fn ready() -> impl Strategy<Value = [Events; FDS]> {
    proptest::array::uniform8(events())
}

/// Generates the refused descriptors, mostly none, so that other situations occur as well.
fn refused() -> impl Strategy<Value = u8> {
    prop_oneof![5 => Just(0), 1 => any::<u8>()]
}

pub(crate) fn interval() -> impl Strategy<Value = Interval> {
    prop_oneof![
        1 => Just(None),
        1 => (0..6u64).prop_map(|before| Some(u64::MAX - before)),
        3 => Just(Some(0)),
        9 => (1..50u64).prop_map(Some),
    ]
}
