//! eventry through its Rust interface.

use super::{Remote, SharedSubject, Subject};
use eventry::poller::OsSource;
use eventry::{EventLoop, Events, HandleId, Next, Registry, TimeoutId};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Eventry {
    event_loop: EventLoop,
    registry: Registry,
}

impl Subject for Eventry {
    type Handle = HandleId;
    type Timer = TimeoutId;
    type Inside = Registry;

    fn new() -> Eventry {
        let event_loop = EventLoop::new().unwrap();
        let registry = event_loop.registry();
        Eventry {
            event_loop,
            registry,
        }
    }

    fn add<F>(&mut self, source: OwnedFd, mut callback: F) -> HandleId
    where
        F: FnMut(&Registry) + Send + 'static,
    {
        let callback = move |event: eventry::HandleEvent<'_, _>| callback(event.registry);
        let added = self.registry.add_handle(source, Events::READABLE, callback);
        added.unwrap()
    }

    fn add_shared<F>(&mut self, source: &Arc<OwnedFd>, mut callback: F) -> HandleId
    where
        F: FnMut(&Registry) + Send + 'static,
    {
        let source = OsSource::shared(Arc::clone(source));
        let callback = move |event: eventry::HandleEvent<'_, _>| callback(event.registry);
        let added = self.registry.add_source(source, Events::READABLE, callback);
        added.unwrap()
    }

    fn update(&mut self, handle: &HandleId, writable: bool) {
        let mut interest = Events::READABLE;
        interest.set(Events::WRITABLE, writable);
        self.registry.update_handle(*handle, interest).unwrap();
    }

    fn remove(&mut self, handle: HandleId) {
        let _ = self.registry.remove_handle(handle).unwrap();
    }

    fn turn(&mut self) {
        self.event_loop.run_once(None).unwrap();
    }

    fn add_timer<F>(&mut self, after: Duration, mut callback: F) -> TimeoutId
    where
        F: FnMut() + Send + 'static,
    {
        let callback = move |_: eventry::TimeoutEvent<'_>| {
            callback();
            Next::Disable
        };
        self.registry.add_timeout(after, callback).unwrap()
    }

    fn restart_timer(&mut self, timer: TimeoutId, after: Duration) {
        self.registry.update_timeout(timer, after).unwrap();
    }

    fn restart_inside(inside: &Registry, timer: TimeoutId, after: Duration) {
        inside.update_timeout(timer, after).unwrap();
    }

    fn remove_timer(&mut self, timer: TimeoutId) {
        let _ = self.registry.remove_timeout(timer).unwrap();
    }

    fn waker(&mut self, call: fn()) -> impl Fn() + Send + 'static {
        let registry = self.registry.clone();
        move || {
            let added = registry.add_timeout(Duration::ZERO, move |_| {
                call();
                Next::Remove
            });
            added.unwrap();
        }
    }
}

impl SharedSubject for Eventry {
    type Remote = Registry;

    fn new() -> Eventry {
        Subject::new()
    }

    fn remote(&self) -> Registry {
        self.registry.clone()
    }

    fn turn(&mut self) {
        Subject::turn(self);
    }
}

impl Remote for Registry {
    type Handle = HandleId;

    fn add(&self, source: &Arc<OwnedFd>, call: fn()) -> HandleId {
        let source = OsSource::shared(Arc::clone(source));
        let added = self.add_source(source, Events::READABLE, move |_| call());
        added.unwrap()
    }

    fn remove(&self, handle: HandleId) {
        let _ = self.remove_handle(handle).unwrap();
    }
}
