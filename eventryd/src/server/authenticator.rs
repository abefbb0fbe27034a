//! Authentication of clients: passwords, polkit, and the decisions.

use super::config::Config;
use super::error::DaemonError;
use super::polkit::{Polkit, polkit_timeout};
use crate::auth::{AuthError, Identity, Sasl, SaslProgress};
use crate::connection::ClientAuth;
use crate::net::{AccountNames, Socket, process_start_time};
use crate::session::{Auth, AuthResult, AuthStep};
use crate::sync::Mutex;
use crate::wire::RemoteError;
use std::sync::Arc;
use std::time::Duration;

/// The authentication of all clients: the users of SASL, polkit and the names of accounts.
#[derive(Debug)]
pub(super) struct Authenticator {
    /// The password file as it was last read; `None` if no service uses SASL.
    sasl: Mutex<Option<Arc<Sasl>>>,
    polkit: Polkit,
    /// The names as they were last read.
    names: Mutex<Arc<AccountNames>>,
}

/// Settings of authentication whose files are loaded.
pub(super) struct PreparedAuth {
    sasl: Option<Arc<Sasl>>,
    polkit_timeout: Duration,
    names: Arc<AccountNames>,
}

impl PreparedAuth {
    /// Tests if the password file was read.
    pub(super) fn has_users(&self) -> bool {
        self.sasl.is_some()
    }
}

impl Authenticator {
    /// Creates the authentication of the services in `config`, with the users of SASL if there is such a service. Reads the
    /// names of accounts.
    pub(super) fn new(config: &Config, users: Option<Sasl>) -> Authenticator {
        Authenticator {
            sasl: Mutex::new(users.map(Arc::new)),
            polkit: Polkit::new(config),
            names: Mutex::new(Arc::new(AccountNames::load())),
        }
    }

    /// Reads the users of SASL again, if a service uses SASL. Changes nothing.
    pub(super) fn prepare(
        &self,
        config: &Config,
        names: AccountNames,
    ) -> Result<PreparedAuth, AuthError> {
        let is_needed = self.sasl.lock().is_some();
        let sasl = is_needed.then(|| Sasl::load(&config.sasl)).transpose()?;
        Ok(PreparedAuth {
            sasl: sasl.map(Arc::new),
            polkit_timeout: polkit_timeout(config),
            names: Arc::new(names),
        })
    }

    /// Puts prepared settings in force for new steps and requests.
    pub(super) fn commit(&self, prepared: PreparedAuth) {
        *self.sasl.lock() = prepared.sasl;
        self.polkit.set_timeout(prepared.polkit_timeout);
        *self.names.lock() = prepared.names;
    }

    /// Returns the identity of a client that was just accepted. Only polkit needs the start time of its process.
    pub(super) fn identify(&self, socket: &Socket, auth: Auth) -> ClientAuth {
        let process = socket.unix_peer().map(|mut peer| {
            self.names.lock().fill_in(&mut peer);
            if auth == Auth::Polkit {
                peer.start_time = process_start_time(&peer);
            }
            peer
        });
        ClientAuth {
            identity: Identity {
                process,
                address: socket.peer_addr().map(Box::new),
                ..Identity::default()
            },
            ..ClientAuth::default()
        }
    }

    /// Decides a step of SASL.
    pub(super) fn decide(&self, id: u64, client: &mut ClientAuth, step: &AuthStep) -> AuthResult {
        let sasl = self.sasl.lock().clone();
        let nonce = Sasl::nonce().inspect_err(|error| tracing::error!("client {id}: {error}"));
        let (Some(sasl), Ok(nonce)) = (sasl, nonce) else {
            return AuthResult::Failed(RemoteError::authentication_failed());
        };
        let Some(progress) = step.by_sasl(&mut client.exchange, &sasl, &nonce) else {
            return AuthResult::Failed(RemoteError::authentication_failed());
        };
        match &progress {
            Ok(SaslProgress::Continue(_)) => {}
            Ok(SaslProgress::Complete { user, .. }) => {
                client.identity.authenticated_mut().sasl_user = Some(user.as_str().into());
            }
            Err(error) => {
                let identity = &client.identity;
                tracing::warn!("client {id} failed to authenticate: {error}; {identity}");
            }
        }
        AuthResult::from(progress)
    }

    /// Returns the requests to polkit.
    pub(super) const fn polkit(&self) -> &Polkit {
        &self.polkit
    }
}

/// Returns the authentication types of all services.
fn schemes(config: &Config) -> Vec<Auth> {
    let tcp = config.tcp.iter().map(|tcp| tcp.auth);
    let tls = config.tls.iter().map(|tls| tls.auth);
    let unix = [config.auth_unix_rw, config.auth_unix_ro];
    unix.into_iter().chain(tcp).chain(tls).collect()
}

/// Checks that each service can have its authentication type. Errors occur at the start, not at the first login.
pub(super) fn check_schemes(config: &Config) -> Vec<DaemonError> {
    let tcp = config.tcp.as_ref().and_then(|tcp| match tcp.auth {
        Auth::None => None,
        Auth::Sasl => Some((
            &["auth_tcp"][..],
            "SASL cannot be used on plain TCP: libvirt's clients want SASL itself to encrypt there, \
             which SCRAM-SHA-256 does not; use TLS with SASL, or a Unix socket",
        )),
        Auth::Polkit => Some((&["auth_tcp"][..], POLKIT_ON_NETWORK)),
    });
    let tls = config.tls.as_ref().filter(|tls| tls.auth == Auth::Polkit);
    let tls = tls.map(|_| (&["auth_tls"][..], POLKIT_ON_NETWORK));
    let error = |(settings, message): (_, &str)| DaemonError::Config {
        settings,
        message: message.to_owned(),
    };
    let mut errors: Vec<DaemonError> = tcp.into_iter().chain(tls).map(error).collect();
    if schemes(config).contains(&Auth::Polkit) {
        errors.extend(config.authorizer.check().err().map(DaemonError::Auth));
    }
    errors
}

const POLKIT_ON_NETWORK: &str = "polkit cannot be used on TCP: it decides about processes of this machine; use \
                                 TLS with client certificates, or SASL within TLS";

/// Reads the users of SASL, if a service uses SASL. Returns warnings, too.
pub(super) fn load_users(config: &Config) -> Result<(Option<Sasl>, Vec<String>), DaemonError> {
    if !schemes(config).contains(&Auth::Sasl) {
        return Ok((None, Vec::new()));
    }
    let sasl = Sasl::load(&config.sasl).map_err(DaemonError::Auth)?;
    let warning = (sasl.users() == 0).then(|| {
        format!(
            "{} has no users, so no client can authenticate; `eventryd passwd` adds one",
            config.sasl.password_file.display()
        )
    });
    Ok((Some(sasl), warning.into_iter().collect()))
}
