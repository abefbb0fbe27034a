use super::no_progress::{REMEMBERED, SPINNING_TURN};
use super::slow::SAMPLES;
use super::*;
use crate::id::{HandleId, Key, TimeoutId};
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
        table: 0,
        slot: serial as u32,
    })
}

const fn timeout(serial: u64) -> TimeoutId {
    TimeoutId(handle(serial).0)
}

/// The diagnostics of a loop and its clock, driven turn by turn.
struct Fixture {
    diagnostics: Diagnostics,
    now: MonotonicTime,
    changes: u64,
}

impl Fixture {
    fn new(no_progress: u32) -> Fixture {
        let mut diagnostics = Diagnostics::new(TICK);
        diagnostics.set_limits(WarningLimits {
            no_progress,
            ..WarningLimits::default()
        });
        let now = MonotonicTime::from_nanos(1_000_000_000);
        Fixture {
            diagnostics,
            now,
            changes: 0,
        }
    }

    fn begin_turn(&mut self) {
        self.diagnostics
            .turn_began(self.now, Duration::ZERO, self.changes);
    }

    fn call_ended(&mut self, callback: CallbackId, events: Events, ended: MonotonicTime) {
        self.diagnostics.call_ended(Sample {
            callback,
            events,
            changes: self.changes,
            ended,
        });
    }

    /// Runs a turn with these calls, each with its handle, its events, whether it changes the table, and its duration;
    /// returns the warnings.
    fn turn(&mut self, calls: &[(HandleId, Events, bool, Duration)]) -> Vec<Warning> {
        self.begin_turn();
        for (handle, events, changed, took) in calls {
            self.now = self.now.saturating_add(*took);
            if *changed {
                self.changes += 1;
                self.diagnostics.changed(None, self.changes);
            }
            if self.diagnostics.samples_left() > 0 {
                let now = self.now;
                self.call_ended(CallbackId::Handle(*handle), *events, now);
            }
        }
        let now = self.now;
        self.diagnostics.turn_ended(|| now)
    }

    /// Runs this number of equal turns, which take `each`, and returns the number of warnings.
    fn warned_in(&mut self, turns: u32, calls: &[(HandleId, Events)], each: Duration) -> usize {
        let mut warnings = 0;
        for _ in 0..turns {
            self.now = self.now.saturating_add(each);
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
fn slow_callback_is_reported_with_its_least_duration() {
    let mut fixture = Fixture::new(10);
    let (quick, slow) = (handle(1), handle(2));
    let warnings = fixture.turn(&[(quick, R, false, ms(10)), (slow, R, false, ms(150))]);
    let callback = CallbackId::Handle(slow);
    // The clock may have lagged by one tick when the first callback returned.
    let took = ms(150) - TICK;
    assert_eq!(warnings, [Warning::SlowCallback { callback, took }]);
    assert_eq!(fixture.diagnostics.longest().callback, took);
    assert_eq!(fixture.diagnostics.longest().turn, ms(160));
    assert_eq!(fixture.turn(&[(slow, R, false, ms(99))]), []);
}

#[test]
fn slow_timeout_and_slow_drop_are_reported() {
    let mut fixture = Fixture::new(10);
    fixture.begin_turn();
    let late = fixture.now.saturating_add(ms(100));
    let callback = CallbackId::Timeout(timeout(7));
    fixture.call_ended(callback, Events::NONE, late);
    fixture.diagnostics.free_began(late);
    fixture.diagnostics.free_ended(late.saturating_add(ms(200)));
    let took = ms(100);
    let first = Warning::SlowCallback { callback, took };
    let callback = CallbackId::Free;
    let took = ms(200) - TICK;
    let second = Warning::SlowCallback { callback, took };
    assert_eq!(fixture.diagnostics.turn_ended(|| late), [first, second]);
}

#[test]
fn slow_turn_without_a_slow_sample_times_all_later_calls() {
    let mut fixture = Fixture::new(10);
    let mut calls = vec![(handle(1), R, false, Duration::ZERO); SAMPLES as usize];
    calls.push((handle(9), R, false, ms(120)));
    let took = ms(120);
    assert_eq!(fixture.turn(&calls), [Warning::SlowTurn { took }]);
    let callback = CallbackId::Handle(handle(9));
    let took = ms(120) - TICK;
    assert_eq!(
        fixture.turn(&calls),
        [Warning::SlowCallback { callback, took }]
    );
    // Many short calls make a long turn, and none of them is reported.
    let calls = vec![(handle(1), R, false, ms(10)); 30];
    assert_eq!(fixture.turn(&calls), []);
}

#[test]
fn longest_turn_is_kept() {
    let mut fixture = Fixture::new(10);
    for (took, longest) in [(30, 30), (20, 30), (31, 31)] {
        fixture.begin_turn();
        let before = fixture.now;
        fixture.now = fixture.now.saturating_add(ms(took));
        // More calls than are timed.
        for _ in 0..SAMPLES {
            fixture.call_ended(CallbackId::Timeout(timeout(7)), Events::NONE, before);
        }
        assert_eq!(fixture.diagnostics.turn_ended(|| fixture.now), []);
        assert_eq!(fixture.diagnostics.longest().turn, ms(longest));
    }
}

// Otherwise the time after the last call would count as part of a turn of few calls.
#[test]
fn turn_with_all_calls_timed_ends_with_its_last_call() {
    let mut fixture = Fixture::new(10);
    fixture.begin_turn();
    let over = fixture.now.saturating_add(ms(20));
    let callback = CallbackId::Timeout(timeout(7));
    fixture.call_ended(callback, Events::NONE, over);
    assert_eq!(
        fixture
            .diagnostics
            .turn_ended(|| over.saturating_add(ms(1_000))),
        []
    );
    assert_eq!(fixture.diagnostics.longest().turn, ms(20));
}

// The time between the last call and the drop is not the drop's.
#[test]
fn drop_is_timed_from_its_own_start() {
    let mut fixture = Fixture::new(10);
    fixture.begin_turn();
    let began = fixture.now.saturating_add(ms(500));
    fixture.diagnostics.free_began(began);
    let over = began.saturating_add(TICK + ms(30));
    fixture.diagnostics.free_ended(over);
    assert_eq!(fixture.diagnostics.longest().callback, ms(30));
    // No single call or drop of this turn of more than 500 ms was slow.
    let took = over.saturating_duration_since(fixture.now);
    let slow = Warning::SlowTurn { took };
    assert_eq!(fixture.diagnostics.turn_ended(|| over), [slow]);
}

#[test]
fn one_in_many_changes_without_a_time_checks_for_overdue_work() {
    let mut diagnostics = Diagnostics::new(TICK);
    let checks = (1..=1_000)
        .filter(|changes| diagnostics.changed(None, *changes))
        .count();
    assert_eq!(checks as u64, 1_000 / CHECK_EVERY);
}

#[test]
fn a_change_with_a_time_checks_once_the_limit_has_passed() {
    let mut diagnostics = Diagnostics::new(TICK);
    let limit = WarningLimits::default().stalled_after;
    let now = MonotonicTime::from_nanos(1_000_000_000);
    diagnostics.turn_began(now, Duration::ZERO, 0);
    assert!(!diagnostics.changed(Some(now.saturating_add(limit)), 1));
    let late = now.saturating_add(limit + TICK);
    assert!(diagnostics.changed(Some(late), 1));
    let (waited, warning) = diagnostics.check_overdue(late, Some(now), false, false);
    assert_eq!(warning, Some(Warning::NotRunning { waited }));
    assert_eq!(waited, limit + TICK);
    assert!(!diagnostics.changed(Some(late), 1));
    let again = diagnostics.check_overdue(late, Some(now), false, false);
    assert_eq!(again, (waited, None));
}

#[test]
fn turns_of_exactly_the_spinning_limit_are_reported() {
    let mut fixture = Fixture::new(100);
    assert_eq!(fixture.warned_in(300, &[(handle(1), R)], SPINNING_TURN), 1);
}

// EV-309.
#[test]
fn spinning_handle_is_reported_once() {
    let mut fixture = Fixture::new(100);
    assert_eq!(fixture.warned_in(100, &[(handle(1), R)], FAST), 0);
    assert_eq!(fixture.warned_in(10_000, &[(handle(1), R)], FAST), 1);
    // The reported handle does not hide another one.
    let both = [(handle(1), R), (handle(2), R)];
    assert_eq!(fixture.warned_in(10_000, &both, FAST), 1);
}

#[test]
fn loop_that_waits_between_turns_spins_only_on_a_hangup() {
    let mut fixture = Fixture::new(100);
    assert_eq!(fixture.warned_in(10_000, &[(handle(1), R)], SLOW), 0);
    assert_eq!(fixture.warned_in(10_000, &[(handle(1), R | H)], SLOW), 1);
}

#[test]
fn callback_that_changes_the_table_makes_progress() {
    let mut fixture = Fixture::new(100);
    for turn in 0..10_000 {
        fixture.now = fixture.now.saturating_add(FAST);
        let changed = turn % 90 == 0;
        let warnings = fixture.turn(&[(handle(1), H, changed, Duration::ZERO)]);
        assert_eq!(warnings, []);
    }
}

#[test]
fn handle_that_pauses_for_a_turn_makes_progress() {
    let mut fixture = Fixture::new(100);
    for _ in 0..100 {
        assert_eq!(fixture.warned_in(90, &[(handle(1), H)], FAST), 0);
        assert_eq!(fixture.warned_in(1, &[], FAST), 0);
    }
}

#[test]
fn busy_handle_does_not_hide_a_spinning_one() {
    let mut fixture = Fixture::new(100);
    let mut warnings = 0;
    for turn in 0..2_000_u32 {
        let both = [(handle(1), R), (handle(2), H)];
        // The first one is ready in two turns of three.
        let calls = &both[usize::from(turn % 3 == 0)..];
        warnings += fixture.warned_in(1, calls, FAST);
    }
    assert_eq!(warnings, 1);
}

#[test]
fn more_handles_are_reported_than_are_remembered() {
    let mut fixture = Fixture::new(10);
    for serial in 1..=2 * REMEMBERED as u64 {
        assert_eq!(fixture.warned_in(30, &[(handle(serial), H)], FAST), 1);
    }
    assert_eq!(fixture.diagnostics.no_progress.reported.len(), REMEMBERED);
}
