//! Limits of admission, from the configuration and the number of descriptors.

use super::config::Config;
use super::error::DaemonError;
use crate::admission::AdmissionLimits;
use rustix::process::{Resource, getrlimit};

/// The largest number of descriptors that are not for clients: listening sockets, the log, helper programs.
const OWN_DESCRIPTORS: u64 = 64;

/// The smallest limit of descriptors. Half of it suffices for the daemon itself.
const MIN_DESCRIPTORS: u64 = 64;

/// The number of descriptors for waiting clients if a sixteenth of all is less.
const MIN_WAITING: usize = 4;

/// Returns the number of descriptors for clients, of this limit: at least half of it.
fn descriptors_for_clients(limit: u64) -> usize {
    let own = OWN_DESCRIPTORS.min(limit / 2);
    usize::try_from(limit - own).unwrap_or(usize::MAX)
}

/// Returns the number of descriptors for clients, of the limit of this process.
pub(super) fn own_descriptors_for_clients() -> usize {
    descriptors_for_clients(descriptor_limit())
}

/// Rejects a limit of descriptors that is too small to serve clients (DM-114). The hard limit counts, because the start
/// raises the soft one to it (DM-110).
pub(super) fn check_descriptors() -> Result<(), DaemonError> {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if limit < MIN_DESCRIPTORS {
        return Err(DaemonError::TooFewDescriptors {
            limit,
            needed: MIN_DESCRIPTORS,
        });
    }
    Ok(())
}

fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Returns the configured limits, with at most as many clients as descriptors. `serves_networks` is true if there is a
/// network service.
pub(super) fn admission_limits(
    config: &Config,
    descriptors: usize,
    serves_networks: bool,
) -> AdmissionLimits {
    let max_clients = config.max_clients.get();
    let max_waiting = (config.max_queued_clients as usize).min((descriptors / 16).max(MIN_WAITING));
    let possible = descriptors.saturating_sub(max_waiting).max(1);
    if let Some(warning) = shortage(possible, max_clients) {
        tracing::warn!("{warning}");
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

/// Returns the warning about descriptors for fewer clients than configured.
fn shortage(possible: usize, max_clients: usize) -> Option<String> {
    (possible < max_clients).then(|| {
        format!(
            "max_clients is {max_clients}, but there are descriptors for {possible} only: raise the limit of open \
             files (LimitNOFILE= of the service), or lower max_clients"
        )
    })
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
        // A few clients may wait however few there are.
        assert_eq!(limits(50, 5, 32), (28, 4));
        assert_eq!(limits(50, 3, 32), (29, 3));
    }

    #[test]
    fn shortage_is_a_warning() {
        assert_eq!(shortage(10, 9), None);
        assert_eq!(shortage(10, 10), None);
        let warning = shortage(10, 11).unwrap();
        assert!(warning.starts_with("max_clients is 11, but there are descriptors for 10 only"));
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
        for (limit, clients) in [(64, 32), (100, 50), (128, 64), (129, 65), (1_024, 960)] {
            assert_eq!(descriptors_for_clients(limit), clients);
        }
    }
}
