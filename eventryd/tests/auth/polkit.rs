//! polkit on the daemon's sockets, with somebody else to decide.

use crate::*;
use eventryd::auth::{AuthError, Authorization, Authorizer, PkCheck, PolkitAction, Subject};
use eventryd::session::Auth;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use test_support::client::RawClient;
use test_support::rpc::{AUTH_LIST, CONNECT_OPEN, message, open_arguments};

/// What the fake was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    subject: Subject,
    action: PolkitAction,
}

/// Tells what it is asked, and answers what it is told.
#[derive(Debug)]
struct Fake {
    asked: Sender<Asked>,
    #[allow(clippy::disallowed_types, reason = "a receiver has to be shared")]
    answers: std::sync::Mutex<Receiver<Authorization>>,
}

impl Authorizer for Fake {
    fn check(&self) -> Result<(), AuthError> {
        Ok(())
    }

    fn authorize(&self, subject: Subject, action: PolkitAction, _: Duration) -> Authorization {
        self.asked.send(Asked { subject, action }).unwrap();
        // The test ends without an answer to who has gone.
        let answer = self.answers.lock().unwrap().recv();
        answer.unwrap_or(Authorization::Denied)
    }
}

struct WithPolkit {
    served: Served,
    asked: Receiver<Asked>,
    answer: Sender<Authorization>,
}

fn with_polkit() -> WithPolkit {
    let (tell, asked) = channel();
    let (answer, answers) = channel();
    let fake = Fake {
        asked: tell,
        #[allow(clippy::disallowed_types, reason = "a receiver has to be shared")]
        answers: std::sync::Mutex::new(answers),
    };
    let served = Served::start(tempfile::tempdir().unwrap(), |config| {
        config.auth_unix_rw = Auth::Polkit;
        config.auth_unix_ro = Auth::Polkit;
        config.authorizer = Arc::new(fake);
    });
    WithPolkit {
        served,
        asked,
        answer,
    }
}

/// The error to a question that is already asked.
fn error_of(client: &mut RawClient) -> (u32, u32, String) {
    let (header, payload) = client.read_message().expect("a reply");
    assert_eq!(header[5], 1);
    let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    let text = payload[16..16 + word(12) as usize].to_vec();
    (word(0), word(4), String::from_utf8(text).unwrap())
}

#[test]
fn polkit_is_asked_about_the_process_that_has_connected() {
    let polkit = with_polkit();
    let config = &polkit.served.config;
    for (path, action) in [
        (config.socket_path(), PolkitAction::Manage),
        (config.read_only_socket_path(), PolkitAction::Monitor),
    ] {
        polkit.answer.send(Authorization::Granted).unwrap();
        let mut client = RawClient::connect(&path);
        assert_eq!(client.call(POLKIT, &[]), [0, 0, 0, 1]);
        client.open();
        let asked = polkit.asked.recv().unwrap();
        assert_eq!(asked.action, action);
        assert_eq!(asked.subject.pid as u32, std::process::id());
        assert_eq!(asked.subject.uid, rustix::process::geteuid().as_raw());
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19);
        assert_eq!(asked.subject.start_time.to_string(), start.unwrap());
    }
    polkit.served.stop();
}

#[test]
fn each_answer_has_its_code_and_its_text() {
    let polkit = with_polkit();
    for (answer, code, text) in [
        (
            Authorization::Denied,
            45,
            "authentication failed: access denied by policy",
        ),
        (
            Authorization::Dismissed,
            79,
            "authentication cancelled: user cancelled authentication process",
        ),
        (
            Authorization::NoAgent,
            94,
            "authentication unavailable: no polkit agent available to authenticate action \
             'org.libvirt.unix.manage'",
        ),
        (
            Authorization::Failed("no bus".into()),
            1,
            "internal error: polkit cannot be asked; the log of the daemon says why",
        ),
    ] {
        polkit.answer.send(answer).unwrap();
        let mut client = polkit.served.connect();
        let expected = (code, 60, text.to_owned());
        assert_eq!(failure(&mut client, POLKIT, &[]), expected);
        let (code, _, text) = failure(&mut client, CONNECT_OPEN, &open_arguments());
        assert_eq!((code, &text[..]), (39, "authentication required"));
    }
    polkit.served.stop();
}

/// Somebody thinks about the question; meanwhile everybody else is served, and what the client itself sends
/// waits for the answer.
#[test]
fn slow_polkit_answer_delays_no_other_client() {
    let polkit = with_polkit();
    let mut asking = polkit.served.connect();
    let mut calls = message(POLKIT, 1, &[]);
    calls.extend(message(CONNECT_OPEN, 2, &open_arguments()));
    asking.stream.write_all(&calls).unwrap();
    polkit.asked.recv().unwrap();

    let mut other = polkit.served.connect();
    other.call(AUTH_LIST, &[]);
    assert!(asking.is_kept_waiting());
    polkit.answer.send(Authorization::Granted).unwrap();
    for serial in [1, 2] {
        let (header, _) = asking.read_message().expect("a reply");
        assert_eq!((header[4], header[5]), (serial, 0));
    }
    polkit.served.stop();
}

#[test]
fn disconnect_during_a_polkit_question_is_harmless() {
    let polkit = with_polkit();
    for _ in 0..3 {
        let mut client = polkit.served.connect();
        client.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
        polkit.asked.recv().unwrap();
        drop(client);
        polkit.answer.send(Authorization::Granted).unwrap();
    }
    polkit.served.connect().call(AUTH_LIST, &[]);
    polkit.served.stop();
}

#[test]
fn polkit_questions_beyond_the_limit_are_refused() {
    let polkit = with_polkit();
    let served = &polkit.served;
    // No more than may be anonymous at a time, so from the network's side nobody gets here.
    let waiting: Vec<RawClient> = (0..20)
        .map(|_| {
            let mut client = served.connect();
            client.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
            polkit.asked.recv().unwrap();
            client
        })
        .collect();
    let mut late = served.connect();
    late.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
    assert!(late.is_kept_waiting(), "it is not even accepted");
    for _ in 0..waiting.len() {
        polkit.answer.send(Authorization::Denied).unwrap();
    }
    drop(waiting);
    polkit.answer.send(Authorization::Denied).unwrap();
    assert_eq!(error_of(&mut late).0, 45);
    polkit.served.stop();
}

#[test]
fn polkit_without_its_program_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("pkcheck");
    let error = refusal(&dir, |config| {
        config.auth_unix_ro = Auth::Polkit;
        config.authorizer = Arc::new(PkCheck { program });
    });
    assert_eq!(error.exit_status(), 7);
    assert!(error.to_string().contains("install polkitd"), "{error}");
}

/// Root passes by asking which way there is (DM-1003); others are told that it is polkit.
#[test]
fn root_is_not_asked_for_anything() {
    let polkit = with_polkit();
    let mut client = polkit.served.connect();
    let types = client.call(AUTH_LIST, &[]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(types, [0, 0, 0, 1, 0, 0, 0, 0]);
        client.open();
    } else {
        assert_eq!(types, [0, 0, 0, 1, 0, 0, 0, 2]);
    }
    assert!(polkit.asked.try_recv().is_err());
    polkit.served.stop();
}
