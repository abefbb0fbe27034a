//! Several handles on one descriptor.

use crate::support::{
    AT_ONCE, E, H, Log, R, W, log, model_loop, on_each_backend, os_loop, streams,
};
use eventry::poller::model::ModelSource;
use eventry::{Events, HandleId, Registry};
use proptest::prelude::*;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;

fn watch(
    registry: &Registry,
    stream: &Arc<UnixStream>,
    interest: Events,
    name: &'static str,
    log: &Log,
) -> HandleId {
    let log = log.clone();
    registry
        .add_handle(Arc::clone(stream), interest, move |event| {
            log.record(format!("{name} {:?}", event.events));
        })
        .unwrap()
}

/// Returns a stream that is readable and writable, and its peer, which must stay open.
fn ready_stream() -> (Arc<UnixStream>, UnixStream) {
    let (near, mut far) = streams();
    far.write_all(b"x").unwrap();
    (Arc::new(near), far)
}

// EV-403, cases A and B: a reader and a writer, two readers, and three handles with mixed interests.
#[test]
fn each_handle_of_a_descriptor_gets_its_own_events() {
    on_each_backend(|backend| {
        let cases: [(&[Events], &[&str]); 3] = [
            (&[R, W], &["0 READABLE", "1 WRITABLE"]),
            (&[R, R], &["0 READABLE", "1 READABLE"]),
            (&[R | W, E, R], &["0 READABLE|WRITABLE", "2 READABLE"]),
        ];
        for (interests, expected) in cases {
            let (log, records) = log();
            let (near, _far) = ready_stream();
            let (mut event_loop, registry) = os_loop(backend);
            for (name, interest) in ["0", "1", "2"].into_iter().zip(interests) {
                watch(&registry, &near, *interest, name, &log);
            }
            for turn in 0..3 {
                event_loop.run_once(AT_ONCE).unwrap();
                assert_eq!(records.take(), expected, "{interests:?}, turn {turn}");
            }
        }
    });
}

// EV-403: errors and hang-ups are delivered to all enabled handles.
#[test]
fn a_hangup_reaches_every_handle_of_the_descriptor() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (near, far) = ready_stream();
        drop(far);
        let (mut event_loop, registry) = os_loop(backend);
        watch(&registry, &near, R, "reads", &log);
        watch(&registry, &near, E, "errors only", &log);
        watch(&registry, &near, Events::NONE, "disabled", &log);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(
            records.take(),
            ["reads READABLE|HANGUP", "errors only HANGUP"]
        );
    });
}

// EV-404
#[test]
fn update_of_one_handle_does_not_affect_the_others() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (near, _far) = ready_stream();
        let (mut event_loop, registry) = os_loop(backend);
        let changed = watch(&registry, &near, R | W, "changed", &log);
        watch(&registry, &near, R, "other", &log);

        registry.update_handle(changed, W).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["changed WRITABLE", "other READABLE"]);
        registry.update_handle(changed, Events::NONE).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["other READABLE"]);
        let _ = registry.remove_handle(changed).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["other READABLE"]);
    });
}

/// One step on the handles of a single descriptor. Indices are taken modulo the number of handles.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add(Events),
    Update(usize, Events),
    Remove(usize),
    Turn(Events),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let events = || (0u32..16).prop_map(Events::from_bits_truncate);
    let step = prop_oneof![
        events().prop_map(Step::Add),
        (0usize..8, events()).prop_map(|(which, events)| Step::Update(which, events)),
        (0usize..8).prop_map(Step::Remove),
        events().prop_map(Step::Turn),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    // EV-304, EV-401, EV-403, EV-404: the naive model is a list of interests, by bits.
    #[test]
    fn handles_sharing_a_descriptor_behave_as_if_alone(steps in steps()) {
        let (mut event_loop, registry, model) = model_loop();
        let (sender, received) = channel();
        let mut watching: Vec<(HandleId, u32)> = Vec::new();
        for step in steps {
            let at = |which: usize| which.checked_rem(watching.len());
            match step {
                Step::Add(interest) => {
                    let sender = sender.clone();
                    let id = registry
                        .add_source(ModelSource(3), interest, move |event| {
                            sender.send((event.id, event.events.bits())).unwrap();
                        })
                        .unwrap();
                    watching.push((id, interest.bits()));
                }
                Step::Update(which, interest) => {
                    if let Some(at) = at(which) {
                        registry.update_handle(watching[at].0, interest).unwrap();
                        watching[at].1 = interest.bits();
                    }
                }
                Step::Remove(which) => {
                    if let Some(at) = at(which) {
                        let _ = registry.remove_handle(watching.remove(at).0).unwrap();
                    }
                }
                Step::Turn(ready) => {
                    model.set_ready(3, ready);
                    event_loop.run_once(AT_ONCE).unwrap();
                    let unasked = (E | H).bits();
                    let expected: Vec<(HandleId, u32)> = watching
                        .iter()
                        .filter(|(_, interest)| *interest != 0)
                        .map(|(id, interest)| (*id, ready.bits() & (interest | unasked)))
                        .filter(|(_, events)| *events != 0)
                        .collect();
                    prop_assert_eq!(received.try_iter().collect::<Vec<_>>(), expected);
                    // The poller got the changes when the loop slept.
                    let union = watching.iter().fold(0, |union, (_, interest)| union | interest);
                    let union = Events::from_bits_truncate(union);
                    let registered = if union.is_empty() { vec![] } else { vec![(3, union)] };
                    prop_assert_eq!(model.registered(), registered);
                }
            }
            // The last removal deregisters the descriptor before the loop sleeps.
            if watching.is_empty() {
                prop_assert_eq!(model.registered(), vec![]);
            }
        }
    }
}
