//! Injected faults, changes of the configuration, and requests to stop.

use crate::pipe::Shared;
use crate::plan::Config;
use crate::world::{World, trace};

impl World {
    /// Breaks a connection, disconnects a client, reloads the configuration or stops the daemon.
    pub(crate) fn inject_fault(&mut self) {
        match self.rng.below(12) {
            0..=3 => {
                let ids: Vec<u64> = self.served.keys().copied().collect();
                if let Some(id) = ids.get(self.rng.below(ids.len().max(1))) {
                    trace!(self, "the connection of client {id} fails");
                    self.served[id].client.borrow_mut().is_broken = true;
                }
            }
            4..=6 => {
                let client_index = self.rng.below(self.clients.len().max(1));
                if let Some(client) = self.clients.get(client_index) {
                    trace!(self, "client {} disconnects", client_index + 1);
                    client.borrow_mut().disconnect();
                }
            }
            7..=10 if self.rng.one_in(2) => self.reload(),
            11 if self.rng.one_in(2) => self.drain(),
            _ => {}
        }
    }

    /// Draws new limits for later clients and for the workers.
    fn reload(&mut self) {
        let limits = self.config.limits.max_frame_before_auth;
        self.config = Config::draw(&mut self.rng);
        self.config.limits.max_frame_before_auth = limits;
        trace!(self, "reload: {:?}", self.config);
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
