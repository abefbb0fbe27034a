//! What moves between a connection and its session, and in which order.

use crate::session::{AuthResult, Event, Session, SessionState, Ticket};
use eventry::Events;
use eventry::Time;

/// How often is read in one event, so that a client that sends without end leaves the others their turn.
const READ_BUDGET: usize = 8;

/// What a session is served over, and who carries out its calls.
pub trait Link {
    /// Why the connection cannot go on.
    type Error: std::error::Error + 'static;

    /// Does, or has done, what the session hands out at `now`.
    fn carry_out(&mut self, session: &mut Session, now: Time, event: Event);

    /// Reads once at `now`, and tells the session what arrived, or that nothing will any more.
    ///
    /// # Errors
    /// The connection's.
    fn read(&mut self, session: &mut Session, now: Time) -> Result<Arrival, Self::Error>;

    /// Takes some of `bytes` to be sent and says how many; none if it takes nothing now. If there are none,
    /// it puts out what it still has of earlier ones.
    ///
    /// # Errors
    /// The connection's.
    fn send(&mut self, bytes: &[u8]) -> Result<usize, Self::Error>;

    /// Whether it has bytes that it took and could not put out.
    fn wants_write(&self) -> bool;
}

/// What came of reading once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// As much as could be read at once; there may be more.
    Full,
    /// Less than that, so that is all there was. The end of the input is still to be read, if it has come.
    Short,
    /// Nothing is there now.
    Nothing,
}

/// Why a connection is closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum End<E: std::error::Error + 'static> {
    /// The session says so.
    #[error("the session is over")]
    Over,
    /// The client has had its tries.
    #[error("it has failed to authenticate too often")]
    Denied,
    /// Nobody is left to read answers.
    #[error("the peer is gone")]
    PeerGone,
    /// The connection cannot go on.
    #[error(transparent)]
    Failed(#[from] E),
}

/// Moves bytes and calls until there is nothing left to move, or others are to have their turn; `events` is
/// what the connection is ready for.
///
/// # Errors
/// [`End`]: the connection is to be closed.
pub fn exchange<L: Link>(
    session: &mut Session,
    link: &mut L,
    events: Events,
    now: Time,
) -> Result<(), End<L::Error>> {
    // What was received earlier may be taken only now, and begins or ends something.
    session.tell_time(now);
    session.begin_turn();
    carry_out_and_send(session, link, now)?;
    if events.intersects(Events::READABLE | Events::UNCONDITIONAL) {
        // A short read has emptied the socket, unless the peer is gone and its end is still to be read.
        let peer_is_gone = events.intersects(Events::UNCONDITIONAL);
        let mut may_have_more = true;
        for _ in 0..READ_BUDGET {
            if !may_have_more || !session.wants_read() {
                break;
            }
            match link.read(session, now)? {
                Arrival::Full => {}
                Arrival::Short => may_have_more = peer_is_gone,
                Arrival::Nothing => break,
            }
            carry_out_and_send(session, link, now)?;
        }
    }
    // What the link has not put out yet is still to be sent, unless the client broke the protocol.
    let is_sent = !link.wants_write() || session.state() == SessionState::Broken;
    if session.should_close() && is_sent {
        return Err(match session.state() {
            SessionState::Denied => End::Denied,
            _ => End::Over,
        });
    }
    // A peer that is gone reads no answers; nobody would notice while the session does not read.
    if events.intersects(Events::UNCONDITIONAL) && !session.wants_read() {
        return Err(End::PeerGone);
    }
    Ok(())
}

fn carry_out_and_send<L: Link>(
    session: &mut Session,
    link: &mut L,
    now: Time,
) -> Result<(), L::Error> {
    loop {
        while let Some(event) = session.poll() {
            link.carry_out(session, now, event);
        }
        match link.send(session.output())? {
            0 => {
                session.wait_for_reader();
                return Ok(());
            }
            count => session.advance_output(count),
        }
    }
}

/// Does what is due because it is `now`.
///
/// # Errors
/// [`End`]: the connection is to be closed.
pub fn on_time<L: Link>(
    session: &mut Session,
    link: &mut L,
    now: Time,
) -> Result<(), End<L::Error>> {
    // First what has arrived, and what the client has made room for: whoever speaks or reads is not silent.
    exchange(session, link, Events::READABLE, now)?;
    session.on_time(now);
    exchange(session, link, Events::NONE, now)
}

/// Says what was decided at `now` about a request to [authenticate](Session::authenticate), and does what
/// follows.
///
/// # Errors
/// [`End`]: the connection is to be closed.
pub fn authenticate<L: Link>(
    session: &mut Session,
    link: &mut L,
    (ticket, result): (Ticket, AuthResult),
    now: Time,
) -> Result<(), End<L::Error>> {
    // A user may have thought for long, and the end that a refusal begins lasts from now on.
    session.tell_time(now);
    session.authenticate(ticket, result);
    exchange(session, link, Events::NONE, now)
}

/// What to watch the connection for: always for its end, so that a peer that vanishes is noticed whatever the
/// session does (DM-807). `link_wants_write` is what [`Link::wants_write`] says.
#[must_use]
pub fn interest(session: &Session, link_wants_write: bool) -> Events {
    let mut interest = Events::UNCONDITIONAL;
    // What is left for another turn is taken before anything is read, but then it is.
    if session.wants_read() || session.has_more() {
        interest |= Events::READABLE;
    }
    if session.wants_write() || link_wants_write {
        interest |= Events::WRITABLE;
    }
    interest
}

/// When to call [`on_time`] at the latest, if ever.
#[must_use]
pub fn next_call(session: &Session) -> Option<Time> {
    if session.has_more() {
        Some(Time::ZERO)
    } else {
        session.next_deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Auth, Keepalive, Limits, SessionConfig};
    use crate::wire::{Call, FeatureArgs, Header, HostnameRet, RemoteError, Reply, write_message};
    use std::convert::Infallible;
    use std::num::{NonZeroU32, NonZeroUsize};
    use std::sync::Arc;
    use std::time::Duration;

    /// A connection of which the test says what has arrived, and for how much there is room.
    #[derive(Default)]
    struct Pipe {
        arrived: Vec<u8>,
        room: usize,
    }

    impl Link for Pipe {
        type Error = Infallible;

        fn carry_out(&mut self, session: &mut Session, _: Time, event: Event) {
            if let Event::Request(request) = event {
                let hostname = "host".into();
                let reply = Reply::ConnectGetHostname(HostnameRet { hostname });
                session.reply(request.ticket, Ok(reply));
            }
        }

        fn read(&mut self, session: &mut Session, now: Time) -> Result<Arrival, Infallible> {
            session.receive(now, &std::mem::take(&mut self.arrived));
            Ok(Arrival::Short)
        }

        fn send(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            let count = bytes.len().min(self.room);
            self.room -= count;
            Ok(count)
        }

        fn wants_write(&self) -> bool {
            false
        }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO.after(Duration::from_secs(seconds))
    }

    fn session() -> Session {
        Session::new(SessionConfig {
            limits: Arc::new(Limits {
                max_output: NonZeroUsize::MIN,
                ..Limits::default()
            }),
            keepalive: Keepalive {
                interval: Some(Duration::from_secs(5)),
                count: 0,
            },
            ..SessionConfig::default()
        })
    }

    fn frames(calls: &[Call]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for call in calls {
            let header = Header::call(call.procedure(), 1);
            write_message(&mut bytes, header, |to| call.encode(to)).unwrap();
        }
        bytes
    }

    /// DM-809: what the session was last told is no beginning.
    #[test]
    fn the_end_of_a_session_begins_when_the_close_is_taken() {
        let mut session = session();
        let mut pipe = Pipe {
            arrived: frames(&[Call::ConnectGetHostname(()), Call::ConnectClose(())]),
            room: 0,
        };
        exchange(&mut session, &mut pipe, Events::READABLE, at(0)).unwrap();
        assert_eq!(next_call(&session), None);
        pipe.room = 40;
        exchange(&mut session, &mut pipe, Events::WRITABLE, at(100)).unwrap();
        assert_eq!(session.state(), SessionState::Closing);
        assert_eq!(next_call(&session), Some(at(105)));
    }

    /// DM-809: who is denied has time to read why.
    #[test]
    fn the_end_of_a_client_that_is_denied_begins_when_that_is_decided() {
        let mut session = Session::new(SessionConfig {
            auth: Auth::Polkit,
            limits: Arc::new(Limits {
                max_auth_failures: NonZeroU32::MIN,
                ..Limits::default()
            }),
            ..SessionConfig::default()
        });
        session.receive(at(0), &frames(&[Call::AuthPolkit(())]));
        let Some(Event::Authenticate(asked)) = session.poll() else {
            panic!("polkit is not asked");
        };
        let denied = AuthResult::Failed(RemoteError::authentication_failed());
        let decided = (asked.ticket, denied);
        authenticate(&mut session, &mut Pipe::default(), decided, at(30)).unwrap();
        assert_eq!(session.state(), SessionState::Denied);
        assert_eq!(next_call(&session), Some(at(35)));
    }

    /// DM-908: the connection is asked first.
    #[test]
    fn a_client_that_has_read_while_the_loop_was_held_up_is_alive() {
        let feature = 10;
        let ask = Call::ConnectSupportsFeature(FeatureArgs { feature });
        for (read, is_alive) in [(true, true), (false, false)] {
            let mut session = session();
            let mut pipe = Pipe {
                arrived: frames(&[ask.clone(), Call::ConnectGetHostname(())]),
                room: 32,
            };
            exchange(&mut session, &mut pipe, Events::READABLE, at(0)).unwrap();
            assert!(session.wants_write() && !session.wants_read());
            pipe.room = usize::from(read);
            let lived = on_time(&mut session, &mut pipe, at(60));
            assert_eq!(lived.is_ok(), is_alive);
        }
    }
}
