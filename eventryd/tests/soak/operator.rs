//! Reloads of the configuration, and shortages of descriptors.

use crate::target::Target;
use crate::{Rng, Run};

/// Reloads valid and invalid configurations, and in between limits the descriptors; restores both at the end. A reload
/// never meets a shortage, in which the daemon would lower `max_clients` to its free descriptors.
pub(crate) fn run(target: &Target, rng: &mut Rng, run: &Run) {
    while run.is_active() {
        let more = match rng.below(4) {
            0 => "max_clients = many\n".to_owned(),
            1 => format!("max_client_requests = {}\n", 1 + rng.below(8)),
            2 => format!("max_clients = {}\n", 100 + rng.below(100)),
            _ => String::new(),
        };
        target.reload_with(&more);
        run.reloads.add(1);
        run.pause(500 + rng.below(2000));
        if rng.one_in(2) {
            target.leave_descriptors(rng.below(5) as u64);
            run.shortages.add(1);
            run.pause(200 + rng.below(1500));
            target.leave_all_descriptors();
            run.pause(rng.below(1000));
        }
    }
    target.reload_with("");
}
