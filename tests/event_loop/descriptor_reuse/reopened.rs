//! A number that is opened again as another file, without a duplicate of the first one, and used by a new handle
//! while an old handle is still registered (EV-1002).

use super::standard_input;
use crate::support::{
    AT_ONCE, LONG, Log, R, Records, W, log, ms, on_each_backend, os_loop, streams,
};
use eventry::{EventLoop, Events, HandleId, Registry};
use rustix::pipe::pipe;
use rustix::stdio::dup2_stdin;
use std::fs::File;
use std::io::{Write, stdin};
use std::os::fd::OwnedFd;
use std::thread;

/// Opens the number of standard input again as a pipe, and returns the end that makes it readable. The earlier file is
/// closed.
fn reopen_as_pipe() -> File {
    let (reader, writer) = pipe().unwrap();
    dup2_stdin(reader).unwrap();
    File::from(writer)
}

/// Opens the number again as a file that cannot be polled.
fn reopen_as_file() {
    dup2_stdin(File::open("/dev/null").unwrap()).unwrap();
}

/// Adds a handle on the number that records `name` and its events.
fn watch(registry: &Registry, log: &Log, name: &'static str, interest: Events) -> HandleId {
    let log = log.clone();
    let added = registry.add_handle(stdin(), interest, move |event| {
        log.record(format!("{name} {:?}", event.events));
    });
    added.unwrap()
}

/// Returns the records of a few turns that do not wait.
fn few_turns(event_loop: &mut EventLoop, records: &Records) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..3 {
        event_loop.run_once(AT_ONCE).unwrap();
        found.extend(records.take());
    }
    found
}

#[test]
fn handle_added_after_reopening_is_called_beside_the_old() {
    on_each_backend(|backend| {
        let _alone = standard_input();
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let _first = reopen_as_pipe();
        let old = watch(&registry, &log, "old", R);
        assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
        let mut second = reopen_as_pipe();
        let new = watch(&registry, &log, "new", R);
        second.write_all(b"x").unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["old READABLE", "new READABLE"]);

        // The removal of the old handle does not end the registration of the new file, that of the last one does.
        let _ = registry.remove_handle(old).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["new READABLE"]);
        let _ = registry.remove_handle(new).unwrap();
        assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
    });
}

#[test]
fn handle_added_before_the_old_is_removed_is_called() {
    on_each_backend(|backend| {
        let _alone = standard_input();
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let _first = reopen_as_pipe();
        let old = watch(&registry, &log, "old", R);
        assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
        // The loop's thread removes the old handle in the turn that follows the addition.
        let mut second = reopen_as_pipe();
        watch(&registry, &log, "new", R);
        registry
            .add_timeout(ms(0), move |event| {
                let _ = event.registry.remove_handle(old);
                let _ = event.registry.remove_timeout(event.id).unwrap();
            })
            .unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        second.write_all(b"x").unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["new READABLE"]);
    });
}

// Another thread replaces the file while the loop waits.
#[test]
fn handle_added_during_the_wait_is_called() {
    on_each_backend(|backend| {
        let _alone = standard_input();
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let _first = reopen_as_pipe();
        let old = watch(&registry, &log, "old", R);
        assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
        // The wait ends, because the turn has a handle that is ready.
        let (near, mut far) = streams();
        let (sender, waits) = std::sync::mpsc::channel();
        registry
            .add_handle(near, R, move |event| {
                let _ = event.registry.remove_handle(event.id);
                sender.send(()).unwrap();
            })
            .unwrap();
        let (adder, name) = (registry.clone(), log.clone());
        let other = thread::spawn(move || {
            far.write_all(b"x").unwrap();
            waits.recv().unwrap();
            let mut second = reopen_as_pipe();
            second.write_all(b"x").unwrap();
            watch(&adder, &name, "new", R);
            second
        });
        // Without a registration of the new file, no event ends the second or third wait.
        let mut found = Vec::new();
        for _ in 0..3 {
            if found.is_empty() {
                event_loop.run_once(LONG).unwrap();
                found = records.take();
            }
        }
        let _second = other.join().unwrap();
        let _ = registry.remove_handle(old).unwrap();
        found.extend(few_turns(&mut event_loop, &records));
        assert!(found.contains(&"new READABLE".to_owned()), "{found:?}");
    });
}

// The changes of the old handle and of the new one leave the union of the interests as it was.
#[test]
fn file_reopened_between_disable_and_add_is_called() {
    for from_file in [false, true] {
        on_each_backend(move |backend| {
            let _alone = standard_input();
            let (log, records) = log();
            let (mut event_loop, registry) = os_loop(backend);
            let _first = reopen_as_pipe();
            if from_file {
                reopen_as_file();
            }
            let old = watch(&registry, &log, "old", R);
            let calls = few_turns(&mut event_loop, &records).len();
            assert_eq!(calls, if from_file { 3 } else { 0 });

            registry.update_handle(old, Events::NONE).unwrap();
            let mut second = reopen_as_pipe();
            watch(&registry, &log, "new", R);
            assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
            second.write_all(b"x").unwrap();
            event_loop.run_once(AT_ONCE).unwrap();
            assert_eq!(records.take(), ["new READABLE"]);
        });
    }
}

// EV-1004: the number becomes a file that is always ready, and is no longer one.
#[test]
fn update_after_reopening_applies_to_the_new_file() {
    on_each_backend(|backend| {
        let _alone = standard_input();
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let _first = reopen_as_pipe();
        let id = watch(&registry, &log, "handle", R);
        assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
        for _ in 0..2 {
            reopen_as_file();
            registry.update_handle(id, R).unwrap();
            let found = few_turns(&mut event_loop, &records);
            assert_eq!(found, ["handle READABLE"; 3]);
            let mut pipe = reopen_as_pipe();
            registry.update_handle(id, R).unwrap();
            assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
            pipe.write_all(b"x").unwrap();
            event_loop.run_once(AT_ONCE).unwrap();
            assert_eq!(records.take(), ["handle READABLE"]);
        }
    });
}

// The number of a closed descriptor was refused, and is opened again before the refusal is reported.
#[test]
fn refused_number_that_is_opened_again_is_called() {
    on_each_backend(|backend| {
        let _alone = standard_input();
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        dup2_stdin(super::unpollable()).unwrap();
        let id = watch(&registry, &log, "handle", R);
        // Timeouts are called before refusals are reported.
        let (sender, receiver) = std::sync::mpsc::channel();
        registry
            .add_timeout(ms(0), move |event| {
                let mut pipe = reopen_as_pipe();
                pipe.write_all(b"x").unwrap();
                sender.send(pipe).unwrap();
                event.registry.update_handle(id, R).unwrap();
                let _ = event.registry.remove_timeout(event.id).unwrap();
            })
            .unwrap();
        let found = few_turns(&mut event_loop, &records);
        let _pipe = receiver.recv().unwrap();
        assert_eq!(found, ["handle READABLE"; 2]);
    });
}

/// Returns the two sides of a new pseudoterminal.
fn terminal() -> (File, OwnedFd) {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let user = open(name, flags, Mode::empty()).unwrap();
    (File::from(controller), user)
}

// A terminal hangs up, and its number becomes another terminal.
#[test]
fn terminal_that_hangs_up_and_returns_is_called() {
    on_each_backend(|backend| {
        let _alone = standard_input();
        let (log, records) = log();
        let (mut event_loop, registry) = os_loop(backend);
        let (first, user) = terminal();
        dup2_stdin(user).unwrap();
        let old = watch(&registry, &log, "old", R);
        assert_eq!(few_turns(&mut event_loop, &records), [""; 0]);
        drop(first);
        event_loop.run_once(LONG).unwrap();
        let found = records.take();
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("HANGUP"), "{found:?}");

        let (mut second, user) = terminal();
        dup2_stdin(user).unwrap();
        let new = watch(&registry, &log, "new", R | W);
        let _ = registry.remove_handle(old).unwrap();
        event_loop.run_once(AT_ONCE).unwrap();
        assert_eq!(records.take(), ["new WRITABLE"]);
        registry.update_handle(new, R).unwrap();
        second.write_all(b"line\n").unwrap();
        let (found, _) = records.next(&mut event_loop);
        assert_eq!(found, ["new READABLE"]);
    });
}
