//! How many clients there may be, and which service accepts nobody for now.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How many connections one event of a listening socket accepts at most, so that others get their turn
/// (DM-502).
pub const ACCEPT_BUDGET: usize = 16;

/// The first pause after a connection could not be accepted, doubled each time up to the last (DM-505).
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How many clients there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// On all services together (DM-601).
    pub max_clients: NonZeroUsize,
    /// Of those that nobody knows yet, on the services of each [`Reach`]; 0 for any number (DM-602).
    pub max_anonymous_clients: usize,
}

/// Where the clients of a service are. Those on networks are limited for themselves, so that they cannot
/// keep local ones out (DM-603).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On this machine.
    Local = 0,
    /// Anywhere.
    Network = 1,
}

/// Why nobody is accepted for now. A service accepts exactly when there is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspension {
    /// There are as many clients as there may be (DM-601).
    ClientLimit = 1,
    /// There are no descriptors, or no memory, for another connection (DM-505).
    OutOfDescriptors = 2,
    /// There are as many anonymous clients as there may be (DM-602).
    AnonymousLimit = 4,
}

/// Who is accepted: the numbers of clients, their limits, and the services. Services are named by the order in
/// which they were [added](Self::add_service), from 0.
///
/// ```
/// use eventry::flow::{Admission, AdmissionLimits, Reach};
/// use std::num::NonZeroUsize;
///
/// let limits = AdmissionLimits { max_clients: NonZeroUsize::MIN, max_anonymous_clients: 0 };
/// let mut admission = Admission::new(limits);
/// let service = admission.add_service(Reach::Local, false);
/// assert!(admission.may_accept(service) && admission.admit(service, false));
/// assert!(!admission.may_accept(service) && !admission.is_accepting(service));
/// admission.client_closed();
/// assert!(admission.is_accepting(service));
/// ```
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    is_draining: bool,
    clients: usize,
    /// How many of them nobody knows yet, by [`Reach`].
    anonymous: [usize; 2],
    services: Vec<Standing>,
}

#[derive(Debug)]
struct Standing {
    reach: Reach,
    /// Whether its clients are nobody at first: they have to authenticate, or to show a certificate.
    makes_anonymous: bool,
    /// The reasons why it does not accept, as bits.
    suspensions: u8,
    /// The pause that the next failure causes.
    pause: Duration,
}

impl Standing {
    fn suspend(&mut self, reason: Suspension) {
        self.suspensions |= reason as u8;
    }

    fn resume(&mut self, reason: Suspension) {
        self.suspensions &= !(reason as u8);
    }
}

impl Admission {
    /// Nobody is there, and nowhere to come in.
    #[must_use]
    pub const fn new(limits: AdmissionLimits) -> Admission {
        Admission {
            limits,
            is_draining: false,
            clients: 0,
            anonymous: [0; 2],
            services: Vec::new(),
        }
    }

    /// Adds a service, and returns its number.
    pub fn add_service(&mut self, reach: Reach, makes_anonymous: bool) -> usize {
        self.services.push(Standing {
            reach,
            makes_anonymous,
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

    /// Whether one more client may be accepted now; if not, the service is suspended until that may have
    /// changed.
    pub fn may_accept(&mut self, service: usize) -> bool {
        let max_anonymous = self.limits.max_anonymous_clients;
        let service = &mut self.services[service];
        let anonymous = self.anonymous[service.reach as usize];
        if self.clients >= self.limits.max_clients.get() {
            service.suspend(Suspension::ClientLimit);
        } else if service.makes_anonymous && max_anonymous != 0 && anonymous >= max_anonymous {
            service.suspend(Suspension::AnonymousLimit);
        } else {
            return !self.is_draining;
        }
        false
    }

    /// Takes note of a client that was accepted. False if nobody is taken any more, because the daemon has
    /// been asked to stop meanwhile.
    #[must_use]
    pub fn admit(&mut self, service: usize, is_anonymous: bool) -> bool {
        if self.is_draining {
            return false;
        }
        let service = &mut self.services[service];
        // The next failure is a first one.
        service.pause = FIRST_PAUSE;
        self.clients += 1;
        self.anonymous[service.reach as usize] += usize::from(is_anonymous);
        true
    }

    /// Takes note that one anonymous client is one no more, or gone: there is room for another one.
    pub fn client_is_known(&mut self, reach: Reach) {
        self.anonymous[reach as usize] -= 1;
        for service in &mut self.services {
            if service.reach == reach {
                service.resume(Suspension::AnonymousLimit);
            }
        }
    }

    /// Takes note that a client is gone: there is room, and a descriptor, for another one.
    pub fn client_closed(&mut self) {
        self.clients -= 1;
        for service in &mut self.services {
            service.resume(Suspension::ClientLimit);
            service.resume(Suspension::OutOfDescriptors);
        }
    }

    /// Lets the service rest, as a connection could not be accepted: it would be reported as ready again at
    /// once, and again in vain (DM-503, DM-505). Returns after how long to [try again](Self::retry).
    pub fn accept_failed(&mut self, service: usize) -> Duration {
        let service = &mut self.services[service];
        service.suspend(Suspension::OutOfDescriptors);
        let pause = service.pause;
        service.pause = (pause * 2).min(LAST_PAUSE);
        pause
    }

    /// Ends the rest of a service.
    pub fn retry(&mut self, service: usize) {
        self.services[service].resume(Suspension::OutOfDescriptors);
    }

    /// Changes how many clients there may be. Nobody is sent away for it (DM-606).
    pub fn set_limits(&mut self, limits: AdmissionLimits) {
        self.limits = limits;
        // There may be room for more now; who finds that there is not stops again.
        for service in &mut self.services {
            service.resume(Suspension::ClientLimit);
            service.resume(Suspension::AnonymousLimit);
        }
    }

    /// Accepts nobody any more. Whether this is the first time it is said.
    pub fn drain(&mut self) -> bool {
        !std::mem::replace(&mut self.is_draining, true)
    }

    /// Whether the daemon has been asked to stop.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// How many clients there are.
    #[must_use]
    pub const fn clients(&self) -> usize {
        self.clients
    }

    /// How many clients of this reach nobody knows yet.
    #[must_use]
    pub const fn anonymous(&self, reach: Reach) -> usize {
        self.anonymous[reach as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_clients: usize, max_anonymous_clients: usize) -> AdmissionLimits {
        AdmissionLimits {
            max_clients: NonZeroUsize::new(max_clients).unwrap(),
            max_anonymous_clients,
        }
    }

    #[test]
    fn networks_do_not_use_up_what_is_left_for_the_anonymous_of_this_machine() {
        let mut admission = Admission::new(limits(9, 2));
        let [unix, tcp] =
            [Reach::Local, Reach::Network].map(|reach| admission.add_service(reach, true));
        while admission.may_accept(tcp) {
            assert!(admission.admit(tcp, true));
        }
        assert_eq!(admission.anonymous(Reach::Network), 2);
        assert!(admission.may_accept(unix));
        admission.client_is_known(Reach::Network);
        assert!(admission.is_accepting(tcp) && admission.may_accept(tcp));
    }

    #[test]
    fn a_service_that_rests_is_woken_by_its_time_and_by_a_client_that_goes_whatever_the_limits() {
        let mut admission = Admission::new(limits(1, 0));
        let service = admission.add_service(Reach::Local, false);
        assert!(admission.admit(service, false));
        let mut pauses = [(); 7].map(|()| admission.accept_failed(service).as_millis());
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000]);
        admission.client_closed();
        assert!(admission.is_accepting(service));
        assert!(admission.admit(service, false));
        pauses[0] = admission.accept_failed(service).as_millis();
        assert_eq!(pauses[0], 100, "a success ends a row of failures");
        assert!(!admission.may_accept(service));
        admission.retry(service);
        assert!(
            !admission.is_accepting(service),
            "the limit is another reason"
        );
        admission.set_limits(limits(2, 0));
        assert!(admission.is_accepting(service));
    }

    #[test]
    fn lower_limits_send_nobody_away_and_let_nobody_in() {
        let mut admission = Admission::new(limits(3, 0));
        let service = admission.add_service(Reach::Local, false);
        for _ in 0..3 {
            assert!(admission.admit(service, false));
        }
        admission.set_limits(limits(1, 0));
        for left in [2, 1] {
            admission.client_closed();
            assert_eq!(admission.clients(), left);
            assert!(!admission.may_accept(service));
        }
        admission.client_closed();
        assert!(admission.may_accept(service));
    }

    #[test]
    fn a_daemon_that_stops_takes_nobody_who_was_accepted_meanwhile() {
        let mut admission = Admission::new(limits(3, 0));
        let service = admission.add_service(Reach::Local, false);
        assert!(admission.may_accept(service));
        assert!(admission.drain());
        assert!(!admission.admit(service, false));
        assert!(!admission.may_accept(service) && !admission.is_accepting(service));
        assert!(!admission.drain(), "it is the second time");
    }
}
