//! Check of a paused system: the expected calls follow from `poll(2)`.

use crate::entries::{EntryState, Shared};
use crate::fixture::{Fixture, Kind};
use eventry::registry::{HandleEvent, Next, TimeoutEvent};
use eventry::{EventLoop, Events, Registry};
use rustix::event::{EventfdFlags, eventfd};
use std::ops::AddAssign;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Number of turns that complete the pending frees, poller changes and recreations of a round.
const SETTLING_TURNS: usize = 3;
/// Number of turns in each of which every ready handle must be called.
const TURNS: u32 = 2;

/// Interval of the timeout that ends the sleep of an idle loop.
const SLEEP: Duration = Duration::from_millis(1);
/// Maximum number of turns until that timeout fires; wakes and signals may interrupt the sleep.
const MAX_TURNS_PER_SLEEP: usize = 8;

/// Number of results of `poll(2)` that were compared, and of those with ready events.
#[derive(Debug, Default)]
pub(crate) struct Comparisons {
    pub(crate) compared: u64,
    pub(crate) ready: u64,
}

impl AddAssign for Comparisons {
    fn add_assign(&mut self, other: Comparisons) {
        self.compared += other.compared;
        self.ready += other.ready;
    }
}

pub(crate) fn check(
    event_loop: &mut EventLoop,
    fixtures: &mut [Fixture],
    shared: &Shared,
) -> Comparisons {
    shared.is_checking.store(true, SeqCst);
    turn(event_loop, SETTLING_TURNS);
    let stats = event_loop.registry().stats();
    assert_eq!(stats.pending_frees, 0, "a removed entry was not freed");
    let entries = fixtures.iter().flat_map(|fixture| &fixture.entries);
    entries.for_each(|entry| entry.state.reset());
    let expected = shares(fixtures);
    turn(event_loop, TURNS as usize);
    assert!(
        expected == shares(fixtures),
        "a descriptor changed during the check"
    );
    check_handles(fixtures, &expected);
    check_timeouts(fixtures);
    check_idle_loop(event_loop, fixtures);
    shared.is_checking.store(false, SeqCst);
    Comparisons {
        compared: expected.len() as u64,
        ready: expected.iter().filter(|share| !share.is_empty()).count() as u64,
    }
}

/// Disables all entries, and checks that the loop sleeps and can be woken.
fn check_idle_loop(event_loop: &mut EventLoop, fixtures: &[Fixture]) {
    let registry = event_loop.registry();
    let entries = || fixtures.iter().flat_map(|fixture| &fixture.entries);
    let registered = || entries().filter(|entry| entry.state.is_registered());
    registered().for_each(|entry| entry.pause(&registry));
    check_sleep(event_loop);
    let stopper = event_loop.stopper();
    thread::scope(|scope| {
        scope.spawn(|| {
            check_wake(&registry);
            stopper.stop();
        });
        event_loop.run().expect("the loop does not fail");
    });
    registered().for_each(|entry| entry.resume(&registry));
}

/// Runs turns until a timeout fires. A loop that does not sleep needs too many turns.
fn check_sleep(event_loop: &mut EventLoop) {
    let (sender, received) = channel();
    let fires = move |_: TimeoutEvent<'_>| {
        sender.send(()).expect("the receiver exists");
        Next::Remove
    };
    let added = event_loop.registry().add_timeout(SLEEP, fires);
    added.expect("adding a timeout succeeds");
    for turns in 1.. {
        event_loop.run_once(None).expect("the loop does not fail");
        if received.try_recv().is_ok() {
            break;
        }
        assert!(turns < MAX_TURNS_PER_SLEEP, "the loop does not sleep");
    }
}

/// Adds a handle that is ready, and waits until the loop has called it.
fn check_wake(registry: &Registry) {
    let ready = eventfd(1, EventfdFlags::CLOEXEC).expect("an eventfd can be opened");
    let (sender, received) = channel();
    let callback = move |_: HandleEvent<'_, Arc<OwnedFd>>| {
        sender.send(()).expect("the receiver exists");
        Next::Remove
    };
    let added = registry.add_handle(ready, Events::READABLE, callback);
    added.expect("the descriptor is open");
    received
        .recv()
        .expect("the callback is called before it is dropped");
}

fn turn(event_loop: &mut EventLoop, turns: usize) {
    for _ in 0..turns {
        event_loop
            .run_once(Some(Duration::ZERO))
            .expect("the loop does not fail");
    }
}

/// Returns the events with which each registered handle must be called, by `poll(2)`.
fn shares(fixtures: &[Fixture]) -> Vec<Events> {
    handles(fixtures)
        .map(|(state, ready)| state.interest().filter_ready(ready))
        .collect()
}

fn handles(fixtures: &[Fixture]) -> impl Iterator<Item = (&EntryState, Events)> {
    fixtures.iter().flat_map(|fixture| {
        fixture.entries.iter().filter_map(|entry| {
            let Kind::Handle(_, weak) = &entry.kind else {
                return None;
            };
            let mut descriptors = fixture.descriptors.iter();
            let descriptor = descriptors.find(|descriptor| descriptor.is(weak));
            let descriptor = descriptor.expect("a descriptor with handles is open");
            let registered = entry.state.is_registered();
            registered.then(|| (&*entry.state, descriptor.ready()))
        })
    })
}

fn check_handles(fixtures: &[Fixture], expected: &[Events]) {
    for ((state, ready), share) in handles(fixtures).zip(expected) {
        let calls = state.calls.load(SeqCst);
        let last_events = Events::from_bits_truncate(state.last_events.load(SeqCst));
        if share.is_empty() {
            assert_eq!(
                calls,
                0,
                "called with {last_events:?}; interest {:?}, ready {ready:?}",
                state.interest()
            );
        } else {
            assert_eq!(
                calls,
                TURNS,
                "not called in each turn; interest {:?}, ready {ready:?}",
                state.interest()
            );
            assert_eq!(
                last_events,
                *share,
                "interest {:?}, ready {ready:?}",
                state.interest()
            );
        }
    }
}

fn check_timeouts(fixtures: &[Fixture]) {
    let entries = fixtures.iter().flat_map(|fixture| &fixture.entries);
    for entry in entries.filter(|entry| entry.state.is_registered()) {
        let calls = entry.state.calls.load(SeqCst);
        match entry.kind {
            Kind::Timeout(_, Some(Duration::ZERO)) => {
                assert_eq!(calls, TURNS, "a timeout of zero is called in each turn");
            }
            Kind::Timeout(_, None) => assert_eq!(calls, 0, "a disabled timeout is called"),
            _ => {}
        }
    }
}
