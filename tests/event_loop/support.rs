//! Helpers of the tests: a log of events, loops on the model poller, and a poller that records the calls of
//! the loop.

use eventry::poller::model::{FOR_EVER, Model, ModelPoller, ModelSource};
use eventry::poller::{Poller, Registrar};
use eventry::{Backend, EventLoop, Events, HandleId, MonotonicTime, Registry, TimeoutId, Token};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use test_support::timeout::bounded;

pub(crate) const R: Events = Events::READABLE;
pub(crate) const W: Events = Events::WRITABLE;
pub(crate) const E: Events = Events::ERROR;
pub(crate) const H: Events = Events::HANGUP;

/// A turn that does not wait.
pub(crate) const AT_ONCE: Option<Duration> = Some(Duration::ZERO);
/// A long wait that ends tests which would otherwise hang; no passing test waits this long. Shorter than
/// [`TIMEOUT`](test_support::timeout::TIMEOUT), so that the assertion after it fails first.
pub(crate) const LONG: Option<Duration> = Some(Duration::from_secs(20));

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Writer of a log that any thread may use.
#[derive(Clone)]
pub(crate) struct Log(Sender<String>);

/// Reader of a [`Log`].
pub(crate) struct Records(Receiver<String>);

/// A guard that calls `F` when it is dropped; inside a callback, when the callback is freed.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

pub(crate) fn log() -> (Log, Records) {
    let (sender, receiver) = channel();
    (Log(sender), Records(receiver))
}

impl Log {
    pub(crate) fn record(&self, entry: impl Into<String>) {
        // Sending fails for callbacks that outlive the test.
        let _ = self.0.send(entry.into());
    }

    /// Returns a guard that records `name` when it is dropped.
    pub(crate) fn on_drop(&self, name: &str) -> OnDrop<impl FnMut() + use<>> {
        let (log, name) = (self.clone(), name.to_owned());
        OnDrop(move || log.record(&*name))
    }
}

impl Records {
    /// Returns the records since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.try_iter().collect()
    }

    /// Advances the model's clock, runs a turn that does not wait, and returns the records.
    pub(crate) fn after<P: Poller>(
        &self,
        time: Duration,
        event_loop: &mut EventLoop<P>,
        model: &Model,
    ) -> Vec<String> {
        model.advance(time);
        event_loop.run_once(AT_ONCE).unwrap();
        self.take()
    }

    /// Runs turns that wait until there are records; returns them and the number of turns.
    pub(crate) fn next(&self, event_loop: &mut EventLoop) -> (Vec<String>, usize) {
        for turns in 0.. {
            let recorded = self.take();
            if !recorded.is_empty() {
                return (recorded, turns);
            }
            event_loop.run_once(LONG).unwrap();
        }
        unreachable!("the loop over turns is endless")
    }
}

impl<F: FnMut()> OnDrop<F> {
    /// Does nothing; a closure that calls it owns the guard.
    pub(crate) fn keep(&self) {}
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Returns a loop on the model poller, its registry and its model.
pub(crate) fn model_loop() -> (EventLoop<ProbePoller>, Registry<ProbePoller>, Model) {
    let (event_loop, registry, probe) = probe_loop();
    (event_loop, registry, probe.model)
}

/// The backends of the operating system's poller.
pub(crate) const BACKENDS: [Backend; 2] = [Backend::Epoll, Backend::Poll];

/// Returns a loop on the operating system's poller, and its registry.
pub(crate) fn os_loop(backend: Backend) -> (EventLoop, Registry) {
    let event_loop = EventLoop::builder().backend(backend).build().unwrap();
    let registry = event_loop.registry();
    (event_loop, registry)
}

/// Adds a timeout that records `name` each time it fires.
pub(crate) fn add_recording_timeout<P: Poller>(
    registry: &Registry<P>,
    log: &Log,
    interval: impl Into<Option<Duration>>,
    name: &'static str,
) -> TimeoutId {
    let log = log.clone();
    registry
        .add_timeout(interval, move |_| log.record(name))
        .unwrap()
}

/// Adds a handle on a descriptor of the model that records `name` each time it is called.
pub(crate) fn add_recording_handle<P: Poller<Source = ModelSource>>(
    registry: &Registry<P>,
    log: &Log,
    fd: RawFd,
    interest: Events,
    name: &'static str,
) -> HandleId {
    let log = log.clone();
    registry
        .add_source(ModelSource(fd), interest, move |_| log.record(name))
        .unwrap()
}

/// Runs a test on each backend in turn. If it fails, the last line of the output names the backend.
pub(crate) fn on_each_backend(test: impl Fn(Backend) + Copy + Send + 'static) {
    for backend in BACKENDS {
        let named = NamesBackend(backend);
        bounded("the test", move || test(backend));
        drop(named);
    }
}

struct NamesBackend(Backend);

impl Drop for NamesBackend {
    fn drop(&mut self) {
        #[allow(clippy::print_stderr, reason = "the message of a failed test")]
        if std::thread::panicking() {
            eprintln!("on the backend {:?}", self.0);
        }
    }
}

/// Returns two connected sockets in non-blocking mode.
pub(crate) fn streams() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

/// A call of the loop to its poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollerCall {
    Register(RawFd, Events),
    Reregister(RawFd, Events),
    Deregister(RawFd),
    Wait(Option<Duration>),
    Wake,
}

/// Longest wait that the model poller ends by itself.
const LONGEST: Duration = FOR_EVER.saturating_sub(Duration::from_nanos(1));

type Step = Box<dyn FnOnce() + Send>;

/// The model poller, with a record of its calls and with steps that run during its waits.
///
/// A change made by a step has the effect of a change by another thread while the loop sleeps.
pub(crate) struct ProbePoller {
    inner: ModelPoller,
    registrar: ProbeRegistrar,
    steps: Receiver<Step>,
}

#[derive(Clone, Debug)]
pub(crate) struct ProbeRegistrar {
    model: Model,
    calls: Sender<PollerCall>,
}

/// The test's side of a [`ProbePoller`].
pub(crate) struct Probe {
    pub(crate) model: Model,
    calls: Receiver<PollerCall>,
    steps: Sender<Step>,
}

pub(crate) fn probe_loop() -> (EventLoop<ProbePoller>, Registry<ProbePoller>, Probe) {
    let (inner, model) = ModelPoller::new();
    let (sender, calls) = channel();
    let (plan, steps) = channel();
    let registrar = ProbeRegistrar {
        model: model.clone(),
        calls: sender,
    };
    let event_loop = EventLoop::with_poller(ProbePoller {
        inner,
        registrar,
        steps,
    });
    let registry = event_loop.registry();
    let probe = Probe {
        model,
        calls,
        steps: plan,
    };
    (event_loop, registry, probe)
}

impl Probe {
    /// Returns the calls to the poller since the last time.
    pub(crate) fn calls(&self) -> Vec<PollerCall> {
        self.calls.try_iter().collect()
    }

    /// Returns the number of wakes and of waits since the last time.
    pub(crate) fn wakes_and_waits(&self) -> (usize, usize) {
        let calls = self.calls();
        let wakes = calls.iter().filter(|call| **call == PollerCall::Wake);
        let waits = calls
            .iter()
            .filter(|call| matches!(call, PollerCall::Wait(_)));
        (wakes.count(), waits.count())
    }

    /// Runs `step` during the next wait that has no step yet.
    pub(crate) fn during_a_wait(&self, step: impl FnOnce() + Send + 'static) {
        self.steps.send(Box::new(step)).unwrap();
    }
}

impl Poller for ProbePoller {
    type Source = ModelSource;
    type Registrar = ProbeRegistrar;

    fn registrar(&self) -> &ProbeRegistrar {
        &self.registrar
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.registrar.record(PollerCall::Wait(timeout));
        if let Ok(step) = self.steps.try_recv() {
            step();
        }
        let before = self.registrar.now();
        let waited = self.inner.wait(Some(timeout.unwrap_or(LONGEST)));
        let slept = self.registrar.now().saturating_duration_since(before);
        assert!(
            timeout.is_some() || slept < LONGEST,
            "the loop sleeps without an end: no other thread can wake it"
        );
        waited
    }

    fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        self.inner.ready()
    }

    fn recreate(&mut self) -> io::Result<bool> {
        self.inner.recreate()
    }
}

impl ProbeRegistrar {
    fn record(&self, call: PollerCall) {
        let _ = self.calls.send(call);
    }
}

impl Registrar for ProbeRegistrar {
    type Source = ModelSource;

    fn register(&self, source: &ModelSource, token: Token, interest: Events) -> io::Result<()> {
        self.record(PollerCall::Register(source.0, interest));
        self.model.register(source, token, interest)
    }

    fn reregister(&self, source: &ModelSource, token: Token, interest: Events) -> io::Result<()> {
        self.record(PollerCall::Reregister(source.0, interest));
        self.model.reregister(source, token, interest)
    }

    fn deregister(&self, source: &ModelSource) {
        self.record(PollerCall::Deregister(source.0));
        self.model.deregister(source);
    }

    fn wake(&self) -> io::Result<()> {
        self.record(PollerCall::Wake);
        self.model.wake()
    }

    fn now(&self) -> MonotonicTime {
        self.model.now()
    }
}
