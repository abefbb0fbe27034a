use super::*;
use crate::session::{Auth, ClientLimits, Keepalive};
use crate::wire::{Call, FeatureArgs, Header, HostnameRet, write_message};
use std::io;
use std::mem;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

/// A transport whose input, capacity and failure are set by the test.
#[derive(Default)]
struct Pipe {
    arrived: Vec<u8>,
    room: usize,
    handshake: Option<Handshake>,
    fails: bool,
    ends: bool,
    /// Each read fills its buffer.
    is_full: bool,
    reads: usize,
    /// Bytes are not sent yet.
    is_sending: bool,
    notices: usize,
    /// The transport lingers, and drops input with these results, the last first; then there is none now.
    discarded: Option<Vec<Discarded>>,
}

impl Transport for Pipe {
    fn read(&mut self, mut plaintext: impl FnMut(&[u8])) -> Result<ReadOutcome, TransportError> {
        self.reads += 1;
        if self.fails {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        plaintext(&mem::take(&mut self.arrived));
        Ok(ReadOutcome {
            amount: if self.is_full {
                Amount::Full
            } else {
                Amount::Short
            },
            ended: self.ends,
            handshake: self.handshake.take(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let count = bytes.len().min(self.room);
        self.room -= count;
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    fn wants_write(&self) -> bool {
        self.is_sending
    }

    fn is_open(&self) -> bool {
        self.handshake.is_none()
    }

    fn close_notify(&mut self) {
        self.notices += 1;
    }

    fn begin_linger(&mut self) -> bool {
        self.discarded.is_some()
    }

    fn discard(&mut self) -> Result<Discarded, TransportError> {
        let discarded = self.discarded.as_mut().and_then(Vec::pop);
        Ok(discarded.unwrap_or(Discarded::Nothing))
    }
}

fn at(seconds: u64) -> MonotonicTime {
    MonotonicTime::ZERO.saturating_add(Duration::from_secs(seconds))
}

fn connection(arrived: &[Call], room: usize) -> Connection<Pipe> {
    let config = SessionConfig {
        limits: Arc::new(ClientLimits {
            max_output: NonZeroUsize::MIN,
            ..ClientLimits::default()
        }),
        keepalive: Keepalive {
            interval: Some(Duration::from_secs(5)),
            count: 0,
        },
        ..SessionConfig::default()
    };
    let pipe = Pipe {
        arrived: frames(arrived),
        room,
        ..Pipe::default()
    };
    Connection::new(pipe, config, ClientAuth::default(), true)
}

fn frames(calls: &[Call]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for call in calls {
        let header = Header::call(call.procedure(), 1);
        write_message(&mut bytes, header, |to| call.encode(to)).unwrap();
    }
    bytes
}

/// Pulls all actions, and answers each call at once.
fn pull(connection: &mut Connection<Pipe>, now: MonotonicTime) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(action) = connection.next_action(now) {
        if let Action::Dispatch(request) = action {
            let hostname = "host".into();
            let reply = Reply::ConnectGetHostname(HostnameRet { hostname });
            connection.complete(request.ticket, Ok(reply), now);
        } else {
            actions.push(action);
        }
    }
    actions
}

fn is_closed(actions: &[Action]) -> bool {
    matches!(actions.last(), Some(Action::Close(_)))
}

/// DM-809: the linger time does not begin at the last input of the session.
#[test]
fn linger_begins_when_the_close_is_taken() {
    let mut connection = connection(&[Call::ConnectGetHostname(()), Call::ConnectClose(())], 0);
    connection.on_ready(Events::READABLE, at(0));
    pull(&mut connection, at(0));
    assert_eq!(connection.watch().deadline, None);
    connection.transport.room = 40;
    connection.on_ready(Events::WRITABLE, at(100));
    pull(&mut connection, at(100));
    assert_eq!(connection.session.state(), SessionState::Closing);
    assert_eq!(connection.watch().deadline, Some(at(105)));
}

/// DM-809: a client that is denied has time to read the reason.
#[test]
fn linger_of_a_denied_client_begins_with_the_decision() {
    let config = SessionConfig {
        auth: Auth::Polkit,
        limits: Arc::new(ClientLimits {
            max_auth_failures: NonZeroU32::MIN,
            ..ClientLimits::default()
        }),
        ..SessionConfig::default()
    };
    let pipe = Pipe {
        arrived: frames(&[Call::AuthPolkit(())]),
        ..Pipe::default()
    };
    let mut connection = Connection::new(pipe, config, ClientAuth::default(), true);
    connection.on_ready(Events::READABLE, at(0));
    let actions = pull(&mut connection, at(0));
    let Action::Authenticate(request) = &actions[0] else {
        panic!("{actions:?}");
    };
    let denied = AuthResult::Failed(RemoteError::authentication_failed());
    connection.authenticated(request.ticket, denied, at(30));
    pull(&mut connection, at(30));
    assert_eq!(connection.session.state(), SessionState::Denied);
    assert_eq!(connection.watch().deadline, Some(at(35)));
    connection.transport.room = 1_000;
    connection.on_ready(Events::WRITABLE, at(31));
    let actions = pull(&mut connection, at(31));
    assert!(
        matches!(actions.last(), Some(Action::Close(CloseReason::Denied))),
        "{actions:?}"
    );
}

/// DM-808: with an earlier time, clients that always have more messages would be first in each turn of the loop.
#[test]
fn connection_with_more_messages_is_due_at_its_turn() {
    let calls = ClientLimits::default().max_client_requests.get() + 1;
    let mut connection = connection(&vec![Call::ConnectGetHostname(()); calls], 1 << 16);
    connection.on_ready(Events::READABLE, at(7));
    while let Some(action) = connection.next_action(at(7)) {
        if let Action::Dispatch(request) = action {
            let refused = Err(RemoteError::authentication_failed());
            connection.complete(request.ticket, refused, at(7));
        }
    }
    assert!(connection.session().has_more());
    assert_eq!(connection.watch().deadline, Some(at(7)));
}

/// DM-908: the transport is read before the deadline counts.
#[test]
fn client_that_reads_while_the_loop_is_late_is_alive() {
    let feature = 10;
    let ask = Call::ConnectSupportsFeature(FeatureArgs { feature });
    for (room, is_alive) in [(1, true), (0, false)] {
        let mut connection = connection(&[ask.clone(), Call::ConnectGetHostname(())], 32);
        connection.on_ready(Events::READABLE, at(0));
        pull(&mut connection, at(0));
        assert!(connection.session.wants_write() && !connection.session.wants_read());
        connection.transport.room = room;
        connection.on_deadline(at(60));
        let actions = pull(&mut connection, at(60));
        assert_eq!(!is_closed(&actions), is_alive, "{actions:?}");
    }
}

#[test]
fn waiting_client_is_not_read_before_it_is_admitted() {
    let pipe = Pipe {
        arrived: frames(&[Call::ConnectGetHostname(())]),
        room: 100,
        ..Pipe::default()
    };
    let (config, auth) = (SessionConfig::default(), ClientAuth::default());
    let mut connection = Connection::new(pipe, config, auth, false);
    assert_eq!(
        connection.watch().interest,
        Events::READABLE | Events::UNCONDITIONAL
    );
    connection.on_ready(Events::READABLE, at(0));
    let actions = pull(&mut connection, at(0));
    let [Action::Progress(ProgressChange::Spoke)] = actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(connection.watch().interest, Events::UNCONDITIONAL);
    assert_eq!(connection.transport.reads, 0);
    connection.admit(at(1));
    let actions = pull(&mut connection, at(1));
    let was_anonymous = false;
    let [
        Action::Progress(ProgressChange::Identified {
            was_anonymous: seen,
        }),
    ] = actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(seen, was_anonymous);
    assert_eq!(connection.transport.room, 100 - 36);
}

#[test]
fn waiting_client_that_goes_is_closed() {
    let (config, auth) = (SessionConfig::default(), ClientAuth::default());
    let mut connection = Connection::new(Pipe::default(), config, auth, false);
    connection.on_ready(Events::READABLE | Events::HANGUP, at(0));
    let actions = pull(&mut connection, at(0));
    let [Action::Close(CloseReason::PeerGone)] = actions[..] else {
        panic!("{actions:?}");
    };
    assert!(
        connection.next_action(at(0)).is_none(),
        "the close is the last action"
    );
}

#[test]
fn handshake_gives_the_name_and_the_warning() {
    let pipe = Pipe {
        handshake: Some(Handshake {
            name: Some("CN=a".into()),
            warning: Some("expired".into()),
        }),
        ..Pipe::default()
    };
    let config = SessionConfig {
        awaits_handshake: true,
        ..SessionConfig::default()
    };
    let mut connection = Connection::new(pipe, config, ClientAuth::default(), true);
    connection.on_ready(Events::READABLE, at(0));
    let actions = pull(&mut connection, at(0));
    let [
        Action::Log(Notice::Certificate(warning)),
        Action::Progress(ProgressChange::Identified {
            was_anonymous: true,
        }),
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(warning, "expired");
    assert_eq!(connection.auth().identity.to_string(), r#"x509="CN=a""#);
}

/// The time in which the client waits for a slot does not count.
#[test]
fn handshake_time_begins_with_the_slot() {
    let config = SessionConfig {
        awaits_handshake: true,
        accepted: at(1),
        ..SessionConfig::default()
    };
    let new = |admitted| {
        let auth = ClientAuth::default();
        Connection::new(Pipe::default(), config.clone(), auth, admitted)
    };
    assert_eq!(new(true).watch().deadline, Some(at(11)));
    let mut waiting = new(false);
    assert_eq!(waiting.watch().deadline, Some(at(61)));
    waiting.admit(at(31));
    assert!(!is_closed(&pull(&mut waiting, at(31))));
    assert_eq!(waiting.watch().deadline, Some(at(41)));
    waiting.on_deadline(at(41));
    let actions = pull(&mut waiting, at(41));
    let expired = |action: &Action| {
        matches!(
            action,
            Action::Log(Notice::Expired(crate::session::Expiry::Handshake { .. }))
        )
    };
    assert!(
        actions.iter().any(expired) && is_closed(&actions),
        "{actions:?}"
    );
}

/// Returns a connection that lingers after garbage, and drops input with these results.
fn lingering(discarded: &[Discarded]) -> Connection<Pipe> {
    let mut connection = connection(&[Call::ConnectGetHostname(())], 1_000);
    connection.transport.arrived.extend([0; 4]);
    connection.transport.discarded = Some(discarded.iter().rev().copied().collect());
    connection.on_ready(Events::READABLE, at(7));
    connection
}

#[test]
fn garbage_is_dropped_until_the_peer_closes() {
    let input = [Discarded::Bytes(9); 10];
    let mut connection = lingering(&[&input[..], &[Discarded::End]].concat());
    assert!(!connection.is_lingering());
    let actions = pull(&mut connection, at(7));
    assert!(
        matches!(actions[..], [.., Action::Linger(CloseReason::Over)]),
        "{actions:?}"
    );
    assert!(connection.is_lingering());
    // One turn drops as many pieces as it reads at most.
    assert_eq!(connection.transport.discarded.as_ref().unwrap().len(), 3);
    let watch = Watch {
        interest: Events::READABLE | Events::UNCONDITIONAL,
        deadline: Some(at(8)),
    };
    assert_eq!(connection.watch(), watch);
    connection.on_ready(Events::WRITABLE, at(7));
    assert!(pull(&mut connection, at(7)).is_empty());
    connection.on_ready(Events::HANGUP, at(7));
    let actions = pull(&mut connection, at(7));
    assert!(
        matches!(actions[..], [Action::Close(CloseReason::PeerGone)]),
        "{actions:?}"
    );
}

#[test]
fn lingering_ends_at_its_time_or_its_size() {
    let mut connection = lingering(&[]);
    pull(&mut connection, at(7));
    connection.on_deadline(MonotonicTime::from_nanos(at(8).as_nanos() - 1));
    assert!(pull(&mut connection, at(7)).is_empty());
    connection.on_deadline(at(8));
    let actions = pull(&mut connection, at(8));
    assert!(
        matches!(actions[..], [Action::Close(CloseReason::LingerOver)]),
        "{actions:?}"
    );
    for (more, is_over) in [(0, false), (1, true)] {
        let sizes = [Discarded::Bytes(16 << 20), Discarded::Bytes(more)];
        let actions = pull(&mut lingering(&sizes), at(7));
        assert_eq!(is_closed(&actions), is_over, "{actions:?}");
    }
}

/// Nothing is kept for a client that is closed because of a limit, that sends no more, or that had no slot.
#[test]
fn only_an_orderly_end_with_possible_input_lingers() {
    let ends_at_once = |mut connection: Connection<Pipe>| {
        let actions = pull(&mut connection, at(100));
        is_closed(&actions) && !connection.is_lingering()
    };
    let new = |admitted, awaits_handshake| {
        let pipe = Pipe {
            discarded: Some(Vec::new()),
            ..Pipe::default()
        };
        let config = SessionConfig {
            awaits_handshake,
            ..SessionConfig::default()
        };
        Connection::new(pipe, config, ClientAuth::default(), admitted)
    };
    let mut expired = new(true, true);
    expired.on_deadline(at(100));
    assert!(ends_at_once(expired));
    let mut waiting = new(false, false);
    waiting.drain(at(100));
    assert!(ends_at_once(waiting));
    let mut ended = new(true, false);
    ended.transport.ends = true;
    ended.on_ready(Events::READABLE, at(100));
    assert!(ends_at_once(ended));
    let mut failed = new(true, false);
    failed.transport.fails = true;
    failed.on_ready(Events::READABLE, at(100));
    assert!(ends_at_once(failed));
    let mut drained = new(true, false);
    drained.drain(at(100));
    assert!(!ends_at_once(drained));
}

#[test]
fn failed_transport_closes_the_connection() {
    let mut connection = connection(&[], 0);
    connection.transport.fails = true;
    connection.on_ready(Events::READABLE, at(0));
    let actions = pull(&mut connection, at(0));
    assert!(is_closed(&actions), "{actions:?}");
}

#[test]
fn close_notifies_the_peer_unless_that_has_happened() {
    let mut open = connection(&[], 0);
    open.close();
    assert_eq!(open.transport.notices, 1);
    let mut lingering = lingering(&[]);
    pull(&mut lingering, at(0));
    lingering.close();
    assert_eq!(lingering.transport.notices, 0, "the linger has notified it");
}

/// DM-808
#[test]
fn turn_has_a_limited_number_of_reads() {
    let mut connection = connection(&[], 0);
    connection.transport.is_full = true;
    connection.on_ready(Events::READABLE, at(0));
    pull(&mut connection, at(0));
    assert_eq!(connection.transport.reads, usize::from(READ_BUDGET));
}

/// The end waits for bytes of the transport, but not that of a client that broke the protocol.
#[test]
fn close_waits_for_the_bytes_of_an_orderly_end() {
    for breaks in [true, false] {
        let mut connection = connection(&[Call::ConnectClose(())], 1_000);
        if breaks {
            connection.transport.arrived = vec![0xff; 8];
        }
        connection.transport.is_sending = true;
        connection.on_ready(Events::READABLE, at(0));
        let actions = pull(&mut connection, at(0));
        assert_eq!(is_closed(&actions), breaks, "{actions:?}");
        let interest = connection.watch().interest;
        assert!(
            interest.contains(Events::WRITABLE | Events::UNCONDITIONAL),
            "{interest:?}"
        );
    }
}

/// An attempt that is answered in the same turn counts as well.
#[test]
fn each_step_of_authentication_is_progress() {
    let config = SessionConfig {
        auth: Auth::Polkit,
        ..SessionConfig::default()
    };
    let pipe = Pipe {
        room: 10_000,
        ..Pipe::default()
    };
    let mut connection = Connection::new(pipe, config, ClientAuth::default(), true);
    for _ in 0..2 {
        connection.transport.arrived = frames(&[Call::AuthPolkit(())]);
        connection.on_ready(Events::READABLE, at(1));
        let mut advanced = 0;
        while let Some(action) = connection.next_action(at(1)) {
            match action {
                Action::Authenticate(request) => {
                    let failed = AuthResult::Failed(RemoteError::authentication_failed());
                    connection.authenticated(request.ticket, failed, at(1));
                }
                Action::Progress(ProgressChange::Advanced { .. }) => advanced += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(advanced, 1);
    }
}
