//! The calls of one turn, one by one, each without the lock.

use super::watch::Watch;
use super::{CallbackPanic, EventLoop};
use crate::core::{Call, EntryId};
use crate::events::Events;
use crate::id::CallbackId;
use crate::poller::{Poller, Registrar};
use crate::registry::{Callback, Next, Registry, State};
use crate::sync::MutexGuard;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the calls of a turn use of the loop, beside what it frees.
struct Calls<'a, P: Poller> {
    registry: &'a Registry<P>,
    watch: &'a mut Watch,
    panics: &'a mut Vec<CallbackPanic>,
}

impl<P: Poller> EventLoop<P> {
    /// Makes the calls of the turn that has begun.
    pub(super) fn dispatch(&mut self, panics: &mut Vec<CallbackPanic>) {
        let mut calls = Calls {
            registry: &self.registry,
            watch: &mut self.watch,
            panics,
        };
        let mut state = self.registry.lock();
        while let Some(call) = state.core.next_call() {
            state = match call {
                Call::Handle {
                    id,
                    events,
                    payload,
                    ..
                } => calls.call(state, id, events, payload),
                Call::Timeout { id, payload } => calls.call(state, id, Events::NONE, payload),
                Call::Free { payload, source } => {
                    // Nothing but free calls is left in the turn: they are taken together, so that a loop
                    // which has much to free does not take the lock for each.
                    self.freed.push((payload, source));
                    while let Some(call) = state.core.next_call() {
                        let Call::Free { payload, source } = call else {
                            unreachable!("I14: a turn ends with its free calls");
                        };
                        self.freed.push((payload, source));
                    }
                    calls.free(state, &mut self.freed);
                    return;
                }
            }
        }
    }
}

impl<'a, P: Poller> Calls<'a, P> {
    /// Calls the callback of an entry without the lock, and does with the entry what the callback asks for.
    fn call<I: EntryId>(
        &mut self,
        mut state: MutexGuard<'a, State<P>>,
        id: I,
        events: Events,
        mut callback: Callback<P>,
    ) -> MutexGuard<'a, State<P>> {
        let registrar = self.registry.registrar();
        state.stats.calls += 1;
        drop(state);
        let called = catch(|| callback(self.registry, id.key(), events));
        let next = called.unwrap_or_else(|message| {
            self.panicked(id.into(), message);
            Next::Remove
        });
        let mut state = self.registry.lock();
        if self.watch.looks() {
            let (changes, now) = (state.health.changes, registrar.coarse_now());
            self.watch.called(id.into(), events, changes, now);
        }
        let effects = match next {
            Next::Keep => None,
            // The callback may have removed its own entry: then there is nothing left to do.
            Next::Disable => id.disable(&mut state.core).ok(),
            Next::Remove => id.remove(&mut state.core).ok().map(|(_, effects)| effects),
        };
        if let Some(effects) = effects {
            // The loop is awake, and this is its thread: nothing is left to do without the lock.
            let _ = self.registry.apply(effects);
        }
        id.finish(&mut state.core, callback);
        self.registry.call_is_over(&state);
        state
    }

    /// Drops what was removed, without the lock.
    fn free(
        &mut self,
        mut state: MutexGuard<'a, State<P>>,
        freed: &mut Vec<(Callback<P>, Option<P::Source>)>,
    ) {
        let registrar = self.registry.registrar();
        let count = freed.len();
        state.freeing = count;
        drop(state);
        self.watch.free_begins(registrar.coarse_now());
        for (callback, source) in freed.drain(..) {
            if let Err(message) = catch(|| drop(callback)).and(catch(|| drop(source))) {
                self.panicked(CallbackId::Free, message);
            }
        }
        self.watch.free_is_over(registrar.coarse_now());
        let mut state = self.registry.lock();
        state.freeing = 0;
        state.stats.frees += count as u64;
    }

    #[cold]
    fn panicked(&mut self, callback: CallbackId, message: String) {
        self.panics.push(CallbackPanic { callback, message });
    }
}

/// Calls `call`, and turns a panic into its message.
fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| message_of(&*panic))
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
