//! What the daemon does with one client, as far as the simulator stands in for it: it calls when something is
//! ready or due, and closes. Everything that is decided on the way is decided by `flow` and
//! `session`.

use crate::books::Look;
use crate::claims::claim;
use crate::link::{Failure, Line, verdict};
use crate::workers::Job;
use crate::world::{Live, World, note};
use eventry::{Events, Time};
use eventryd::flow::{self, End, News};
use eventryd::server::Dispatcher;
use eventryd::session::{Expiry, Session, Ticket};
use eventryd::worker_pool::JobPriority;

impl World {
    pub(crate) fn schedule(&mut self, id: u64) {
        let live = self.live.get_mut(&id).expect("it is live");
        let next = flow::next_call(&live.session);
        live.scheduled = self.agenda.schedule(id, live.scheduled, next);
        if let Some(at) = self.agenda.arm() {
            self.timer = Some(at);
        }
    }

    /// What the connection of a client is ready for.
    pub(crate) fn ready(&self, id: u64) -> Events {
        let live = &self.live[&id];
        let client = &self.clients[live.who];
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
        if live.served.fails {
            ready |= Events::ERROR;
        }
        ready
    }

    pub(crate) fn serve_somebody(&mut self) {
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
        self.with(id, |session, line, now| {
            flow::exchange(session, line, events, now)
        });
    }

    /// The timer fires, if it is its time; whether it did.
    pub(crate) fn fire(&mut self) -> bool {
        if self.timer.is_none_or(|timer| self.now < timer) {
            return false;
        }
        for id in self.agenda.due(self.now) {
            note!(self, "{id} is due");
            if let Some(live) = self.live.get_mut(&id) {
                live.scheduled = None;
                self.with(id, |session, line, now| flow::on_time(session, line, now));
            }
        }
        self.timer = self.agenda.rearm();
        true
    }

    /// Answers calls that workers have carried out; whether there were any.
    pub(crate) fn complete(&mut self) -> bool {
        let mut finished = self.shared.staff.take_finished().into_iter().peekable();
        let any = finished.peek().is_some();
        while let Some(id) = finished.peek().map(|call| call.client) {
            let calls: Vec<_> =
                std::iter::from_fn(|| finished.next_if(|call| call.client == id)).collect();
            note!(self, "{} calls of {id} are over", calls.len());
            if !self.live.contains_key(&id) {
                self.shared.met.dropped_answers += calls.len();
                continue;
            }
            self.with(id, |session, line, now| {
                session.tell_time(now);
                for call in calls {
                    line.shared.met.answered += 1;
                    line.client.books.complete(call.serial);
                    line.reply(session, call.ticket, call.outcome);
                    line.client.books.look(session.output());
                }
                flow::exchange(session, line, Events::NONE, now)
            });
        }
        self.stop_if_over();
        any
    }

    /// Polkit has decided.
    pub(crate) fn decide(&mut self, (id, ticket, serial): (u64, Ticket, u32)) {
        note!(self, "polkit decides on {id}");
        self.with(id, |session, line, now| {
            let result = verdict(line.client, serial);
            line.client.books.complete(serial);
            flow::authenticate(session, line, (ticket, result), now)
        });
    }

    /// Does something with a client, and then waits for what its session waits for, or closes it.
    pub(crate) fn with(
        &mut self,
        id: u64,
        act: impl FnOnce(&mut Session, &mut Line<'_>, Time) -> Result<(), End<Failure>>,
    ) {
        let Some(mut live) = self.live.remove(&id) else {
            return;
        };
        let client = &mut self.clients[live.who];
        client.books.silence.now = self.now;
        let was_waiting = client.books.is_waiting;
        let (served, shared) = (&mut live.served, &mut self.shared);
        let before = client.books.delivered;
        let mut line = Line {
            client,
            served,
            shared,
        };
        let exchanged = act(&mut live.session, &mut line, self.now);
        let session = &live.session;
        if live.is_anonymous && !session.is_anonymous() {
            live.is_anonymous = false;
            claim!(
                client.books.standing.is_known && live.served.handshake == 0,
                "DM-1003",
                "client {} is known, and has not said who it is",
                client.id
            );
        }
        match live
            .served
            .standing
            .news(session, live.served.handshake == 0)
        {
            None => {}
            Some(News::Further { waits_for_us }) => {
                self.admission.places.progressed(self.now, id, waits_for_us);
            }
            Some(News::Settled { .. }) => {
                live.is_stranger = false;
                self.admission.places.settled(id);
                if self.admission.places.waiting() > 0 {
                    self.fill_at = Some(self.now);
                }
            }
        }
        if let Some((ticket, serial)) = live.served.question.take() {
            self.questions.push((id, ticket, serial));
        }
        if let Err(end) = exchanged {
            note!(self, "{id} is closed: {end}, {:?}", live.served.expired);
            self.check_end(&live, &end);
            return self.close(id, live);
        }
        let look = Look {
            has_more: session.has_more(),
            wants_read: session.wants_read(),
            unsent: session.output().len(),
        };
        client.books.check(look);
        let met = &mut self.shared.met;
        met.ping_while_throttled += usize::from(was_waiting && client.books.delivered > before);
        met.turn_over += usize::from(look.has_more);
        met.full_output += usize::from(!look.wants_read && client.books.is_full(look.unsent));
        live.interest = flow::interest(session, false);
        self.live.insert(id, live);
        self.schedule(id);
    }

    pub(crate) fn close(&mut self, id: u64, mut live: Live) {
        let dispatcher = live.served.dispatcher.take();
        if let Some(connection) = dispatcher
            .and_then(Dispatcher::close)
            .filter(|own| own.may_block())
        {
            let (staff, rng) = (&mut self.shared.staff, &mut self.shared.rng);
            // Without a worker it is dropped here.
            staff.submit(JobPriority::Normal, Job::Close(connection), rng);
        }
        self.agenda.forget(id, live.scheduled);
        self.admission.client_closed(id, live.peer);
        self.resting = [None; 4];
        self.fill_soon();
        let client = &mut self.clients[live.who];
        client.vanish();
        self.questions.retain(|(own, ..)| *own != id);
        self.stop_if_over();
    }

    /// Checks that a client is closed for a reason.
    fn check_end(&mut self, live: &Live, end: &End<Failure>) {
        let client = &self.clients[live.who];
        let (id, books, met) = (client.id, &client.books, &mut self.shared.met);
        let unsent = live.session.output().len();
        match (end, live.served.expired) {
            (End::Over, Some(Expiry::Dead { .. })) => {
                met.dead += 1;
                let is_full = books.is_full(unsent);
                books
                    .silence
                    .check_dead(id, client.to_server.len(), is_full);
                claim!(
                    !client.is_polite || !books.silence.is_pinged(),
                    "DM-905",
                    "client {id} answers every ping, and is taken for dead"
                );
            }
            (End::Over, Some(Expiry::Anonymous)) => {
                met.anonymous += 1;
                claim!(
                    live.is_anonymous,
                    "DM-603",
                    "client {id} has said who it is"
                );
                books.silence.check_anonymous(id);
            }
            (End::Over, Some(Expiry::Unfinished)) => {
                met.unfinished += 1;
                books.silence.check_unfinished(id);
            }
            (End::Over, Some(Expiry::Unread { unsent })) => {
                met.unread += 1;
                claim!(
                    books.is_too_much(unsent),
                    "DM-812",
                    "client {id} may leave {unsent} bytes unread"
                );
            }
            (End::Over, None) if books.is_breached => {}
            (End::Over | End::Denied, _) => {
                books.check_answered();
                let (standing, silence) = (&books.standing, &books.silence);
                claim!(
                    standing.is_over || books.input_is_over || silence.is_finishing,
                    "DM-809",
                    "client {id} has not ended the session"
                );
                let is_half_closed = !standing.is_over && !silence.is_finishing;
                claim!(
                    !is_half_closed || client.to_server.is_empty(),
                    "DM-809",
                    "client {id}: {} bytes before its end are not read",
                    client.to_server.len()
                );
                met.half_closed += usize::from(is_half_closed);
                met.denied += usize::from(*end == End::Denied);
                met.closed += usize::from(standing.is_over && *end == End::Over);
            }
            (End::PeerGone, _) => {
                met.peer_gone += 1;
                let is_gone = client.vanished || live.served.fails;
                claim!(is_gone, "DM-807", "client {id} is there");
            }
            (End::Failed(Failure::Reset), _) => met.resets += 1,
        }
    }
}
