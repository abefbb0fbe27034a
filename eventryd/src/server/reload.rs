//! Settings that change while the daemon runs: prepared on any thread, applied as a whole on the loop's thread (DM-1306).

use super::authenticator::PreparedAuth;
use super::config::Config;
use super::error::DaemonError;
use super::lifecycle::log_tls_warnings;
use super::limits::{admission_limits, check_limits};
use super::service::Service;
use super::state::{Server, ServerSettings};
use crate::net::AccountNames;
use crate::net::tls::{TlsContext, TlsSettings};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Settings whose files are loaded and checked, so that [`Control::commit`](super::Control::commit) cannot fail.
pub struct PreparedConfig {
    config: Config,
    tls: Option<Arc<TlsContext>>,
    auth: PreparedAuth,
}

impl PreparedConfig {
    /// Returns the kinds of files whose contents were read.
    #[must_use]
    pub fn files_read(&self) -> Vec<&'static str> {
        let mut read = Vec::new();
        if let Some(tls) = &self.tls {
            read.extend(["keys", "certificates"]);
            if tls.has_revocation_list() {
                read.push("revocation lists");
            }
        }
        if self.auth.has_users() {
            read.push("passwords");
        }
        read
    }
}

impl Server {
    /// Loads everything that `config` names. Changes nothing, and may block. `waiting_for` receives the name of each part
    /// before it is read.
    pub(super) fn prepare(
        &self,
        config: &Config,
        waiting_for: &dyn Fn(String),
    ) -> Result<PreparedConfig, DaemonError> {
        check_limits(config)?;
        // A socket that systemd has passed is served, also if the configuration has no such service.
        let is_passed = self.state.lock().services.iter().any(Service::has_tls);
        let passed = config.passed_tls.as_ref().filter(|_| is_passed);
        let tls = config
            .tls
            .as_ref()
            .or(passed)
            .map(|service| &service.settings);
        let tls = tls.map(|settings| {
            waiting_for(tls_files_text(settings));
            TlsContext::load(settings, self.tls_expiry.clock()).map(Arc::new)
        });
        let tls = tls.transpose().map_err(DaemonError::Tls)?;
        waiting_for("the names in /etc/passwd and /etc/group".to_owned());
        let names = AccountNames::load();
        waiting_for(format!("the password file {:?}", config.sasl.password_file));
        let auth = self.authenticator.prepare(config, names);
        Ok(PreparedConfig {
            config: config.clone(),
            tls,
            auth: auth.map_err(DaemonError::Auth)?,
        })
    }

    /// Puts prepared settings in force. New keys and certificates apply to new clients (DM-1209).
    pub(super) fn commit(&self, prepared: PreparedConfig) {
        let PreparedConfig { config, tls, auth } = prepared;
        self.authenticator.commit(auth);
        self.offload.set_workers(config.workers);
        let serves_networks = {
            let state = self.state.lock();
            state.services.iter().any(Service::serves_networks)
        };
        // Not under the lock, because it may log.
        let limits = admission_limits(&config, self.descriptors, serves_networks);
        let mut state = self.state.lock();
        let mut is_list_lost = false;
        if let Some(context) = &tls {
            self.tls_expiry.replace(&self.registry, context);
            for service in &mut state.services {
                is_list_lost |= service.renew_tls(context);
            }
        }
        state.settings = ServerSettings::new(&config);
        state.admission.clients.set_limits(limits);
        self.admit_soon(&state);
        let clients = state.clients.len();
        state
            .idle
            .set_interval(&self.registry, config.idle_timeout, clients);
        drop(state);
        if let Some(context) = &tls {
            log_tls_warnings(context);
        }
        if is_list_lost {
            let files = config.tls.as_ref().or(config.passed_tls.as_ref());
            let path = files.and_then(|tls| tls.settings.files.crl.as_deref());
            let why = path.map_or_else(
                || "`crl_file` is empty".to_owned(),
                |path| format!("{} does not exist", path.display()),
            );
            tracing::warn!(
                "no certificate revocation list is in force any more: {why}; clients whose certificates it revoked are \
                 accepted now; restore the list and reload, or set tls_require_current_crl = 1"
            );
        }
    }
}

/// Names the files of TLS, for a message.
fn tls_files_text(settings: &TlsSettings) -> String {
    let files = &settings.files;
    let server = files
        .server
        .iter()
        .flat_map(|of| [&*of.certificate, &*of.key]);
    let paths: Vec<&Path> = files
        .crl
        .as_deref()
        .into_iter()
        .chain([&*files.ca])
        .chain(server)
        .collect();
    format!("the keys and certificates {paths:?}")
}

impl fmt::Debug for PreparedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedConfig")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
