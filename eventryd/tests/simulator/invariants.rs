//! The invariants of a world.

use crate::claims::claim;
use crate::world::World;

impl World {
    /// Checks the invariants, which hold after every step.
    pub(crate) fn check(&self) {
        if self.is_stopped {
            return;
        }
        for (index, suspended_until) in self.suspended_until.iter().enumerate() {
            let is_due = suspended_until.is_none() && !self.admission.is_draining();
            claim!(
                self.admission.is_accepting(index) == is_due,
                "DM-505",
                "service {index} accepts: {}, expected: {is_due}",
                !is_due
            );
        }
        let waiting = self.admission.clients.waiting();
        claim!(
            waiting == self.waiting.len(),
            "DM-601",
            "{waiting} clients wait according to the admission control, {} do",
            self.waiting.len()
        );
        for (id, served) in &self.served {
            let next = served.connection.watch().deadline;
            claim!(
                next.is_none_or(|next| self.timer.is_some_and(|timer| timer <= next)),
                "DM-903",
                "client {id} has a deadline at {next:?}, the timer fires at {:?}",
                self.timer
            );
            let client = served.client.borrow();
            let keepalive = &client.ledger.keepalive;
            let stage = (served.is_anonymous, client.handshake > 0);
            keepalive.check_alive(*id, stage, self.timer);
        }
    }
}
