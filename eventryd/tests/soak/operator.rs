//! What the operator and the system do meanwhile.

use crate::target::Target;
use crate::{Rng, Run};

/// Changes the configuration now and then, for the better or not, and in between has the descriptors run out;
/// leaves everything as it was. Not both at once: a daemon that is told to serve no more clients than it has
/// descriptors for, while it has none, would do so.
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
