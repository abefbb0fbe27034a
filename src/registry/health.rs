//! Notices work that waits although it is due, because nobody runs the loop or a callback holds it up.
//!
//! Nobody can notice that but those who call the registry, and they must not pay for it: a call that has
//! read the clock anyway compares it with one time, and of the others one in [`LOOK_EVERY`] reads it.

use super::{Limits, Registry, State, Warning, trace};
use crate::poller::{Poller, Registrar};
use crate::sync::give_way;
use crate::time::Time;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Of so many changes without a time one looks.
const LOOK_EVERY: u64 = 64;

/// Called with each warning.
pub(crate) type WarningHook = Arc<dyn Fn(&Warning) + Send + Sync>;

/// What is known of work that waits.
pub(crate) struct Health {
    /// How many changes were made to the table.
    pub(crate) changes: u64,
    /// How long work may wait.
    limit: Duration,
    /// Until when nobody needs to look; none before the first time anybody mentions.
    quiet_until: Option<Time>,
    /// Since when something is known to wait that has no time of its own: what is to be freed, reported or
    /// told to the poller.
    waiting_since: Option<Time>,
    /// Whether it has been said already.
    is_said: bool,
    hook: Option<WarningHook>,
}

/// What came of a change and is to be told when no lock is held.
#[must_use = "it is to be told"]
#[derive(Debug)]
pub(crate) struct Notices {
    /// The loop was woken.
    pub(super) wakes: bool,
    /// It is time to look after the work that waits.
    pub(super) looks: bool,
    /// The thread outruns the loop.
    pub(super) outruns: bool,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            changes: 0,
            limit: Limits::default().nobody_runs,
            quiet_until: None,
            waiting_since: None,
            is_said: false,
            hook: None,
        }
    }
}

impl Health {
    /// Takes note of a change, and says whether to look.
    pub(super) fn changed(&mut self) -> bool {
        self.changes += 1;
        self.changes % LOOK_EVERY == 0
    }

    /// A turn has begun at `now`: whatever waited is done in it.
    pub(crate) fn turn_began(&mut self, now: Time) {
        self.quiet_until = Some(now.after(self.limit));
        self.waiting_since = None;
        self.is_said = false;
    }

    /// Whether it is time to look.
    fn is_time(&mut self, now: Time) -> bool {
        now > *self.quiet_until.get_or_insert(now.after(self.limit))
    }

    /// Looks at what waits at `now`: when the first timeout is due, and whether anything else waits. Returns
    /// for how long something has been due, and whether that is to be said.
    fn look(&mut self, now: Time, deadline: Option<Time>, waits: bool) -> Option<(Duration, bool)> {
        self.quiet_until = Some(now.after(self.limit));
        self.waiting_since = waits.then(|| self.waiting_since.unwrap_or(now));
        let due = deadline.filter(|deadline| *deadline <= now);
        let since = match (due, self.waiting_since) {
            (Some(due), Some(waiting)) => due.min(waiting),
            (due, waiting) => due.or(waiting)?,
        };
        let waited = now.since(since);
        let is_news = waited >= self.limit && !self.is_said;
        self.is_said |= is_news;
        Some((waited, is_news))
    }
}

impl<P: Poller> Registry<P> {
    /// Makes a change at `now`, and looks after the work that waits if it is time.
    pub(super) fn change_at<T>(&self, now: Time, change: impl FnOnce(&mut State<P>) -> T) -> T {
        let (result, notices) = self.change_at_quietly(now, change);
        self.tell(notices);
        result
    }

    /// The same for callers who hold a lock of their own; they tell later.
    pub(super) fn change_at_quietly<T>(
        &self,
        now: Time,
        change: impl FnOnce(&mut State<P>) -> T,
    ) -> (T, Notices) {
        let mut is_time = false;
        let (result, mut notices) = self.change_quietly(|state| {
            is_time = state.health.is_time(now);
            change(state)
        });
        notices.looks |= is_time;
        (result, notices)
    }

    /// Tells what came of a change. No lock may be held: whom it is told is the user's code.
    pub(crate) fn tell(&self, notices: Notices) {
        if notices.wakes {
            trace::wakes();
        }
        if notices.looks {
            self.look();
        }
        if notices.outruns {
            give_way();
        }
    }

    /// Looks after the work that waits: warns if something has been due for too long, and returns for how long.
    #[cold]
    pub(super) fn look(&self) -> Duration {
        let now = self.now();
        let mut state = self.lock();
        let deadline = state.core.next_deadline();
        let waits = state.core.is_busy() || state.core.has_changes();
        let looked = state.health.look(now, deadline, waits);
        drop(state);
        let Some((waited, is_news)) = looked else {
            return Duration::ZERO;
        };
        if is_news {
            self.warn(&if self.shared.is_run.load(Ordering::Relaxed) {
                Warning::Blocked { waited }
            } else {
                Warning::NobodyRuns { waited }
            });
        }
        waited
    }

    /// Notes whether some thread runs the loop, for those who wonder why nothing happens.
    pub(crate) fn set_is_run(&self, is_run: bool) {
        self.shared.is_run.store(is_run, Ordering::Relaxed);
    }

    /// Says it to whoever wants to hear it. No lock may be held.
    pub(crate) fn warn(&self, warning: &Warning) {
        trace::warned(warning);
        let hook = self.lock().health.hook.clone();
        if let Some(hook) = hook {
            hook(warning);
        }
    }

    /// Sets from when on to warn of work that waits.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        let mut state = self.lock();
        state.health.limit = limits.nobody_runs;
        state.health.quiet_until = None;
    }

    /// Sets who is told of warnings; returns who was.
    pub(crate) fn set_warning_hook(&self, hook: WarningHook) -> Option<WarningHook> {
        self.lock().health.hook.replace(hook)
    }

    /// What time it is at least.
    pub(crate) fn coarse_now(&self) -> Time {
        self.shared.registrar.coarse_now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Events;
    use crate::poller::model::{ModelPoller, ModelSource};

    const fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_due_timeout_is_overdue_from_its_deadline_on_and_that_is_said_once() {
        let mut health = Health::default();
        assert_eq!(health.look(at(4), Some(at(5)), false), None);
        assert_eq!(health.look(at(6), Some(at(5)), false), Some((s(1), false)));
        assert_eq!(health.look(at(15), Some(at(5)), false), Some((s(10), true)));
        assert_eq!(
            health.look(at(16), Some(at(5)), false),
            Some((s(11), false))
        );
        health.turn_began(at(17));
        assert_eq!(
            health.look(at(30), Some(at(20)), false),
            Some((s(10), true))
        );
    }

    #[test]
    fn what_has_no_deadline_waits_from_when_it_was_first_noticed() {
        let mut health = Health::default();
        assert_eq!(health.look(at(4), None, true), Some((s(0), false)));
        assert_eq!(health.look(at(14), None, true), Some((s(10), true)));
        assert_eq!(health.look(at(15), Some(at(1)), true), Some((s(14), false)));
        // Changes that have cancelled each other out wait for nothing.
        assert_eq!(health.look(at(16), None, false), None);
        assert_eq!(health.look(at(17), None, true), Some((s(0), false)));
    }

    #[test]
    fn nobody_looks_before_the_limit_has_passed_since_the_last_turn_or_look() {
        let mut health = Health::default();
        assert!(!health.is_time(at(3)));
        assert!(!health.is_time(at(13)));
        assert!(health.is_time(at(14)));
        health.turn_began(at(20));
        assert!(!health.is_time(at(30)));
        health.look(at(31), None, false);
        assert!(!health.is_time(at(41)));
        assert!(health.is_time(at(42)));
    }

    #[test]
    fn of_changes_without_a_time_one_in_many_looks() {
        let mut health = Health::default();
        let looks = (0..1_000).filter(|_| health.changed()).count();
        assert_eq!(looks as u64, 1_000 / LOOK_EVERY);
    }

    #[test]
    fn a_table_that_only_waits_to_be_told_to_the_poller_waits_too() {
        let (_poller, model) = ModelPoller::new();
        let registry: Registry<ModelPoller> = Registry::new(model.clone());
        registry
            .add_source(ModelSource(3), Events::READABLE, |_| {})
            .unwrap();
        assert_eq!(registry.look(), Duration::ZERO);
        model.advance(s(3));
        assert_eq!(registry.look(), s(3));
    }

    #[test]
    fn new_limits_are_in_force_at_once() {
        let (_poller, model) = ModelPoller::new();
        let registry: Registry<ModelPoller> = Registry::new(model.clone());
        let (tell, told) = std::sync::mpsc::channel();
        let hook = move |warning: &Warning| tell.send(*warning).unwrap();
        registry.set_warning_hook(Arc::new(hook));
        // Begins to wait under the old limit, which is longer.
        registry.add_timeout(s(0), |_| {}).unwrap();
        registry.set_limits(&Limits {
            nobody_runs: s(1),
            ..Limits::default()
        });
        registry.look();
        model.advance(s(1));
        registry.look();
        let waited = s(1);
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told, [Warning::NobodyRuns { waited }]);
    }

    #[test]
    fn the_coarse_clock_of_a_registry_is_that_of_its_poller() {
        let (_poller, model) = ModelPoller::new();
        let registry: Registry<ModelPoller> = Registry::new(model.clone());
        model.advance(s(7));
        assert_eq!(registry.coarse_now(), at(7));
    }
}
