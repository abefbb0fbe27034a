//! Authentication of clients: passwords, polkit, and the decisions.

use super::config::Config;
use super::error::DaemonError;
use crate::auth::{
    AuthError, Authorization, Authorizer, Identity, PolkitAction, Sasl, SaslProgress,
};
use crate::connection::ClientAuth;
use crate::net::{AccountNames, Socket, polkit_subject, process_start_time};
use crate::session::{Access, Auth, AuthResult, AuthStep};
use crate::sync::Mutex;
use crate::wire::{ErrorCode, ErrorDomain, RemoteError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The maximum number of concurrent polkit requests. Each has a thread and a program, and waits for the answer of
/// a user, so it would block a worker for a long time.
const MAX_POLKIT_REQUESTS: usize = 32;

/// The timeout of polkit if `eventry_auth_timeout` is 0.
const POLKIT_TIMEOUT: Duration = Duration::from_secs(300);

/// The authentication of all clients: the users of SASL, polkit and the names of accounts.
#[derive(Debug)]
pub(super) struct Authenticator {
    /// The password file as it was last read; `None` if no service uses SASL.
    sasl: Mutex<Option<Arc<Sasl>>>,
    authorizer: Arc<dyn Authorizer>,
    polkit_timeout: Mutex<Duration>,
    polkit_requests: Arc<AtomicUsize>,
    names: Mutex<AccountNames>,
}

/// Settings of authentication whose files are loaded.
pub(super) struct PreparedAuth {
    sasl: Option<Arc<Sasl>>,
    polkit_timeout: Duration,
}

impl Authenticator {
    /// Creates the authentication of the services in `config`, with the users of SASL if there is such a service.
    pub(super) fn new(config: &Config, users: Option<Sasl>) -> Authenticator {
        Authenticator {
            sasl: Mutex::new(users.map(Arc::new)),
            authorizer: Arc::clone(&config.authorizer),
            polkit_timeout: Mutex::new(polkit_timeout(config)),
            polkit_requests: Arc::default(),
            names: Mutex::default(),
        }
    }

    /// Reads the users of SASL again, if a service uses SASL. Changes nothing.
    pub(super) fn prepare(&self, config: &Config) -> Result<PreparedAuth, AuthError> {
        let is_needed = self.sasl.lock().is_some();
        let sasl = is_needed.then(|| Sasl::load(&config.sasl)).transpose()?;
        Ok(PreparedAuth {
            sasl: sasl.map(Arc::new),
            polkit_timeout: polkit_timeout(config),
        })
    }

    /// Puts prepared settings in force for new steps and requests.
    pub(super) fn commit(&self, prepared: PreparedAuth) {
        *self.sasl.lock() = prepared.sasl;
        *self.polkit_timeout.lock() = prepared.polkit_timeout;
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

    /// Sends a request to polkit on a new thread, which passes the answer to `then`.
    ///
    /// # Errors
    /// The answer, if the request is not possible; `then` is not called.
    pub(super) fn ask_polkit(
        &self,
        id: u64,
        identity: &Identity,
        access: Access,
        then: impl FnOnce(AuthResult) + Send + 'static,
    ) -> Result<(), AuthResult> {
        let action = match access {
            Access::ReadWrite => PolkitAction::Manage,
            Access::ReadOnly => PolkitAction::Monitor,
        };
        let subject = identity.process.as_ref().and_then(polkit_subject);
        let identity = identity.clone();
        let fail = move |answer: Authorization| {
            tracing::warn!("client {id} failed to authenticate: polkit: {answer:?}; {identity}");
            AuthResult::Failed(polkit_error(&answer, action))
        };
        let Some(subject) = subject else {
            return Err(fail(Authorization::Failed(
                "the client's process has exited or changed its user".into(),
            )));
        };
        let request = PolkitRequest::begin(&self.polkit_requests);
        if request.is_over_limit {
            let text = "too many clients wait for polkit";
            return Err(fail(Authorization::Failed(text.into())));
        }
        let (authorizer, timeout) = (Arc::clone(&self.authorizer), *self.polkit_timeout.lock());
        let fail_later = fail.clone();
        let asking = thread::Builder::new()
            .name("polkit".to_owned())
            .spawn(move || {
                let answer = authorizer.authorize(subject, action, timeout);
                drop(request);
                then(match answer {
                    Authorization::Granted => AuthResult::Complete(None),
                    other => fail_later(other),
                });
            });
        let failed = |error| fail(Authorization::Failed(format!("no thread: {error}")));
        asking.map(drop).map_err(failed)
    }
}

/// Returns the timeout of a request to polkit.
const fn polkit_timeout(config: &Config) -> Duration {
    if config.auth_timeout.is_zero() {
        POLKIT_TIMEOUT
    } else {
        config.auth_timeout
    }
}

/// A request to polkit, which is counted until it is dropped.
struct PolkitRequest {
    count: Arc<AtomicUsize>,
    is_over_limit: bool,
}

impl PolkitRequest {
    fn begin(count: &Arc<AtomicUsize>) -> PolkitRequest {
        PolkitRequest {
            is_over_limit: count.fetch_add(1, Ordering::Relaxed) >= MAX_POLKIT_REQUESTS,
            count: Arc::clone(count),
        }
    }
}

impl Drop for PolkitRequest {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
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

/// Returns the error for the client, with libvirt's codes and texts (DM-1003).
fn polkit_error(answer: &Authorization, action: PolkitAction) -> RemoteError {
    let domain = ErrorDomain::POLKIT;
    let no_agent = format!(
        "no polkit agent available to authenticate action '{}'",
        action.id()
    );
    let (code, template, detail) = match answer {
        Authorization::Dismissed => (
            ErrorCode::AUTH_CANCELLED,
            "authentication cancelled: %s",
            "user cancelled authentication process",
        ),
        Authorization::NoAgent => (
            ErrorCode::AUTH_UNAVAILABLE,
            "authentication unavailable: %s",
            &no_agent[..],
        ),
        Authorization::Denied => (
            ErrorCode::AUTH_FAILED,
            "authentication failed: %s",
            "access denied by policy",
        ),
        // Not AUTH_FAILED, because virsh would retry five times.
        Authorization::Granted | Authorization::Failed(_) => (
            ErrorCode::INTERNAL_ERROR,
            "internal error: %s",
            "polkit gave no decision; the log of the daemon contains the cause",
        ),
    };
    RemoteError::new(code, domain, template, detail)
}
