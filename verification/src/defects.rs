//! Which check must catch which planted defect.
//!
//! A defect of the table must be caught by two engines at least, one of them the check that is named here.
//! A defect of the lock, the sleep, the wake, the loop or the workers is none of the table's engines' business; they must
//! stay silent, and a loom model or a test of the loop must catch it.

use eventry::planted::Defect;

/// A check that must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The exhaustive search ends with a violation of this rule.
    Search(&'static str),
    /// The generated sequences end with a violation of this rule: the search is too small for it.
    Properties(&'static str),
    /// This loom model fails, and says this.
    Model(&'static str, &'static str),
    /// This test of `tests/event_loop` fails.
    Test(&'static str),
}

use Check::{Model, Properties, Search, Test};

/// The checks that must catch `defect`.
#[must_use]
pub fn named_checks(defect: Defect) -> &'static [Check] {
    match defect {
        Defect::LostCancel => &[Search("I7"), Model("L4", "I5")],
        Defect::RemovedStillNamed => &[Search("I2")],
        Defect::SerialIgnored => &[Search("I2")],
        Defect::EarlyFree => &[Search("I5")],
        Defect::OneFreeOnly => &[Search("I4")],
        Defect::EndlessFrees => &[Search("I5")],
        Defect::UnorderedEnd => &[Search("I5")],
        Defect::FreeWhileRunning => &[Search("I3"), Model("L1", "I3"), Model("L9", "I3")],
        Defect::InterestUnmasked => &[Search("I9")],
        Defect::AddedIsCalled => &[Search("I10")],
        Defect::ArmedFires => &[Search("I10")],
        Defect::PeriodsMadeUp => &[Search("I12")],
        Defect::DeadlineOverflow => &[Properties("I12")],
        Defect::NearerNotMoved => &[Search("invariant")],
        Defect::PutOffStaysFirst => &[Search("I12")],
        Defect::HalfSifted => &[Properties("I12")],
        Defect::ClockSetBack => &[Search("I12")],
        Defect::WalkCutShort => &[Search("I5")],
        Defect::StaleTokenAccepted => &[Search("I4")],
        Defect::StaleUnnamed => &[Search("I18")],
        Defect::TokenRepeated => &[Search("I13")],
        Defect::TokenKept => &[Search("I13")],
        Defect::ChangeForgotten => &[Search("I17")],
        Defect::DeregistrationDeferred => &[Search("I13")],
        Defect::RefusalForgotten => &[Search("I17")],
        Defect::RefusedStaysEnabled => &[Search("I17")],
        Defect::RebuildForgotten => &[Search("I17")],
        Defect::NoWakeForNearerDeadline => &[Model("L3", "deadlock"), Model("L3b", "deadlock")],
        Defect::NoWakeForChange => &[Model("L3c", "deadlock"), Model("L3d", "deadlock")],
        Defect::NoWakeForFree => &[Model("L4c", "deadlock")],
        Defect::NoWakeForStop => &[Model("L6", "deadlock")],
        Defect::WakeBeforeChange => &[Model("L3", "deadlock")],
        Defect::WakeBeforeSignal => &[Model("L6b", "deadlock")],
        Defect::RemovalInTwoSteps => &[Model("L1", "I3")],
        Defect::WaiterForgotten => &[Model("L9", "deadlock")],
        Defect::StopForgotten => &[Model("L6", "deadlock")],
        Defect::SleepNotedLate => &[Model("L3", "deadlock")],
        Defect::WakingNotNoted => &[Test("wakes::several_wakes_end_one_wait")],
        Defect::DeadlineSleptThrough => &[Model("L3", "deadlock")],
        Defect::FreedUnderLock => &[Model("L4", "deadlock")],
        Defect::LossForgotten => &[Test(
            "closed::close_under_handles_reports_one_error_to_each",
        )],
        Defect::RebuildUntold => &[Test(
            "phantoms::stale_registration_calls_no_handle_and_rebuilds_once",
        )],
        Defect::WorkerNotWoken => &[Model("W1", "deadlock")],
        Defect::PriorityNotWoken => &[Model("W2", "deadlock")],
        Defect::GrowthForgotten => &[Model("W3", "deadlock")],
        Defect::StopUntold => &[Model("W4", "deadlock")],
    }
}

/// Whether `defect` is one of the table's logic.
#[must_use]
pub fn is_of_the_table(defect: Defect) -> bool {
    let mut checks = named_checks(defect).iter();
    checks.any(|check| matches!(check, Search(_) | Properties(_)))
}
