//! Running requests to polkit: their threads, limits and cancellation.

use super::config::Config;
use super::polkit_requests::PolkitRequests;
use crate::auth::{Authorization, Authorizer, Cancellation, Identity, PolkitAction};
use crate::net::polkit_subject;
use crate::session::{Access, AuthResult};
use crate::sync::{Condvar, Mutex};
use crate::wire::{ErrorCode, ErrorDomain, RemoteError};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The timeout of polkit if `eventry_auth_timeout` is 0.
const POLKIT_TIMEOUT: Duration = Duration::from_secs(300);

/// The longest wait for cancelled requests at the end of the daemon.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The requests to polkit of all clients. Each has a thread, because it waits for the answer of a user and would block
/// a worker for a long time.
#[derive(Debug)]
pub(super) struct Polkit {
    authorizer: Arc<dyn Authorizer>,
    timeout: Mutex<Duration>,
    requests: Arc<Requests>,
}

#[derive(Debug)]
struct Requests {
    running: Mutex<Running>,
    /// Notified when a request ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Running {
    by_user: PolkitRequests,
    /// By client, which has one request at most.
    cancellations: HashMap<u64, Arc<Cancellation>>,
    /// True once the daemon ends.
    is_over: bool,
}

/// A running request, which is counted until it is dropped.
struct RunningRequest {
    client: u64,
    uid: u32,
    cancellation: Arc<Cancellation>,
    requests: Arc<Requests>,
}

impl Polkit {
    pub(super) fn new(config: &Config) -> Polkit {
        Polkit {
            authorizer: Arc::clone(&config.authorizer),
            timeout: Mutex::new(polkit_timeout(config)),
            requests: Arc::new(Requests {
                running: Mutex::default(),
                ended: Condvar::new(),
            }),
        }
    }

    /// Sets the timeout of new requests.
    pub(super) fn set_timeout(&self, timeout: Duration) {
        *self.timeout.lock() = timeout;
    }

    /// Sends a request on a new thread, which passes the answer to `then` unless the request is cancelled.
    ///
    /// # Errors
    /// The answer, if the request is not possible; `then` is not called.
    pub(super) fn ask(
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
            tracing::warn!("client {id} failed to authenticate: polkit: {answer}; {identity}");
            AuthResult::Failed(polkit_error(&answer, action))
        };
        let Some(subject) = subject else {
            return Err(fail(Authorization::Failed(
                "the client's process has exited or changed its user".into(),
            )));
        };
        let Some(request) = RunningRequest::begin(&self.requests, id, subject.uid) else {
            let text = "too many clients of its user wait for polkit";
            return Err(fail(Authorization::Failed(text.into())));
        };
        let (authorizer, timeout) = (Arc::clone(&self.authorizer), *self.timeout.lock());
        let fail_later = fail.clone();
        let asking = thread::Builder::new()
            .name("polkit".to_owned())
            .spawn(move || {
                let cancellation = Arc::clone(&request.cancellation);
                let answer = authorizer.authorize(subject, action, timeout, &cancellation);
                drop(request);
                match answer {
                    _ if cancellation.is_cancelled() => {
                        tracing::debug!("client {id}: request to polkit cancelled");
                    }
                    Authorization::Granted => then(AuthResult::Complete(None)),
                    other => then(fail_later(other)),
                }
            });
        let failed = |error| fail(Authorization::Failed(format!("no thread: {error}")));
        asking.map(drop).map_err(failed)
    }

    /// Cancels the request of a client whose session is over, if it has one.
    pub(super) fn cancel(&self, client: u64) {
        let running = self.requests.running.lock();
        let cancellation = running.cancellations.get(&client).cloned();
        drop(running);
        if let Some(cancellation) = cancellation {
            cancellation.cancel();
        }
    }

    /// Cancels all requests, accepts no more, and waits briefly until they have ended.
    pub(super) fn end(&self) {
        let mut running = self.requests.running.lock();
        running.is_over = true;
        let cancellations: Vec<_> = running.cancellations.values().cloned().collect();
        drop(running);
        for cancellation in cancellations {
            cancellation.cancel();
        }
        let running = self.requests.running.lock();
        let is_running = |running: &mut Running| !running.by_user.is_empty();
        let ended = &self.requests.ended;
        drop(ended.wait_timeout_while(running, END_TIMEOUT, is_running));
    }
}

impl RunningRequest {
    /// Returns `None` if the user has too many requests, or the daemon ends.
    fn begin(requests: &Arc<Requests>, client: u64, uid: u32) -> Option<RunningRequest> {
        let mut running = requests.running.lock();
        if running.is_over || !running.by_user.try_begin(uid) {
            return None;
        }
        let cancellation = Arc::new(Cancellation::new());
        let of_client = Arc::clone(&cancellation);
        running.cancellations.insert(client, of_client);
        Some(RunningRequest {
            client,
            uid,
            cancellation,
            requests: Arc::clone(requests),
        })
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut running = self.requests.running.lock();
        running.by_user.end(self.uid);
        let ended = running.cancellations.remove(&self.client);
        drop(running);
        drop(ended);
        self.requests.ended.notify_all();
    }
}

/// Returns the timeout of a request to polkit.
pub(super) const fn polkit_timeout(config: &Config) -> Duration {
    if config.auth_timeout.is_zero() {
        POLKIT_TIMEOUT
    } else {
        config.auth_timeout
    }
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
