//! What goes wrong, and who changes the configuration or stops the daemon.

use crate::pipe::Shared;
use crate::plan::Config;
use crate::world::{World, trace};

impl World {
    /// Something goes wrong, or somebody changes the configuration, or stops the daemon.
    pub(crate) fn inject_fault(&mut self) {
        match self.rng.below(12) {
            0..=3 => {
                let ids: Vec<u64> = self.served.keys().copied().collect();
                if let Some(id) = ids.get(self.rng.below(ids.len().max(1))) {
                    trace!(self, "the connection of {id} breaks");
                    self.served[id].client.borrow_mut().is_broken = true;
                }
            }
            4..=6 => {
                let client_index = self.rng.below(self.clients.len().max(1));
                if let Some(client) = self.clients.get(client_index) {
                    trace!(self, "client {} is gone", client_index + 1);
                    client.borrow_mut().disconnect();
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
        trace!(self, "now {:?}", self.config);
        let workers = self.config.workers;
        let mut shared = self.shared.borrow_mut();
        let Shared {
            counts, pool, rng, ..
        } = &mut *shared;
        counts.reloads += 1;
        pool.set_limits(workers, rng);
        drop(shared);
        self.admission.clients.set_limits(self.config.admission);
        self.admit_soon();
    }
}
