//! A poller that runs operations during its waits, in place of other threads that change a sleeping loop.

use crate::world::Shared;
use eventry::poller::model::{FOR_EVER, Model, ModelPoller, ModelSource};
use eventry::poller::{Poller, Registrar};
use eventry::{Events, Token};
use std::io;
use std::time::Duration;

/// The model poller, with operations and checks during its waits.
pub(crate) struct SleepPoller {
    inner: ModelPoller,
    shared: Shared,
}

impl SleepPoller {
    pub(crate) fn new(inner: ModelPoller, shared: Shared) -> SleepPoller {
        SleepPoller { inner, shared }
    }
}

impl Poller for SleepPoller {
    type Source = ModelSource;
    type Registrar = Model;

    fn registrar(&self) -> &Model {
        self.inner.registrar()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.shared.begin_wait(timeout);
        self.shared.run_acts_asleep();
        let timeout = timeout.filter(|timeout| *timeout < FOR_EVER);
        // No other thread would end a wait without a timeout. A wait may return early (EV-513).
        let waited = self.inner.wait(Some(timeout.unwrap_or_default()));
        self.shared.end_wait(self.inner.registrar().now());
        waited
    }

    fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        self.inner.ready()
    }
}
