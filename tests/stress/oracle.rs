//! All stands still: who is called now is what poll(2) says.

use crate::entries::{Life, Shared};
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

/// How many turns free, tell the poller and rebuild what the last round has left to do.
const TURNS_TO_SETTLE: usize = 3;
/// In so many turns whoever is ready must have been called in each.
const TURNS: u32 = 2;

/// How long the loop sleeps when nothing is to be done, and in how many turns, be it interrupted once or twice.
const NAP: Duration = Duration::from_millis(1);
const MOST_TURNS_OF_A_NAP: usize = 8;

/// How often poll(2) was asked, and how often it found something.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) asked: u64,
    pub(crate) ready: u64,
}

impl AddAssign for Checked {
    fn add_assign(&mut self, other: Checked) {
        self.asked += other.asked;
        self.ready += other.ready;
    }
}

pub(crate) fn check(
    event_loop: &mut EventLoop,
    fixtures: &mut [Fixture],
    shared: &Shared,
) -> Checked {
    shared.quiet.store(true, SeqCst);
    turn(event_loop, TURNS_TO_SETTLE);
    let stats = event_loop.registry().stats();
    assert_eq!(stats.pending_frees, 0, "a removed entry was not freed");
    let lives = fixtures.iter().flat_map(|fixture| &fixture.entries);
    lives.for_each(|entry| entry.life.settle());
    let expected = shares(fixtures);
    turn(event_loop, TURNS as usize);
    assert!(expected == shares(fixtures), "somebody still moves");
    check_handles(fixtures, &expected);
    check_timeouts(fixtures);
    lull(event_loop, fixtures);
    shared.quiet.store(false, SeqCst);
    Checked {
        asked: expected.len() as u64,
        ready: expected.iter().filter(|share| !share.is_empty()).count() as u64,
    }
}

/// With all that lives disabled, the loop sleeps.
fn lull(event_loop: &mut EventLoop, fixtures: &[Fixture]) {
    let registry = event_loop.registry();
    let entries = || fixtures.iter().flat_map(|fixture| &fixture.entries);
    let living = || entries().filter(|entry| entry.life.is_registered());
    living().for_each(|entry| entry.pause(&registry));
    nap(event_loop);
    let stopper = event_loop.stopper();
    thread::scope(|scope| {
        scope.spawn(|| {
            knock(&registry);
            stopper.stop();
        });
        event_loop.run().expect("nothing fails");
    });
    living().for_each(|entry| entry.resume(&registry));
}

/// Sleeps until a timeout, which takes a few turns, and not those of a loop that something keeps awake.
fn nap(event_loop: &mut EventLoop) {
    let (tell, told) = channel();
    let fires = move |_: TimeoutEvent<'_>| {
        tell.send(()).expect("somebody counts");
        Next::Remove
    };
    let added = event_loop.registry().add_timeout(NAP, fires);
    added.expect("there is room");
    for turns in 1.. {
        event_loop.run_once(None).expect("nothing fails");
        if told.try_recv().is_ok() {
            break;
        }
        assert!(turns < MOST_TURNS_OF_A_NAP, "the loop does not sleep");
    }
}

/// Adds what is ready, and waits until the loop, asleep or not, has called it.
fn knock(registry: &Registry) {
    let door = eventfd(1, EventfdFlags::CLOEXEC).expect("a descriptor");
    let (tell, told) = channel();
    let opens = move |_: HandleEvent<'_, Arc<OwnedFd>>| {
        tell.send(()).expect("somebody waits");
        Next::Remove
    };
    let added = registry.add_handle(door, Events::READABLE, opens);
    added.expect("it is open");
    told.recv().expect("it is called before it is dropped");
}

fn turn(event_loop: &mut EventLoop, turns: usize) {
    for _ in 0..turns {
        event_loop
            .run_once(Some(Duration::ZERO))
            .expect("nothing fails");
    }
}

/// What each registered handle is to be called with, by poll(2).
fn shares(fixtures: &[Fixture]) -> Vec<Events> {
    handles(fixtures)
        .map(|(life, ready)| life.wants().share_of(ready))
        .collect()
}

fn handles(fixtures: &[Fixture]) -> impl Iterator<Item = (&Life, Events)> {
    fixtures.iter().flat_map(|fixture| {
        fixture.entries.iter().filter_map(|entry| {
            let Kind::Handle(_, known) = &entry.kind else {
                return None;
            };
            let mut descriptors = fixture.descriptors.iter();
            let descriptor = descriptors.find(|descriptor| descriptor.is(known));
            let descriptor = descriptor.expect("it is closed after its handles are removed");
            let registered = entry.life.is_registered();
            registered.then(|| (&*entry.life, descriptor.ready()))
        })
    })
}

fn check_handles(fixtures: &[Fixture], expected: &[Events]) {
    for ((life, ready), share) in handles(fixtures).zip(expected) {
        let calls = life.calls.load(SeqCst);
        let told = Events::from_bits_truncate(life.told.load(SeqCst));
        if share.is_empty() {
            assert_eq!(
                calls,
                0,
                "called with {told:?}; it wants {:?} of {ready:?}",
                life.wants()
            );
        } else {
            assert_eq!(
                calls,
                TURNS,
                "not called each time; it wants {:?} of {ready:?}",
                life.wants()
            );
            assert_eq!(told, *share, "it wants {:?} of {ready:?}", life.wants());
        }
    }
}

fn check_timeouts(fixtures: &[Fixture]) {
    let entries = fixtures.iter().flat_map(|fixture| &fixture.entries);
    for entry in entries.filter(|entry| entry.life.is_registered()) {
        let calls = entry.life.calls.load(SeqCst);
        match entry.kind {
            Kind::Timeout(_, Some(Duration::ZERO)) => {
                assert_eq!(calls, TURNS, "a timeout that is always due");
            }
            Kind::Timeout(_, None) => assert_eq!(calls, 0, "a disabled timeout"),
            _ => {}
        }
    }
}
