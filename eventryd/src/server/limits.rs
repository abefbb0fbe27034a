//! Limits of admission, from the configuration and the number of descriptors.

use super::config::Config;
use super::error::DaemonError;
use crate::admission::AdmissionLimits;
use rustix::process::{Resource, getrlimit};

/// The number of descriptors that are not for clients: listening sockets, the log, helper programs.
const OWN_DESCRIPTORS: u64 = 64;

/// Returns the number of descriptors for clients.
pub(super) fn descriptors_for_clients() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(usize::MAX)
}

/// Returns the configured limits, with at most as many clients as descriptors. `serves_networks` is true if there is a
/// network service.
pub(super) fn admission_limits(
    config: &Config,
    descriptors: usize,
    serves_networks: bool,
) -> AdmissionLimits {
    let max_clients = config.max_clients.get();
    let max_waiting = (config.max_queued_clients as usize).min(descriptors / 16);
    let possible = (descriptors - max_waiting).max(1);
    if possible < max_clients {
        tracing::warn!(
            "max_clients is {max_clients}, but there are descriptors for {possible} only: raise the limit of \
             open files (LimitNOFILE= of the service), or lower max_clients"
        );
    }
    AdmissionLimits {
        max_clients: max_clients.min(possible),
        serves_networks,
        max_anonymous: config.max_anonymous_clients,
        max_waiting,
        eviction_grace: config.eviction_grace,
    }
}

/// Rejects limits that contradict each other (DM-606).
pub(super) fn check_limits(config: &Config) -> Result<(), DaemonError> {
    let (all, anonymous) = (config.max_clients.get(), config.max_anonymous_clients);
    if anonymous > all {
        return Err(DaemonError::Config {
            settings: &["max_anonymous_clients", "max_clients"],
            message: format!(
                "max_anonymous_clients is {anonymous}, more than the {all} of max_clients; make it smaller, or \
                 max_clients larger"
            ),
        });
    }
    Ok(())
}
