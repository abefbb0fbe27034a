//! What the daemon does with newcomers, as far as the simulator stands in for it. Who gets a place is decided by
//! `flow`, and by a naive model of its own in `eventryd/tests/admission`; here it is part of everything else.

use crate::books::Terms;
use crate::claims::claim;
use crate::link::Served;
use crate::silence::Silence;
use crate::world::{Live, World, note};
use eventry::Events;
use eventryd::auth::SaslExchange;
use eventryd::flow::{ACCEPT_BUDGET, Newcomer, Reach, Standing, Step, Verdict};
use eventryd::server::Dispatcher;
use eventryd::session::{Session, SessionConfig};
use std::sync::Arc;

impl World {
    /// A listening socket is ready.
    pub(crate) fn accept_somebody(&mut self) {
        let which = self.rng.below(4);
        let is_out = self.rng.one_in(12);
        self.accept(which, is_out);
    }

    /// Accepts who waits on a service, unless it is out of descriptors; whether anybody was.
    pub(crate) fn accept(&mut self, which: usize, is_out: bool) -> bool {
        if self.backlog[which].is_empty() || !self.admission.is_accepting(which) {
            return false;
        }
        if is_out {
            let pause = self.admission.accept_failed(which);
            note!(self, "service {which} is out of descriptors, for {pause:?}");
            self.resting[which] = Some(self.now.after(pause));
            self.shared.met.out_of_descriptors += 1;
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
        let newcomer = Newcomer {
            peer: self.clients[who].peer,
            anonymous: self.services[which].makes_anonymous(),
        };
        let verdict = self.admission.arrive(self.now, which, id, newcomer);
        note!(self, "client {} is accepted as {id}: {verdict:?}", who + 1);
        self.waiting.insert(id, (which, who));
        match verdict {
            Verdict::Admit => self.admit(id),
            Verdict::Wait => {
                self.shared.met.waited += 1;
                self.speak_or_not(id);
            }
            Verdict::Refuse(refused) => {
                self.shared.met.turned_away += 1;
                let (_, gone) = self.waiting.remove(&refused).expect("it waits");
                self.clients[gone].vanish();
                if refused != id {
                    let peer = self.clients[gone].peer;
                    self.admission.client_closed(refused, peer);
                    self.resting = [None; 4];
                    self.speak_or_not(id);
                }
            }
        }
    }

    /// Whoever waits and has said something asks for a place; who has not gets what is left over.
    fn speak_or_not(&mut self, id: u64) {
        if self.rng.one_in(2) {
            self.admission.places.spoke(self.now, id);
        }
        self.fill();
    }

    /// The places are filled in the next turn, if anybody waits for one.
    pub(crate) fn fill_soon(&mut self) {
        if self.admission.places.waiting() > 0 {
            self.fill_at = Some(self.now);
        }
    }

    /// Gives newcomers the places that are free, and has strangers give way for them.
    pub(crate) fn fill(&mut self) {
        while let Some(step) = self.admission.places.next(self.now) {
            note!(self, "{step:?}");
            match step {
                Step::Admit(id) => self.admit(id),
                Step::Evict(id) => self.evict(id),
            }
        }
        self.fill_at = self.admission.places.retry_at(self.now);
    }

    fn evict(&mut self, id: u64) {
        let live = self.live.remove(&id).expect("DM-602: it is there");
        self.shared.met.gave_way += 1;
        claim!(
            live.is_stranger && !self.waiting.is_empty(),
            "DM-602",
            "{id} gives way, and need not"
        );
        self.close(id, live);
    }

    fn admit(&mut self, id: u64) {
        let (which, who) = self.waiting.remove(&id).expect("DM-601: it waits");
        let service = self.services[which];
        self.check_place(which);
        let peer = self.clients[who].peer;
        let books = &mut self.clients[who].books;
        let limits = self.config.limits;
        let session = Session::new(SessionConfig {
            access: service.access,
            auth: service.auth,
            peer_is_root: books.standing.is_root,
            awaits_handshake: service.shakes_hands,
            accepted: self.now,
            limits: Arc::new(limits),
            keepalive: self.config.keepalive,
        });
        let terms = Terms {
            max_requests: limits.max_client_requests.get(),
            max_output: limits.max_output.get(),
            max_tx_bytes: limits.max_tx_bytes.get(),
        };
        let keepalive = self.config.keepalive;
        let keepalive = (keepalive.interval.unwrap_or_default(), keepalive.count);
        let silence = Silence::new(self.now, limits.auth_timeout, keepalive, limits.max_linger);
        books.accept(terms, limits.max_auth_failures.get(), silence);
        self.shared.met.accepted += 1;
        let served = Served {
            id,
            handshake: self.clients[who].handshake,
            dispatcher: Some(Dispatcher::new(Arc::clone(&self.driver))),
            exchange: SaslExchange::default(),
            standing: Standing::new(&session, !service.shakes_hands),
            question: None,
            fails: false,
            expired: None,
        };
        let live = Live {
            who,
            is_anonymous: session.is_anonymous(),
            session,
            served,
            interest: Events::READABLE | Events::UNCONDITIONAL,
            scheduled: None,
            is_stranger: true,
            peer,
        };
        self.live.insert(id, live);
        self.schedule(id);
    }

    /// There is a place for a client of this service, by counting.
    fn check_place(&self, which: usize) {
        let (limits, service) = (self.config.places, &self.services[which]);
        let beyond = 2 * (limits.max_clients / 32).max(1);
        claim!(
            self.live.len() < limits.max_clients + beyond,
            "DM-601",
            "{} clients are there, of {}",
            self.live.len(),
            limits.max_clients
        );
        let anonymous = self.anonymous(service.reach);
        claim!(
            !service.makes_anonymous()
                || limits.max_anonymous == 0
                || anonymous < limits.max_anonymous,
            "DM-602",
            "{anonymous} anonymous clients are there, of {}",
            limits.max_anonymous
        );
    }

    fn anonymous(&self, reach: Reach) -> usize {
        let live = self.live.values();
        live.filter(|live| live.is_anonymous && live.peer.reach() == reach)
            .count()
    }
}
