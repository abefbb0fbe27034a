//! An event implementation other than the library's, which gets every call.

#![cfg(not(loom))]

use eventry::Events;
use eventry::event_impl::{
    self, AddHandleError, AddTimeoutError, AlreadyRegistered, EventImpl, HandleCallback, ImplError,
    RegisterError, RunDefaultError, SharedFd, TimeoutCallback,
};
use eventry::table::{NotRegistered, Removal};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

/// An implementation that records each call, and calls each added callback at once.
struct Recorder(Sender<String>);

impl Recorder {
    fn record(&self, call: String) {
        self.0.send(call).unwrap();
    }
}

impl EventImpl for Recorder {
    fn add_handle(
        &self,
        source: SharedFd,
        interest: Events,
        mut callback: HandleCallback,
    ) -> Result<i32, AddHandleError> {
        let fd = source.as_fd().as_raw_fd();
        self.record(format!("add handle {fd} {interest:?}"));
        callback(7, Events::HANGUP);
        Ok(7)
    }
    fn update_handle(&self, watch: i32, interest: Events) {
        self.record(format!("update handle {watch} {interest:?}"));
    }
    fn remove_handle(&self, watch: i32) -> Result<Removal, ImplError> {
        self.record(format!("remove handle {watch}"));
        Ok(Removal::Idle)
    }
    fn add_timeout(
        &self,
        interval: Option<Duration>,
        mut callback: TimeoutCallback,
    ) -> Result<i32, AddTimeoutError> {
        self.record(format!("add timeout {interval:?}"));
        callback(9);
        Ok(9)
    }
    fn update_timeout(&self, timer: i32, interval: Option<Duration>) {
        self.record(format!("update timeout {timer} {interval:?}"));
    }
    fn remove_timeout(&self, timer: i32) -> Result<Removal, ImplError> {
        self.record(format!("remove timeout {timer}"));
        Err(NotRegistered.into())
    }
}

#[test]
fn the_first_implementation_gets_every_call_and_stays() {
    let (sender, seen) = mpsc::channel();
    event_impl::register_impl(Recorder(sender.clone())).unwrap();
    let late = Recorder(mpsc::channel().0);
    assert_eq!(event_impl::register_impl(late), Err(AlreadyRegistered));
    let default = event_impl::register_default_impl();
    assert!(matches!(default, Err(RegisterError::AlreadyRegistered(_))));
    let run = event_impl::run_default_impl();
    assert!(matches!(run, Err(RunDefaultError::NotRegistered)));

    let (source, _far) = UnixStream::pair().unwrap();
    let fd = source.as_raw_fd();
    let of_handle = sender.clone();
    let handle: HandleCallback = Box::new(move |watch, events| {
        of_handle
            .send(format!("called {watch} {events:?}"))
            .unwrap()
    });
    let timeout: TimeoutCallback =
        Box::new(move |timer| sender.send(format!("called {timer}")).unwrap());
    assert_eq!(
        event_impl::add_handle(Arc::new(source), Events::READABLE, handle).unwrap(),
        7
    );
    event_impl::update_handle(7, Events::NONE);
    assert_eq!(event_impl::remove_handle(7).unwrap(), Removal::Idle);
    assert_eq!(event_impl::add_timeout(None, timeout).unwrap(), 9);
    event_impl::update_timeout(9, Some(Duration::ZERO));
    let removed = event_impl::remove_timeout(9);
    assert!(matches!(removed, Err(ImplError::NotRegistered(_))));

    let seen: Vec<String> = seen.try_iter().collect();
    assert_eq!(
        seen,
        [
            &format!("add handle {fd} READABLE"),
            "called 7 HANGUP",
            "update handle 7 NONE",
            "remove handle 7",
            "add timeout None",
            "called 9",
            "update timeout 9 Some(0ns)",
            "remove timeout 9",
        ]
    );
}
