//! Models of a batch of calls: the loop takes two calls at once, and another thread changes the second entry before,
//! while or after the loop publishes its call.

use crate::models::{FD, FreeCounter, new_loop, turn};
use eventry::poller::model::ModelSource;
use eventry::table::Removal;
use eventry::{Events, HandleId, Registry};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// The observations of the second handle of a batch.
#[derive(Clone, Default)]
struct Second {
    running: Arc<AtomicBool>,
    /// True once no call may begin any more.
    ended: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    freed: Arc<AtomicUsize>,
}

/// Runs two turns with a batch of two ready handles, while another thread applies `change` to the second one.
fn change_second(change: impl FnOnce(&Registry, HandleId, &Second) + Send + 'static) -> Second {
    let (mut event_loop, registry, model) = new_loop();
    let other = ModelSource(FD.0 + 1);
    let second = Second::default();
    model.set_ready(FD.0, Events::READABLE);
    model.set_ready(other.0, Events::READABLE);
    let first = |_: eventry::registry::HandleEvent<'_, _>| {};
    registry.add_source(FD, Events::READABLE, first).unwrap();
    let (seen, guard) = (second.clone(), FreeCounter(second.freed.clone()));
    let callback = move |_: eventry::registry::HandleEvent<'_, _>| {
        let _owned = &guard;
        assert!(!seen.ended.load(SeqCst), "I3: a call began after its end");
        seen.calls.fetch_add(1, SeqCst);
        seen.running.store(true, SeqCst);
        // A point at which loom may switch to another thread.
        model.set_ready(other.0, Events::NONE);
        assert!(!seen.ended.load(SeqCst), "I3: a call ran after its end");
        seen.running.store(false, SeqCst);
    };
    let id = registry
        .add_source(other, Events::READABLE, callback)
        .unwrap();
    let changing = second.clone();
    let changer = thread::spawn(move || change(&registry, id, &changing));
    turn(&mut event_loop);
    changer.join().unwrap();
    turn(&mut event_loop);
    second
}

impl Second {
    /// Records that no call runs and none may begin any more.
    fn end(&self) {
        let runs = self.running.load(SeqCst);
        assert!(!runs, "I3: a call runs after its end");
        self.ended.store(true, SeqCst);
    }

    /// Removes the handle. After `Removal::Idle`, no call may begin.
    fn remove(&self, registry: &Registry, id: HandleId) -> Removal {
        let removal = registry.remove_handle(id).unwrap();
        if removal == Removal::Idle {
            self.end();
        }
        removal
    }
}

/// Removes the second handle after `change`. After `Removal::Idle` no call begins; after `InFlight` there has been one.
fn remove_second(change: impl FnOnce(&Registry, HandleId) + Send + 'static) -> Second {
    let in_flight = Arc::new(AtomicBool::default());
    let was_in_flight = in_flight.clone();
    let second = change_second(move |registry, id, second| {
        change(registry, id);
        let removal = second.remove(registry, id);
        was_in_flight.store(removal == Removal::InFlight, SeqCst);
    });
    let calls = second.calls.load(SeqCst);
    assert!(
        !in_flight.load(SeqCst) || calls == 1,
        "I3: no call was in flight"
    );
    second
}

/// The result of a removal tells if there is a last call (EV-702).
pub(crate) fn remove_x_second_of_a_batch() {
    let second = remove_second(|_, _| {});
    assert_eq!(
        second.freed.load(SeqCst),
        1,
        "I5: the callback is freed once"
    );
}

/// The same after an update, which the loop may have seen before the removal.
pub(crate) fn disable_and_remove_x_second_of_a_batch() {
    remove_second(|registry, id| {
        registry.update_handle(id, Events::NONE).unwrap();
    });
}

/// A removal that waits returns when no call of the second handle runs, and none begins.
pub(crate) fn remove_and_wait_x_second_of_a_batch() {
    change_second(|registry, id, second| {
        registry.remove_handle_and_wait(id).unwrap();
        second.end();
    });
}
