//! Silent, slow, flooding, non-reading and disconnecting clients on each transport.

use crate::transports::{TRANSPORTS, TestDaemon, Transport};
use std::io::Write;
use std::net::Shutdown;
use test_support::client::event_loop_sleeps;
use test_support::rpc::{AUTH_LIST, CONNECT_OPEN, GET_HOSTNAME, message, open_arguments};
use test_support::timeout::wait_until;

fn hostname_call(serial: u32) -> Vec<u8> {
    message(GET_HOSTNAME, serial, &[])
}

/// A client that sends nothing or a part of a message stays connected, delays no other client, and is answered when the
/// rest arrives.
#[test]
fn partial_message_delays_no_other_client() {
    let test = TestDaemon::start("");
    for transport in TRANSPORTS {
        let call = hostname_call(7);
        let mut waiting: Vec<_> = [0, 1, 2, 4, 5, 27]
            .map(|count| {
                let mut client = test.open(transport);
                client.stream.write_all(&call[..count]).unwrap();
                (count, client)
            })
            .into();
        test.open(transport).call(GET_HOSTNAME, &[]);
        assert!(waiting[0].1.is_kept_waiting());
        for (count, client) in &mut waiting {
            client.stream.write_all(&call[*count..]).unwrap();
            let (header, _) = client.read_message().expect("a reply");
            assert_eq!(header[4], 7, "{transport:?}, {count} bytes first");
        }
    }
}

#[test]
fn one_byte_at_a_time_is_answered_on_each_transport() {
    let test = TestDaemon::start("");
    for transport in TRANSPORTS {
        let mut client = test.open(transport);
        for byte in hostname_call(7) {
            client.stream.write_all(&[byte]).unwrap();
            // Another client is served after each byte.
            test.connect(Transport::Unix).call(AUTH_LIST, &[]);
        }
        assert_eq!(client.read_message().expect("a reply").0[4], 7);
    }
}

/// Each bad call gets a reply; their number is not limited.
#[test]
fn flood_of_bad_calls_is_answered_and_delays_no_client() {
    let test = TestDaemon::start("");
    for transport in TRANSPORTS {
        let mut client = test.open(transport);
        let mut flood = Vec::new();
        for serial in 1..=1000 {
            flood.extend(message(9_999, serial, &[]));
        }
        client.stream.write_all(&flood).unwrap();
        test.open(transport).call(GET_HOSTNAME, &[]);
        for serial in 1..=1000 {
            let (header, _) = client.read_message().expect("a reply");
            assert_eq!((header[4], header[5]), (serial, 1), "{transport:?}");
        }
        client.call(AUTH_LIST, &[]);
    }
}

#[test]
fn non_reading_client_stalls_only_itself_on_each_transport() {
    let test = TestDaemon::start("");
    for transport in TRANSPORTS {
        let before = test.daemon.resident_kib();
        let mut non_reading = test.open(transport);
        non_reading.flood(test.daemon.pid());
        test.open(transport).call(GET_HOSTNAME, &[]);
        let grown = test.daemon.resident_kib().saturating_sub(before);
        assert!(grown < 4 * 1024, "{transport:?}: {grown} KiB");
    }
}

#[test]
fn disconnect_in_any_phase_leaves_nothing() {
    let test = TestDaemon::start("");
    for transport in TRANSPORTS {
        test.open(transport);
        let before = test.daemon.idle_descriptors();
        let mut open = message(CONNECT_OPEN, 1, &open_arguments());
        open.extend(hostname_call(2));
        for end in (0..=open.len()).step_by(3) {
            let mut client = test.connect(transport);
            client.stream.write_all(&open[..end]).unwrap();
        }
        for _ in 0..20 {
            drop(test.dial(transport));
            let mut non_reading = test.open(transport);
            non_reading
                .stream
                .write_all(&hostname_call(1).repeat(100))
                .unwrap();
        }
        wait_until("all clients are closed", || {
            test.daemon.idle_descriptors() == before
        });
    }
}

#[test]
fn half_closed_client_gets_all_answers_then_the_end() {
    let test = TestDaemon::start("");
    for transport in TRANSPORTS {
        for _ in 0..10 {
            let mut client = test.open(transport);
            client
                .stream
                .write_all(&hostname_call(1).repeat(20))
                .unwrap();
            client.stream.shutdown(Shutdown::Write).unwrap();
            for _ in 0..20 {
                assert!(client.read_message().is_some(), "{transport:?}");
            }
            assert!(client.is_closed());
        }
    }
}

/// The half-close is read while more replies are unsent than the socket takes. The test needs a Unix socket, because the
/// buffers of a TCP socket hold more than a client may leave unread.
#[test]
fn late_reader_gets_all_answers_then_the_end() {
    let test = TestDaemon::start("");
    let mut client = test.open(Transport::Unix);
    let calls = 0..8_000;
    let sent: Vec<u8> = calls
        .clone()
        .flat_map(|serial| message(AUTH_LIST, serial, &[]))
        .collect();
    client.stream.write_all(&sent).unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    wait_until("the daemon waits for the client to read", || {
        event_loop_sleeps(test.daemon.pid())
    });
    for serial in calls {
        let (header, _) = client.read_message().expect("an answer");
        assert_eq!(header[4], serial);
    }
    assert!(client.is_closed());
}

/// Connects and closes are logged with the peer and the reason.
#[test]
fn log_names_each_peer_and_the_reason_of_its_end() {
    let test = TestDaemon::start("");
    for transport in TRANSPORTS {
        let before = test.log().len();
        let mut client = test.open(transport);
        client.call(2, &[]);
        assert!(client.is_closed());
        let log = &test.log()[before..];
        let peer = match transport {
            Transport::Unix => "uid=",
            Transport::Tcp | Transport::Tls => "address=127.0.0.1:",
        };
        for what in ["connected: ", "closed: the session is over; "] {
            let found = log
                .lines()
                .any(|line| line.contains(what) && line.contains(peer));
            assert!(found, "{transport:?}: {what}: {log}");
        }
    }
}
