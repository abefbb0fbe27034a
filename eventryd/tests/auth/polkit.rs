//! polkit on the daemon's sockets, with decisions by the test.

use crate::*;
use eventryd::auth::{
    AuthError, Authorization, Authorizer, Cancellation, PkCheck, PolkitAction, Subject,
};
use eventryd::session::Auth;
use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use test_support::client::RawClient;
use test_support::rpc::{AUTH_LIST, CONNECT_OPEN, message, open_arguments};
use test_support::timeout::{TIMEOUT, wait_until};

/// A question to polkit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    subject: Subject,
    action: PolkitAction,
    timeout: Duration,
}

/// An authorizer that passes questions to the test and returns its answers.
#[derive(Debug)]
struct FakeAuthorizer {
    questions: Sender<Question>,
    #[allow(clippy::disallowed_types, reason = "a receiver has to be shared")]
    answers: std::sync::Mutex<Receiver<Authorization>>,
}

impl Authorizer for FakeAuthorizer {
    fn check(&self) -> Result<(), AuthError> {
        Ok(())
    }

    fn authorize(
        &self,
        subject: Subject,
        action: PolkitAction,
        timeout: Duration,
        _: &Cancellation,
    ) -> Authorization {
        let question = Question {
            subject,
            action,
            timeout,
        };
        self.questions.send(question).unwrap();
        // At the end of the test there are no more answers.
        let answer = self.answers.lock().unwrap().recv();
        answer.unwrap_or(Authorization::Denied)
    }
}

struct PolkitDaemon {
    daemon: TestDaemon,
    questions: Receiver<Question>,
    answer: Sender<Authorization>,
}

fn polkit_daemon() -> PolkitDaemon {
    polkit_daemon_with(|_| ())
}

fn polkit_daemon_with(change: impl FnOnce(&mut Config)) -> PolkitDaemon {
    let (question_sender, questions) = channel();
    let (answer, answers) = channel();
    let fake = FakeAuthorizer {
        questions: question_sender,
        #[allow(clippy::disallowed_types, reason = "a receiver has to be shared")]
        answers: std::sync::Mutex::new(answers),
    };
    let daemon = TestDaemon::start(tempfile::tempdir().unwrap(), |config| {
        config.auth_unix_rw = Auth::Polkit;
        config.auth_unix_ro = Auth::Polkit;
        config.authorizer = Arc::new(fake);
        change(config);
    });
    PolkitDaemon {
        daemon,
        questions,
        answer,
    }
}

impl PolkitDaemon {
    /// Connects a client that asks polkit. Returns it once polkit has its question, or `None` if it is refused at once.
    fn ask(&self) -> Option<RawClient> {
        let mut client = self.daemon.connect();
        client.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
        client.stream.set_nonblocking(true).unwrap();
        let mut is_asked = false;
        wait_until("polkit is asked, or a refusal", || {
            is_asked = self.questions.try_recv().is_ok();
            is_asked || client.stream.read(&mut [0]).is_ok()
        });
        is_asked.then_some(client)
    }
}

/// Reads an error reply; returns its code, its domain and its text.
fn error_of(client: &mut RawClient) -> (u32, u32, String) {
    let (header, payload) = client.read_message().expect("a reply");
    assert_eq!(header[5], 1);
    let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    let text = payload[16..16 + word(12) as usize].to_vec();
    (word(0), word(4), String::from_utf8(text).unwrap())
}

#[test]
fn polkit_is_asked_about_the_process_that_has_connected() {
    let polkit = polkit_daemon();
    let config = &polkit.daemon.config;
    for (path, action) in [
        (config.socket_path(), PolkitAction::Manage),
        (config.read_only_socket_path(), PolkitAction::Monitor),
    ] {
        polkit.answer.send(Authorization::Granted).unwrap();
        let mut client = RawClient::connect(&path);
        assert_eq!(client.call(POLKIT, &[]), [0, 0, 0, 1]);
        client.open();
        let question = polkit.questions.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(question.action, action);
        assert_eq!(question.subject.pid as u32, std::process::id());
        assert_eq!(question.subject.uid, rustix::process::geteuid().as_raw());
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19);
        assert_eq!(question.subject.start_time.to_string(), start.unwrap());
    }
    polkit.daemon.stop();
}

#[test]
fn each_answer_has_its_code_and_its_text() {
    let polkit = polkit_daemon();
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
            "internal error: polkit gave no decision; the log of the daemon contains the cause",
        ),
    ] {
        polkit.answer.send(answer).unwrap();
        let mut client = polkit.daemon.connect();
        let expected = (code, 60, text.to_owned());
        assert_eq!(failure(&mut client, POLKIT, &[]), expected);
        let (code, _, text) = failure(&mut client, CONNECT_OPEN, &open_arguments());
        assert_eq!((code, &text[..]), (39, "authentication required"));
    }
    polkit.daemon.stop();
}

/// While a decision is pending, other clients are served, and further calls of the client itself wait.
#[test]
fn slow_polkit_answer_delays_no_other_client() {
    let polkit = polkit_daemon();
    let mut asking = polkit.daemon.connect();
    let mut calls = message(POLKIT, 1, &[]);
    calls.extend(message(CONNECT_OPEN, 2, &open_arguments()));
    asking.stream.write_all(&calls).unwrap();
    polkit.questions.recv_timeout(TIMEOUT).unwrap();

    let mut other = polkit.daemon.connect();
    other.call(AUTH_LIST, &[]);
    assert!(asking.is_kept_waiting());
    polkit.answer.send(Authorization::Granted).unwrap();
    for serial in [1, 2] {
        let (header, _) = asking.read_message().expect("a reply");
        assert_eq!((header[4], header[5]), (serial, 0));
    }
    polkit.daemon.stop();
}

#[test]
fn disconnect_during_a_polkit_question_is_harmless() {
    let polkit = polkit_daemon();
    for _ in 0..3 {
        let mut client = polkit.daemon.connect();
        client.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
        polkit.questions.recv_timeout(TIMEOUT).unwrap();
        drop(client);
        polkit.answer.send(Authorization::Granted).unwrap();
    }
    polkit.daemon.connect().call(AUTH_LIST, &[]);
    polkit.daemon.stop();
}

/// The answer for a client that has gone authenticates no other client.
#[test]
fn polkit_answer_for_a_gone_client_is_dropped() {
    let polkit = polkit_daemon();
    let mut gone = polkit.daemon.connect();
    gone.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
    polkit.questions.recv_timeout(TIMEOUT).unwrap();
    drop(gone);
    let mut other = polkit.daemon.connect();
    assert_eq!(failure(&mut other, CONNECT_OPEN, &open_arguments()).0, 39);
    polkit.answer.send(Authorization::Granted).unwrap();
    // The first question has its answer when the second one gets another.
    polkit.answer.send(Authorization::Denied).unwrap();
    assert_eq!(failure(&mut other, POLKIT, &[]).0, 45);
    assert_eq!(failure(&mut other, CONNECT_OPEN, &open_arguments()).0, 39);
    polkit.daemon.stop();
}

/// More clients than there may be questions at once leave one after the other.
#[test]
fn polkit_questions_of_gone_clients_are_given_back() {
    let polkit = polkit_daemon();
    for answer in [Authorization::Granted, Authorization::Denied]
        .iter()
        .cycle()
        .take(40)
    {
        // The threads of many earlier questions may be late with their answers.
        wait_until("a question", || polkit.ask().map(drop).is_some());
        polkit.answer.send(answer.clone()).unwrap();
    }
    let mut client = polkit.daemon.connect();
    polkit.answer.send(Authorization::Granted).unwrap();
    assert_eq!(client.call(POLKIT, &[]), [0, 0, 0, 1]);
    client.open();
    polkit.daemon.stop();
}

/// Its anonymous slot is free at once, though its question is still open.
#[test]
fn slot_of_a_gone_client_is_free_before_its_answer() {
    let polkit = polkit_daemon();
    for _ in 0..25 {
        let mut client = polkit.daemon.connect();
        client.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
        polkit.questions.recv_timeout(TIMEOUT).unwrap();
    }
    let mut client = polkit.daemon.connect();
    assert_eq!(failure(&mut client, CONNECT_OPEN, &open_arguments()).0, 39);
    for _ in 0..25 {
        polkit.answer.send(Authorization::Denied).unwrap();
    }
    polkit.daemon.stop();
}

#[test]
fn polkit_questions_beyond_the_limit_are_refused() {
    let polkit = polkit_daemon();
    let daemon = &polkit.daemon;
    // As many pending decisions as there are anonymous slots.
    let waiting: Vec<RawClient> = (0..20)
        .map(|_| {
            let mut client = daemon.connect();
            client.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
            polkit.questions.recv_timeout(TIMEOUT).unwrap();
            client
        })
        .collect();
    let mut late = daemon.connect();
    late.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
    assert!(
        late.is_kept_waiting(),
        "a client beyond the limit is not served"
    );
    for _ in 0..waiting.len() {
        polkit.answer.send(Authorization::Denied).unwrap();
    }
    drop(waiting);
    polkit.answer.send(Authorization::Denied).unwrap();
    assert_eq!(error_of(&mut late).0, 45);
    polkit.daemon.stop();
}

#[test]
fn polkit_without_its_program_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("pkcheck");
    let error = start_error(&dir, |config| {
        config.auth_unix_ro = Auth::Polkit;
        config.authorizer = Arc::new(PkCheck { program });
    });
    assert_eq!(error.exit_status(), 7);
    assert!(error.to_string().contains("install polkitd"), "{error}");
}

/// Root is authenticated by listing the authentication types (DM-1003); for other users the list contains polkit.
#[test]
fn root_needs_no_polkit_authentication() {
    let polkit = polkit_daemon();
    let mut client = polkit.daemon.connect();
    let types = client.call(AUTH_LIST, &[]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(types, [0, 0, 0, 1, 0, 0, 0, 0]);
        client.open();
    } else {
        assert_eq!(types, [0, 0, 0, 1, 0, 0, 0, 2]);
    }
    assert!(polkit.questions.try_recv().is_err());
    polkit.daemon.stop();
}

/// Gone clients leave their questions open. Beyond 32 a question is refused, and counts no longer than its refusal.
#[test]
fn open_polkit_questions_are_at_most_32_at_a_time() {
    let polkit = polkit_daemon();
    for _ in 0..32 {
        drop(polkit.ask().expect("a question"));
    }
    for _ in 0..3 {
        assert!(polkit.ask().is_none(), "a question beyond the limit");
    }
    for _ in 0..32 {
        polkit.answer.send(Authorization::Denied).unwrap();
    }
    for _ in 0..32 {
        wait_until("a question is given back", || polkit.ask().is_some());
    }
    assert!(polkit.ask().is_none());
    for _ in 0..32 {
        polkit.answer.send(Authorization::Denied).unwrap();
    }
    polkit.daemon.stop();
}

/// A decision may take as long as the whole authentication (`eventry_auth_timeout`).
#[test]
fn reload_changes_the_time_for_a_polkit_decision() {
    let polkit = polkit_daemon_with(|config| config.auth_timeout = Duration::from_secs(70));
    let control = &polkit.daemon.ready.control;
    let mut config = polkit.daemon.config.clone();
    // Without a limit for the client there is still one for the decision.
    for (auth_timeout, expected) in [(70, 70), (80, 80), (0, 300), (90, 90)] {
        config.auth_timeout = Duration::from_secs(auth_timeout);
        control.commit(control.prepare(&config, |_| ()).unwrap());
        polkit.answer.send(Authorization::Granted).unwrap();
        assert_eq!(polkit.daemon.connect().call(POLKIT, &[]), [0, 0, 0, 1]);
        let question = polkit.questions.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(question.timeout, Duration::from_secs(expected));
    }
    polkit.daemon.stop();
}

/// The client waits for the daemon, which may wait for a user, so the grace does not apply.
#[test]
fn client_with_an_open_polkit_question_is_not_evicted() {
    let polkit = polkit_daemon_with(|config| {
        config.max_anonymous_clients = 1;
        config.eviction_grace = Duration::from_millis(20);
    });
    let mut asking = polkit.daemon.connect();
    asking.stream.write_all(&message(POLKIT, 1, &[])).unwrap();
    polkit.questions.recv_timeout(TIMEOUT).unwrap();
    let mut waiting = polkit.daemon.connect();
    let call = message(AUTH_LIST, 1, &[]);
    waiting.stream.write_all(&call).unwrap();
    assert!(waiting.is_kept_waiting());
    polkit.answer.send(Authorization::Granted).unwrap();
    let (header, _) = asking.read_message().expect("a reply");
    assert_eq!(header[5], 0);
    // Its anonymous slot is free now.
    assert!(waiting.read_message().is_some());
    asking.open();
    polkit.daemon.stop();
}

/// The stop has no limit of its grace, and ends with the last client.
#[test]
fn answered_polkit_questions_do_not_hold_up_a_stop() {
    let polkit = polkit_daemon_with(|config| config.shutdown_grace = Duration::MAX);
    polkit.answer.send(Authorization::Denied).unwrap();
    let mut client = polkit.daemon.connect();
    assert_eq!(failure(&mut client, POLKIT, &[]).0, 45);
    let gone = polkit.ask().expect("a question");
    drop(gone);
    polkit.answer.send(Authorization::Granted).unwrap();
    polkit.daemon.stop();
}
