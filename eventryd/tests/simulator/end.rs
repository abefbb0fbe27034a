//! The end of a world: the daemon is stopped, or everybody behaves until nobody is left.

use crate::claims::claim;
use crate::workers::Supply;
use crate::world::{World, note};
use eventry::{Events, MonotonicTime};

/// More rounds than any world needs to come to rest.
const ROUNDS: usize = 20_000;
/// How often polite clients are left to be pinged.
const PINGS: usize = 12;

impl World {
    /// The daemon is asked to stop, perhaps for the second time.
    pub(crate) fn drain(&mut self) {
        if !self.admission.drain() {
            note!(self, "asked to stop once more");
            self.shared.borrow_mut().met.cut_short += 1;
            return self.stop_at_once();
        }
        note!(self, "asked to stop");
        for (id, (_, who)) in std::mem::take(&mut self.waiting) {
            self.clients[who].borrow_mut().vanish();
            let peer = self.clients[who].borrow().peer;
            self.admission.client_closed(id, peer);
        }
        let is_busy = self.shared.borrow().staff.in_flight > 0;
        self.shared.borrow_mut().met.drained_busy += usize::from(is_busy);
        let ids: Vec<u64> = self.live.keys().copied().collect();
        for id in ids {
            self.drive(id, |live, now| {
                let ledger = &mut live.client.borrow_mut().ledger;
                ledger.input_is_over = true;
                ledger.keepalive.is_finishing = true;
                live.connection.drain(now);
            });
        }
        self.grace_until = Some(self.now.saturating_add(self.grace));
        self.stop_if_over();
    }

    /// The loop ends once the daemon is being stopped and nobody is left to wait for.
    pub(crate) fn stop_if_over(&mut self) {
        if self.admission.is_draining()
            && self.live.is_empty()
            && self.shared.borrow().staff.in_flight == 0
            && !self.is_stopped
        {
            note!(self, "stopped in order");
            self.shared.borrow_mut().met.drained += 1;
            self.is_stopped = true;
            self.grace_until = None;
        }
    }

    /// Everything ends here, whatever it was about to do.
    pub(crate) fn stop_at_once(&mut self) {
        self.is_stopped = true;
        self.grace_until = None;
        self.waiting.clear();
        for live in std::mem::take(&mut self.live).into_values() {
            self.clients[live.who].borrow_mut().vanish();
        }
    }

    /// Brings the world to its end, and checks what is left.
    pub(crate) fn wind_up(&mut self) {
        self.shared.borrow_mut().is_fair = true;
        self.shared.borrow_mut().staff.supply = Supply::PLENTY;
        if !self.is_stopped {
            self.come_to_rest();
            self.check_all_is_answered();
            self.be_pinged();
            self.leave();
        }
        if !self.is_stopped {
            self.shared.borrow_mut().met.wound_up += 1;
            self.check_nothing_is_left();
        }
        let shared = &mut *self.shared.borrow_mut();
        let dropped = shared.staff.stop(&mut shared.rng, self.now);
        self.check_carried_out(dropped);
    }

    /// Everything that can happen now happens, and all clients behave, until nothing is left to happen.
    fn come_to_rest(&mut self) {
        for _ in 0..ROUNDS {
            if !self.round() || self.is_stopped {
                return;
            }
        }
        panic!("liveness: something goes on for ever");
    }

    /// Everybody does what there is to do; whether there was anything.
    fn round(&mut self) -> bool {
        let mut any = false;
        for client in &self.clients {
            let client = &mut *client.borrow_mut();
            any |= !client.vanished && client.behave();
        }
        any |= self.fire();
        any |= self.admit_in_time();
        for which in 0..4 {
            any |= self.accept(which, false);
        }
        let ids: Vec<u64> = self.live.keys().copied().collect();
        for id in ids {
            if self.live.contains_key(&id) && self.ready(id) != Events::NONE {
                self.serve(id);
                any = true;
            }
        }
        while self.step_worker() {
            any = true;
        }
        any |= self.complete();
        for question in std::mem::take(&mut self.questions) {
            self.decide(question);
            any = true;
        }
        self.check();
        any
    }

    fn check_all_is_answered(&self) {
        for (id, live) in &self.live {
            let client = live.client.borrow();
            claim!(
                client.ledger.is_done() || client.ledger.input_is_over,
                "liveness",
                "client {} ({id}) waits for ever: {:?}",
                client.id,
                client.ledger
            );
        }
    }

    /// Who answers pings stays, however long nothing else happens.
    fn be_pinged(&mut self) {
        for _ in 0..PINGS {
            let Some(next) = self.next_time().filter(|_| !self.is_stopped) else {
                return;
            };
            self.advance(next);
            self.come_to_rest();
        }
    }

    /// Everybody who is there leaves, which lets in those who wait, who leave in turn.
    fn leave(&mut self) {
        for _ in 0..ROUNDS {
            let waiting: usize = self.backlog.iter().map(|queue| queue.len()).sum();
            let waiting = waiting + self.waiting.len();
            let nobody_comes = waiting == 0 || self.admission.is_draining();
            if self.is_stopped || self.live.is_empty() && nobody_comes {
                return;
            }
            let live: Vec<usize> = self.live.values().map(|live| live.who).collect();
            for who in live {
                self.clients[who].borrow_mut().half_close();
            }
            self.come_to_rest();
            if let Some(next) = self.next_time() {
                self.advance(next);
            }
        }
        panic!("liveness: {} clients do not go", self.live.len());
    }

    fn check_nothing_is_left(&mut self) {
        self.come_to_rest();
        self.shared.borrow().staff.check_limits();
        claim!(
            self.deadlines.first().is_none() && self.questions.is_empty(),
            "DM-810",
            "{:?} is due for a client that is gone",
            self.deadlines.first()
        );
        claim!(
            self.waiting.is_empty() && self.admission.clients.waiting() == 0,
            "DM-601",
            "{:?} wait for a place though nobody is there",
            self.waiting
        );
        for which in 0..4 {
            claim!(
                self.admission.is_accepting(which) || self.admission.is_draining(),
                "DM-505",
                "service {which} does not accept though nobody is there"
            );
        }
        let rest: Option<MonotonicTime> = self.timer;
        claim!(rest.is_none(), "DM-810", "the timer is left at {rest:?}");
    }

    /// Every call that was to reach the hypervisor did, and once; `dropped` jobs are not to.
    fn check_carried_out(&self, dropped: usize) {
        let mut done = self.done.lock().unwrap().clone();
        let mut due: Vec<String> = self
            .clients
            .iter()
            .flat_map(|client| client.borrow().ledger.tags().collect::<Vec<_>>())
            .collect();
        done.sort();
        due.sort();
        let twice = done.windows(2).find(|pair| pair[0] == pair[1]);
        claim!(twice.is_none(), "DM-701", "{twice:?} was carried out twice");
        let stray = done.iter().find(|name| due.binary_search(name).is_err());
        claim!(
            stray.is_none(),
            "DM-1103",
            "{stray:?} must not reach the hypervisor"
        );
        claim!(
            due.len() - done.len() <= dropped,
            "DM-706",
            "{} calls were not carried out, {dropped} were dropped",
            due.len() - done.len()
        );
    }
}
