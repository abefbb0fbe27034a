//! Simulated handling of one client: inputs when its connection is ready or its deadline is due, the actions that
//! follow, and the close. The decisions are those of `Connection` and `Session`.

use crate::claims::claim;
use crate::ledger::Observation;
use crate::message::Kind;
use crate::workers::Job;
use crate::world::{ServedClient, World, trace};
use eventry::{Events, MonotonicTime};
use eventryd::auth::Nonce;
use eventryd::connection::{Action, CloseReason, Notice, ProgressChange};
use eventryd::server::CallOutcome;
use eventryd::session::{AuthRequest, AuthResult, AuthStep, Expiry, Request, Ticket};
use eventryd::wire::{ErrorDomain, Priority, RemoteError};
use eventryd::worker_pool::JobPriority;
use std::rc::Rc;

use crate::wire;

impl World {
    pub(crate) fn schedule(&mut self, id: u64) {
        let served = self.served.get_mut(&id).expect("the client is served");
        let next = served.connection.watch().deadline;
        served.scheduled = self.deadlines.schedule(id, served.scheduled, next);
        if let Some(at) = self.deadlines.arm() {
            self.timer = Some(at);
        }
    }

    /// Returns the events that the connection of a client is ready for.
    pub(crate) fn ready(&self, id: u64) -> Events {
        let served = &self.served[&id];
        let client = self.clients[served.client_index].borrow();
        let mut ready = Events::NONE;
        if !client.to_server.is_empty() || client.eof || client.is_disconnected {
            ready |= served.interest & Events::READABLE;
        }
        if client.from_server.len() < client.capacity || client.is_disconnected {
            ready |= served.interest & Events::WRITABLE;
        }
        if client.is_disconnected {
            ready |= Events::HANGUP;
        }
        if client.is_broken {
            ready |= Events::ERROR;
        }
        ready
    }

    pub(crate) fn serve_one(&mut self) {
        let ids: Vec<u64> = self.served.keys().copied().collect();
        let ready: Vec<u64> = ids
            .into_iter()
            .filter(|id| self.ready(*id) != Events::NONE)
            .collect();
        if !ready.is_empty() {
            let id = ready[self.rng.below(ready.len())];
            self.serve(id);
        }
    }

    /// Handles the readiness of a connection.
    pub(crate) fn serve(&mut self, id: u64) {
        let events = self.ready(id);
        trace!(self, "client {id} is ready for {events:?}");
        self.drive(id, |served, now| served.connection.on_ready(events, now));
    }

    /// Fires the timer, if it is due; returns `true` if it was.
    pub(crate) fn fire(&mut self) -> bool {
        if self.timer.is_none_or(|timer| self.now < timer) {
            return false;
        }
        for id in self.deadlines.due(self.now) {
            trace!(self, "the deadline of client {id} is due");
            self.drive(id, |served, now| {
                served.scheduled = None;
                served.connection.on_deadline(now);
            });
        }
        self.timer = self.deadlines.rearm();
        true
    }

    /// Answers calls that workers have executed; returns `true` if there were any.
    pub(crate) fn complete(&mut self) -> bool {
        let completed = self.shared.borrow_mut().pool.take_completed();
        let mut completed = completed.into_iter().peekable();
        let any = completed.peek().is_some();
        while let Some(id) = completed.peek().map(|call| call.client) {
            let calls: Vec<_> =
                std::iter::from_fn(|| completed.next_if(|call| call.client == id)).collect();
            trace!(self, "{} calls of client {id} are complete", calls.len());
            if !self.served.contains_key(&id) {
                self.shared.borrow_mut().counts.dropped_replies += calls.len();
                continue;
            }
            let shared = Rc::clone(&self.shared);
            self.drive(id, |served, now| {
                for call in calls {
                    shared.borrow_mut().counts.answered += 1;
                    served.client.borrow_mut().ledger.complete(call.serial);
                    served.complete(call.ticket, call.outcome, now);
                    served.read_output();
                }
            });
        }
        self.stop_if_over();
        any
    }

    /// Completes a polkit authentication.
    pub(crate) fn complete_polkit(&mut self, (id, ticket, serial): (u64, Ticket, u32)) {
        trace!(self, "polkit decides about client {id}");
        self.drive(id, |served, now| {
            let ledger = &mut served.client.borrow_mut().ledger;
            let result = match ledger.kind_of(serial) {
                Some(Kind::Polkit { granted: true }) => AuthResult::Complete(None),
                _ => AuthResult::Failed(RemoteError::authentication_failed()),
            };
            ledger.complete(serial);
            served.connection.authenticated(ticket, result, now);
        });
    }

    /// Applies an input to a client and executes the actions that follow, as the server does.
    pub(crate) fn drive(&mut self, id: u64, input: impl FnOnce(&mut ServedClient, MonotonicTime)) {
        let Some(mut served) = self.served.remove(&id) else {
            return;
        };
        let client = Rc::clone(&served.client);
        client.borrow_mut().ledger.keepalive.now = self.now;
        let was_waiting = client.borrow().ledger.is_waiting;
        let before = client.borrow().ledger.delivered;
        input(&mut served, self.now);
        let closing = self.execute_actions(id, &mut served);
        let session = served.connection.session();
        if served.is_anonymous && !session.is_anonymous() {
            served.is_anonymous = false;
            let client = client.borrow();
            claim!(
                client.ledger.session.is_authenticated && client.handshake == 0,
                "DM-1003",
                "client {} is authenticated without a valid login",
                client.id
            );
        }
        if let Some(reason) = closing {
            trace!(
                self,
                "client {id} is closed: {reason}, {:?}", served.expired
            );
            self.check_end(&served, &reason);
            return self.close(id, served);
        }
        let observed = Observation {
            has_more: session.has_more(),
            wants_read: session.wants_read(),
            unsent: session.output().len(),
        };
        client.borrow_mut().ledger.check(observed);
        let was_read = client.borrow().ledger.delivered > before;
        let is_full = client.borrow().ledger.is_full(observed.unsent);
        let mut shared = self.shared.borrow_mut();
        shared.counts.ping_while_throttled += usize::from(was_waiting && was_read);
        shared.counts.turn_over += usize::from(observed.has_more);
        shared.counts.full_output += usize::from(!observed.wants_read && is_full);
        drop(shared);
        served.interest = served.connection.watch().interest;
        self.served.insert(id, served);
        self.schedule(id);
    }

    /// Executes actions until there is none. Returns the reason to close the client, if it is to be closed.
    fn execute_actions(&mut self, id: u64, served: &mut ServedClient) -> Option<CloseReason> {
        let mut polkit = None;
        while let Some(action) = served.connection.next_action(self.now) {
            served.read_output();
            match action {
                Action::Dispatch(request) => self.handle_call(id, served, request),
                Action::Authenticate(request) => {
                    let serial = request.serial;
                    served.client.borrow_mut().ledger.dispatch(serial);
                    if request.step == AuthStep::Polkit {
                        polkit = Some((id, request.ticket, serial));
                    } else {
                        self.authenticate(served, &request);
                    }
                }
                Action::Progress(change) => self.record_progress(id, served, change),
                Action::Log(notice) => self.record(served, &notice),
                Action::Linger(reason) => panic!("client {id} lingers: {reason}"),
                Action::Close(reason) => {
                    self.polkit_requests.extend(polkit);
                    return Some(reason);
                }
            }
        }
        self.polkit_requests.extend(polkit);
        None
    }

    fn authenticate(&mut self, served: &mut ServedClient, request: &AuthRequest) {
        let shared = &mut *self.shared.borrow_mut();
        let nonce = Nonce::from_random(std::array::from_fn(|_| {
            u8::try_from(shared.rng.below(256)).expect("a byte")
        }));
        let exchange = &mut served.connection.auth_mut().exchange;
        let progress = request.step.by_sasl(exchange, &shared.sasl, &nonce);
        let result = AuthResult::from(progress.expect("a step of SASL"));
        served.client.borrow_mut().ledger.complete(request.serial);
        served
            .connection
            .authenticated(request.ticket, result, self.now);
    }

    fn handle_call(&mut self, id: u64, served: &mut ServedClient, request: Request) {
        let Request {
            ticket,
            serial,
            call,
        } = request;
        served.client.borrow_mut().ledger.dispatch(serial);
        let call = served.calls.prepare(call);
        let outcome = if call.may_block() {
            let priority = match call.procedure().priority {
                Priority::High => JobPriority::High,
                Priority::Normal => JobPriority::Normal,
            };
            let job = Job::Call {
                client: id,
                ticket,
                serial,
                call,
            };
            let shared = &mut *self.shared.borrow_mut();
            if shared.pool.submit(priority, job, &mut shared.rng) {
                return;
            }
            shared.counts.no_worker += 1;
            served.client.borrow_mut().ledger.fail(serial);
            let error = RemoteError::internal(ErrorDomain::RPC, "there is no worker");
            CallOutcome::failed(error)
        } else {
            call.run(self.now)
        };
        served.client.borrow_mut().ledger.complete(serial);
        served.complete(ticket, outcome, self.now);
    }

    fn record_progress(&mut self, id: u64, served: &mut ServedClient, change: ProgressChange) {
        match change {
            // In the simulator a waiting client has no connection yet.
            ProgressChange::Spoke => panic!("client {id} does not wait"),
            ProgressChange::Advanced { waits_for_daemon } => {
                let clients = &mut self.admission.clients;
                clients.progressed(self.now, id, waits_for_daemon);
            }
            ProgressChange::Identified { .. } => {
                served.is_unidentified = false;
                self.admission.clients.identified(id);
                if self.admission.clients.waiting() > 0 {
                    self.admit_at = Some(self.now);
                }
            }
        }
    }

    fn record(&mut self, served: &mut ServedClient, notice: &Notice) {
        let counts = &mut self.shared.borrow_mut().counts;
        let ledger = &mut served.client.borrow_mut().ledger;
        match notice {
            Notice::Certificate(warning) => panic!("{warning}"),
            Notice::Refused { header, .. } => {
                counts.refused += 1;
                ledger.refused(header.serial);
            }
            Notice::Dropped { header, .. } => {
                ledger.drop_message(header.program == wire::KEEPALIVE, header.serial);
            }
            Notice::Throttled { .. } => counts.throttled += 1,
            Notice::Violation(_) => {
                counts.violations += 1;
                ledger.record_violation();
            }
            Notice::Expired(expiry) => served.expired = Some(*expiry),
        }
    }

    pub(crate) fn close(&mut self, id: u64, mut served: ServedClient) {
        let session = served.calls.close();
        if let Some(session) = session.filter(|session| session.may_block()) {
            let shared = &mut *self.shared.borrow_mut();
            // Without a worker the session is dropped here.
            let job = Job::Close(session);
            shared
                .pool
                .submit(JobPriority::Normal, job, &mut shared.rng);
        }
        served.connection.close();
        self.deadlines.forget(id, served.scheduled);
        self.admission.client_closed(id, served.peer);
        self.suspended_until = [None; 4];
        self.admit_soon();
        served.client.borrow_mut().disconnect();
        self.polkit_requests.retain(|(own, ..)| *own != id);
        self.stop_if_over();
    }

    /// Checks that the reason to close a client is valid.
    fn check_end(&mut self, served: &ServedClient, reason: &CloseReason) {
        let (client, shared) = (served.client.borrow(), &mut *self.shared.borrow_mut());
        let (id, ledger, counts) = (client.id, &client.ledger, &mut shared.counts);
        let unsent = served.connection.session().output().len();
        match (reason, served.expired) {
            (CloseReason::Over, Some(Expiry::Dead { .. })) => {
                counts.dead += 1;
                let is_full = ledger.is_full(unsent);
                ledger
                    .keepalive
                    .check_dead(id, client.to_server.len(), is_full);
                claim!(
                    !client.is_cooperative || !ledger.keepalive.sends_pings(),
                    "DM-905",
                    "client {id} is closed by keepalive although it answers every ping"
                );
            }
            (CloseReason::Over, Some(Expiry::Anonymous)) => {
                counts.auth_timeouts += 1;
                claim!(
                    served.is_anonymous,
                    "DM-603",
                    "client {id} is closed as anonymous although it is authenticated"
                );
                ledger.keepalive.check_anonymous(id);
            }
            (CloseReason::Over, Some(Expiry::Handshake { .. })) => {
                counts.handshake_timeouts += 1;
                ledger.keepalive.check_handshake(id, client.handshake > 0);
            }
            (CloseReason::Over, Some(Expiry::Unfinished)) => {
                counts.unfinished += 1;
                ledger.keepalive.check_unfinished(id);
            }
            (CloseReason::Over, Some(Expiry::Unread { unsent })) => {
                counts.unread += 1;
                claim!(
                    ledger.exceeds_max_tx_bytes(unsent),
                    "DM-812",
                    "client {id} is closed with only {unsent} bytes unread"
                );
            }
            (CloseReason::Over, None) if ledger.has_violation => {}
            (CloseReason::Over | CloseReason::Denied, _) => {
                ledger.check_answered();
                let (session, keepalive) = (&ledger.session, &ledger.keepalive);
                claim!(
                    session.has_ended || ledger.input_ended || keepalive.is_draining,
                    "DM-809",
                    "client {id} is closed although its session has not ended"
                );
                let is_half_closed = !session.has_ended && !keepalive.is_draining;
                claim!(
                    !is_half_closed || client.to_server.is_empty(),
                    "DM-809",
                    "client {id}: {} bytes before the half-close are not read",
                    client.to_server.len()
                );
                let is_denied = matches!(reason, CloseReason::Denied);
                counts.half_closed += usize::from(is_half_closed);
                counts.denied += usize::from(is_denied);
                counts.closed += usize::from(session.has_ended && !is_denied);
            }
            (CloseReason::PeerGone, _) => {
                counts.peer_gone += 1;
                let is_gone = client.is_disconnected || client.is_broken;
                claim!(is_gone, "DM-807", "client {id} is connected");
            }
            (CloseReason::Failed(_), _) => counts.resets += 1,
            (CloseReason::LingerOver, _) => panic!("client {id} lingers"),
        }
    }
}

impl ServedClient {
    /// Lets the ledger read the output of the session.
    fn read_output(&self) {
        let output = self.connection.session().output();
        self.client.borrow_mut().ledger.read_output(output);
    }

    fn complete(&mut self, ticket: Ticket, outcome: CallOutcome, now: MonotonicTime) {
        self.calls.keep(outcome.opened);
        self.connection.complete(ticket, outcome.result, now);
    }
}
