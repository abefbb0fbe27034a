//! What the tests share: a log of what happened, loops on the model poller, and a poller that tells what
//! the loop did with it.

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
/// A wait that ends a test which would otherwise hang; none that passes waits this long. Shorter than
/// [`TIMEOUT`](test_support::timeout::TIMEOUT), so that the assertion after it is heard.
pub(crate) const LONG: Option<Duration> = Some(Duration::from_secs(20));

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Notes what happens, in order, from any thread.
#[derive(Clone)]
pub(crate) struct Log(Sender<String>);

/// What has been noted.
pub(crate) struct Heard(Receiver<String>);

/// Calls `F` when it is dropped: moved into a callback, when that is freed.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

pub(crate) fn log() -> (Log, Heard) {
    let (sender, receiver) = channel();
    (Log(sender), Heard(receiver))
}

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        // Callbacks that outlive the test have nobody to tell.
        let _ = self.0.send(what.into());
    }

    /// Notes `name` when it is dropped.
    pub(crate) fn on_drop(&self, name: &str) -> OnDrop<impl FnMut() + use<>> {
        let (log, name) = (self.clone(), name.to_owned());
        OnDrop(move || log.note(&*name))
    }
}

impl Heard {
    /// What was noted since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.try_iter().collect()
    }

    /// What is noted when time has passed, by the end of a turn that does not wait.
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

    /// What is noted first, and after how many turns that wait.
    pub(crate) fn next(&self, event_loop: &mut EventLoop) -> (Vec<String>, usize) {
        for turns in 0.. {
            let noted = self.take();
            if !noted.is_empty() {
                return (noted, turns);
            }
            event_loop.run_once(LONG).unwrap();
        }
        unreachable!("turns without end")
    }
}

impl<F: FnMut()> OnDrop<F> {
    /// Makes the closure that calls this own the value.
    pub(crate) fn keep(&self) {}
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A loop on the model poller, its registry and its world.
pub(crate) fn model_loop() -> (EventLoop<ProbePoller>, Registry<ProbePoller>, Model) {
    let (event_loop, registry, probe) = probe_loop();
    (event_loop, registry, probe.model)
}

/// The backends of the operating system's poller.
pub(crate) const BACKENDS: [Backend; 2] = [Backend::Epoll, Backend::Poll];

/// A loop on the operating system's poller, and its registry.
pub(crate) fn os_loop(backend: Backend) -> (EventLoop, Registry) {
    let event_loop = EventLoop::builder().backend(backend).build().unwrap();
    let registry = event_loop.registry();
    (event_loop, registry)
}

/// Adds a timeout that notes `name` whenever it fires.
pub(crate) fn timeout_that_notes<P: Poller>(
    registry: &Registry<P>,
    log: &Log,
    interval: impl Into<Option<Duration>>,
    name: &'static str,
) -> TimeoutId {
    let log = log.clone();
    registry
        .add_timeout(interval, move |_| log.note(name))
        .unwrap()
}

/// Adds a handle on a descriptor of the model that notes `name` whenever it is called.
pub(crate) fn handle_that_notes<P: Poller<Source = ModelSource>>(
    registry: &Registry<P>,
    log: &Log,
    fd: RawFd,
    interest: Events,
    name: &'static str,
) -> HandleId {
    let log = log.clone();
    registry
        .add_source(ModelSource(fd), interest, move |_| log.note(name))
        .unwrap()
}

/// Runs a test on each backend in turn. If it fails, the last line says on which.
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
        #[allow(clippy::print_stderr, reason = "a test that fails says why")]
        if std::thread::panicking() {
            eprintln!("on the backend {:?}", self.0);
        }
    }
}

/// Two connected sockets that do not block.
pub(crate) fn streams() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

/// What the loop did with its poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Register(RawFd, Events),
    Reregister(RawFd, Events),
    Deregister(RawFd),
    Wait(Option<Duration>),
    Wake,
}

/// The longest wait that the model poller ends by itself.
const LONGEST: Duration = FOR_EVER.saturating_sub(Duration::from_nanos(1));

type Step = Box<dyn FnOnce() + Send>;

/// The model poller, with a record of what it was told, and with something to happen during a wait: a
/// change made there is one made by another thread while the loop sleeps, without the thread.
pub(crate) struct ProbePoller {
    inner: ModelPoller,
    registrar: ProbeRegistrar,
    steps: Receiver<Step>,
}

#[derive(Clone, Debug)]
pub(crate) struct ProbeRegistrar {
    model: Model,
    told: Sender<Told>,
}

/// The test's side of a [`ProbePoller`].
pub(crate) struct Probe {
    pub(crate) model: Model,
    told: Receiver<Told>,
    steps: Sender<Step>,
}

pub(crate) fn probe_loop() -> (EventLoop<ProbePoller>, Registry<ProbePoller>, Probe) {
    let (inner, model) = ModelPoller::new();
    let (tell, told) = channel();
    let (plan, steps) = channel();
    let registrar = ProbeRegistrar {
        model: model.clone(),
        told: tell,
    };
    let event_loop = EventLoop::with_poller(ProbePoller {
        inner,
        registrar,
        steps,
    });
    let registry = event_loop.registry();
    let probe = Probe {
        model,
        told,
        steps: plan,
    };
    (event_loop, registry, probe)
}

impl Probe {
    /// What the poller was told since the last time.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }

    /// How many wakes and how many waits there were since the last time.
    pub(crate) fn wakes_and_waits(&self) -> (usize, usize) {
        let told = self.told();
        let wakes = told.iter().filter(|told| **told == Told::Wake).count();
        let waits = told.iter().filter(|told| matches!(told, Told::Wait(_)));
        (wakes, waits.count())
    }

    /// Does `step` during the next wait that has none yet.
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
        self.registrar.tell(Told::Wait(timeout));
        if let Ok(step) = self.steps.try_recv() {
            step();
        }
        let before = self.registrar.now();
        let waited = self.inner.wait(Some(timeout.unwrap_or(LONGEST)));
        let slept = self.registrar.now().saturating_duration_since(before);
        assert!(
            timeout.is_some() || slept < LONGEST,
            "the loop sleeps for ever: nobody else is there to wake it"
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
    fn tell(&self, told: Told) {
        let _ = self.told.send(told);
    }
}

impl Registrar for ProbeRegistrar {
    type Source = ModelSource;

    fn register(&self, source: &ModelSource, token: Token, interest: Events) -> io::Result<()> {
        self.tell(Told::Register(source.0, interest));
        self.model.register(source, token, interest)
    }

    fn reregister(&self, source: &ModelSource, token: Token, interest: Events) -> io::Result<()> {
        self.tell(Told::Reregister(source.0, interest));
        self.model.reregister(source, token, interest)
    }

    fn deregister(&self, source: &ModelSource) {
        self.tell(Told::Deregister(source.0));
        self.model.deregister(source);
    }

    fn wake(&self) -> io::Result<()> {
        self.tell(Told::Wake);
        self.model.wake()
    }

    fn now(&self) -> MonotonicTime {
        self.model.now()
    }
}
