//! The simulator's stand-in for the daemon's handling of new connections. `Admission` decides; it is checked against
//! a naive model in `eventryd/tests/admission`, and here it is part of everything else.

use crate::claims::claim;
use crate::keepalive::KeepaliveOracle;
use crate::ledger::Terms;
use crate::pipe::Pipe;
use crate::world::{Live, World, note};
use eventry::Events;
use eventryd::admission::{ACCEPT_BUDGET, AdmissionDecision, AdmissionStep, PendingClient, Scope};
use eventryd::connection::{ClientAuth, Connection};
use eventryd::server::CallHandler;
use eventryd::session::SessionConfig;
use std::rc::Rc;
use std::sync::Arc;

impl World {
    /// A listening socket is ready.
    pub(crate) fn accept_one(&mut self) {
        let which = self.rng.below(4);
        let is_out = self.rng.one_in(12);
        self.accept(which, is_out);
    }

    /// Accepts connections on a service, unless it is out of descriptors; returns `true` if there were any.
    pub(crate) fn accept(&mut self, which: usize, is_out: bool) -> bool {
        if self.backlog[which].is_empty() || !self.admission.is_accepting(which) {
            return false;
        }
        if is_out {
            let pause = self.admission.accept_failed(which);
            note!(self, "service {which} is out of descriptors, for {pause:?}");
            self.resting[which] = Some(self.now.saturating_add(pause));
            self.shared.borrow_mut().met.out_of_descriptors += 1;
            return false;
        }
        for _ in 0..ACCEPT_BUDGET {
            if let Some(who) = self.backlog[which].pop_front() {
                self.arrive(which, who);
            }
        }
        true
    }

    fn arrive(&mut self, which: usize, who: usize) {
        self.last_client += 1;
        let id = self.last_client;
        let pending = PendingClient {
            peer: self.clients[who].borrow().peer,
            anonymous: self.services[which].makes_anonymous(),
        };
        let decision = self.admission.arrive(self.now, which, id, pending);
        note!(self, "client {} is accepted as {id}: {decision:?}", who + 1);
        self.waiting.insert(id, (which, who));
        match decision {
            AdmissionDecision::Admit => self.admit(id),
            AdmissionDecision::Wait => {
                self.shared.borrow_mut().met.waited += 1;
                self.speak_or_not(id);
            }
            AdmissionDecision::Reject(rejected) => {
                self.shared.borrow_mut().met.rejected += 1;
                let (_, gone) = self.waiting.remove(&rejected).expect("it waits");
                self.clients[gone].borrow_mut().vanish();
                if rejected != id {
                    let peer = self.clients[gone].borrow().peer;
                    self.admission.client_closed(rejected, peer);
                    self.resting = [None; 4];
                    self.speak_or_not(id);
                }
            }
        }
    }

    /// A waiting client sends something, or nothing.
    fn speak_or_not(&mut self, id: u64) {
        if self.rng.one_in(2) {
            self.admission.clients.spoke(self.now, id);
        }
        self.admit_waiting();
    }

    /// Has free slots given to waiting clients in the next turn, if any client waits.
    pub(crate) fn admit_soon(&mut self) {
        if self.admission.clients.waiting() > 0 {
            self.admit_at = Some(self.now);
        }
    }

    /// Gives free slots to waiting clients, and evicts clients for them.
    pub(crate) fn admit_waiting(&mut self) {
        while let Some(step) = self.admission.clients.next(self.now) {
            note!(self, "{step:?}");
            match step {
                AdmissionStep::Admit(id) => self.admit(id),
                AdmissionStep::Evict { id, .. } => self.evict(id),
            }
        }
        self.admit_at = self.admission.clients.retry_at(self.now);
    }

    fn evict(&mut self, id: u64) {
        let live = self.live.remove(&id).expect("DM-602: it is there");
        self.shared.borrow_mut().met.evicted += 1;
        claim!(
            live.is_unidentified && !self.waiting.is_empty(),
            "DM-602",
            "{id} is evicted without a reason"
        );
        self.close(id, live);
    }

    fn admit(&mut self, id: u64) {
        let (which, who) = self.waiting.remove(&id).expect("DM-601: it waits");
        let service = self.services[which];
        self.check_slot(which);
        let client = Rc::clone(&self.clients[who]);
        let peer = client.borrow().peer;
        let is_root = client.borrow().ledger.standing.is_root;
        let limits = self.config.limits;
        let config = SessionConfig {
            access: service.access,
            auth: service.auth,
            peer_is_root: is_root,
            awaits_handshake: service.shakes_hands,
            accepted: self.now,
            limits: Arc::new(limits),
            keepalive: self.config.keepalive,
        };
        let terms = Terms {
            max_requests: limits.max_client_requests.get(),
            max_output: limits.max_output.get(),
            max_tx_bytes: limits.max_tx_bytes.get(),
        };
        let keepalive = self.config.keepalive;
        let keepalive = (keepalive.interval.unwrap_or_default(), keepalive.count);
        let keepalive =
            KeepaliveOracle::new(self.now, limits.auth_timeout, keepalive, limits.max_linger);
        let max_failures = limits.max_auth_failures.get();
        let mut accepted = client.borrow_mut();
        accepted.ledger.accept(terms, max_failures, keepalive);
        drop(accepted);
        self.shared.borrow_mut().met.accepted += 1;
        let pipe = Pipe {
            client: Rc::clone(&client),
            shared: Rc::clone(&self.shared),
        };
        let connection = Connection::new(pipe, config, ClientAuth::default(), true);
        let live = Live {
            who,
            client: Rc::clone(&client),
            is_anonymous: connection.session().is_anonymous(),
            connection,
            calls: CallHandler::new(Arc::clone(&self.driver)),
            interest: Events::READABLE | Events::UNCONDITIONAL,
            scheduled: None,
            expired: None,
            is_unidentified: true,
            peer,
        };
        self.live.insert(id, live);
        self.schedule(id);
    }

    /// Checks by counting that there is a slot for a client of this service.
    fn check_slot(&self, which: usize) {
        let (limits, service) = (self.config.admission, &self.services[which]);
        let beyond = 2 * (limits.max_clients / 32).max(1);
        claim!(
            self.live.len() < limits.max_clients + beyond,
            "DM-601",
            "{} clients are there, of {}",
            self.live.len(),
            limits.max_clients
        );
        let anonymous = self.anonymous(service.scope);
        claim!(
            !service.makes_anonymous()
                || limits.max_anonymous == 0
                || anonymous < limits.max_anonymous,
            "DM-602",
            "{anonymous} anonymous clients are there, of {}",
            limits.max_anonymous
        );
    }

    fn anonymous(&self, scope: Scope) -> usize {
        let live = self.live.values();
        live.filter(|live| live.is_anonymous && live.peer.scope() == scope)
            .count()
    }
}
