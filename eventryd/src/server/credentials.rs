//! Users, keys and certificates, which are read once for the check and the start.

use super::authenticator::load_users;
use super::config::Config;
use super::error::DaemonError;
use super::lifecycle::log_tls_warnings;
use crate::auth::Sasl;
use crate::net::tls::TlsContext;
use std::sync::Arc;

/// Users, keys and certificates of a configuration, as [`check`](super::check) has loaded them.
///
/// The start uses them instead of the files: a pipe can be read only once (DM-113).
#[derive(Debug, Default)]
pub struct Credentials {
    /// The users of SASL; `None` if no service uses SASL.
    pub(super) users: Option<Sasl>,
    /// Keys and certificates; `None` without TLS.
    pub(super) tls: Option<Arc<TlsContext>>,
    /// Warnings about the users. The warnings about keys and certificates are in `tls`.
    user_warnings: Vec<String>,
}

impl Credentials {
    /// Loads what `config` names. Returns what could be loaded, and the errors.
    pub(super) fn load(config: &Config) -> (Credentials, Vec<DaemonError>) {
        let mut credentials = Credentials::default();
        let mut errors = Vec::new();
        match load_users(config) {
            Ok((users, warnings)) => {
                (credentials.users, credentials.user_warnings) = (users, warnings);
            }
            Err(error) => errors.push(error),
        }
        if let Some(tls) = &config.tls {
            match TlsContext::load_collecting_errors(&tls.settings, config.wall_clock) {
                Ok(context) => credentials.tls = Some(Arc::new(context)),
                Err(of_tls) => errors.extend(of_tls.into_iter().map(DaemonError::Tls)),
            }
        }
        (credentials, errors)
    }

    /// Returns all warnings.
    pub(super) fn warnings(&self) -> Vec<String> {
        let tls = self.tls.iter().flat_map(|context| context.warnings());
        self.user_warnings.iter().chain(tls).cloned().collect()
    }

    /// Logs all warnings.
    pub(super) fn log_warnings(&self) {
        for warning in &self.user_warnings {
            tracing::warn!("{warning}");
        }
        if let Some(context) = &self.tls {
            log_tls_warnings(context);
        }
    }
}
