//! Models of a descriptor number that is opened again as another file while an old handle is registered (EV-1002).

use crate::models::{FD, new_loop, turn};
use eventry::poller::model::Model as Poller;
use eventry::table::Removal;
use eventry::{Events, Registry, Stopper};
use loom::thread;

/// Opens [`FD`] again as another file, and adds a handle that stops the loop when the file is ready.
fn add_reopened(registry: &Registry, model: &Poller, stopper: Stopper) {
    model.reopen(FD.0);
    let new = move |_: eventry::registry::HandleEvent<'_, _>| stopper.stop();
    registry.add_source(FD, Events::READABLE, new).unwrap();
    model.set_ready(FD.0, Events::READABLE);
}

/// A loop that sleeps with a handle calls the handle that another thread adds with the same interest, after the number
/// was opened again as another file (EV-1002).
pub(crate) fn add_reopened_x_sleep() {
    let (mut event_loop, registry, model) = new_loop();
    let stopper = event_loop.stopper();
    registry.add_source(FD, Events::READABLE, |_| {}).unwrap();
    turn(&mut event_loop);
    let adder = thread::spawn(move || add_reopened(&registry, &model, stopper));
    event_loop.run().unwrap();
    adder.join().unwrap();
}

/// The same while the loop's thread removes the old handle (EV-1002, EV-713).
pub(crate) fn add_reopened_x_remove_old() {
    let (mut event_loop, registry, model) = new_loop();
    let stopper = event_loop.stopper();
    let old = registry.add_source(FD, Events::READABLE, |_| {}).unwrap();
    turn(&mut event_loop);
    let remover = registry.clone();
    let adder = thread::spawn(move || add_reopened(&registry, &model, stopper));
    let removal = remover.remove_handle(old);
    assert_eq!(removal, Ok(Removal::Idle));
    event_loop.run().unwrap();
    adder.join().unwrap();
}

/// The same after another thread has disabled the old handle, so that the union of the interests is as before.
pub(crate) fn disable_and_add_reopened_x_sleep() {
    let (mut event_loop, registry, model) = new_loop();
    let stopper = event_loop.stopper();
    let old = registry.add_source(FD, Events::READABLE, |_| {}).unwrap();
    turn(&mut event_loop);
    let adder = thread::spawn(move || {
        registry.update_handle(old, Events::NONE).unwrap();
        add_reopened(&registry, &model, stopper);
    });
    event_loop.run().unwrap();
    adder.join().unwrap();
}
