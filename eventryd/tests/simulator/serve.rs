//! The simulator's stand-in for the daemon's handling of one client: inputs when the client is ready or due, the
//! actions that follow, and the end. `Connection` and `Session` make the decisions.

use crate::claims::claim;
use crate::ledger::Look;
use crate::message::Kind;
use crate::workers::Job;
use crate::world::{Live, World, note};
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
        let live = self.live.get_mut(&id).expect("it is live");
        let next = live.connection.watch().deadline;
        live.scheduled = self.deadlines.schedule(id, live.scheduled, next);
        if let Some(at) = self.deadlines.arm() {
            self.timer = Some(at);
        }
    }

    /// Returns the events that the connection of a client is ready for.
    pub(crate) fn ready(&self, id: u64) -> Events {
        let live = &self.live[&id];
        let client = self.clients[live.who].borrow();
        let mut ready = Events::NONE;
        if !client.to_server.is_empty() || client.eof || client.vanished {
            ready |= live.interest & Events::READABLE;
        }
        if client.from_server.len() < client.room || client.vanished {
            ready |= live.interest & Events::WRITABLE;
        }
        if client.vanished {
            ready |= Events::HANGUP;
        }
        if client.is_broken {
            ready |= Events::ERROR;
        }
        ready
    }

    pub(crate) fn serve_one(&mut self) {
        let ids: Vec<u64> = self.live.keys().copied().collect();
        let ready: Vec<u64> = ids
            .into_iter()
            .filter(|id| self.ready(*id) != Events::NONE)
            .collect();
        if !ready.is_empty() {
            let id = ready[self.rng.below(ready.len())];
            self.serve(id);
        }
    }

    /// A connection is ready.
    pub(crate) fn serve(&mut self, id: u64) {
        let events = self.ready(id);
        note!(self, "{id} is ready for {events:?}");
        self.drive(id, |live, now| live.connection.on_ready(events, now));
    }

    /// Fires the timer, if it is due; returns `true` if it was.
    pub(crate) fn fire(&mut self) -> bool {
        if self.timer.is_none_or(|timer| self.now < timer) {
            return false;
        }
        for id in self.deadlines.due(self.now) {
            note!(self, "{id} is due");
            self.drive(id, |live, now| {
                live.scheduled = None;
                live.connection.on_deadline(now);
            });
        }
        self.timer = self.deadlines.rearm();
        true
    }

    /// Answers calls that workers have carried out; returns `true` if there were any.
    pub(crate) fn complete(&mut self) -> bool {
        let completed = self.shared.borrow_mut().staff.take_completed();
        let mut completed = completed.into_iter().peekable();
        let any = completed.peek().is_some();
        while let Some(id) = completed.peek().map(|call| call.client) {
            let calls: Vec<_> =
                std::iter::from_fn(|| completed.next_if(|call| call.client == id)).collect();
            note!(self, "{} calls of {id} are over", calls.len());
            if !self.live.contains_key(&id) {
                self.shared.borrow_mut().met.dropped_answers += calls.len();
                continue;
            }
            let shared = Rc::clone(&self.shared);
            self.drive(id, |live, now| {
                for call in calls {
                    shared.borrow_mut().met.answered += 1;
                    live.client.borrow_mut().ledger.complete(call.serial);
                    live.complete(call.ticket, call.outcome, now);
                    live.look();
                }
            });
        }
        self.stop_if_over();
        any
    }

    /// Polkit has decided.
    pub(crate) fn decide(&mut self, (id, ticket, serial): (u64, Ticket, u32)) {
        note!(self, "polkit decides on {id}");
        self.drive(id, |live, now| {
            let ledger = &mut live.client.borrow_mut().ledger;
            let result = match ledger.kind_of(serial) {
                Some(Kind::Polkit { granted: true }) => AuthResult::Complete(None),
                _ => AuthResult::Failed(RemoteError::authentication_failed()),
            };
            ledger.complete(serial);
            live.connection.authenticated(ticket, result, now);
        });
    }

    /// Applies an input to a client and carries out the actions that follow, as the server does.
    pub(crate) fn drive(&mut self, id: u64, input: impl FnOnce(&mut Live, MonotonicTime)) {
        let Some(mut live) = self.live.remove(&id) else {
            return;
        };
        let client = Rc::clone(&live.client);
        client.borrow_mut().ledger.keepalive.now = self.now;
        let was_waiting = client.borrow().ledger.is_waiting;
        let before = client.borrow().ledger.delivered;
        input(&mut live, self.now);
        let closing = self.carry_out_actions(id, &mut live);
        let session = live.connection.session();
        if live.is_anonymous && !session.is_anonymous() {
            live.is_anonymous = false;
            let client = client.borrow();
            claim!(
                client.ledger.standing.is_known && client.handshake == 0,
                "DM-1003",
                "client {} is authenticated without a proof",
                client.id
            );
        }
        if let Some(reason) = closing {
            note!(self, "{id} is closed: {reason}, {:?}", live.expired);
            self.check_end(&live, &reason);
            return self.close(id, live);
        }
        let look = Look {
            has_more: session.has_more(),
            wants_read: session.wants_read(),
            unsent: session.output().len(),
        };
        client.borrow_mut().ledger.check(look);
        let was_read = client.borrow().ledger.delivered > before;
        let is_full = client.borrow().ledger.is_full(look.unsent);
        let mut shared = self.shared.borrow_mut();
        shared.met.ping_while_throttled += usize::from(was_waiting && was_read);
        shared.met.turn_over += usize::from(look.has_more);
        shared.met.full_output += usize::from(!look.wants_read && is_full);
        drop(shared);
        live.interest = live.connection.watch().interest;
        self.live.insert(id, live);
        self.schedule(id);
    }

    /// Carries out actions until there is none. Returns the reason to close the client, if it is to be closed.
    fn carry_out_actions(&mut self, id: u64, live: &mut Live) -> Option<CloseReason> {
        let mut polkit = None;
        while let Some(action) = live.connection.next_action(self.now) {
            live.look();
            match action {
                Action::Dispatch(request) => self.handle_call(id, live, request),
                Action::Authenticate(request) => {
                    let serial = request.serial;
                    live.client.borrow_mut().ledger.hand_out(serial);
                    if request.step == AuthStep::Polkit {
                        polkit = Some((id, request.ticket, serial));
                    } else {
                        self.authenticate(live, &request);
                    }
                }
                Action::Progress(change) => self.record_progress(id, live, change),
                Action::Log(notice) => self.record(live, &notice),
                Action::Close(reason) => {
                    self.questions.extend(polkit);
                    return Some(reason);
                }
            }
        }
        self.questions.extend(polkit);
        None
    }

    fn authenticate(&mut self, live: &mut Live, request: &AuthRequest) {
        let shared = &mut *self.shared.borrow_mut();
        let nonce = Nonce::from_random(std::array::from_fn(|_| {
            u8::try_from(shared.rng.below(256)).expect("a byte")
        }));
        let exchange = &mut live.connection.auth_mut().exchange;
        let progress = request.step.by_sasl(exchange, &shared.sasl, &nonce);
        let result = AuthResult::from(progress.expect("it is no step of polkit"));
        live.client.borrow_mut().ledger.complete(request.serial);
        live.connection
            .authenticated(request.ticket, result, self.now);
    }

    fn handle_call(&mut self, id: u64, live: &mut Live, request: Request) {
        let Request {
            ticket,
            serial,
            call,
        } = request;
        live.client.borrow_mut().ledger.hand_out(serial);
        let call = live.calls.prepare(call);
        let outcome = if call.may_block() {
            let urgency = match call.procedure().priority {
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
            if shared.staff.submit(urgency, job, &mut shared.rng) {
                return;
            }
            shared.met.no_worker += 1;
            live.client.borrow_mut().ledger.fail(serial);
            let error = RemoteError::internal(ErrorDomain::RPC, "there is no worker");
            CallOutcome::failed(error)
        } else {
            call.run(self.now)
        };
        live.client.borrow_mut().ledger.complete(serial);
        live.complete(ticket, outcome, self.now);
    }

    fn record_progress(&mut self, id: u64, live: &mut Live, change: ProgressChange) {
        match change {
            // In the simulator a waiting client has no connection yet.
            ProgressChange::Spoke => panic!("{id} does not wait"),
            ProgressChange::Advanced { waits_for_daemon } => {
                let clients = &mut self.admission.clients;
                clients.progressed(self.now, id, waits_for_daemon);
            }
            ProgressChange::Identified { .. } => {
                live.is_unidentified = false;
                self.admission.clients.identified(id);
                if self.admission.clients.waiting() > 0 {
                    self.admit_at = Some(self.now);
                }
            }
        }
    }

    fn record(&mut self, live: &mut Live, notice: &Notice) {
        let met = &mut self.shared.borrow_mut().met;
        let ledger = &mut live.client.borrow_mut().ledger;
        match notice {
            Notice::Certificate(warning) => panic!("{warning}"),
            Notice::Refused { header, .. } => {
                met.refused += 1;
                ledger.refused(header.serial);
            }
            Notice::Dropped { header, .. } => {
                ledger.drop_message(header.program == wire::KEEPALIVE, header.serial);
            }
            Notice::Throttled { .. } => met.throttled += 1,
            Notice::Violation(_) => {
                met.violations += 1;
                ledger.end_by_violation();
            }
            Notice::Expired(expiry) => live.expired = Some(*expiry),
        }
    }

    pub(crate) fn close(&mut self, id: u64, mut live: Live) {
        let session = live.calls.close();
        if let Some(session) = session.filter(|session| session.may_block()) {
            let shared = &mut *self.shared.borrow_mut();
            // Without a worker it is dropped here.
            let job = Job::Close(session);
            shared
                .staff
                .submit(JobPriority::Normal, job, &mut shared.rng);
        }
        live.connection.close();
        self.deadlines.forget(id, live.scheduled);
        self.admission.client_closed(id, live.peer);
        self.resting = [None; 4];
        self.admit_soon();
        live.client.borrow_mut().vanish();
        self.questions.retain(|(own, ..)| *own != id);
        self.stop_if_over();
    }

    /// Checks that a client is closed for a reason.
    fn check_end(&mut self, live: &Live, reason: &CloseReason) {
        let (client, shared) = (live.client.borrow(), &mut *self.shared.borrow_mut());
        let (id, ledger, met) = (client.id, &client.ledger, &mut shared.met);
        let unsent = live.connection.session().output().len();
        match (reason, live.expired) {
            (CloseReason::Over, Some(Expiry::Dead { .. })) => {
                met.dead += 1;
                let is_full = ledger.is_full(unsent);
                ledger
                    .keepalive
                    .check_dead(id, client.to_server.len(), is_full);
                claim!(
                    !client.is_polite || !ledger.keepalive.is_pinged(),
                    "DM-905",
                    "client {id} answers every ping, and is taken for dead"
                );
            }
            (CloseReason::Over, Some(Expiry::Anonymous)) => {
                met.anonymous += 1;
                claim!(live.is_anonymous, "DM-603", "client {id} has authenticated");
                ledger.keepalive.check_anonymous(id);
            }
            (CloseReason::Over, Some(Expiry::Unfinished)) => {
                met.unfinished += 1;
                ledger.keepalive.check_unfinished(id);
            }
            (CloseReason::Over, Some(Expiry::Unread { unsent })) => {
                met.unread += 1;
                claim!(
                    ledger.is_too_much(unsent),
                    "DM-812",
                    "client {id} may leave {unsent} bytes unread"
                );
            }
            (CloseReason::Over, None) if ledger.is_breached => {}
            (CloseReason::Over | CloseReason::Denied, _) => {
                ledger.check_answered();
                let (standing, keepalive) = (&ledger.standing, &ledger.keepalive);
                claim!(
                    standing.is_over || ledger.input_is_over || keepalive.is_finishing,
                    "DM-809",
                    "client {id} has not ended the session"
                );
                let is_half_closed = !standing.is_over && !keepalive.is_finishing;
                claim!(
                    !is_half_closed || client.to_server.is_empty(),
                    "DM-809",
                    "client {id}: {} bytes before its end are not read",
                    client.to_server.len()
                );
                let is_denied = matches!(reason, CloseReason::Denied);
                met.half_closed += usize::from(is_half_closed);
                met.denied += usize::from(is_denied);
                met.closed += usize::from(standing.is_over && !is_denied);
            }
            (CloseReason::PeerGone, _) => {
                met.peer_gone += 1;
                let is_gone = client.vanished || client.is_broken;
                claim!(is_gone, "DM-807", "client {id} is there");
            }
            (CloseReason::Failed(_), _) => met.resets += 1,
        }
    }
}

impl Live {
    /// Shows the ledger what the session has put out.
    fn look(&self) {
        let output = self.connection.session().output();
        self.client.borrow_mut().ledger.look(output);
    }

    fn complete(&mut self, ticket: Ticket, outcome: CallOutcome, now: MonotonicTime) {
        self.calls.keep(outcome.opened);
        self.connection.complete(ticket, outcome.result, now);
    }
}
