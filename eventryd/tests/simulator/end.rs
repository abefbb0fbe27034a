//! The end of a world: the daemon stops, or all clients cooperate until the last one has disconnected.

use crate::claims::claim;
use crate::workers::ThreadSupply;
use crate::world::{World, trace};
use eventry::{Events, MonotonicTime};

/// An upper bound of the rounds until a world is idle.
const ROUNDS: usize = 20_000;
/// The number of deadlines for which idle clients only answer pings.
const PINGS: usize = 12;

impl World {
    /// Requests an orderly stop; a second request stops the daemon at once.
    pub(crate) fn drain(&mut self) {
        if !self.admission.drain() {
            trace!(self, "second request to stop");
            self.shared.borrow_mut().counts.stopped_twice += 1;
            return self.stop_now();
        }
        trace!(self, "request to stop");
        for (id, (_, client_index)) in std::mem::take(&mut self.waiting) {
            self.clients[client_index].borrow_mut().disconnect();
            let peer = self.clients[client_index].borrow().peer;
            self.admission.client_closed(id, peer);
        }
        let is_busy = self.shared.borrow().pool.in_flight > 0;
        self.shared.borrow_mut().counts.drained_busy += usize::from(is_busy);
        let ids: Vec<u64> = self.served.keys().copied().collect();
        for id in ids {
            self.drive(id, |served, now| {
                let ledger = &mut served.client.borrow_mut().ledger;
                ledger.input_ended = true;
                ledger.keepalive.is_draining = true;
                served.connection.drain(now);
            });
        }
        self.grace_until = Some(self.now.saturating_add(self.grace));
        self.stop_if_over();
    }

    /// Ends the loop if the daemon drains and no client or call is left.
    pub(crate) fn stop_if_over(&mut self) {
        if self.admission.is_draining()
            && self.served.is_empty()
            && self.shared.borrow().pool.in_flight == 0
            && !self.is_stopped
        {
            trace!(self, "stopped in order");
            self.shared.borrow_mut().counts.drained += 1;
            self.is_stopped = true;
            self.grace_until = None;
        }
    }

    /// Stops the daemon without waiting for clients or calls.
    pub(crate) fn stop_now(&mut self) {
        self.is_stopped = true;
        self.grace_until = None;
        self.waiting.clear();
        for served in std::mem::take(&mut self.served).into_values() {
            self.clients[served.client_index].borrow_mut().disconnect();
        }
    }

    /// Ends the world, and checks that nothing is left.
    pub(crate) fn finish(&mut self) {
        self.shared.borrow_mut().transfers_all = true;
        self.shared.borrow_mut().pool.supply = ThreadSupply::UNLIMITED;
        if !self.is_stopped {
            self.run_until_idle();
            self.check_all_is_answered();
            self.answer_pings();
            self.disconnect_all();
        }
        if !self.is_stopped {
            self.shared.borrow_mut().counts.finished += 1;
            self.check_nothing_is_left();
        }
        let shared = &mut *self.shared.borrow_mut();
        let dropped = shared.pool.stop(&mut shared.rng, self.now);
        self.check_executed(dropped);
    }

    /// Runs rounds in which all clients cooperate, until a round changes nothing.
    fn run_until_idle(&mut self) {
        for _ in 0..ROUNDS {
            if !self.round() || self.is_stopped {
                return;
            }
        }
        panic!("liveness: the world does not become idle");
    }

    /// Takes every step that is possible now; returns `true` if there was any.
    fn round(&mut self) -> bool {
        let mut any = false;
        for client in &self.clients {
            let client = &mut *client.borrow_mut();
            any |= !client.is_disconnected && client.cooperate();
        }
        any |= self.fire();
        any |= self.admit_in_time();
        for service_index in 0..4 {
            any |= self.accept(service_index, false);
        }
        let ids: Vec<u64> = self.served.keys().copied().collect();
        for id in ids {
            if self.served.contains_key(&id) && self.ready(id) != Events::NONE {
                self.serve(id);
                any = true;
            }
        }
        while self.step_worker() {
            any = true;
        }
        any |= self.complete();
        for request in std::mem::take(&mut self.polkit_requests) {
            self.complete_polkit(request);
            any = true;
        }
        self.check();
        any
    }

    fn check_all_is_answered(&self) {
        for (id, served) in &self.served {
            let client = served.client.borrow();
            claim!(
                client.ledger.is_done() || client.ledger.input_ended,
                "liveness",
                "client {} ({id}) does not get its replies: {:?}",
                client.id,
                client.ledger
            );
        }
    }

    /// Advances the clock over several deadlines, during which clients only answer pings.
    fn answer_pings(&mut self) {
        for _ in 0..PINGS {
            let Some(next) = self.next_time().filter(|_| !self.is_stopped) else {
                return;
            };
            self.advance(next);
            self.run_until_idle();
        }
    }

    /// Half-closes all served clients, then those that are admitted to the free slots, until none is left.
    fn disconnect_all(&mut self) {
        for _ in 0..ROUNDS {
            let waiting: usize = self.backlog.iter().map(|queue| queue.len()).sum();
            let waiting = waiting + self.waiting.len();
            let no_client_waits = waiting == 0 || self.admission.is_draining();
            if self.is_stopped || self.served.is_empty() && no_client_waits {
                return;
            }
            let served: Vec<usize> = self
                .served
                .values()
                .map(|served| served.client_index)
                .collect();
            for client_index in served {
                self.clients[client_index].borrow_mut().half_close();
            }
            self.run_until_idle();
            if let Some(next) = self.next_time() {
                self.advance(next);
            }
        }
        panic!("liveness: {} clients are not closed", self.served.len());
    }

    fn check_nothing_is_left(&mut self) {
        self.run_until_idle();
        self.shared.borrow().pool.check_limits();
        claim!(
            self.deadlines.first().is_none() && self.polkit_requests.is_empty(),
            "DM-810",
            "a deadline of a closed client is left: {:?}",
            self.deadlines.first()
        );
        claim!(
            self.waiting.is_empty() && self.admission.clients.waiting() == 0,
            "DM-601",
            "clients wait although no slot is taken: {:?}",
            self.waiting
        );
        for service_index in 0..4 {
            claim!(
                self.admission.is_accepting(service_index) || self.admission.is_draining(),
                "DM-505",
                "service {service_index} does not accept although no client is served"
            );
        }
        let rest: Option<MonotonicTime> = self.timer;
        claim!(
            rest.is_none(),
            "DM-810",
            "the timer is still armed, for {rest:?}"
        );
    }

    /// Checks that each expected call was executed exactly once, except for at most `dropped` jobs.
    fn check_executed(&self, dropped: usize) {
        let mut executed = self.executed.lock().unwrap().clone();
        let mut expected: Vec<String> = self
            .clients
            .iter()
            .flat_map(|client| client.borrow().ledger.tags().collect::<Vec<_>>())
            .collect();
        executed.sort();
        expected.sort();
        let twice = executed.windows(2).find(|pair| pair[0] == pair[1]);
        claim!(
            twice.is_none(),
            "DM-701",
            "call {twice:?} was executed twice"
        );
        let stray = executed
            .iter()
            .find(|name| expected.binary_search(name).is_err());
        claim!(
            stray.is_none(),
            "DM-1103",
            "call {stray:?} must not reach the hypervisor"
        );
        claim!(
            expected.len() - executed.len() <= dropped,
            "DM-706",
            "{} calls were not executed, only {dropped} were dropped",
            expected.len() - executed.len()
        );
    }
}
