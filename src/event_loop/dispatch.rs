//! The calls of one turn, which are taken in batches with the lock, and made one by one without it.
//!
//! The first call of a batch begins when it is taken. Each other call is published first, and begins unless a thread
//! has changed an entry of the batch; from then on, the table is asked before each call, with the lock held.

use super::CallbackPanic;
use crate::diagnostics::Sample;
use crate::id::CallbackId;
use crate::poller::Poller;
use crate::registry::{Callback, Next, Registry, State};
use crate::sync::MutexGuard;
use crate::table::{EntryId, FreedEntries, TakenCall};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The largest number of calls in a batch.
const BATCH: usize = 32;

/// The calls that are being made. The vectors keep their capacity.
pub(super) struct Calls<P: Poller> {
    batch: Vec<TakenCall<Callback<P>>>,
    /// The removed entries, which are to be dropped: first their callbacks, then their sources.
    freed: FreedEntries<Callback<P>, P::Source>,
    /// The calls of the batch that were timed.
    samples: Vec<Sample>,
    panics: Vec<CallbackPanic>,
}

impl<P: Poller> Calls<P> {
    pub(super) fn new() -> Calls<P> {
        Calls {
            batch: Vec::with_capacity(BATCH),
            freed: FreedEntries::default(),
            samples: Vec::new(),
            panics: Vec::new(),
        }
    }

    /// Returns the panics of the callbacks since the last time.
    pub(super) fn take_panics(&mut self) -> Vec<CallbackPanic> {
        std::mem::take(&mut self.panics)
    }

    /// Makes the calls of the turn that has begun. Takes the lock and returns it.
    pub(super) fn dispatch<'a>(
        &mut self,
        registry: &'a Registry<P>,
        mut state: MutexGuard<'a, State<P>>,
    ) -> MutexGuard<'a, State<P>> {
        while state.table.has_calls() {
            state.table.take_calls(&mut self.batch, BATCH);
            let Some(first) = self.batch.first() else {
                break;
            };
            registry.published().begin(first.serial());
            let seen = registry.published().taken_changes();
            let samples = state.diagnostics.samples_left();
            drop(state);
            let calls = self.make_calls(registry, seen, samples as usize);
            state = registry.lock();
            state.stats.calls += calls;
            self.finish(registry, &mut state);
        }
        // All free calls of the turn are taken together, so that the lock is not taken again for each of them.
        if state.table.pending_frees() > 0 {
            while state.table.take_free(&mut self.freed) {}
            state = self.free(registry, state);
        }
        state
    }

    /// Makes the calls of the batch without the lock, and returns the number of those that were made. `seen` is the
    /// number of changes to taken entries when the batch was taken. The first `samples` calls are timed.
    #[inline(never)]
    fn make_calls(&mut self, registry: &Registry<P>, seen: u64, samples: usize) -> u64 {
        let published = registry.published();
        // The first call of a batch has begun already.
        let mut has_begun = true;
        let mut at = 0;
        let mut skipped = 0;
        while at < self.batch.len() {
            let mut calls = self.batch[at..].iter_mut();
            let made = catch_unwind(AssertUnwindSafe(|| {
                for call in calls.by_ref() {
                    let begins = has_begun || published.publish(call.serial(), seen);
                    has_begun = false;
                    if !begins && !confirm(registry, call) {
                        skipped += 1;
                        continue;
                    }
                    let next = call.payload.call(registry, &call.arguments);
                    if next != Next::Keep {
                        apply(registry, call.id(), next);
                    }
                    if self.samples.len() < samples {
                        self.samples.push(sample(registry, call));
                    }
                }
            }));
            let left = calls.len();
            at = self.batch.len() - left;
            if let Err(panic) = made {
                let call = &self.batch[at - 1];
                self.panics.push(CallbackPanic {
                    callback: call.id(),
                    message: take_message(panic),
                });
                apply(registry, call.id(), Next::Remove);
                if self.samples.len() < samples {
                    self.samples.push(sample(registry, call));
                }
            }
        }
        published.begin(0);
        at as u64 - skipped
    }

    /// Puts the callbacks of the batch back into the table.
    #[inline]
    fn finish(&mut self, registry: &Registry<P>, state: &mut State<P>) {
        for sample in self.samples.drain(..) {
            state.diagnostics.call_ended(sample);
        }
        state.table.finish_all(&mut self.batch);
        registry.notify_waiters(state);
    }

    /// Drops removed callbacks and sources, without the lock.
    fn free<'a>(
        &mut self,
        registry: &'a Registry<P>,
        mut state: MutexGuard<'a, State<P>>,
    ) -> MutexGuard<'a, State<P>> {
        let count = self.freed.payloads.len();
        state.freeing = count;
        state.diagnostics.free_began(registry.coarse_now());
        drop(state);
        let FreedEntries { payloads, sources } = &mut self.freed;
        let payloads = payloads.drain(..).map(|payload| catch(|| drop(payload)));
        let sources = sources.drain(..).map(|source| catch(|| drop(source)));
        let failed = payloads.chain(sources).filter_map(Result::err);
        self.panics.extend(failed.map(|message| CallbackPanic {
            callback: CallbackId::Free,
            message,
        }));
        let now = registry.coarse_now();
        let mut state = registry.lock();
        state.diagnostics.free_ended(now);
        state.freeing = 0;
        state.stats.frees += count as u64;
        state
    }
}

/// Asks the table about the published call, after a change of a taken entry. Returns whether the call must be made.
#[cold]
fn confirm<P: Poller>(registry: &Registry<P>, call: &mut TakenCall<Callback<P>>) -> bool {
    let mut state = registry.lock();
    let is_due = state.table.confirm(call);
    registry
        .published()
        .begin(if is_due { call.serial() } else { 0 });
    // The call before is over.
    registry.notify_waiters(&state);
    is_due
}

/// Disables or removes an entry after its call, according to the result of its callback.
#[cold]
fn apply<P: Poller>(registry: &Registry<P>, id: CallbackId, next: Next) {
    match id {
        CallbackId::Handle(id) => apply_to(registry, id, next),
        CallbackId::Timeout(id) => apply_to(registry, id, next),
        CallbackId::Free => {}
    }
}

/// Does the same for an entry of one kind. The loop is awake, and this is its thread, so it needs neither a wake nor a
/// yield.
fn apply_to<P: Poller, I: EntryId>(registry: &Registry<P>, id: I, next: Next) {
    let mut state = registry.lock();
    registry.observe(&mut state, id);
    // An error means that the callback has removed its own entry.
    let effects = match next {
        Next::Keep => None,
        Next::Disable => id.disable(&mut state.table).ok(),
        Next::Remove => id.remove(&mut state.table).ok().map(|(_, effects)| effects),
    };
    if let Some(effects) = effects {
        let _ = registry.apply(effects);
    }
}

/// Measures the call that is over.
#[inline]
fn sample<P: Poller>(registry: &Registry<P>, call: &TakenCall<Callback<P>>) -> Sample {
    Sample {
        callback: call.id(),
        events: call.events(),
        changes: registry.published().changes(),
        ended: registry.coarse_now(),
    }
}

/// Calls `call`, and returns the message of a panic as an error.
fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(take_message)
}

/// Returns the message of a panic, and drops its payload.
fn take_message(panic: Box<dyn Any + Send>) -> String {
    let message = message_of(&*panic);
    // The drop of the payload runs code of the user too. A second payload is leaked: its drop may panic again.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(second);
    }
    message
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
