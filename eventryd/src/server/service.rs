//! Services: listening sockets of one kind, and the policy for their clients.

use crate::net::tls::{TlsConfigError, TlsContext, TlsSession};
use crate::net::{ListenAddress, Listener, TransportKind};
use crate::session::{Access, Auth};
use eventry::Events;
use eventry::Registry;
use eventry::table::Refused;
use eventry::{HandleId, TimeoutId};
use std::sync::Arc;

/// The interest of the sockets of an enabled service (DM-501).
const INTEREST: Events =
    Events::from_bits_truncate(Events::READABLE.bits() | Events::UNCONDITIONAL.bits());

/// A socket that clients may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub address: ListenAddress,
    /// The transport of its clients.
    pub transport: TransportKind,
    /// The access of its clients.
    pub access: Access,
}

/// The policy of a service for its clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServicePolicy {
    pub(super) access: Access,
    pub(super) auth: Auth,
}

/// Listening sockets that differ in their addresses only (DM-305).
#[derive(Debug)]
pub(super) struct Service {
    listeners: Vec<Listening>,
    policy: ServicePolicy,
    /// Keys and certificates for new clients, if the service has TLS.
    tls: Option<Arc<TlsContext>>,
    is_accepting: bool,
    /// The timeout that ends a suspension.
    resume: Option<TimeoutId>,
}

/// One socket of a service.
#[derive(Debug)]
struct Listening {
    listener: Arc<Listener>,
    /// The handle of the socket, while the service is enabled.
    handle: Option<HandleId>,
}

impl Service {
    pub(super) fn new(
        listeners: Vec<Listener>,
        policy: ServicePolicy,
        tls: Option<Arc<TlsContext>>,
    ) -> Service {
        let listening = |listener| Listening {
            listener: Arc::new(listener),
            handle: None,
        };
        Service {
            listeners: listeners.into_iter().map(listening).collect(),
            policy,
            tls,
            is_accepting: true,
            resume: None,
        }
    }

    pub(super) fn policy(&self) -> ServicePolicy {
        self.policy
    }

    /// Returns the endpoints, one for each socket.
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
                access: self.policy.access,
            }
        })
    }

    /// Returns the TLS session of a new client; `None` if the service has no TLS.
    pub(super) fn new_tls_session(&self) -> Result<Option<TlsSession>, TlsConfigError> {
        self.tls.as_ref().map(TlsContext::accept).transpose()
    }

    /// Returns `true` if clients on networks can connect.
    pub(super) fn serves_networks(&self) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|listening| matches!(listening.listener.address(), ListenAddress::Tcp(_)))
    }

    /// Returns `true` if the service has TLS.
    pub(super) const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the identity of the keys and certificates in use, for diagnostics.
    pub(super) fn tls_address(&self) -> Option<*const TlsContext> {
        self.tls.as_ref().map(Arc::as_ptr)
    }

    /// Replaces keys and certificates for new clients, if the service has TLS (DM-1209). Returns `true` if that ends
    /// the use of a revocation list.
    pub(super) fn renew_tls(&mut self, context: &Arc<TlsContext>) -> bool {
        let Some(tls) = &mut self.tls else {
            return false;
        };
        let had_list = tls.has_revocation_list();
        *tls = Arc::clone(context);
        had_list && !context.has_revocation_list()
    }

    /// Adds the sockets to the loop, which calls `accept` when a connection waits.
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

    /// Closes the sockets and removes their names.
    pub(super) fn disable(&mut self, registry: &Registry) {
        for listening in self.listeners.drain(..) {
            listening.listener.unlink();
            if let Some(handle) = listening.handle {
                // Fails only if the callback has panicked. A call may still be running.
                let _ = registry.remove_handle(handle);
            }
        }
    }

    /// Starts or stops watching the sockets for connections.
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

    /// Records the timeout that ends a suspension, in place of an earlier one.
    pub(super) fn resume_by(&mut self, registry: &Registry, timeout: TimeoutId) {
        if let Some(earlier) = self.resume.replace(timeout) {
            // Fails if the timeout has fired.
            let _ = registry.remove_timeout(earlier);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{BoundSockets, UnixListener};
    use crate::session::Access;
    use eventry::EventLoop;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    /// Returns the events that epoll watches, as `/proc` shows them, for a test with one descriptor.
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
    fn suspended_service_watches_no_socket() {
        const IN_ERR_HUP: u32 = 0x19;
        const NOTHING: [u32; 0] = [];
        let dir = tempfile::tempdir().unwrap();
        let listeners = ["one", "two"].map(|name| {
            Listener::Unix(UnixListener::bind(&dir.path().join(name), 0o700, 1).unwrap())
        });
        let policy = ServicePolicy {
            access: Access::ReadWrite,
            auth: Auth::None,
        };
        let mut event_loop = EventLoop::new().unwrap();
        let registry = event_loop.registry();
        let mut service = Service::new(listeners.into(), policy, None);
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

    #[test]
    fn later_resumption_replaces_the_earlier_one() {
        let policy = ServicePolicy {
            access: Access::ReadWrite,
            auth: Auth::None,
        };
        let event_loop = EventLoop::new().unwrap();
        let registry = event_loop.registry();
        let mut service = Service::new(Vec::new(), policy, None);
        let timeouts = [(); 2].map(|()| registry.add_timeout(None, |_| {}).unwrap());
        for timeout in timeouts {
            service.resume_by(&registry, timeout);
        }
        let removed = timeouts.map(|timeout| registry.remove_timeout(timeout).is_ok());
        assert_eq!(removed, [false, true]);
    }

    #[test]
    fn service_serves_networks_if_a_socket_is_tcp() {
        let policy = ServicePolicy {
            access: Access::ReadWrite,
            auth: Auth::None,
        };
        let dir = tempfile::tempdir().unwrap();
        let unix = || {
            let name = dir.path().join("one");
            Listener::Unix(UnixListener::bind(&name, 0o700, 1).unwrap())
        };
        let serves = |listeners| Service::new(listeners, policy, None).serves_networks();
        assert!(!serves(vec![]));
        assert!(!serves(vec![unix()]));
        let bound = BoundSockets::bind(Some("127.0.0.1"), "0", 1).unwrap();
        let tcp = bound.sockets.into_iter().map(Listener::Tcp);
        assert!(serves(std::iter::once(unix()).chain(tcp).collect()));
    }
}
