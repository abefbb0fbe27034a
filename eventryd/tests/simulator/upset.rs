//! What goes wrong, and who changes the configuration or stops the daemon.

use crate::plan::Config;
use crate::world::{World, note};

impl World {
    /// Something goes wrong, or somebody changes the configuration, or stops the daemon.
    pub(crate) fn upset(&mut self) {
        match self.rng.below(12) {
            0..=3 => {
                let ids: Vec<u64> = self.live.keys().copied().collect();
                if let Some(id) = ids.get(self.rng.below(ids.len().max(1))) {
                    note!(self, "the connection of {id} breaks");
                    self.live.get_mut(id).expect("it is live").served.fails = true;
                }
            }
            4..=6 => {
                let who = self.rng.below(self.clients.len().max(1));
                if let Some(client) = self.clients.get_mut(who) {
                    note!(self, "client {} is gone", who + 1);
                    client.vanish();
                }
            }
            7..=10 if self.rng.one_in(2) => self.reload(),
            11 if self.rng.one_in(2) => self.drain(),
            _ => {}
        }
    }

    /// New limits: for clients to come, and for the workers.
    fn reload(&mut self) {
        let limits = self.config.limits.max_frame_before_auth;
        self.config = Config::draw(&mut self.rng);
        self.config.limits.max_frame_before_auth = limits;
        note!(self, "now {:?}", self.config);
        self.shared.met.reloads += 1;
        let (staff, rng) = (&mut self.shared.staff, &mut self.shared.rng);
        staff.set_limits(self.config.workers, rng);
        self.admission.places.set_limits(self.config.places);
        self.fill_soon();
    }
}
