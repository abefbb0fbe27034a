//! The calls of one turn, which are made one by one, without the lock.

use super::CallbackPanic;
use crate::events::Events;
use crate::id::CallbackId;
use crate::poller::Poller;
use crate::registry::{Callback, Next, Registry, State};
use crate::sync::MutexGuard;
use crate::table::{DueCall, EntryId};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The callbacks and sources of removed entries, which are to be dropped.
pub(super) type Freed<P> = Vec<(Callback<P>, Option<<P as Poller>::Source>)>;

/// The parts of the loop that the calls of a turn use.
struct Calls<'a, 'b, P: Poller> {
    registry: &'a Registry<P>,
    panics: &'b mut Vec<CallbackPanic>,
}

/// Makes the calls of the turn that has begun, and returns the lock.
pub(super) fn dispatch<'a, P: Poller>(
    registry: &'a Registry<P>,
    freed: &mut Freed<P>,
    panics: &mut Vec<CallbackPanic>,
) -> MutexGuard<'a, State<P>> {
    let mut calls = Calls { registry, panics };
    let mut state = registry.lock();
    while let Some(call) = state.table.next_call() {
        state = match call {
            DueCall::Handle {
                id,
                events,
                payload,
                ..
            } => calls.call(state, id, events, payload),
            DueCall::Timeout { id, payload } => calls.call(state, id, Events::NONE, payload),
            DueCall::Free { payload, source } => {
                // Only free calls are left in the turn. They are taken together, so that the lock is not taken
                // again for each of them.
                freed.push((payload, source));
                while let Some(call) = state.table.next_call() {
                    let DueCall::Free { payload, source } = call else {
                        unreachable!("I14: a turn ends with its free calls");
                    };
                    freed.push((payload, source));
                }
                return calls.free(state, freed);
            }
        }
    }
    state
}

impl<'a, P: Poller> Calls<'a, '_, P> {
    /// Calls the callback of an entry without the lock, and then keeps, disables or removes the entry according to the
    /// returned [`Next`].
    fn call<I: EntryId>(
        &mut self,
        mut state: MutexGuard<'a, State<P>>,
        id: I,
        events: Events,
        mut callback: Callback<P>,
    ) -> MutexGuard<'a, State<P>> {
        state.stats.calls += 1;
        drop(state);
        let called = catch(|| callback.call(self.registry, id.key(), events));
        let next = called.unwrap_or_else(|message| {
            self.panicked(id.into(), message);
            Next::Remove
        });
        let mut state = self.registry.lock();
        if state.diagnostics.takes_sample() {
            let now = self.registry.coarse_now();
            state.diagnostics.call_ended(id.into(), events, now);
        }
        let effects = match next {
            Next::Keep => None,
            // An error means that the callback has removed its own entry.
            Next::Disable => id.disable(&mut state.table).ok(),
            Next::Remove => id.remove(&mut state.table).ok().map(|(_, effects)| effects),
        };
        if let Some(effects) = effects {
            // The loop is awake, and this is its thread, so it needs neither a wake nor a yield.
            let _ = self.registry.apply(effects);
        }
        id.finish(&mut state.table, callback);
        self.registry.notify_waiters(&state);
        state
    }

    /// Drops removed callbacks and sources, without the lock.
    fn free(
        &mut self,
        mut state: MutexGuard<'a, State<P>>,
        freed: &mut Freed<P>,
    ) -> MutexGuard<'a, State<P>> {
        let count = freed.len();
        state.freeing = count;
        state.diagnostics.free_began(self.registry.coarse_now());
        drop(state);
        for (callback, source) in freed.drain(..) {
            if let Err(message) = catch(|| drop(callback)).and(catch(|| drop(source))) {
                self.panicked(CallbackId::Free, message);
            }
        }
        let now = self.registry.coarse_now();
        let mut state = self.registry.lock();
        state.diagnostics.free_ended(now);
        state.freeing = 0;
        state.stats.frees += count as u64;
        state
    }

    #[cold]
    fn panicked(&mut self, callback: CallbackId, message: String) {
        self.panics.push(CallbackPanic { callback, message });
    }
}

/// Calls `call`, and returns the message of a panic as an error.
fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let message = message_of(&*panic);
        // The drop of the payload runs code of the user too. A second payload is leaked: its drop may panic again.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(second);
        }
        message
    })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
