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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Scope;
    use crate::net::RunDir;
    use std::num::NonZeroUsize;

    fn limits(max_clients: usize, max_queued: u32, descriptors: usize) -> (usize, usize) {
        let mut config = Config::new(RunDir::Chosen("/nowhere".into()));
        config.max_clients = NonZeroUsize::new(max_clients).unwrap();
        config.max_queued_clients = max_queued;
        let limits = admission_limits(&config, descriptors, false);
        (limits.max_clients, limits.max_waiting)
    }

    #[test]
    fn limits_leave_descriptors_for_waiting_clients() {
        assert_eq!(limits(100, 10, 1_600), (100, 10));
        // At most a sixteenth of the descriptors is for waiting clients.
        assert_eq!(limits(100, 101, 1_600), (100, 100));
        assert_eq!(limits(1_500, 101, 1_600), (1_500, 100));
        assert_eq!(limits(1_501, 101, 1_600), (1_500, 100));
        assert_eq!(limits(1_501, 50, 1_600), (1_501, 50));
        // One client is served however few there are.
        assert_eq!(limits(5, 5, 0), (1, 0));
    }

    #[test]
    fn limits_have_the_other_settings_of_the_configuration() {
        let mut config = Config::new(RunDir::Chosen("/nowhere".into()));
        config.max_anonymous_clients = 7;
        for serves_networks in [true, false] {
            let limits = admission_limits(&config, 10_000, serves_networks);
            assert_eq!(limits.max_anonymous, 7);
            assert_eq!(limits.eviction_grace, config.eviction_grace);
            assert_eq!(limits.reserved(Scope::Network) > 0, serves_networks);
        }
    }

    #[test]
    fn some_descriptors_are_not_for_clients() {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let clients = descriptors_for_clients() as u64;
        assert_eq!(limit.saturating_sub(clients), 64.min(limit));
    }
}
