//! The calls of one turn, one by one, each without the lock.

use super::{CallbackPanic, EventLoop, PanickedCallback};
use crate::core::{Call, Removal};
use crate::events::Events;
use crate::poller::{Poller, Registrar};
use crate::registry::Next;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl<P: Poller> EventLoop<P> {
    /// Makes the calls of the turn that has begun.
    pub(super) fn dispatch(&mut self, panics: &mut Vec<CallbackPanic>) {
        let registrar = self.registry.registrar();
        let mut state = self.registry.lock();
        while let Some(call) = state.core.next_call() {
            match call {
                Call::Handle {
                    id,
                    events,
                    mut payload,
                    ..
                } => {
                    state.stats.calls += 1;
                    drop(state);
                    let called = catch(|| payload(&self.registry, id.0, events));
                    let next = called.unwrap_or_else(|message| {
                        let callback = PanickedCallback::Handle(id);
                        panics.push(CallbackPanic { callback, message });
                        Next::Remove
                    });
                    state = self.registry.lock();
                    if self.watch.looks() {
                        let (changes, now) = (state.health.changes, registrar.coarse_now());
                        self.watch.handle_called(id, events, changes, now);
                    }
                    // The callback may have removed its own entry: then there is nothing left to do.
                    match next {
                        Next::Keep => {}
                        Next::Disable => {
                            let _ = state.core.update_handle(id, Events::NONE);
                        }
                        Next::Remove => {
                            let _: Result<Removal, _> = state.core.remove_handle(id);
                            state.apply_urgent_change(registrar);
                        }
                    }
                    state.core.finish_handle(id, payload);
                    self.registry.call_is_over(&state);
                }
                Call::Timeout { id, mut payload } => {
                    state.stats.calls += 1;
                    drop(state);
                    let called = catch(|| payload(&self.registry, id.0, Events::NONE));
                    let next = called.unwrap_or_else(|message| {
                        let callback = PanickedCallback::Timeout(id);
                        panics.push(CallbackPanic { callback, message });
                        Next::Remove
                    });
                    state = self.registry.lock();
                    if self.watch.looks() {
                        let (changes, now) = (state.health.changes, registrar.coarse_now());
                        self.watch.timeout_called(id, changes, now);
                    }
                    match next {
                        Next::Keep => {}
                        Next::Disable => {
                            let now = state.core.latest_time();
                            let _ = state.core.update_timeout(id, now, None);
                        }
                        Next::Remove => {
                            let _: Result<Removal, _> = state.core.remove_timeout(id);
                        }
                    }
                    state.core.finish_timeout(id, payload);
                    self.registry.call_is_over(&state);
                }
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
                    let count = self.freed.len();
                    state.freeing = count;
                    drop(state);
                    self.watch.free_begins(registrar.coarse_now());
                    for (payload, source) in self.freed.drain(..) {
                        let freed = catch(|| drop(payload)).and(catch(|| drop(source)));
                        if let Err(message) = freed {
                            let callback = PanickedCallback::Free;
                            panics.push(CallbackPanic { callback, message });
                        }
                    }
                    self.watch.free_is_over(registrar.coarse_now());
                    let mut state = self.registry.lock();
                    state.freeing = 0;
                    state.stats.frees += count as u64;
                    return;
                }
            }
        }
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
