//! The model poller, with a scene that looks at each wait and acts during it.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use eventry::poller::model::{FOR_EVER, Model, ModelPoller, ModelSource};
use eventry::poller::{Poller, Registrar, Source};
use eventry::{Events, MonotonicTime, Token};

use crate::scene::Scene;
use crate::tape::Side;

/// The scene, once there is one.
pub(crate) type Place = Arc<OnceLock<Weak<Scene>>>;

pub(crate) struct ProbePoller {
    inner: ModelPoller,
    registrar: ProbeRegistrar,
    place: Place,
    side: Side,
}

#[derive(Clone, Debug)]
pub(crate) struct ProbeRegistrar(Model);

/// A descriptor of the model whose end is noticed.
pub(crate) struct ProbeSource {
    pub(crate) fd: RawFd,
    pub(crate) index: usize,
    pub(crate) scene: Arc<Scene>,
}

impl ProbePoller {
    pub(crate) fn new(side: Side, place: Place) -> (ProbePoller, Model) {
        let (inner, model) = ModelPoller::new();
        let registrar = ProbeRegistrar(model.clone());
        let poller = ProbePoller {
            inner,
            registrar,
            place,
            side,
        };
        (poller, model)
    }
}

impl Poller for ProbePoller {
    type Source = ProbeSource;
    type Registrar = ProbeRegistrar;

    fn registrar(&self) -> &ProbeRegistrar {
        &self.registrar
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let scene = self.place.get().and_then(Weak::upgrade);
        let scene = scene.expect("the scene outlives its loops");
        scene.begin_wait(self.side, timeout);
        // Without anybody who could wake it, the model would wait for ever; a wait may end with nothing.
        let bounded = timeout.filter(|timeout| *timeout < FOR_EVER);
        let waited = self.inner.wait(Some(bounded.unwrap_or(Duration::ZERO)));
        scene.end_wait(self.side, waited.is_ok());
        waited
    }

    fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        self.inner.ready()
    }

    fn recreate(&mut self) -> io::Result<bool> {
        self.inner.recreate()
    }
}

impl Registrar for ProbeRegistrar {
    type Source = ProbeSource;

    fn register(&self, source: &ProbeSource, token: Token, interest: Events) -> io::Result<()> {
        self.0.register(&ModelSource(source.fd), token, interest)
    }

    fn reregister(&self, source: &ProbeSource, token: Token, interest: Events) -> io::Result<()> {
        self.0.reregister(&ModelSource(source.fd), token, interest)
    }

    fn deregister(&self, source: &ProbeSource) {
        self.0.deregister(&ModelSource(source.fd));
    }

    fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }

    fn now(&self) -> MonotonicTime {
        self.0.now()
    }
}

impl Source for ProbeSource {
    fn fd(&self) -> RawFd {
        self.fd
    }
}

impl Drop for ProbeSource {
    fn drop(&mut self) {
        self.scene.book().source_dropped(self.index);
    }
}
