//! Descriptors that are closed while they are watched, on `poll(2)`. An `O_PATH` descriptor is to that as if there were
//! none.

use super::standard_input;
use crate::support::{AT_ONCE, LONG, R, W, log, ms, os_loop, streams, timeout_that_notes};
use eventry::{Backend, Events};
use rustix::fs::{Mode, OFlags, open};
use rustix::stdio::dup2_stdin;
use std::io::{Write, stdin};
use std::os::fd::OwnedFd;
use test_support::timeout::bounded;

fn unpollable() -> OwnedFd {
    open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

// EV-1001, EV-1002, EV-908, on `poll(2)` only: epoll forgets a closed descriptor without a word. All in
// one test, as there is one standard input.
#[test]
fn close_under_handles_reports_one_error_to_each() {
    bounded("the test", || {
        let _alone = standard_input();
        let (log, heard) = log();
        let (mut event_loop, registry) = os_loop(Backend::Poll);
        let (near, mut far) = streams();
        far.write_all(b"x").unwrap();
        dup2_stdin(&near).unwrap();
        let watch = |name: &'static str, interest| {
            let log = log.clone();
            let added = registry.add_handle(stdin(), interest, move |event| {
                log.note(format!("{name} {:?}", event.events));
            });
            added.unwrap()
        };
        let reads = watch("reads", R);
        watch("minds errors", Events::ERROR);
        let disabled = watch("disabled", Events::NONE);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(heard.take(), ["reads READABLE"]);

        dup2_stdin(unpollable()).unwrap();
        event_loop.run_once(LONG).unwrap();
        assert_eq!(heard.take(), ["reads ERROR", "minds errors ERROR"]);

        // Then it is left out: the loop sleeps until the timeout is due.
        let timeout = timeout_that_notes(&registry, &log, ms(20), "fired");
        let (calls, turns) = heard.next(&mut event_loop);
        assert_eq!(calls, ["fired"]);
        assert!(turns <= 3, "{turns} turns for one timeout");
        let _ = registry.remove_timeout(timeout).unwrap();

        // Enabled while there is still nothing to poll, it is refused like a new one.
        registry.update_handle(disabled, W).unwrap();
        for _ in 0..3 {
            event_loop.run_once(AT_ONCE).unwrap();
        }
        assert_eq!(heard.take(), ["disabled ERROR"]);

        // The number is opened again: who is added or enabled now is served, the others are not.
        dup2_stdin(&near).unwrap();
        watch("added", R);
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(heard.take(), ["added READABLE"]);
        registry.update_handle(reads, R).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(heard.take(), ["reads READABLE", "added READABLE"]);
    });
}
