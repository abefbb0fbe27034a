use super::*;
use crate::id::{Key, TimeoutId};
use std::num::NonZeroU64;

const R: Events = Events::READABLE;
const H: Events = Events::HANGUP;
const TICK: Duration = ms(4);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn handle(serial: u64) -> HandleId {
    HandleId(Key {
        serial: NonZeroU64::MIN.saturating_add(serial),
        core: 0,
        slot: serial as u32,
    })
}

const fn timeout(serial: u64) -> TimeoutId {
    TimeoutId(handle(serial).0)
}

/// A watch with its clock, to be told of whole turns.
struct Told {
    watch: Watch,
    now: Time,
    changes: u64,
}

impl Told {
    fn new(no_progress: u32) -> Told {
        let mut watch = Watch::new(TICK);
        watch.set_limits(Limits {
            no_progress,
            ..Limits::default()
        });
        let now = Time::from_nanos(1_000_000_000);
        Told {
            watch,
            now,
            changes: 0,
        }
    }

    /// A turn in which these handles are called for so long, and change something or not.
    fn turn(&mut self, calls: &[(HandleId, Events, bool, Duration)]) -> Vec<Warning> {
        self.watch.turn_begins(self.changes, self.now);
        for (handle, events, changed, took) in calls {
            self.now = self.now.after(*took);
            if self.watch.looks() {
                self.changes += u64::from(*changed);
                let (changes, now) = (self.changes, self.now);
                self.watch.called((*handle).into(), *events, changes, now);
            }
        }
        let now = self.now;
        self.watch.turn_is_over(|| now);
        self.watch.take_warnings()
    }

    /// How many of so many equal turns that take `each` bring a warning.
    fn warned_in(&mut self, turns: u32, calls: &[(HandleId, Events)], each: Duration) -> usize {
        let mut warnings = 0;
        for _ in 0..turns {
            self.now = self.now.after(each);
            let calls: Vec<_> = calls
                .iter()
                .map(|(handle, events)| (*handle, *events, false, Duration::ZERO))
                .collect();
            warnings += self.turn(&calls).len();
        }
        warnings
    }
}

const FAST: Duration = Duration::from_micros(2);
const SLOW: Duration = Duration::from_micros(50);

#[test]
fn a_slow_callback_is_named_with_the_time_it_took_at_least() {
    let mut told = Told::new(10);
    let (quick, slow) = (handle(1), handle(2));
    let warnings = told.turn(&[(quick, R, false, ms(10)), (slow, R, false, ms(150))]);
    let callback = CallbackId::Handle(slow);
    // The clock may have been late by a tick when the first one returned.
    let took = ms(150) - TICK;
    assert_eq!(warnings, [Warning::SlowCallback { callback, took }]);
    assert_eq!(told.watch.longest().callback, took);
    assert_eq!(told.watch.longest().turn, ms(160));
    assert_eq!(told.turn(&[(slow, R, false, ms(99))]), []);
}

#[test]
fn a_timeout_and_a_drop_are_named_too() {
    let mut told = Told::new(10);
    told.watch.turn_begins(0, told.now);
    let late = told.now.after(ms(100));
    told.watch.called(timeout(7).into(), Events::NONE, 0, late);
    told.watch.free_begins(late);
    told.watch.free_is_over(late.after(ms(200)));
    assert!(told.watch.turn_is_over(|| late));
    let callback = CallbackId::Timeout(timeout(7));
    let took = ms(100);
    let first = Warning::SlowCallback { callback, took };
    let callback = CallbackId::Free;
    let took = ms(200) - TICK;
    let second = Warning::SlowCallback { callback, took };
    assert_eq!(told.watch.take_warnings(), [first, second]);
}

#[test]
fn after_a_slow_turn_without_a_name_every_call_is_timed() {
    let mut told = Told::new(10);
    let mut calls = vec![(handle(1), R, false, Duration::ZERO); LOOKED_AT as usize];
    calls.push((handle(9), R, false, ms(120)));
    let took = ms(120);
    assert_eq!(told.turn(&calls), [Warning::SlowTurn { took }]);
    let callback = CallbackId::Handle(handle(9));
    let took = ms(120) - TICK;
    assert_eq!(
        told.turn(&calls),
        [Warning::SlowCallback { callback, took }]
    );
    // Many short calls make a long turn, and nobody is to blame.
    let calls = vec![(handle(1), R, false, ms(10)); 30];
    assert_eq!(told.turn(&calls), []);
}

#[test]
fn a_longer_turn_is_told_and_a_shorter_one_is_not() {
    let mut told = Told::new(10);
    for (took, is_news) in [(30, true), (20, false), (30, false), (31, true)] {
        told.watch.turn_begins(0, told.now);
        told.now = told.now.after(ms(took));
        // More calls than are looked at.
        while told.watch.looks() {}
        assert_eq!(told.watch.turn_is_over(|| told.now), is_news, "{took} ms");
    }
}

// Otherwise a turn of few calls that waits long for its next one would seem long.
#[test]
fn a_turn_whose_calls_were_all_looked_at_ends_with_the_last_of_them() {
    let mut told = Told::new(10);
    told.watch.turn_begins(0, told.now);
    let over = told.now.after(ms(20));
    told.watch.called(timeout(7).into(), Events::NONE, 0, over);
    told.watch.turn_is_over(|| over.after(ms(1_000)));
    assert_eq!(told.watch.longest().turn, ms(20));
}

// What happened between the last call and the drop is not the drop's.
#[test]
fn a_drop_takes_time_from_when_it_began() {
    let mut told = Told::new(10);
    told.watch.turn_begins(0, told.now);
    let began = told.now.after(ms(500));
    told.watch.free_begins(began);
    told.watch.free_is_over(began.after(TICK + ms(30)));
    assert_eq!(told.watch.take_warnings(), []);
    assert_eq!(told.watch.longest().callback, ms(30));
}

#[test]
fn turns_as_long_as_those_of_a_loop_that_spins_are_a_spin() {
    let mut told = Told::new(100);
    assert_eq!(told.warned_in(300, &[(handle(1), R)], SPINNING_TURN), 1);
}

// EV-309.
#[test]
fn a_handle_that_spins_is_warned_of_once() {
    let mut told = Told::new(100);
    assert_eq!(told.warned_in(100, &[(handle(1), R)], FAST), 0);
    assert_eq!(told.warned_in(10_000, &[(handle(1), R)], FAST), 1);
    // Another one is not hidden by it.
    let both = [(handle(1), R), (handle(2), R)];
    assert_eq!(told.warned_in(10_000, &both, FAST), 1);
}

#[test]
fn a_loop_that_rests_between_turns_does_not_spin_unless_a_hangup_stays() {
    let mut told = Told::new(100);
    assert_eq!(told.warned_in(10_000, &[(handle(1), R)], SLOW), 0);
    assert_eq!(told.warned_in(10_000, &[(handle(1), R | H)], SLOW), 1);
}

#[test]
fn a_callback_that_changes_something_makes_progress() {
    let mut told = Told::new(100);
    for turn in 0..10_000 {
        told.now = told.now.after(FAST);
        let changed = turn % 90 == 0;
        let warnings = told.turn(&[(handle(1), H, changed, Duration::ZERO)]);
        assert_eq!(warnings, []);
    }
}

#[test]
fn a_handle_that_pauses_for_a_turn_makes_progress() {
    let mut told = Told::new(100);
    for _ in 0..100 {
        assert_eq!(told.warned_in(90, &[(handle(1), H)], FAST), 0);
        assert_eq!(told.warned_in(1, &[], FAST), 0);
    }
}

#[test]
fn a_busy_handle_does_not_hide_one_that_spins_behind_it() {
    let mut told = Told::new(100);
    let mut warnings = 0;
    for turn in 0..2_000_u32 {
        let both = [(handle(1), R), (handle(2), H)];
        // The first one is ready in two turns of three.
        let calls = &both[usize::from(turn % 3 == 0)..];
        warnings += told.warned_in(1, calls, FAST);
    }
    assert_eq!(warnings, 1);
}

#[test]
fn more_handles_can_be_warned_of_than_are_remembered() {
    let mut told = Told::new(10);
    for serial in 1..=2 * REMEMBERED as u64 {
        assert_eq!(told.warned_in(30, &[(handle(serial), H)], FAST), 1);
    }
    assert_eq!(told.watch.accused.len(), REMEMBERED);
}
