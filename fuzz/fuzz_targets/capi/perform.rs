//! Execution of the steps, from outside and from inside callbacks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;

use eventry::capi;

use crate::callbacks;
use crate::descriptors::{self, Descriptors};
use crate::errno::{self, EBADF, EBUSY, EINVAL};
use crate::ledger::{Kind, Ledger};
use crate::script::{Fd, RemovalKind, Shape, Step};

/// Number of turns that is more than enough to free all entries.
const LAST_TURNS: usize = 4;

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    descriptors: Descriptors,
    steps: VecDeque<Step>,
    /// Pointers of the entries, by index.
    opaques: Vec<*mut c_void>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Borrows the world; `look` must not call a function of the loop.
pub(crate) fn with_world<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| look(world.as_mut().expect("a run is in progress")))
}

/// Executes the steps, and removes all remaining entries.
pub(crate) fn play(steps: VecDeque<Step>) {
    descriptors::ignore_broken_pipes();
    let world = World {
        ledger: Ledger::default(),
        descriptors: Descriptors::new(),
        steps,
        opaques: Vec::new(),
    };
    WORLD.set(Some(world));
    while let Some(step) = next_step() {
        perform(step);
    }
    finish();
    WORLD.set(None);
}

/// Executes steps until `Step::End`.
pub(crate) fn act() {
    while let Some(step) = next_step() {
        if matches!(step, Step::End) {
            return;
        }
        perform(step);
    }
}

fn next_step() -> Option<Step> {
    with_world(|world| world.steps.pop_front())
}

fn perform(step: Step) {
    with_world(|world| world.ledger.disturb());
    match step {
        Step::AddHandle(fd, events, shape) => add_handle(fd, events, shape),
        Step::AddTimeout(milliseconds, shape) => {
            let kind = Kind::Timeout { milliseconds };
            add(kind, shape, None, |opaque| {
                let callback = callbacks::timeout_callback(shape);
                let free = callbacks::free_callback(shape);
                // SAFETY: the pointer is valid until the free callback, or its last call, is over.
                unsafe { capi::eventry_add_timeout(milliseconds, callback, opaque, free) }
            });
        }
        Step::UpdateHandle(id, events) => update(
            id,
            true,
            |id| {
                capi::eventry_update_handle(id, events);
            },
            |kind| match kind {
                Kind::Handle { fd, .. } => Kind::Handle {
                    fd,
                    interest: events & 15,
                },
                other => other,
            },
        ),
        Step::UpdateTimeout(id, milliseconds) => update(
            id,
            false,
            |id| {
                capi::eventry_update_timeout(id, milliseconds);
            },
            |_| Kind::Timeout { milliseconds },
        ),
        Step::RemoveHandle(id, kind) => {
            let id = with_world(|world| world.ledger.number(id));
            remove(
                id,
                true,
                kind,
                match kind {
                    RemovalKind::Plain => capi::eventry_remove_handle,
                    RemovalKind::Status => capi::eventry_remove_handle_status,
                    RemovalKind::Wait => capi::eventry_remove_handle_and_wait,
                },
            );
        }
        Step::RemoveTimeout(id, kind) => {
            let id = with_world(|world| world.ledger.number(id));
            remove(
                id,
                false,
                kind,
                match kind {
                    RemovalKind::Plain => capi::eventry_remove_timeout,
                    RemovalKind::Status => capi::eventry_remove_timeout_status,
                    RemovalKind::Wait => capi::eventry_remove_timeout_and_wait,
                },
            );
        }
        Step::RunOnce => turn(|| capi::eventry_run_once()),
        Step::Run => turn(|| capi::eventry_run()),
        Step::Stop => assert_eq!(operation(|| capi::eventry_stop()), Ok(0)),
        Step::Stats(size) => look_at_stats(size),
        descriptor => disturb(descriptor),
    }
}

/// The number from which on a descriptor must be open.
const CHECKED_FROM: RawFd = 1 << 20;

fn add_handle(fd: Fd, events: c_int, shape: Shape) {
    let number = match fd {
        Fd::Raw(number) => number,
        Fd::Nth(nth) => match with_world(|world| world.descriptors.nth(nth)) {
            Some(number) => number,
            None => return,
        },
    };
    // Other numbers that are not open are accepted, and called with ERROR.
    let is_refused = !(0..CHECKED_FROM).contains(&number);
    let interest = events & 15;
    let kind = Kind::Handle {
        fd: number,
        interest,
    };
    add(kind, shape, is_refused.then_some(EBADF), |opaque| {
        let callback = callbacks::handle_callback(shape);
        let free = callbacks::free_callback(shape);
        // SAFETY: the pointer is valid until the free callback, or its last call, is over. Steps may
        // close the descriptor before the removal, which does not affect memory safety.
        unsafe { capi::eventry_add_handle(number, events, callback, opaque, free) }
    });
}

fn add(kind: Kind, shape: Shape, unfit: Option<c_int>, add: impl FnOnce(*mut c_void) -> c_int) {
    let index = with_world(|world| world.ledger.offer(kind, shape));
    let opaque = callbacks::opaque(index);
    with_world(|world| world.opaques.push(opaque));
    let expected = if shape.has_callback {
        unfit
    } else {
        Some(EINVAL)
    };
    match operation(|| add(opaque)) {
        Ok(id) => {
            assert_eq!(expected, None, "added {kind:?} {shape:?}");
            with_world(|world| world.ledger.added(index, id));
        }
        Err(error) => {
            assert_eq!(Some(error), expected, "{kind:?} {shape:?}");
            // A failed addition leaves the pointer with the caller.
            with_world(|world| world.ledger.entries[index].freed = true);
            callbacks::free_opaque(opaque);
        }
    }
}

fn update(
    id: crate::script::Id,
    is_handle: bool,
    update: impl FnOnce(c_int),
    kind: impl FnOnce(Kind) -> Kind,
) {
    let id = with_world(|world| world.ledger.number(id));
    let found = with_world(|world| world.ledger.find(id, is_handle));
    with_world(|world| world.ledger.in_operation = true);
    let error = errno::after(|| update(id));
    with_world(|world| {
        world.ledger.in_operation = false;
        match found {
            Some(index) => {
                let kind = kind(world.ledger.entries[index].kind);
                world.ledger.touch(index, kind);
            }
            None => assert_eq!(error, EINVAL, "an update of {id}"),
        }
    });
}

fn remove(id: c_int, is_handle: bool, kind: RemovalKind, remove: extern "C" fn(c_int) -> c_int) {
    let (found, expected) = with_world(|world| {
        let found = world.ledger.find(id, is_handle);
        (found, world.ledger.removal(found, kind))
    });
    let removed = operation(|| remove(id));
    assert_eq!(removed, expected, "the removal of {id}, {kind:?}");
    if let (Some(index), Ok(_)) = (found, removed) {
        let idle = with_world(|world| {
            let entry = &mut world.ledger.entries[index];
            entry.registered = false;
            let idle = !entry.shape.has_free && !entry.running;
            entry.freed |= idle;
            idle.then_some(world.opaques[index])
        });
        // No call with this pointer follows.
        idle.into_iter().for_each(callbacks::free_opaque);
    }
}

/// Calls a function that must not call a callback.
fn operation(call: impl FnOnce() -> c_int) -> Result<c_int, c_int> {
    with_world(|world| world.ledger.in_operation = true);
    let result = errno::of(call);
    with_world(|world| world.ledger.in_operation = false);
    result
}

/// Runs one turn that does not wait; inside another turn it fails.
fn turn(run: impl FnOnce() -> c_int) {
    assert_eq!(operation(|| capi::eventry_stop()), Ok(0));
    if with_world(|world| world.ledger.in_turn) {
        assert_eq!(errno::of(run), Err(EBUSY));
        return;
    }
    with_world(|world| world.ledger.turn_begins(&world.descriptors));
    assert_eq!(errno::of(run), Ok(0));
    with_world(|world| world.ledger.turn_ends());
}

fn look_at_stats(size: Option<usize>) {
    let Some(size) = size else {
        // SAFETY: a null pointer is allowed.
        let refused = operation(|| unsafe { capi::eventry_stats(ptr::null_mut(), 8) });
        assert_eq!(refused, Err(EINVAL));
        return;
    };
    let mut bytes = vec![0xff_u8; size].into_boxed_slice();
    let stats = bytes.as_mut_ptr().cast();
    // SAFETY: the buffer has `size` bytes.
    assert_eq!(
        operation(|| unsafe { capi::eventry_stats(stats, size) }),
        Ok(0)
    );
    let known = size.min(size_of::<capi::StatsRecord>());
    assert!(bytes[known..].iter().all(|byte| *byte == 0), "{bytes:?}");
    if let Some((handles, _)) = bytes.split_first_chunk() {
        let registered = with_world(|world| {
            let entries = world.ledger.entries.iter();
            entries
                .filter(|entry| entry.registered && entry.is_handle())
                .count()
        });
        // Handles that wait to be freed are counted too.
        assert!(u64::from_ne_bytes(*handles) >= registered as u64);
    }
}

fn disturb(step: Step) {
    with_world(|world| {
        let World {
            ledger,
            descriptors,
            ..
        } = world;
        let mut unpredictable = |fd: Option<RawFd>| {
            let entries = &ledger.entries;
            let watched = |fd: &RawFd| {
                entries.iter().any(|entry| {
                    entry.registered
                        && matches!(entry.kind, Kind::Handle { fd: own, .. } if own == *fd)
                })
            };
            ledger.unpredictable.extend(fd.filter(watched));
        };
        match step {
            Step::Fill(nth) => descriptors.fill(nth),
            Step::Drain(nth) => descriptors.drain(nth),
            Step::Close(nth) => unpredictable(descriptors.close(nth)),
            Step::Open(kind) => descriptors.open(kind),
            Step::Replace(first, second) => unpredictable(descriptors.replace(first, second)),
            // `End` has no effect outside a callback.
            _ => {}
        }
    });
}

/// Removes all entries, and runs turns until they are freed.
fn finish() {
    let ids: Vec<(c_int, bool)> = with_world(|world| {
        let entries = world.ledger.entries.iter().filter(|entry| entry.registered);
        entries.map(|entry| (entry.id, entry.is_handle())).collect()
    });
    for (id, is_handle) in ids {
        let function = if is_handle {
            capi::eventry_remove_handle
        } else {
            capi::eventry_remove_timeout
        };
        remove(id, is_handle, RemovalKind::Plain, function);
    }
    for _ in 0..LAST_TURNS {
        turn(|| capi::eventry_run_once());
    }
    with_world(|world| {
        let left = world.ledger.entries.iter().find(|entry| !entry.freed);
        assert!(left.is_none(), "never freed: {left:?}");
    });
    let mut stats = std::mem::MaybeUninit::<capi::StatsRecord>::uninit();
    // SAFETY: the buffer has the size of the record, and the function fills all of it.
    let stats = unsafe {
        assert_eq!(
            capi::eventry_stats(stats.as_mut_ptr(), size_of::<capi::StatsRecord>()),
            0
        );
        stats.assume_init()
    };
    assert_eq!(
        (stats.handles, stats.timeouts, stats.pending_frees),
        (0, 0, 0)
    );
}
