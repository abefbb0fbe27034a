//! Simulated handling of new connections. The decisions are those of `Admission`, which `eventryd/tests/admission`
//! checks against a naive model.

use crate::claims::claim;
use crate::keepalive::KeepaliveOracle;
use crate::ledger::LedgerLimits;
use crate::pipe::Pipe;
use crate::plan::Service;
use crate::world::{ServedClient, World, trace};
use eventry::Events;
use eventryd::admission::{
    ACCEPT_BUDGET, AdmissionDecision, AdmissionStep, Peer, PendingClient, Scope,
};
use eventryd::connection::{ClientAuth, Connection};
use eventryd::server::CallHandler;
use eventryd::session::SessionConfig;
use std::rc::Rc;
use std::sync::Arc;

impl World {
    /// Accepts connections on a random service.
    pub(crate) fn accept_one(&mut self) {
        let service_index = self.rng.below(4);
        let is_out = self.rng.one_in(12);
        self.accept(service_index, is_out);
    }

    /// Accepts connections on a service, unless it is out of descriptors; returns `true` if there were any.
    pub(crate) fn accept(&mut self, service_index: usize, is_out: bool) -> bool {
        if self.backlog[service_index].is_empty() || !self.admission.is_accepting(service_index) {
            return false;
        }
        if is_out {
            let pause = self.admission.accept_failed(service_index);
            trace!(
                self,
                "service {service_index} is out of descriptors and pauses for {pause:?}"
            );
            self.suspended_until[service_index] = Some(self.now.saturating_add(pause));
            self.shared.borrow_mut().counts.out_of_descriptors += 1;
            return false;
        }
        for _ in 0..ACCEPT_BUDGET {
            if let Some(client_index) = self.backlog[service_index].pop_front() {
                self.arrive(service_index, client_index);
            }
        }
        true
    }

    fn arrive(&mut self, service_index: usize, client_index: usize) {
        self.last_client += 1;
        let id = self.last_client;
        let pending = PendingClient {
            peer: self.clients[client_index].borrow().peer,
            anonymous: self.services[service_index].starts_anonymous(),
        };
        let decision = self.admission.arrive(self.now, service_index, id, pending);
        trace!(
            self,
            "client {} is accepted as {id}: {decision:?}",
            client_index + 1
        );
        self.waiting.insert(id, (service_index, client_index));
        match decision {
            AdmissionDecision::Admit => self.admit(id),
            AdmissionDecision::Wait => {
                self.shared.borrow_mut().counts.waited += 1;
                self.maybe_speak(id);
            }
            AdmissionDecision::Reject(rejected) => {
                self.shared.borrow_mut().counts.rejected += 1;
                let (_, rejected_index) = self
                    .waiting
                    .remove(&rejected)
                    .expect("the rejected client waits");
                self.clients[rejected_index].borrow_mut().disconnect();
                if rejected != id {
                    let peer = self.clients[rejected_index].borrow().peer;
                    self.admission.client_closed(rejected, peer);
                    self.suspended_until = [None; 4];
                    self.maybe_speak(id);
                }
            }
        }
    }

    /// Lets a waiting client send its first bytes, with a probability of one half.
    fn maybe_speak(&mut self, id: u64) {
        if self.rng.one_in(2) {
            self.admission.clients.spoke(self.now, id);
            self.speaking.retain(|id| self.waiting.contains_key(id));
            self.speaking.push(id);
        }
        self.admit_waiting();
    }

    /// Schedules the admission of waiting clients for the next turn, if any client waits.
    pub(crate) fn admit_soon(&mut self) {
        if self.admission.clients.waiting() > 0 {
            self.admit_at = Some(self.now);
        }
    }

    /// Admits waiting clients to free slots, and evicts clients for them.
    pub(crate) fn admit_waiting(&mut self) {
        let mut after_eviction = false;
        let mut overtaken = Vec::new();
        while let Some(step) = self.admission.clients.next(self.now) {
            trace!(self, "{step:?}");
            let is_claimant = after_eviction;
            after_eviction = matches!(step, AdmissionStep::Evict { .. });
            match step {
                AdmissionStep::Admit(id) => {
                    // An evicted client has left its slot to this one.
                    if !is_claimant {
                        overtaken.extend(self.overtaken(id));
                    }
                    self.admit(id);
                }
                AdmissionStep::Evict { id, .. } => self.evict(id),
            }
        }
        overtaken.retain(|id| self.may_have_slot(*id));
        claim!(
            overtaken.is_empty(),
            "DM-609",
            "clients {overtaken:?} wait, later ones of their peer do not"
        );
        self.admit_at = self.admission.clients.retry_at(self.now);
    }

    /// Returns the clients of the same peer that wait for a longer time than client `id`, which is to be admitted, and
    /// could have the slot.
    fn overtaken(&mut self, id: u64) -> Vec<u64> {
        let (peer, service) = self.peer_of(id).expect("the admitted client waits");
        let of_peer = |one: &&u64| self.peer_of(**one).is_some_and(|(other, _)| other == peer);
        let needs_other_kind = |one: &u64| {
            let other = self.peer_of(*one);
            other.is_some_and(|(_, other)| other.starts_anonymous() != service.starts_anonymous())
        };
        let has_rival = self.speaking.iter().any(needs_other_kind);
        let earlier = self.speaking.iter().take_while(|one| **one != id);
        let overtaken: Vec<u64> = earlier
            .filter(of_peer)
            .copied()
            .filter(|one| self.may_have_slot(*one))
            .collect();
        self.shared.borrow_mut().counts.in_turn += usize::from(has_rival);
        overtaken
    }

    /// Returns the peer and the service of a waiting client.
    fn peer_of(&self, id: u64) -> Option<(Peer, Service)> {
        let (service_index, client_index) = self.waiting.get(&id).copied()?;
        let peer = self.clients[client_index].borrow().peer;
        Some((peer, self.services[service_index]))
    }

    /// Tests if a waiting client does not exceed the limit of anonymous clients.
    fn may_have_slot(&self, id: u64) -> bool {
        let limit = self.config.admission.max_anonymous;
        let service = self.peer_of(id).map(|(_, service)| service);
        service.is_some_and(|service| {
            !service.starts_anonymous() || limit == 0 || self.anonymous(service.scope) < limit
        })
    }

    fn evict(&mut self, id: u64) {
        let served = self
            .served
            .remove(&id)
            .expect("DM-602: the evicted client is served");
        self.shared.borrow_mut().counts.evicted += 1;
        claim!(
            served.is_unidentified && !self.waiting.is_empty(),
            "DM-602",
            "client {id} is evicted without a reason"
        );
        self.close(id, served);
    }

    fn admit(&mut self, id: u64) {
        let (service_index, client_index) = self
            .waiting
            .remove(&id)
            .expect("DM-601: the admitted client waits");
        let service = self.services[service_index];
        self.check_slot(service_index);
        let client = Rc::clone(&self.clients[client_index]);
        let peer = client.borrow().peer;
        let is_root = client.borrow().ledger.session.is_root;
        let limits = self.config.limits;
        let config = SessionConfig {
            access: service.access,
            auth: service.auth,
            peer_is_root: is_root,
            awaits_handshake: service.has_handshake,
            accepted: self.now,
            limits: Arc::new(limits),
            keepalive: self.config.keepalive,
        };
        let ledger_limits = LedgerLimits {
            max_requests: limits.max_client_requests.get(),
            max_output: limits.max_output.get(),
            max_tx_bytes: limits.max_tx_bytes.get(),
        };
        let keepalive = self.config.keepalive;
        let keepalive = (keepalive.interval.unwrap_or_default(), keepalive.count);
        let keepalive = KeepaliveOracle::new(self.now, &limits, keepalive, service.has_handshake);
        let max_failures = limits.max_auth_failures.get();
        let mut accepted = client.borrow_mut();
        accepted
            .ledger
            .accept(ledger_limits, max_failures, keepalive);
        drop(accepted);
        self.shared.borrow_mut().counts.accepted += 1;
        let pipe = Pipe {
            client: Rc::clone(&client),
            shared: Rc::clone(&self.shared),
        };
        let connection = Connection::new(pipe, config, ClientAuth::default(), true);
        let served = ServedClient {
            client_index,
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
        self.served.insert(id, served);
        self.schedule(id);
    }

    /// Checks by counting that a slot is free for a client of this service.
    fn check_slot(&self, service_index: usize) {
        let (limits, service) = (self.config.admission, &self.services[service_index]);
        claim!(
            self.served.len() < limits.max_clients,
            "DM-601",
            "{} clients are served, the limit is {}",
            self.served.len(),
            limits.max_clients
        );
        let anonymous = self.anonymous(service.scope);
        claim!(
            !service.starts_anonymous()
                || limits.max_anonymous == 0
                || anonymous < limits.max_anonymous,
            "DM-602",
            "{anonymous} anonymous clients are served, the limit is {}",
            limits.max_anonymous
        );
    }

    fn anonymous(&self, scope: Scope) -> usize {
        let served = self.served.values();
        served
            .filter(|served| served.is_anonymous && served.peer.scope() == scope)
            .count()
    }
}
