//! Who is let in: what the clients of one daemon are checked against, and what is known of each.

use super::{Config, DaemonError};
use crate::auth::{
    Action, AuthError, Authorization, Authorizer, Identity, Sasl, SaslConfig, SaslExchange,
    SaslProgress,
};
use crate::net::{LocalNames, Socket, start_time, subject};
use crate::session::{Access, Auth, AuthResult, AuthStep};
use crate::sync::Mutex;
use crate::wire::{ErrorCode, ErrorDomain, RemoteError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How many questions to polkit may wait for their answers. Each has a thread and a program, and may last
/// as long as a user thinks; so they are not the workers' business, who would be used up by them.
const MAX_QUESTIONS: usize = 32;

/// How long polkit may take if clients may take as long as they like.
const PATIENCE: Duration = Duration::from_secs(300);

/// What clients are checked against.
#[derive(Debug)]
pub(super) struct Gate {
    /// As last read; not there if no service asks for SASL.
    sasl: Mutex<Option<Arc<Sasl>>>,
    authorizer: Arc<dyn Authorizer>,
    patience: Duration,
    questions: Arc<AtomicUsize>,
    names: Mutex<LocalNames>,
}

/// What is known of one client.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    exchange: SaslExchange,
}

impl Gate {
    /// Reads and finds whatever the services need.
    ///
    /// # Errors
    /// [`DaemonError::Config`] and [`DaemonError::Auth`], if somebody could not be authenticated as asked.
    pub(super) fn new(config: &Config) -> Result<Gate, DaemonError> {
        let mut schemes = vec![config.auth_unix_rw, config.auth_unix_ro];
        if let Some(tcp) = &config.tcp {
            check_plain_tcp(tcp.auth)?;
            schemes.push(tcp.auth);
        }
        if let Some(tls) = &config.tls {
            check_tls(tls.auth)?;
            schemes.push(tls.auth);
        }
        let gate = Gate {
            sasl: Mutex::new(None),
            authorizer: Arc::clone(&config.authorizer),
            patience: if config.auth_timeout.is_zero() {
                PATIENCE
            } else {
                config.auth_timeout
            },
            questions: Arc::default(),
            names: Mutex::default(),
        };
        if schemes.contains(&Auth::Sasl) {
            let sasl = Sasl::load(&config.sasl).map_err(DaemonError::Auth)?;
            if sasl.users() == 0 {
                tracing::warn!(
                    "{} has no users: nobody can log in; `eventryd passwd` adds one",
                    config.sasl.password_file.display()
                );
            }
            *gate.sasl.lock() = Some(Arc::new(sasl));
        }
        if schemes.contains(&Auth::Polkit) {
            gate.authorizer.check().map_err(DaemonError::Auth)?;
        }
        Ok(gate)
    }

    /// Reads whom SASL lets in anew, if anybody asks for SASL. What cannot be read changes nothing.
    pub(super) fn apply(&self, config: &SaslConfig) -> Result<(), AuthError> {
        let is_needed = self.sasl.lock().is_some();
        if is_needed {
            let sasl = Sasl::load(config)?;
            *self.sasl.lock() = Some(Arc::new(sasl));
        }
        Ok(())
    }

    /// What is known of a client when it is accepted. The start of its process matters to polkit only.
    pub(super) fn enter(&self, socket: &Socket, auth: Auth) -> Entry {
        let process = socket.unix_peer().map(|mut peer| {
            self.names.lock().add_to(&mut peer);
            if auth == Auth::Polkit {
                peer.start_time = start_time(&peer);
            }
            peer
        });
        Entry {
            identity: Identity {
                process,
                address: socket.remote_address().map(Box::new),
                ..Identity::default()
            },
            exchange: SaslExchange::default(),
        }
    }

    /// Decides a step of SASL of the client `id`.
    pub(super) fn decide(&self, id: u64, entry: &mut Entry, step: &AuthStep) -> AuthResult {
        let sasl = self.sasl.lock().clone();
        let nonce = Sasl::nonce().inspect_err(|error| tracing::error!("client {id}: {error}"));
        let (Some(sasl), Ok(nonce)) = (sasl, nonce) else {
            return AuthResult::Failed(RemoteError::authentication_failed());
        };
        let Some(progress) = step.by_sasl(&mut entry.exchange, &sasl, &nonce) else {
            return AuthResult::Failed(RemoteError::authentication_failed());
        };
        match &progress {
            Ok(SaslProgress::Continue(_)) => {}
            Ok(SaslProgress::Complete { user, .. }) => {
                entry.identity.authenticated_mut().sasl_user = Some(user.as_str().into());
            }
            Err(error) => {
                let identity = &entry.identity;
                tracing::warn!("client {id} failed to authenticate: {error}; {identity}");
            }
        }
        AuthResult::from(progress)
    }

    /// Asks polkit on a thread of its own, which tells `then` the answer.
    ///
    /// # Errors
    /// What to answer at once, because nobody can be asked; `then` is not called.
    pub(super) fn ask(
        &self,
        id: u64,
        entry: &Entry,
        access: Access,
        then: impl FnOnce(AuthResult) + Send + 'static,
    ) -> Result<(), AuthResult> {
        let action = match access {
            Access::ReadWrite => Action::Manage,
            Access::ReadOnly => Action::Monitor,
        };
        let identity = entry.identity.clone();
        let fail = move |answer: Authorization| {
            tracing::warn!("client {id} failed to authenticate: polkit: {answer:?}; {identity}");
            AuthResult::Failed(polkit_error(&answer, action))
        };
        let peer = entry.identity.process.as_ref();
        let Some(subject) = peer.and_then(subject) else {
            return Err(fail(Authorization::Failed(
                "the client's process is gone, or is not what it was".into(),
            )));
        };
        let question = Question::begin(&self.questions);
        if question.is_one_too_many {
            return Err(fail(Authorization::Failed("too many clients ask".into())));
        }
        let (authorizer, patience) = (Arc::clone(&self.authorizer), self.patience);
        let fail_later = fail.clone();
        let asking = thread::Builder::new()
            .name("polkit".to_owned())
            .spawn(move || {
                let answer = authorizer.authorize(subject, action, patience);
                drop(question);
                then(match answer {
                    Authorization::Granted => AuthResult::Complete(None),
                    other => fail_later(other),
                });
            });
        let failed = |error| fail(Authorization::Failed(format!("no thread: {error}")));
        asking.map(drop).map_err(failed)
    }
}

/// A question that waits for its answer; counted as long as it lives.
struct Question {
    count: Arc<AtomicUsize>,
    is_one_too_many: bool,
}

impl Question {
    fn begin(count: &Arc<AtomicUsize>) -> Question {
        Question {
            is_one_too_many: count.fetch_add(1, Ordering::Relaxed) >= MAX_QUESTIONS,
            count: Arc::clone(count),
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What cannot work over TLS is refused at the start too.
fn check_tls(auth: Auth) -> Result<(), DaemonError> {
    match auth {
        Auth::None | Auth::Sasl => Ok(()),
        Auth::Polkit => check_plain_tcp(auth),
    }
}

/// What cannot work without encryption is refused at the start, not when clients fail to log in.
fn check_plain_tcp(auth: Auth) -> Result<(), DaemonError> {
    let why = match auth {
        Auth::None => return Ok(()),
        Auth::Sasl => {
            "SASL cannot be used on plain TCP: libvirt's clients want SASL itself to encrypt there, \
             which SCRAM-SHA-256 does not; use TLS with SASL, or a Unix socket"
        }
        Auth::Polkit => {
            "polkit cannot be used on TCP: it decides about processes of this machine; use TLS with \
             client certificates, or SASL within TLS"
        }
    };
    Err(DaemonError::Config(why.to_owned()))
}

/// What the client is told, with libvirt's codes and texts (DM-1003).
fn polkit_error(answer: &Authorization, action: Action) -> RemoteError {
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
        // Not a failure to authenticate: virsh would try that again five times.
        Authorization::Granted | Authorization::Failed(_) => (
            ErrorCode::INTERNAL_ERROR,
            "internal error: %s",
            "polkit cannot be asked; the log of the daemon says why",
        ),
    };
    RemoteError::new(code, domain, template, detail)
}
