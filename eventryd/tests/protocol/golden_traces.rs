//! Recorded sessions of unmodified clients with libvirt's daemon, which get the same replies from this one.
//!
//! `eventryd/tests/traces` holds the recorded sessions. Those in `eventryd/tests/traces/other-domains` have domains that
//! the in-memory hypervisor lacks; they test the decoder only.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use eventryd::driver::MemoryDriver;
use eventryd::session::SessionConfig;
use eventryd::wire::{Call, Encoder, FrameSplitter, MAX_FRAME, Reply};
use serde_json::Value;
use test_support::peer::{Answer, Peer, answers};

/// The number of recorded sessions, so that a missing file fails the test.
const SESSIONS: usize = 31;
const SESSIONS_WITH_OTHER_DOMAINS: usize = 4;

/// A recorded session: the messages of both sides, for each connection.
struct Trace {
    name: String,
    connections: Vec<Recording>,
}

#[derive(Default)]
struct Recording {
    requests: Vec<Vec<u8>>,
    answers: Vec<u8>,
}

#[test]
fn a_recorded_session_gets_the_recorded_answers() {
    for trace in traces("", SESSIONS) {
        replay(&trace, "message by message", |peer, recording| {
            recording
                .requests
                .iter()
                .flat_map(|request| peer.exchange(request))
                .collect()
        });
    }
}

#[test]
fn recorded_session_byte_by_byte_gets_the_same_answers() {
    for trace in traces("", SESSIONS) {
        replay(&trace, "byte by byte", |peer, recording| {
            recording
                .requests
                .concat()
                .iter()
                .flat_map(|byte| peer.exchange(&[*byte]))
                .collect()
        });
    }
}

#[test]
fn recorded_session_in_one_write_gets_the_same_answers() {
    for trace in traces("", SESSIONS) {
        replay(&trace, "in one write", |peer, recording| {
            peer.exchange(&recording.requests.concat())
        });
    }
}

#[test]
fn every_recorded_answer_decodes_and_encodes_to_the_same_bytes() {
    let others = traces("other-domains", SESSIONS_WITH_OTHER_DOMAINS);
    for trace in traces("", SESSIONS).into_iter().chain(others) {
        for recording in &trace.connections {
            // `answers` encodes each message again and compares the bytes.
            assert!(!answers(&recording.answers).is_empty(), "{}", trace.name);
        }
    }
}

#[test]
fn every_recorded_call_decodes_and_encodes_to_the_same_bytes() {
    let others = traces("other-domains", SESSIONS_WITH_OTHER_DOMAINS);
    for trace in traces("", SESSIONS).into_iter().chain(others) {
        for request in trace
            .connections
            .iter()
            .flat_map(|recording| &recording.requests)
        {
            let mut splitter = FrameSplitter::new(MAX_FRAME);
            splitter.push(request);
            let frame = splitter
                .head()
                .expect("a message")
                .expect("a complete message");
            let call = Call::decode(frame.header.procedure, frame.payload).expect("a call");
            assert_eq!(call.procedure().number, frame.header.procedure);
            let mut again = Vec::new();
            call.encode(&mut Encoder::new(&mut again));
            assert_eq!(again, frame.payload, "{}: {call:?}", trace.name);
        }
    }
}

/// Plays a trace to a new daemon, and compares the replies except for the CPU time.
fn replay(trace: &Trace, how: &str, play: impl Fn(&mut Peer, &Recording) -> Vec<u8>) {
    let driver = MemoryDriver::with_hostname("vm");
    // This session was recorded on a host without a default hypervisor.
    let has_default = trace.name != "virsh-remote-scheme-probe";
    let driver = Arc::new(if has_default {
        driver
    } else {
        driver.without_default_uri()
    });
    for recording in &trace.connections {
        let mut peer = Peer::new(Arc::clone(&driver), SessionConfig::default());
        let actual = timeless(play(&mut peer, recording));
        let expected = timeless(recording.answers.clone());
        assert_eq!(actual, expected, "{} {how}", trace.name);
        assert_eq!(peer.events, [], "{} {how}", trace.name);
    }
}

/// Decodes the replies, and clears the CPU time, which depends on the time of the reply.
fn timeless(bytes: Vec<u8>) -> Vec<Answer> {
    let mut answers = answers(&bytes);
    for answer in &mut answers {
        if let Answer::Ok(_, Reply::DomainGetInfo(info)) = answer {
            assert_ne!(info.cpu_time, 0, "clients do not print a CPU time of 0");
            info.cpu_time = 0;
        }
    }
    answers
}

fn traces(folder: &str, expected: usize) -> Vec<Trace> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/traces")
        .join(folder);
    let mut traces = Vec::new();
    for entry in fs::read_dir(folder).expect("the traces are in the repository") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable trace");
        let json: Value = serde_json::from_str(&text).expect("a trace is JSON");
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        traces.push(Trace {
            connections: connections(&json),
            name,
        });
    }
    assert_eq!(traces.len(), expected);
    traces
}

fn connections(json: &Value) -> Vec<Recording> {
    let mut connections: Vec<Recording> = Vec::new();
    for message in json["messages"].as_array().expect("a list of messages") {
        let index = message["conn"].as_u64().expect("a connection's number") as usize;
        if connections.len() <= index {
            connections.resize_with(index + 1, Recording::default);
        }
        let bytes = unhex(message["hex"].as_str().expect("bytes"));
        match message["dir"].as_str() {
            Some("c2s") => connections[index].requests.push(bytes),
            Some("s2c") => connections[index].answers.extend(bytes),
            other => panic!("unknown direction {other:?}"),
        }
    }
    connections
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
