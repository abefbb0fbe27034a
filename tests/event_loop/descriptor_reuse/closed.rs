//! Descriptors that are closed while they are registered, on `poll(2)`, which treats an `O_PATH` descriptor like a
//! closed one.

use super::{standard_input, unpollable};
use crate::support::{AT_ONCE, LONG, R, W, add_recording_timeout, log, ms, os_loop, streams};
use eventry::{Backend, Events};
use rustix::stdio::dup2_stdin;
use std::io::{Write, stdin};
use test_support::timeout::bounded;

// EV-1001, EV-1002, EV-908, on `poll(2)` only, since epoll drops a closed descriptor without a report. One test,
// since there is one standard input.
#[test]
fn close_under_handles_reports_one_error_to_each() {
    bounded("the test", || {
        let _alone = standard_input();
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(Backend::Poll);
        let (near, mut far) = streams();
        far.write_all(b"x").unwrap();
        dup2_stdin(&near).unwrap();
        let watch = |name: &'static str, interest| {
            let log = log.clone();
            let added = registry.add_handle(stdin(), interest, move |event| {
                log.record(format!("{name} {:?}", event.events));
            });
            added.unwrap()
        };
        let reads = watch("reads", R);
        watch("errors only", Events::ERROR);
        let disabled = watch("disabled", Events::NONE);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["reads READABLE"]);

        dup2_stdin(unpollable()).unwrap();
        event_loop.run_once(LONG).unwrap();
        assert_eq!(records.take(), ["reads ERROR", "errors only ERROR"]);

        // Then the descriptor is not polled: the loop sleeps until the timeout is due.
        let timeout = add_recording_timeout(&registry, &log, ms(20), "fired");
        let (calls, turns) = records.next(&mut event_loop);
        assert_eq!(calls, ["fired"]);
        assert!(turns <= 3, "{turns} turns for one timeout");
        let _ = registry.remove_timeout(timeout).unwrap();

        // A handle that is enabled while the descriptor cannot be polled is refused like a new one.
        registry.update_handle(disabled, W).unwrap();
        for _ in 0..3 {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_eq!(records.take(), ["disabled ERROR"]);

        // The number is opened again: handles that are added or enabled now are called, the others are not.
        dup2_stdin(&near).unwrap();
        watch("added", R);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["added READABLE"]);
        registry.update_handle(reads, R).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["reads READABLE", "added READABLE"]);
    });
}
