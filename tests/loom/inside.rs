//! Models in which a callback calls operations while another thread calls operations as well (EV-510, EV-613). A lock
//! that is held during a call shows as a deadlock.

use crate::models::{FD, new_loop};
use eventry::poller::model::{FOR_EVER, ModelSource};
use eventry::table::Removal;
use eventry::{Events, HandleId, Registry};
use loom::thread;

fn ignore(_: eventry::registry::TimeoutEvent<'_>) {}

/// Runs a loop whose callback calls `inside` with the registry and its own id, and then stops the loop, while another
/// thread calls `outside`.
fn run(
    inside: impl Fn(&Registry, HandleId) + Send + 'static,
    outside: impl FnOnce(&Registry, HandleId) + Send + 'static,
) {
    let (mut event_loop, registry, model) = new_loop();
    model.set_ready(FD.0, Events::READABLE);
    let stopper = event_loop.stopper();
    let callback = move |event: eventry::registry::HandleEvent<'_, _>| {
        inside(event.registry, event.id);
        stopper.stop();
    };
    let id = registry.add_source(FD, Events::READABLE, callback).unwrap();
    let other = registry.clone();
    let thread = thread::spawn(move || outside(&other, id));
    event_loop.run().unwrap();
    thread.join().unwrap();
    assert_eq!(registry.remove_handle(id), Ok(Removal::Idle));
}

/// The operations on handles.
pub(crate) fn handle_operations_inside_x_outside() {
    let inside = |registry: &Registry, id| {
        let other = ModelSource(FD.0 + 1);
        let called = |_: eventry::registry::HandleEvent<'_, _>| {};
        let added = registry.add_source(other, Events::READABLE, called);
        let handle = added.unwrap();
        registry.update_handle(handle, Events::WRITABLE).unwrap();
        registry.remove_handle_and_wait(handle).unwrap();
        let itself = registry.remove_handle_and_wait(id);
        assert!(itself.is_err(), "a callback must not wait for its own end");
        assert!(!registry.is_idle());
    };
    run(inside, |registry, id| {
        registry.update_handle(id, Events::WRITABLE).unwrap();
        registry.update_handle(id, Events::READABLE).unwrap();
    });
}

/// The operations on timeouts.
pub(crate) fn timeout_operations_inside_x_outside() {
    let inside = |registry: &Registry, _| {
        let timeout = registry.add_timeout(FOR_EVER, ignore).unwrap();
        registry.update_timeout(timeout, None).unwrap();
        assert_eq!(registry.remove_timeout(timeout), Ok(Removal::Idle));
    };
    run(inside, |registry, _| {
        let timeout = registry.add_timeout(FOR_EVER, ignore).unwrap();
        registry.remove_timeout_and_wait(timeout).unwrap();
    });
}
