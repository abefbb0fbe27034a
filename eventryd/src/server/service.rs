//! Listening sockets of one kind, what their clients may do, and whether anybody is accepted on them.

use super::Endpoint;
use crate::net::tls::{TlsConfigError, TlsContext};
use crate::net::{Channel, ListenAddress, Listener, TransportKind};
use crate::session::{Access, Auth};
use eventry::Events;
use eventry::Registry;
use eventry::core::Refused;
use eventry::{HandleId, TimeoutId};
use std::sync::Arc;

/// What an enabled service is woken for (DM-501).
const INTEREST: Events =
    Events::from_bits_truncate(Events::READABLE.bits() | Events::UNCONDITIONAL.bits());

/// What a service asks of its clients, and lets them do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) access: Access,
    pub(super) auth: Auth,
}

/// Listening sockets that are reached in different ways and are the same otherwise (DM-305).
#[derive(Debug)]
pub(super) struct Service {
    listeners: Vec<Listening>,
    terms: Terms,
    /// What its clients' TLS is made of, if they have it. Clients that are there keep what they began with.
    tls: Option<Arc<TlsContext>>,
    /// Whether its sockets are watched for somebody to accept.
    is_accepting: bool,
    /// The timeout that ends the pause.
    retry: Option<TimeoutId>,
}

/// One socket of a service.
#[derive(Debug)]
struct Listening {
    listener: Arc<Listener>,
    /// While the service is enabled.
    handle: Option<HandleId>,
}

impl Service {
    pub(super) fn new(
        listeners: Vec<Listener>,
        terms: Terms,
        tls: Option<Arc<TlsContext>>,
    ) -> Service {
        let listening = |listener| Listening {
            listener: Arc::new(listener),
            handle: None,
        };
        Service {
            listeners: listeners.into_iter().map(listening).collect(),
            terms,
            tls,
            is_accepting: true,
            retry: None,
        }
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    /// Where it is reached, by each of its sockets.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        self.listeners.iter().map(|listening| {
            let address = listening.listener.address();
            let transport = match (&address, &self.tls) {
                (ListenAddress::Unix(_), _) => TransportKind::Unix,
                (ListenAddress::Tcp(_), None) => TransportKind::Tcp,
                (ListenAddress::Tcp(_), Some(_)) => TransportKind::Tls,
            };
            Endpoint {
                address,
                transport,
                access: self.terms.access,
            }
        })
    }

    /// How the bytes of a client that was just accepted travel.
    pub(super) fn channel(&self) -> Result<Channel, TlsConfigError> {
        match &self.tls {
            None => Ok(Channel::Plain),
            Some(context) => Ok(Channel::Tls(Box::new(context.accept()?))),
        }
    }

    /// Whether its clients come by TLS.
    pub(super) const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Replaces what TLS is made of, if the service has it: for clients to come (DM-1209).
    pub(super) fn renew_tls(&mut self, context: &Arc<TlsContext>) {
        if let Some(tls) = &mut self.tls {
            *tls = Arc::clone(context);
        }
    }

    /// Makes the sockets handles of the loop; `accept` is called when somebody waits on one.
    pub(super) fn enable(
        &mut self,
        registry: &Registry,
        accept: impl FnMut(&Listener, Events) + Clone + Send + 'static,
    ) -> Result<(), Refused> {
        for listening in &mut self.listeners {
            let (socket, mut accept) = (Arc::clone(&listening.listener), accept.clone());
            let added = registry.add_handle(socket, INTEREST, move |event| {
                accept(event.source, event.events);
            });
            listening.handle = Some(added.map_err(|error| error.reason)?);
        }
        Ok(())
    }

    /// Stops listening for good, and takes the names away.
    pub(super) fn disable(&mut self, registry: &Registry) {
        for listening in self.listeners.drain(..) {
            listening.listener.unlink();
            if let Some(handle) = listening.handle {
                // It is registered as long as we know its id, unless its callback has panicked; and no
                // call that is still in flight does harm.
                let _ = registry.remove_handle(handle);
            }
        }
    }

    /// Watches its sockets for somebody to accept, or does not for now.
    pub(super) fn set_accepting(&mut self, registry: &Registry, is_accepting: bool) {
        if std::mem::replace(&mut self.is_accepting, is_accepting) == is_accepting {
            return;
        }
        let interest = if is_accepting { INTEREST } else { Events::NONE };
        for listening in &self.listeners {
            let Some(handle) = listening.handle else {
                continue;
            };
            if let Err(error) = registry.update_handle(handle, interest) {
                let address: ListenAddress = listening.listener.address();
                tracing::error!("cannot watch {address}: {error}");
            }
        }
    }

    /// Takes note of the timeout that ends the pause, in place of an earlier one.
    pub(super) fn retry_by(&mut self, registry: &Registry, timeout: TimeoutId) {
        if let Some(earlier) = self.retry.replace(timeout) {
            // It may have passed.
            let _ = registry.remove_timeout(earlier);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::UnixListener;
    use crate::session::Access;
    use eventry::EventLoop;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    /// What the kernel watches by epoll, as `/proc` shows it: nobody waits for more than one descriptor here.
    fn watched(event_loop: &mut EventLoop) -> Vec<u32> {
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        let epoll = event_loop.poll_fd().unwrap().as_raw_fd();
        let shown = std::fs::read_to_string(format!("/proc/self/fdinfo/{epoll}")).unwrap();
        let lines = shown.lines().filter(|line| line.starts_with("tfd:"));
        let events = lines.map(|line| line.split_ascii_whitespace().nth(3).unwrap());
        let events = events.map(|hex| u32::from_str_radix(hex, 16).unwrap());
        // All but the wake descriptor, which is edge-triggered.
        events.filter(|events| events & (1 << 31) == 0).collect()
    }

    #[test]
    fn a_service_waits_to_accept_while_enabled_and_for_nothing_while_suspended() {
        const IN_ERR_HUP: u32 = 0x19;
        const NOTHING: [u32; 0] = [];
        let dir = tempfile::tempdir().unwrap();
        let listeners = ["one", "two"].map(|name| {
            Listener::Unix(UnixListener::bind(&dir.path().join(name), 0o700, 1).unwrap())
        });
        let terms = Terms {
            access: Access::ReadWrite,
            auth: Auth::None,
        };
        let mut event_loop = EventLoop::new().unwrap();
        let registry = event_loop.registry();
        let mut service = Service::new(listeners.into(), terms, None);
        assert_eq!(watched(&mut event_loop), NOTHING);
        service.enable(&registry, |_, _| {}).unwrap();
        assert_eq!(watched(&mut event_loop), [IN_ERR_HUP; 2]);
        service.set_accepting(&registry, false);
        assert_eq!(watched(&mut event_loop), NOTHING);
        service.set_accepting(&registry, true);
        assert_eq!(watched(&mut event_loop), [IN_ERR_HUP; 2]);
        service.disable(&registry);
        assert_eq!(watched(&mut event_loop), NOTHING);
    }
}
