//! Bad input and bad clients on Unix sockets, TCP and TLS: the reply, the connection and the log.

#![cfg(not(loom))]

mod behaviour;
mod cases;
mod documented;
mod transports;

use cases::{Answer, Case, SERIAL, cases};
use std::io::Write;
use test_support::rpc::{AUTH_LIST, KEEPALIVE, message};
use transports::{Client, TestDaemon, Transport};

/// The serial of the call that tests whether the connection is open.
const PROBE: u32 = 4242;

/// Reads until the reply to the probe or the end; returns the replies before it, and `true` if the probe was answered.
fn answers(client: &mut Client) -> (Vec<Answer>, bool) {
    let mut replies = Vec::new();
    while let Some((header, payload)) = client.read_message() {
        let [program, _, _, kind, serial, status] = header;
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        if serial == PROBE {
            return (replies, true);
        }
        let is_pong = (program, kind) == (KEEPALIVE, 2);
        replies.push(match (is_pong, status) {
            (true, _) => Answer::Pong,
            (_, 0) => Answer::Success,
            _ => {
                let length = word(12) as usize;
                let text = String::from_utf8(payload[16..16 + length].to_vec());
                Answer::Error(word(0), text.unwrap())
            }
        });
        assert!(
            is_pong || serial == SERIAL,
            "unexpected serial in {header:?}"
        );
    }
    (replies, false)
}

fn run_case(test: &TestDaemon, transport: Transport, case: &Case) {
    let name = format!("{transport:?}: {}", case.name);
    let before = test.log().len();
    let mut client = test.open(transport);
    client.stream.write_all(&case.bytes).unwrap();
    // The daemon may have closed the connection already.
    let _ = client.stream.write_all(&message(AUTH_LIST, PROBE, &[]));
    let (replies, stays_open) = answers(&mut client);
    let first = replies.first().unwrap_or(&Answer::Nothing);
    assert_eq!(
        (first, stays_open),
        (&case.answer, case.stays_open),
        "{name}"
    );
    let log = &test.log()[before..];
    // Connects and closes are logged too.
    let own = log.lines().filter(|line| line.contains("client "));
    let lines: Vec<_> = own
        .filter(|line| case.log.as_deref().is_some_and(|log| line.contains(log)))
        .collect();
    let expected = usize::from(case.log.is_some());
    assert_eq!(lines.len(), expected, "{name}: {log}");
}

fn run_all_cases(transport: Transport) {
    let test = TestDaemon::start("");
    for case in cases() {
        run_case(&test, transport, &case);
    }
    // Other clients are still served.
    test.open(transport);
    let ended = test.daemon.stop();
    assert_eq!(ended.status, Some(0), "{}", ended.log);
}

#[test]
fn every_case_is_answered_as_documented_over_unix() {
    run_all_cases(Transport::Unix);
}

#[test]
fn every_case_is_answered_as_documented_over_tcp() {
    run_all_cases(Transport::Tcp);
}

#[test]
fn every_case_is_answered_as_documented_over_tls() {
    run_all_cases(Transport::Tls);
}
