//! A listening socket, what its clients may do, and whether anybody is accepted on it.

use super::Endpoint;
use crate::core::Refused;
use crate::events::Events;
use crate::id::HandleId;
use crate::net::UnixSocket;
use crate::registry::Registry;
use crate::session::Access;
use std::sync::Arc;
use std::time::Duration;

/// What an enabled service is woken for (DM-501).
const INTEREST: Events = Events::ALL;

/// The first pause after a connection could not be accepted, doubled each time up to the last (DM-505).
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Why nobody is accepted for now. A service accepts exactly when there is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspension {
    /// There are as many clients as there may be (DM-601).
    ClientLimit = 1,
    /// There are no descriptors, or no memory, for another connection (DM-505).
    OutOfDescriptors = 2,
}

/// One listening socket.
#[derive(Debug)]
pub(super) struct Service {
    socket: Arc<UnixSocket>,
    access: Access,
    /// The socket's handle, while the service is enabled.
    handle: Option<HandleId>,
    /// The reasons why it does not accept, as bits.
    suspensions: u8,
    /// The pause that the next failure causes.
    pause: Duration,
}

impl Service {
    pub(super) fn new(socket: UnixSocket, access: Access) -> Service {
        Service {
            socket: Arc::new(socket),
            access,
            handle: None,
            suspensions: 0,
            pause: FIRST_PAUSE,
        }
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint {
            path: self.socket.path().to_owned(),
            access: self.access,
        }
    }

    /// Makes the socket a handle of the loop; `accept` is called when somebody waits on it.
    pub(super) fn enable(
        &mut self,
        registry: &Registry,
        mut accept: impl FnMut(&UnixSocket, Events) + Send + 'static,
    ) -> Result<(), Refused> {
        let socket = Arc::clone(&self.socket);
        let added = registry.add_handle(socket, INTEREST, move |event| {
            accept(event.source, event.events);
        });
        self.handle = Some(added.map_err(|error| error.reason)?);
        Ok(())
    }

    /// Stops listening for good, and takes the name away.
    pub(super) fn disable(&mut self, registry: &Registry) {
        self.socket.unlink();
        if let Some(handle) = self.handle.take() {
            // It is registered as long as we know its id, unless its callback has panicked; and no call
            // that is still in flight does harm.
            let _ = registry.remove_handle(handle);
        }
    }

    /// Stops accepting until the reason is gone.
    pub(super) fn suspend(&mut self, registry: &Registry, reason: Suspension) {
        self.set_suspensions(registry, self.suspensions | reason as u8);
    }

    /// Accepts again, unless there is another reason not to.
    pub(super) fn resume(&mut self, registry: &Registry, reason: Suspension) {
        self.set_suspensions(registry, self.suspensions & !(reason as u8));
    }

    fn set_suspensions(&mut self, registry: &Registry, suspensions: u8) {
        let changed = (suspensions == 0) != (self.suspensions == 0);
        self.suspensions = suspensions;
        if changed && let Some(handle) = self.handle {
            let interest = if suspensions == 0 {
                INTEREST
            } else {
                Events::NONE
            };
            if let Err(error) = registry.update_handle(handle, interest) {
                tracing::error!("cannot watch {}: {error}", self.socket.path().display());
            }
        }
    }

    /// Takes note that a connection was accepted: the next failure is a first one.
    pub(super) fn accepted(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// How long to rest after a failure.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST_PAUSE);
        pause
    }
}
