//! Several loops in one process.

use crate::support::{AT_ONCE, R, W, log, ms, on_each_backend, os_loop, streams};
use eventry::table::NotRegistered;
use eventry::{HandleId, Registry, TimeoutId};
use std::sync::Arc;

// EV-1103: both loops have issued the same slot and serial.
#[test]
fn ids_of_one_loop_are_unknown_to_another() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (near, _far) = streams();
        let near = Arc::new(near);
        let mut loops = [(); 2].map(|()| os_loop(backend).0);
        let entries: [(Registry, HandleId, TimeoutId); 2] = std::array::from_fn(|which| {
            let registry = loops[which].registry();
            let (handle, timeout) = (log.clone(), log.clone());
            let handle = registry.add_handle(Arc::clone(&near), W, move |_| {
                handle.record(format!("handle {which}"));
            });
            let timeout = registry.add_timeout(ms(0), move |_| {
                timeout.record(format!("timeout {which}"));
            });
            (registry, handle.unwrap(), timeout.unwrap())
        });
        let [(first, ..), (_, foreign_handle, foreign_timeout)] = &entries;
        assert!(matches!(
            first.update_handle(*foreign_handle, R),
            Err(NotRegistered)
        ));
        assert_eq!(first.remove_handle(*foreign_handle), Err(NotRegistered));
        assert_eq!(
            first.update_timeout(*foreign_timeout, None),
            Err(NotRegistered)
        );
        assert_eq!(first.remove_timeout(*foreign_timeout), Err(NotRegistered));

        for event_loop in &mut loops {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_eq!(
            records.take(),
            ["timeout 0", "handle 0", "timeout 1", "handle 1"]
        );
    });
}

// EV-1103: a callback of one loop runs a turn of another.
#[test]
fn turn_of_one_loop_inside_another_is_independent() {
    on_each_backend(|backend| {
        let (log, records) = log();
        let (mut outer, _) = os_loop(backend);
        let (mut inner, _) = os_loop(backend);
        let recorder = log.clone();
        inner
            .registry()
            .add_timeout(ms(0), move |_| recorder.record("inner"))
            .unwrap();
        outer
            .registry()
            .add_timeout(ms(0), move |_| {
                inner.run_once(AT_ONCE).unwrap();
                log.record("outer");
            })
            .unwrap();
        outer.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["inner", "outer"]);
    });
}
