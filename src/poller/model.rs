//! A poller without a kernel. The test sets readiness and time.
//!
//! The unchanged registry and loop run on it, in tests without sleeps and under the loom model checker. It is
//! stricter than a kernel: for example, a second registration of a descriptor is an error. A test can inspect
//! the registrations.
//!
//! ```
//! use eventry::poller::model::{ModelPoller, ModelSource};
//! use eventry::{EventLoop, Events};
//! use std::time::Duration;
//!
//! let (poller, model) = ModelPoller::new();
//! let mut event_loop = EventLoop::with_poller(poller);
//! let registry = event_loop.registry();
//! registry.add_source(ModelSource(3), Events::READABLE, |event| {
//!     assert_eq!(event.events, Events::READABLE);
//! })?;
//! model.set_ready(3, Events::READABLE);
//! event_loop.run_once(Some(Duration::ZERO))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{Poller, Registrar, Source};
use crate::events::Events;
use crate::id::Token;
use crate::sync::{Arc, Condvar, Mutex};
use crate::time::MonotonicTime;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// The shortest timeout that counts as no timeout: the wait ends only by an event or a wake. A wait with a
/// shorter timeout advances the clock by it and returns. A lost wake therefore blocks the model, which the
/// model checker reports.
pub const FOR_EVER: Duration = Duration::from_secs(3600);

/// The number of a descriptor that need not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSource(pub RawFd);

/// The readiness and the clock of a [`ModelPoller`], set by the test.
#[derive(Clone, Debug)]
pub struct Model(Arc<Shared>);

/// A poller that waits in a [`Model`].
#[derive(Debug)]
pub struct ModelPoller {
    found: Vec<(Token, Events)>,
    registrar: Model,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    registered: BTreeMap<RawFd, (Token, Events)>,
    ready: BTreeMap<RawFd, Events>,
    /// Registrations that are reported after their end.
    stale: Vec<(Token, Events)>,
    recreations: usize,
    woken: bool,
    wakes: usize,
    now: MonotonicTime,
    registration_error: Option<io::ErrorKind>,
    wait_error: Option<io::ErrorKind>,
}

impl ModelPoller {
    /// Creates a poller and its model.
    #[must_use]
    pub fn new() -> (ModelPoller, Model) {
        let model = Model(Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        }));
        let poller = ModelPoller {
            found: Vec::new(),
            registrar: model.clone(),
        };
        (poller, model)
    }
}

impl Model {
    /// Sets the readiness of `fd`, which need not be registered.
    pub fn set_ready(&self, fd: RawFd, events: Events) {
        self.0.state.lock().ready.insert(fd, events);
        self.0.changed.notify_one();
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        let mut state = self.0.state.lock();
        state.now = state.now.saturating_add(by);
    }

    /// Returns the number of wakes.
    #[must_use]
    pub fn wakes(&self) -> usize {
        self.0.state.lock().wakes
    }

    /// Returns the registered descriptors with their interests, in ascending order.
    #[must_use]
    pub fn registered(&self) -> Vec<(RawFd, Events)> {
        let state = self.0.state.lock();
        let registered = state.registered.iter();
        registered.map(|(fd, (_, events))| (*fd, *events)).collect()
    }

    /// Closes `fd` and opens it again as another file, which is not ready. The earlier file has no duplicate, so that
    /// its registration ends, as with epoll (EV-1002).
    pub fn reopen(&self, fd: RawFd) {
        let mut state = self.0.state.lock();
        state.registered.remove(&fd);
        state.ready.remove(&fd);
    }

    /// Makes the current registration of `fd` stale: after its end, waits still report it with `events`, as
    /// epoll does if a descriptor is closed before its removal and has a duplicate (EV-1003).
    pub fn add_stale(&self, fd: RawFd, events: Events) {
        let mut state = self.0.state.lock();
        let registered = state.registered.get(&fd).map(|(token, _)| *token);
        state.stale.extend(registered.map(|token| (token, events)));
        drop(state);
        self.0.changed.notify_one();
    }

    /// Drops all stale registrations, as if the last duplicates were closed.
    pub fn clear_stale(&self) {
        self.0.state.lock().stale.clear();
    }

    /// Returns the number of times that the poller was recreated.
    #[must_use]
    pub fn recreations(&self) -> usize {
        self.0.state.lock().recreations
    }

    /// Makes all later registrations fail with `error`, or succeed again with `None`.
    pub fn refuse_registrations(&self, error: Option<io::ErrorKind>) {
        self.0.state.lock().registration_error = error;
    }

    /// Makes the next wait fail with `error`.
    pub fn fail_next_wait(&self, error: io::ErrorKind) {
        self.0.state.lock().wait_error = Some(error);
    }
}

impl State {
    fn found(&self) -> impl Iterator<Item = (Token, Events)> {
        let registered = self.registered.iter();
        let is_registered = |token: Token| {
            let mut registered = self.registered.values();
            registered.any(|(own, _)| *own == token)
        };
        let stale = self.stale.iter().copied();
        registered
            .filter_map(|(fd, (token, interest))| {
                let events = interest.filter_ready(*self.ready.get(fd)?);
                (!events.is_empty()).then_some((*token, events))
            })
            .chain(stale.filter(move |(token, _)| !is_registered(*token)))
    }
}

impl Source for ModelSource {
    fn fd(&self) -> RawFd {
        self.0
    }
}

impl Poller for ModelPoller {
    type Source = ModelSource;
    type Registrar = Model;

    fn registrar(&self) -> &Model {
        &self.registrar
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let shared = &self.registrar.0;
        let mut state = shared.state.lock();
        self.found.clear();
        if let Some(error) = state.wait_error.take() {
            return Err(error.into());
        }
        let timeout = timeout.filter(|timeout| *timeout < FOR_EVER);
        while timeout.is_none() && !state.woken && state.found().next().is_none() {
            state = shared.changed.wait(state);
        }
        self.found.extend(state.found());
        if self.found.is_empty() && !state.woken {
            if let Some(timeout) = timeout {
                state.now = state.now.saturating_add(timeout);
            }
        }
        state.woken = false;
        Ok(())
    }

    fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        self.found.iter().copied()
    }

    fn recreate(&mut self) -> io::Result<bool> {
        let mut state = self.registrar.0.state.lock();
        state.registered.clear();
        state.stale.clear();
        state.recreations += 1;
        Ok(true)
    }
}

impl Registrar for Model {
    type Source = ModelSource;

    fn register(&self, source: &ModelSource, token: Token, interest: Events) -> io::Result<()> {
        let mut state = self.0.state.lock();
        if let Some(error) = state.registration_error {
            return Err(error.into());
        }
        if state.registered.contains_key(&source.0) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.registered.insert(source.0, (token, interest));
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    fn reregister(&self, source: &ModelSource, token: Token, interest: Events) -> io::Result<()> {
        let mut state = self.0.state.lock();
        if let Some(error) = state.registration_error {
            return Err(error.into());
        }
        match state.registered.get_mut(&source.0) {
            Some(registration) => *registration = (token, interest),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    fn deregister(&self, source: &ModelSource) {
        self.0.state.lock().registered.remove(&source.0);
    }

    fn wake(&self) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.woken = true;
        state.wakes += 1;
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    fn now(&self) -> MonotonicTime {
        self.0.state.lock().now
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const R: Events = Events::READABLE;

    #[test]
    fn wakes_and_recreations_are_counted() {
        let (mut poller, model) = ModelPoller::new();
        assert_eq!((model.wakes(), model.recreations()), (0, 0));
        for many in 1..=3 {
            model.wake().unwrap();
            assert!(poller.recreate().unwrap());
            assert_eq!((model.wakes(), model.recreations()), (many, many));
        }
    }

    #[test]
    fn changed_registration_is_reported_under_its_new_token() {
        let (mut poller, model) = ModelPoller::new();
        let (first, second) = (Token::new(3, 1), Token::new(3, 2));
        let unknown = model.reregister(&ModelSource(3), first, R).unwrap_err();
        assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
        model.register(&ModelSource(3), first, R).unwrap();
        let changed = Events::WRITABLE;
        model.reregister(&ModelSource(3), second, changed).unwrap();
        assert_eq!(model.registered(), [(3, changed)]);
        model.set_ready(3, R | changed);
        poller.wait(None).unwrap();
        assert!(poller.ready().eq([(second, changed)]));
    }

    // `Model::reopen`: the poller does not know the new file until it is registered.
    #[test]
    fn reopened_descriptor_is_not_registered() {
        let (mut poller, model) = ModelPoller::new();
        let source = ModelSource(3);
        model.register(&source, Token::new(3, 1), R).unwrap();
        model.set_ready(3, R);
        model.reopen(3);
        assert_eq!(model.registered(), []);
        let unknown = model.reregister(&source, Token::new(3, 2), R).unwrap_err();
        assert_eq!(unknown.kind(), io::ErrorKind::NotFound);
        model.register(&source, Token::new(3, 3), R).unwrap();
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poller.ready().count(), 0, "the new file is not ready");
    }

    // `FOR_EVER`: a shorter wait advances the clock unless it ends by an event or a wake.
    #[test]
    fn wait_without_events_advances_the_clock() {
        const SHORT: Duration = Duration::from_millis(5);
        let (mut poller, model) = ModelPoller::new();
        poller.wait(Some(SHORT)).unwrap();
        assert_eq!(model.now(), MonotonicTime::ZERO.saturating_add(SHORT));
        model.wake().unwrap();
        poller.wait(Some(SHORT)).unwrap();
        assert_eq!(model.now(), MonotonicTime::ZERO.saturating_add(SHORT));
        model.set_ready(3, R);
        model
            .register(&ModelSource(3), Token::new(3, 1), R)
            .unwrap();
        poller.wait(Some(SHORT)).unwrap();
        assert_eq!(model.now(), MonotonicTime::ZERO.saturating_add(SHORT));
        // Would block if no descriptor were ready.
        poller.wait(Some(FOR_EVER)).unwrap();
        assert_eq!(model.now(), MonotonicTime::ZERO.saturating_add(SHORT));
    }

    #[test]
    fn unbounded_wait_ends_by_a_wake_or_an_event() {
        let (mut poller, model) = ModelPoller::new();
        model.wake().unwrap();
        poller.wait(Some(FOR_EVER)).unwrap();
        assert_eq!(model.now(), MonotonicTime::ZERO);
        model.set_ready(3, R);
        model
            .register(&ModelSource(3), Token::new(3, 1), R)
            .unwrap();
        poller.wait(Some(FOR_EVER)).unwrap();
        assert_eq!(poller.ready().count(), 1);
    }
}
