//! Which service accepts nobody for now, and who of those who come gets a place.

use super::{Newcomer, Peer, PlaceLimits, Places, Verdict};
use eventry::Time;
use std::time::Duration;

/// How many connections one event of a listening socket accepts at most, so that others get their turn
/// (DM-502).
pub const ACCEPT_BUDGET: usize = 16;

/// The first pause after a connection could not be accepted, doubled each time up to the last (DM-505).
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How long a service rests when somebody was turned away: those who come back at once would otherwise keep
/// the daemon busy with turning them away.
const CROWDED_PAUSE: Duration = Duration::from_millis(15);

/// Why nobody is accepted for now. A service accepts exactly when there is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspension {
    /// There are no descriptors, or no memory, for another connection (DM-505).
    OutOfDescriptors = 1,
    /// Too many wait for a place.
    Crowded = 2,
}

/// Where a client is. Those on networks are limited for themselves, so that they cannot keep local ones out
/// (DM-603).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On this machine.
    Local = 0,
    /// Anywhere.
    Network = 1,
}

/// Who is accepted, on which services, and until when. Services are named by the order in which they were
/// [added](Self::add_service), from 0.
///
/// ```
/// use eventry::Time;
/// use eventryd::flow::{Admission, Newcomer, PLACE_PATIENCE, Peer, PlaceLimits, Verdict};
///
/// let limits = PlaceLimits { max_clients: 1, max_anonymous: 0, max_waiting: 9, patience: PLACE_PATIENCE };
/// let mut admission = Admission::new(limits);
/// let service = admission.add_service();
/// assert!(admission.is_accepting(service));
/// let newcomer = Newcomer { peer: Peer::User(Some(1000)), anonymous: false };
/// assert_eq!(admission.arrive(Time::ZERO, service, 1, newcomer), Verdict::Admit);
/// assert_eq!(admission.arrive(Time::ZERO, service, 2, newcomer), Verdict::Wait);
/// // Nobody is left to accept with; a client that goes gives its descriptor back.
/// admission.accept_failed(service);
/// assert!(!admission.is_accepting(service));
/// admission.client_closed(1, newcomer.peer);
/// assert!(admission.is_accepting(service));
/// ```
#[derive(Debug)]
pub struct Admission {
    /// Who has a place, and who waits for one. Who goes is told to [`client_closed`](Self::client_closed).
    pub places: Places,
    is_draining: bool,
    services: Vec<Standing>,
}

#[derive(Debug)]
struct Standing {
    /// The reasons why it does not accept, as bits.
    suspensions: u8,
    /// The pause that the next failure causes.
    pause: Duration,
}

impl Admission {
    /// Nobody is there, and nowhere to come in.
    #[must_use]
    pub fn new(limits: PlaceLimits) -> Admission {
        Admission {
            places: Places::new(limits),
            is_draining: false,
            services: Vec::new(),
        }
    }

    /// Adds a service, and returns its number.
    pub fn add_service(&mut self) -> usize {
        self.services.push(Standing {
            suspensions: 0,
            pause: FIRST_PAUSE,
        });
        self.services.len() - 1
    }

    /// Whether to watch the sockets of the service. Ask again after anything else was called.
    #[must_use]
    pub fn is_accepting(&self, service: usize) -> bool {
        !self.is_draining && self.services[service].suspensions == 0
    }

    /// Takes note of a connection that was accepted, as [`Places::arrive`] does. It is refused if the daemon
    /// has been asked to stop meanwhile.
    pub fn arrive(&mut self, now: Time, service: usize, id: u64, newcomer: Newcomer) -> Verdict {
        // The next failure is a first one.
        self.services[service].pause = FIRST_PAUSE;
        self.places.arrive(now, id, newcomer)
    }

    /// Takes note that a client that had a place is gone: there is one, and a descriptor, for another one.
    pub fn client_closed(&mut self, id: u64, peer: Peer) {
        self.places.gone(id, peer);
        for service in &mut self.services {
            service.suspensions &= !(Suspension::OutOfDescriptors as u8);
        }
    }

    /// Lets the service rest, as a connection could not be accepted: it would be reported as ready again at
    /// once, and again in vain (DM-503, DM-505). Returns after how long to [try again](Self::retry).
    pub fn accept_failed(&mut self, service: usize) -> Duration {
        let service = &mut self.services[service];
        service.suspensions |= Suspension::OutOfDescriptors as u8;
        let pause = service.pause;
        service.pause = (pause * 2).min(LAST_PAUSE);
        pause
    }

    /// Lets the service rest, as somebody was turned away. Returns after how long to [try again](Self::retry).
    pub fn turned_away(&mut self, service: usize) -> Duration {
        self.services[service].suspensions |= Suspension::Crowded as u8;
        CROWDED_PAUSE
    }

    /// Ends the rest of a service.
    pub fn retry(&mut self, service: usize) {
        self.services[service].suspensions = 0;
    }

    /// Accepts nobody any more, and nobody who waits gets a place. Whether this is the first time it is said.
    pub fn drain(&mut self) -> bool {
        self.places.close();
        !std::mem::replace(&mut self.is_draining, true)
    }

    /// Whether the daemon has been asked to stop.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.is_draining
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::PLACE_PATIENCE;

    const LIMITS: PlaceLimits = PlaceLimits {
        max_clients: 1,
        max_anonymous: 0,
        max_waiting: 1,
        patience: PLACE_PATIENCE,
    };
    const SOMEBODY: Newcomer = Newcomer {
        peer: Peer::User(Some(1)),
        anonymous: false,
    };

    #[test]
    fn a_service_that_rests_is_woken_by_its_time_and_by_a_client_that_goes() {
        let mut admission = Admission::new(LIMITS);
        let service = admission.add_service();
        let arrive =
            |admission: &mut Admission, id| admission.arrive(Time::ZERO, service, id, SOMEBODY);
        assert_eq!(arrive(&mut admission, 1), Verdict::Admit);
        let mut pauses = [(); 7].map(|()| admission.accept_failed(service).as_millis());
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000]);
        assert!(!admission.is_accepting(service));
        admission.client_closed(1, SOMEBODY.peer);
        assert!(admission.is_accepting(service));
        assert_eq!(arrive(&mut admission, 2), Verdict::Admit);
        pauses[0] = admission.accept_failed(service).as_millis();
        assert_eq!(pauses[0], 100, "a success ends a row of failures");
        admission.retry(service);
        assert!(admission.is_accepting(service));
    }

    #[test]
    fn a_service_that_turns_somebody_away_rests_whoever_goes() {
        let mut admission = Admission::new(LIMITS);
        let service = admission.add_service();
        let arrivals = [1, 2, 3].map(|id| admission.arrive(Time::ZERO, service, id, SOMEBODY));
        let expected = [Verdict::Admit, Verdict::Wait, Verdict::Refuse(2)];
        assert_eq!(arrivals, expected);
        assert_eq!(admission.turned_away(service), CROWDED_PAUSE);
        admission.client_closed(1, SOMEBODY.peer);
        assert!(!admission.is_accepting(service));
        admission.retry(service);
        assert!(admission.is_accepting(service));
    }

    #[test]
    fn a_daemon_that_stops_takes_nobody_who_was_accepted_meanwhile_and_nobody_waits() {
        let mut admission = Admission::new(LIMITS);
        let service = admission.add_service();
        for (id, verdict) in [(1, Verdict::Admit), (2, Verdict::Wait)] {
            assert_eq!(admission.arrive(Time::ZERO, service, id, SOMEBODY), verdict);
        }
        assert!(admission.drain());
        admission.client_closed(1, SOMEBODY.peer);
        assert_eq!(admission.places.next(Time::ZERO), None);
        let verdict = admission.arrive(Time::ZERO, service, 3, SOMEBODY);
        assert_eq!(verdict, Verdict::Refuse(3));
        assert!(!admission.is_accepting(service));
        assert!(!admission.drain(), "it is the second time");
    }
}
