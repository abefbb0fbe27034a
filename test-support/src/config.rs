//! Comparison of configurations.

use eventryd::config::LoadedConfig;

/// Returns the configuration of the server and of the log as text, without the lines of the file that it comes from.
#[must_use]
pub fn in_force(loaded: &LoadedConfig) -> String {
    let mut daemon = loaded.daemon.clone();
    let services = [&mut daemon.tls, &mut daemon.passed_tls];
    for service in services.into_iter().flatten() {
        service.settings.crl_origin = None;
    }
    format!("{daemon:?} {:?}", loaded.log)
}
