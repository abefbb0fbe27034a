//! The reaction of a session to a message, and its output.

use super::auth::{Turn, is_auth_step, progress};
use super::check::Checked;
use super::{
    Access, AuthRequest, AuthResult, Event, Pending, Refusal, Request, Session, SessionState,
    Ticket,
};
use crate::auth::MECHANISMS;
use crate::wire::{
    AuthListRet, Call, Encoder, FlagRet, Header, RemoteError, Reply, SaslInitRet, Status, Xdr,
    write_message,
};

/// The feature that announces keepalive (DM-901).
pub(super) const FEATURE_KEEPALIVE: i32 = 10;

/// The flag of an open that requests read-only access. Clients set other bits of the word by mistake.
const OPEN_READ_ONLY: u32 = 1;

impl Session {
    /// Reacts to a message that was checked: a call that concerns the protocol itself is answered, and any other
    /// call is handed out.
    pub(super) fn react(&mut self, header: Header, checked: Checked) -> Option<Event> {
        let mut call = match checked {
            Checked::Ping => {
                self.send(Header::pong(), |_| {});
                return None;
            }
            Checked::Pong => return None,
            Checked::Drop(reason) => return Some(Event::Dropped { header, reason }),
            Checked::Refuse(refusal) => return Some(self.refuse(header, refusal)),
            Checked::Call(call) => call,
        };
        let mut opens = None;
        match &mut call {
            Call::AuthList(()) => {
                let types = vec![self.auth.list().number()].into();
                if self.auth.is_done() {
                    self.mark_authenticated();
                }
                self.send_reply(header, &Reply::AuthList(AuthListRet { types }));
                return None;
            }
            call if is_auth_step(call.procedure()) => return self.handle_auth_call(header, call),
            Call::ConnectSupportsFeature(args) if args.feature == FEATURE_KEEPALIVE => {
                self.clock.begin_keepalive();
                let yes = FlagRet { value: 1 };
                self.send_reply(header, &Reply::ConnectSupportsFeature(yes));
                return None;
            }
            Call::ConnectClose(()) => {
                self.send_reply(header, &Reply::ConnectClose(()));
                self.abandon(SessionState::Closing);
                return None;
            }
            Call::ConnectOpen(args) => {
                let asked = args.flags & OPEN_READ_ONLY != 0;
                let access = if asked {
                    Access::ReadOnly
                } else {
                    self.checks.access
                };
                args.flags = if access == Access::ReadOnly {
                    OPEN_READ_ONLY
                } else {
                    0
                };
                opens = Some(access);
            }
            _ => {}
        }
        let ticket = self.hand_out(header, opens, false);
        Some(Event::Request(Request {
            ticket,
            serial: header.serial,
            call,
        }))
    }

    fn hand_out(&mut self, header: Header, opens: Option<Access>, authenticates: bool) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        // Most clients have one call in progress at a time; the default growth would reserve four.
        if self.in_progress.capacity() == 0 {
            self.in_progress.reserve_exact(1);
        }
        self.in_progress.push(Pending {
            ticket,
            header,
            opens,
            authenticates,
        });
        ticket
    }

    /// Answers an authentication call, or requests a decision about it.
    fn handle_auth_call(&mut self, header: Header, call: &mut Call) -> Option<Event> {
        let procedure = call.procedure();
        match self.auth.turn(call) {
            Some(Turn::Mechanisms) => {
                let mechlist = MECHANISMS.into();
                self.send_reply(header, &Reply::AuthSaslInit(SaslInitRet { mechlist }));
                None
            }
            Some(Turn::Decide(step)) => {
                let ticket = self.hand_out(header, None, true);
                Some(Event::Authenticate(AuthRequest {
                    ticket,
                    serial: header.serial,
                    step,
                }))
            }
            None => {
                let refused = self.refuse(header, Refusal::AuthenticationOutOfTurn(procedure));
                self.count_failure();
                Some(refused)
            }
        }
    }

    /// Applies the decision about an [`AuthRequest`]. Call [`poll`](Self::poll) afterwards: other calls may have
    /// waited for the decision.
    ///
    /// After its last attempt the client gets its answer and nothing more (DM-1005). A second decision about the same
    /// request, and one for a broken session, are dropped.
    ///
    /// # Panics
    /// If the result for polkit is [`AuthResult::Continue`].
    pub fn authenticate(&mut self, ticket: Ticket, result: AuthResult) {
        let pending = self
            .in_progress
            .iter()
            .position(|pending| pending.ticket == ticket && pending.authenticates);
        let Some(index) = pending else {
            return;
        };
        let header = self.in_progress.swap_remove(index).header;
        match result {
            AuthResult::Continue(data) => {
                self.auth.go_on();
                self.send_reply(header, &progress(header.procedure, false, data));
            }
            AuthResult::Complete(data) => {
                self.mark_authenticated();
                self.send_reply(header, &progress(header.procedure, true, data));
            }
            AuthResult::Failed(error) => {
                self.auth.restart();
                self.send_error(header, &error);
                self.count_failure();
            }
        }
    }

    fn count_failure(&mut self) {
        if self.auth.fail() {
            self.abandon(SessionState::Denied);
        }
    }

    fn refuse(&mut self, header: Header, refusal: Refusal) -> Event {
        self.send_error(header, &RemoteError::from(&refusal));
        Event::Refused { header, refusal }
    }

    /// Ends the session: waiting input is dropped, and so are the calls of a broken session.
    pub(super) fn abandon(&mut self, state: SessionState) {
        self.state = state;
        self.clock.begin_end(self.limits.max_linger);
        self.splitter.clear();
        self.parked = None;
        if state == SessionState::Broken {
            self.in_progress.clear();
        }
    }

    pub(super) fn send_reply(&mut self, header: Header, reply: &Reply) {
        let answer = header.reply(Status::Ok);
        if write_message(self.output.tail(), answer, |to| reply.encode(to)).is_err() {
            self.send_error(
                header,
                &RemoteError::rpc("Unable to encode message payload"),
            );
        }
    }

    pub(super) fn send_error(&mut self, header: Header, error: &RemoteError) {
        self.send(header.reply(Status::Error), |to| error.encode(to));
    }

    /// Sends a message of bounded size.
    pub(super) fn send(&mut self, header: Header, payload: impl FnOnce(&mut Encoder<'_>)) {
        if write_message(self.output.tail(), header, payload).is_err() {
            unreachable!("the text of an error has a limit far below that of a message");
        }
    }
}
