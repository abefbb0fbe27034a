//! Admission control of a daemon: the services that accept connections, and the clients that are admitted.

use super::{AdmissionDecision, AdmissionLimits, ClientAdmission, Peer, PendingClient};
use eventry::MonotonicTime;
use std::time::Duration;

/// The number of connections that one event of a listening socket accepts at most, so that other descriptors are
/// served too (DM-502).
pub const ACCEPT_BUDGET: usize = 16;

/// The pause after a failure to accept, doubled with each further failure up to the last one (DM-505).
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The pause after a client was rejected: clients that reconnect at once would otherwise keep the daemon busy.
const REJECTION_PAUSE: Duration = Duration::from_millis(15);

/// The reasons to suspend a service, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspension {
    /// No descriptor, or no memory, is left for another connection (DM-505).
    OutOfDescriptors = 1,
    /// Too many clients wait for a slot.
    TooManyWaiting = 2,
}

/// Admission control of all services and clients. A service is identified by its number, from 0 in the order of
/// [addition](Self::add_service).
///
/// ```
/// use eventry::MonotonicTime;
/// use eventryd::admission::{
///     Admission, AdmissionDecision, AdmissionLimits, EVICTION_GRACE, Peer, PendingClient,
/// };
///
/// let limits = AdmissionLimits {
///     max_clients: 1,
///     serves_networks: false,
///     max_anonymous: 0,
///     max_waiting: 9,
///     eviction_grace: EVICTION_GRACE,
/// };
/// let mut admission = Admission::new(limits);
/// let service = admission.add_service();
/// assert!(admission.is_accepting(service));
/// let pending = PendingClient { peer: Peer::User(Some(1000)), anonymous: false };
/// assert_eq!(admission.arrive(MonotonicTime::ZERO, service, 1, pending), AdmissionDecision::Admit);
/// assert_eq!(admission.arrive(MonotonicTime::ZERO, service, 2, pending), AdmissionDecision::Wait);
/// // No descriptor is left; a client that disconnects releases one.
/// admission.accept_failed(service);
/// assert!(!admission.is_accepting(service));
/// admission.client_closed(1, pending.peer);
/// assert!(admission.is_accepting(service));
/// ```
///
/// # Panics
///
/// A function with a service as an argument panics if there is no service with this number.
#[derive(Debug)]
pub struct Admission {
    /// The admitted and the waiting clients. The end of a client is reported to
    /// [`client_closed`](Self::client_closed) instead.
    pub clients: ClientAdmission,
    is_draining: bool,
    services: Vec<ServiceState>,
}

#[derive(Debug)]
struct ServiceState {
    /// [`Suspension`]s in force.
    suspensions: u8,
    /// The pause after the next failure.
    pause: Duration,
}

impl Admission {
    /// Creates an admission control without services or clients.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Admission {
        Admission {
            clients: ClientAdmission::new(limits),
            is_draining: false,
            services: Vec::new(),
        }
    }

    /// Adds a service, and returns its number.
    pub fn add_service(&mut self) -> usize {
        self.services.push(ServiceState {
            suspensions: 0,
            pause: FIRST_PAUSE,
        });
        self.services.len() - 1
    }

    /// Tests if connections are to be accepted on the service. Any other call may change the result.
    #[must_use]
    pub fn is_accepting(&self, service: usize) -> bool {
        !self.is_draining && self.services[service].suspensions == 0
    }

    /// Decides about a connection that was accepted, as [`ClientAdmission::arrive`] does.
    pub fn arrive(
        &mut self,
        now: MonotonicTime,
        service: usize,
        id: u64,
        client: PendingClient,
    ) -> AdmissionDecision {
        self.services[service].pause = FIRST_PAUSE;
        self.clients.arrive(now, id, client)
    }

    /// Records that a client is gone, which frees a descriptor for every service.
    pub fn client_closed(&mut self, id: u64, peer: Peer) {
        self.clients.gone(id, peer);
        for service in &mut self.services {
            service.suspensions &= !(Suspension::OutOfDescriptors as u8);
        }
    }

    /// Suspends the service after a failure to accept: the socket would be reported as ready again at once, and
    /// accepting would fail again (DM-503, DM-505). Returns the time until [`resume`](Self::resume).
    pub fn accept_failed(&mut self, service: usize) -> Duration {
        let service = &mut self.services[service];
        service.suspensions |= Suspension::OutOfDescriptors as u8;
        let pause = service.pause;
        service.pause = (pause * 2).min(LAST_PAUSE);
        pause
    }

    /// Suspends the service after a client was rejected. Returns the time until [`resume`](Self::resume).
    pub fn client_rejected(&mut self, service: usize) -> Duration {
        self.services[service].suspensions |= Suspension::TooManyWaiting as u8;
        REJECTION_PAUSE
    }

    /// Ends the suspension of a service.
    pub fn resume(&mut self, service: usize) {
        self.services[service].suspensions = 0;
    }

    /// Stops accepting and admitting permanently. Returns `false` if that was done before.
    pub fn drain(&mut self) -> bool {
        self.clients.close();
        !std::mem::replace(&mut self.is_draining, true)
    }

    /// Tests if the daemon has been asked to stop.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.is_draining
    }
}

#[cfg(test)]
mod tests {
    use super::super::EVICTION_GRACE;
    use super::*;

    const LIMITS: AdmissionLimits = AdmissionLimits {
        max_clients: 1,
        serves_networks: false,
        max_anonymous: 0,
        max_waiting: 1,
        eviction_grace: EVICTION_GRACE,
    };
    const CLIENT: PendingClient = PendingClient {
        peer: Peer::User(Some(1)),
        anonymous: false,
    };

    #[test]
    fn suspended_service_resumes_in_time_or_when_a_client_goes() {
        let mut admission = Admission::new(LIMITS);
        let service = admission.add_service();
        let arrive = |admission: &mut Admission, id| {
            admission.arrive(MonotonicTime::ZERO, service, id, CLIENT)
        };
        assert_eq!(arrive(&mut admission, 1), AdmissionDecision::Admit);
        let mut pauses = [(); 7].map(|()| admission.accept_failed(service).as_millis());
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000]);
        assert!(!admission.is_accepting(service));
        admission.client_closed(1, CLIENT.peer);
        assert!(admission.is_accepting(service));
        assert_eq!(arrive(&mut admission, 2), AdmissionDecision::Admit);
        pauses[0] = admission.accept_failed(service).as_millis();
        assert_eq!(pauses[0], 100, "a success resets the pause");
        admission.resume(service);
        assert!(admission.is_accepting(service));
    }

    #[test]
    fn service_that_rejects_a_client_pauses_whichever_client_goes() {
        let mut admission = Admission::new(LIMITS);
        let service = admission.add_service();
        let arrivals =
            [1, 2, 3].map(|id| admission.arrive(MonotonicTime::ZERO, service, id, CLIENT));
        let expected = [
            AdmissionDecision::Admit,
            AdmissionDecision::Wait,
            AdmissionDecision::Reject(2),
        ];
        assert_eq!(arrivals, expected);
        assert_eq!(admission.client_rejected(service), REJECTION_PAUSE);
        admission.client_closed(1, CLIENT.peer);
        assert!(!admission.is_accepting(service));
        admission.resume(service);
        assert!(admission.is_accepting(service));
    }

    #[test]
    fn drain_rejects_new_clients_and_admits_no_waiting_one() {
        let mut admission = Admission::new(LIMITS);
        let service = admission.add_service();
        for (id, decision) in [(1, AdmissionDecision::Admit), (2, AdmissionDecision::Wait)] {
            assert_eq!(
                admission.arrive(MonotonicTime::ZERO, service, id, CLIENT),
                decision
            );
        }
        assert!(admission.drain());
        admission.client_closed(1, CLIENT.peer);
        assert_eq!(admission.clients.next(MonotonicTime::ZERO), None);
        let decision = admission.arrive(MonotonicTime::ZERO, service, 3, CLIENT);
        assert_eq!(decision, AdmissionDecision::Reject(3));
        assert!(!admission.is_accepting(service));
        assert!(!admission.drain(), "the second call returns false");
    }
}
