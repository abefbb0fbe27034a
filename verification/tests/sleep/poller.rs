//! A poller in whose waits something happens: what other threads do while the loop sleeps, without the
//! threads.

use crate::world::Shared;
use eventry::poller::model::{FOR_EVER, Model, ModelPoller, ModelSource};
use eventry::poller::{Poller, Registrar};
use eventry::{Events, Token};
use std::io;
use std::time::Duration;

/// The model poller, which lets things happen when it waits and looks at what is right before and after.
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
        self.shared.falls_asleep(timeout);
        self.shared.let_happen_asleep();
        let timeout = timeout.filter(|timeout| *timeout < FOR_EVER);
        // Nobody else would end a wait for ever. To return from it early is allowed (EV-513).
        let waited = self.inner.wait(Some(timeout.unwrap_or_default()));
        self.shared.wakes_up(self.inner.registrar().now());
        waited
    }

    fn ready(&self) -> impl Iterator<Item = (Token, Events)> {
        self.inner.ready()
    }
}
