//! A model poller that calls the world before and after each wait.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use eventry::poller::model::{FOR_EVER, Model, ModelPoller, ModelSource};
use eventry::poller::{Poller, Registrar, Source};
use eventry::{Events, MonotonicTime, Token};

use crate::script::Side;
use crate::world::World;

/// A reference to the world, which is set after its loops are created.
pub(crate) type WorldCell = Arc<OnceLock<Weak<World>>>;

pub(crate) struct ProbePoller {
    inner: ModelPoller,
    registrar: ProbeRegistrar,
    world_cell: WorldCell,
    side: Side,
}

#[derive(Clone, Debug)]
pub(crate) struct ProbeRegistrar(Model);

/// A descriptor of the model whose drop is recorded.
pub(crate) struct ProbeSource {
    pub(crate) fd: RawFd,
    pub(crate) index: usize,
    pub(crate) world: Arc<World>,
}

impl ProbePoller {
    pub(crate) fn new(side: Side, world_cell: WorldCell) -> (ProbePoller, Model) {
        let (inner, model) = ModelPoller::new();
        let registrar = ProbeRegistrar(model.clone());
        let poller = ProbePoller {
            inner,
            registrar,
            world_cell,
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
        let world = self.world_cell.get().and_then(Weak::upgrade);
        let world = world.expect("the world outlives its loops");
        world.begin_wait(self.side, timeout);
        // No other thread could wake the model; a wait may end without an event.
        let bounded = timeout.filter(|timeout| *timeout < FOR_EVER);
        let waited = self.inner.wait(Some(bounded.unwrap_or(Duration::ZERO)));
        world.end_wait(self.side, waited.is_ok());
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
        self.world.ledger().source_dropped(self.index);
    }
}
