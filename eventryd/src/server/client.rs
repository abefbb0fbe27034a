//! The progress of a client: inputs of its connection, the resulting actions, and its end.

use super::client_table::Client;
use super::completions::Completion;
use super::handle_call::CallOutcome;
use super::state::Server;
use crate::admission::Peer;
use crate::connection::{Action, CloseReason, Notice, ProgressChange, TransportError};
use crate::session::{AuthStep, Expiry, Request, Ticket};
use eventry::{HandleId, MonotonicTime};
use std::sync::Arc;
use std::{mem, thread};

impl Server {
    /// Applies an input to a client, and executes all resulting actions. Only the loop's thread calls this. Does
    /// nothing if the client is closed.
    pub(super) fn drive(&self, id: u64, input: impl FnOnce(&mut Client, MonotonicTime)) {
        let Some(mut client) = self.state.lock().clients.take(id) else {
            return;
        };
        let guard = DriveGuard {
            server: self,
            id,
            peer: client.peer,
            handle: client.handle,
            scheduled: client.scheduled,
        };
        let now = self.registry.now();
        input(&mut client, now);
        let closing = self.execute_actions(&mut client, now);
        mem::forget(guard);
        match closing {
            None => self.put_back(client),
            Some(reason) => {
                if client.connection.is_lingering() {
                    tracing::debug!("client {id} gone: {reason}");
                } else {
                    log_end(&client, &reason);
                }
                self.close(client);
            }
        }
    }

    /// Ends the session of a client whose connection drops input until the peer closes it. The client keeps its slot
    /// until another one needs it.
    fn linger(&self, client: &mut Client, reason: &CloseReason) {
        log_end(client, reason);
        self.authenticator.polkit().cancel(client.id);
        if let Some(session) = client.calls.close() {
            self.offload.close(session);
        }
        let mut state = self.state.lock();
        state.admission.clients.ended(client.id, client.peer);
        self.admit_soon(&state);
    }

    /// Closes a client that was taken out of the table.
    pub(super) fn close(&self, mut client: Box<Client>) {
        if let Some(session) = client.calls.close() {
            self.offload.close(session);
        }
        client.connection.close();
        self.unregister(client.id, client.peer, client.handle, client.scheduled);
    }

    fn unregister(&self, id: u64, peer: Peer, handle: HandleId, scheduled: Option<MonotonicTime>) {
        self.authenticator.polkit().cancel(id);
        // The descriptor is closed when the loop drops the callback.
        let _ = self.registry.remove_handle(handle);
        self.release_client(id, peer, scheduled);
    }

    /// Sets the interest and the deadline that the connection waits for.
    pub(super) fn put_back(&self, mut client: Box<Client>) {
        let watch = client.connection.watch();
        if watch.interest != client.registered_interest {
            client.registered_interest = watch.interest;
            let updated = self.registry.update_handle(client.handle, watch.interest);
            if let Err(error) = updated {
                tracing::error!("client {}: cannot watch its socket: {error}", client.id);
            }
        }
        let mut state = self.state.lock();
        let deadlines = &mut state.deadlines;
        client.scheduled = deadlines.schedule(client.id, client.scheduled, watch.deadline);
        if let Some(at) = deadlines.arm() {
            self.set_deadline_timeout(Some(at));
        }
        let without_slot = state.clients.put_back(client);
        drop(state);
        drop(without_slot);
    }

    /// Executes actions until there is none. Returns the reason to close the client, if it is to be closed.
    fn execute_actions(&self, client: &mut Client, now: MonotonicTime) -> Option<CloseReason> {
        let mut polkit = None;
        loop {
            match client.connection.next_action(now) {
                Some(Action::Dispatch(request)) => self.handle_call(client, request, now),
                Some(Action::Authenticate(request)) if request.step == AuthStep::Polkit => {
                    polkit = Some(request.ticket);
                }
                Some(Action::Authenticate(request)) => {
                    let auth = client.connection.auth_mut();
                    let result = self.authenticator.decide(client.id, auth, &request.step);
                    client.connection.authenticated(request.ticket, result, now);
                }
                Some(Action::Progress(change)) => self.record_progress(client, change, now),
                Some(Action::Log(notice)) => log(client, &notice),
                Some(Action::Linger(reason)) => self.linger(client, &reason),
                Some(Action::Close(reason)) => return Some(reason),
                // The request to polkit is last, so that no program is started for a closed client.
                None => match polkit.take() {
                    Some(ticket) => self.ask_polkit(client, ticket, now),
                    None => return None,
                },
            }
        }
    }

    /// Executes a call, or passes it to a worker.
    fn handle_call(&self, client: &mut Client, request: Request, now: MonotonicTime) {
        let Request {
            ticket,
            serial,
            call,
        } = request;
        let id = client.id;
        let call = client.calls.prepare(call);
        let name = call.procedure().name;
        let CallOutcome { result, opened } = if call.may_block() {
            tracing::debug!("client {id}: call {serial} {name} passed to a worker");
            match self.offload.submit(id, ticket, call) {
                None => return,
                Some(outcome) => outcome,
            }
        } else {
            call.run(now)
        };
        match &result {
            Ok(_) => tracing::debug!("client {id}: call {serial} {name}"),
            Err(error) => tracing::debug!("client {id}: call {serial} {name}: {error}"),
        }
        client.calls.keep(opened);
        client.connection.complete(ticket, result, now);
    }

    /// Sends a request to polkit on a new thread. If that is not possible, the client is answered at once.
    fn ask_polkit(&self, client: &mut Client, ticket: Ticket, now: MonotonicTime) {
        let id = client.id;
        let completions = Arc::clone(&self.completions);
        let then = move |result| {
            completions.push(Completion::Authentication {
                client: id,
                ticket,
                result,
            });
        };
        let access = client.connection.session().access();
        let identity = client.identity();
        if let Err(refused) = self.authenticator.polkit().ask(id, identity, access, then) {
            client.connection.authenticated(ticket, refused, now);
        }
    }

    fn record_progress(&self, client: &Client, change: ProgressChange, now: MonotonicTime) {
        let id = client.id;
        if change
            == (ProgressChange::Identified {
                was_anonymous: true,
            })
        {
            tracing::info!("client {id} authenticated: {}", client.identity());
        }
        let mut state = self.state.lock();
        let clients = &mut state.admission.clients;
        match change {
            ProgressChange::Spoke => clients.spoke(now, id),
            ProgressChange::Advanced { waits_for_daemon } => {
                return clients.progressed(now, id, waits_for_daemon);
            }
            ProgressChange::Identified { .. } => clients.identified(id),
        }
        self.admit_soon(&state);
    }

    /// Advances the clients whose deadline has passed.
    pub(super) fn on_deadlines(&self) {
        let now = self.registry.now();
        let due = self.state.lock().deadlines.due(now);
        for id in due {
            self.drive(id, |client, now| {
                client.scheduled = None;
                client.connection.on_deadline(now);
            });
        }
        let next = self.state.lock().deadlines.rearm();
        self.set_deadline_timeout(next);
    }

    /// Passes results to their clients, all results of one client in one turn.
    pub(super) fn on_completions(&self, completions: Vec<Completion>) {
        let is_call = |completion: &&Completion| matches!(completion, Completion::Call(_));
        let calls = completions.iter().filter(is_call).count();
        self.offload.completed(calls);
        let mut completions = completions.into_iter().peekable();
        while let Some(id) = completions.peek().map(Completion::client) {
            let mut of_client =
                std::iter::from_fn(|| completions.next_if(|next| next.client() == id));
            self.drive(id, |client, now| {
                for completion in &mut of_client {
                    client.record(completion, now);
                }
            });
            // The client may be closed.
            for completion in of_client {
                self.discard(completion);
            }
        }
        self.stop_if_over();
    }
}

impl Server {
    /// Drops the result for a closed client. An opened hypervisor session is dropped on a worker, if that may block.
    fn discard(&self, completion: Completion) {
        if let Completion::Call(call) = completion {
            if let Some(session) = call.outcome.opened {
                self.offload.close(session);
            }
        }
    }
}

impl Client {
    fn record(&mut self, completion: Completion, now: MonotonicTime) {
        match completion {
            Completion::Call(call) => {
                let CallOutcome { result, opened } = call.outcome;
                if let Err(error) = &result {
                    tracing::debug!("client {}: {}: {error}", self.id, call.procedure);
                }
                self.calls.keep(opened);
                self.connection.complete(call.ticket, result, now);
            }
            Completion::Authentication { ticket, result, .. } => {
                self.connection.authenticated(ticket, result, now);
            }
        }
    }
}

/// A guard that releases the slot of a client whose call panics on the loop's thread. Unwinding drops the
/// client.
struct DriveGuard<'a> {
    server: &'a Server,
    id: u64,
    peer: Peer,
    handle: HandleId,
    scheduled: Option<MonotonicTime>,
}

impl Drop for DriveGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let DriveGuard {
                server,
                id,
                peer,
                handle,
                scheduled,
            } = *self;
            server.unregister(id, peer, handle, scheduled);
        }
    }
}

fn log_end(client: &Client, reason: &CloseReason) {
    let (id, identity) = (client.id, client.identity());
    // At this level, so that the operator sees why a client cannot connect.
    if matches!(reason, CloseReason::Failed(TransportError::Tls(_))) {
        tracing::warn!("client {id} closed: {reason}; {identity}");
    } else {
        tracing::debug!("client {id} closed: {reason}; {identity}");
    }
}

fn log(client: &mut Client, notice: &Notice) {
    let id = client.id;
    match notice {
        Notice::Certificate(warning) => {
            tracing::warn!("client {id}: certificate accepted: {warning}");
        }
        Notice::Refused { header, refusal } => {
            let (serial, procedure) = (header.serial, header.procedure);
            if mem::replace(&mut client.refusal_logged, true) {
                tracing::debug!(
                    "client {id}: call of procedure {procedure} refused: {refusal} (serial {serial})"
                );
            } else {
                tracing::info!(
                    "client {id}: call of procedure {procedure} refused: {refusal} (serial {serial})"
                );
            }
        }
        Notice::Dropped { header, reason } => {
            let procedure = header.procedure;
            tracing::debug!("client {id}: message of procedure {procedure} dropped: {reason}");
        }
        Notice::Throttled { in_progress } => {
            tracing::warn!(
                "client {id} throttled: {in_progress} calls are in progress (max_client_requests)"
            );
        }
        Notice::Violation(violation) => {
            let identity = client.identity();
            tracing::warn!("client {id} broke the protocol: {violation}; closing; {identity}");
        }
        Notice::Expired(expiry @ Expiry::Dead { .. }) => tracing::info!("client {id}: {expiry}"),
        Notice::Expired(expiry) => {
            let identity = client.identity();
            tracing::warn!("client {id}: {expiry}; closing; {identity}");
        }
    }
}
