//! What must hold after every step, whatever has happened.

use crate::claims::claim;
use crate::world::World;
use eventryd::flow::next_call;

impl World {
    /// What must hold after every step.
    pub(crate) fn check(&self) {
        if self.is_stopped {
            return;
        }
        for (index, resting) in self.resting.iter().enumerate() {
            let is_due = resting.is_none() && !self.admission.is_draining();
            claim!(
                self.admission.is_accepting(index) == is_due,
                "DM-505",
                "service {index} accepts: {}, and is to: {is_due}",
                !is_due
            );
        }
        let waiting = self.admission.places.waiting();
        claim!(
            waiting == self.waiting.len(),
            "DM-601",
            "{waiting} newcomers are said to wait, {} do",
            self.waiting.len()
        );
        for (id, live) in &self.live {
            let next = next_call(&live.session);
            claim!(
                next.is_none_or(|next| self.timer.is_some_and(|timer| timer <= next)),
                "DM-903",
                "client {id} is due at {next:?}, and the timer fires at {:?}",
                self.timer
            );
            let silence = &self.clients[live.who].books.silence;
            silence.check_alive(*id, live.is_anonymous, self.timer);
        }
    }
}
