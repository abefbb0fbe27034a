//! Recorded logins, decoys for unknown users, and limits before a login.

use crate::sasl::{assert_denied, sasl_daemon};
use crate::{TestDaemon, failure, password_file};
use eventryd::auth::{PasswordChange, change_password};
use eventryd::session::Auth;
use std::collections::BTreeSet;
use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;
use test_support::client::RawClient;
use test_support::rpc::{AUTH_LIST, GET_HOSTNAME, SASL_INIT, SASL_START, SASL_STEP, message};
use test_support::sasl::{data, log_in, proof_of, start_arguments};
use test_support::scram::proof;

const FRED: &str = "n,,n=fred,r=abc";

/// Starts an exchange with this first message, and returns the challenge.
fn challenge(client: &mut RawClient, first: &str) -> String {
    client.call(SASL_INIT, &[]);
    let reply = client.call(SASL_START, &start_arguments(first));
    let bytes = reply[12..].chunks(4).map(|word| word[3]);
    String::from_utf8(bytes.collect()).unwrap()
}

#[test]
fn recorded_login_is_refused_on_another_connection() {
    let daemon = sasl_daemon(|_| ());
    let mut client = daemon.connect();
    let recorded = proof_of(&mut client, "pencil");
    client.call(SASL_STEP, &recorded);
    // Both messages of the client again: with its own nonce, only that of the server differs.
    for _ in 0..3 {
        let mut replaying = daemon.connect();
        challenge(&mut replaying, FRED);
        let (code, _, text) = failure(&mut replaying, SASL_STEP, &recorded);
        assert_eq!(
            (code, &text[..]),
            (45, "authentication failed: authentication failed")
        );
        assert_eq!(failure(&mut replaying, GET_HOSTNAME, &[]).0, 39);
    }
    daemon.stop();
}

/// A wrong proof uses the challenge up: the right one comes too late.
#[test]
fn challenge_can_be_answered_once() {
    let daemon = sasl_daemon(|_| ());
    for starts_again in [false, true] {
        let mut client = daemon.connect();
        let first = challenge(&mut client, FRED);
        let [wrong, right] = [&b"wrong"[..], b"pencil"]
            .map(|password| data(&proof(FRED, password, first.as_bytes())));
        assert_eq!(failure(&mut client, SASL_STEP, &wrong).0, 45);
        if starts_again {
            assert_ne!(challenge(&mut client, FRED), first);
        }
        failure(&mut client, SASL_STEP, &right);
        assert_eq!(failure(&mut client, GET_HOSTNAME, &[]).0, 39);
        log_in(&mut client, "pencil");
        client.open();
    }
    daemon.stop();
}

#[test]
fn challenges_never_repeat() {
    let daemon = sasl_daemon(|_| ());
    let challenges: BTreeSet<String> = (0..20)
        .map(|_| challenge(&mut daemon.connect(), FRED))
        .collect();
    assert_eq!(challenges.len(), 20);
    for challenge in challenges {
        let nonce = challenge.split(',').next().unwrap();
        // The client's part, and 144 bits in base64.
        assert_eq!(nonce.len(), "r=abc".len() + 24);
        assert!(nonce.starts_with("r=abc"));
    }
    daemon.stop();
}

fn daemon_with(file: &Path) -> TestDaemon {
    TestDaemon::start(tempfile::tempdir().unwrap(), |config| {
        config.auth_unix_rw = Auth::Sasl;
        config.sasl.password_file = file.to_owned();
    })
}

/// Returns salt and iteration count for a user.
fn salt_of(daemon: &TestDaemon, user: &str) -> (String, String) {
    let challenge = challenge(&mut daemon.connect(), &format!("n,,n={user},r=abc"));
    let mut parts = challenge.split(',').skip(1).map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn unknown_user_gets_the_challenge_of_a_known_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = password_file(&dir);
    // Not the default count: the decoy has that of the users.
    let iterations = NonZeroU32::new(5000).unwrap();
    let password = b"pencil";
    let set = PasswordChange::Set {
        password,
        iterations,
    };
    change_password(&file, "fred", set).unwrap();
    let users = ["fred", "ann", "bob", "fred2"];
    let seen = |daemon: TestDaemon| {
        let salts = users.map(|user| salt_of(&daemon, user));
        assert_eq!(
            salts,
            users.map(|user| salt_of(&daemon, user)),
            "asked again"
        );
        daemon.stop();
        salts
    };
    let first = seen(daemon_with(&file));
    assert_eq!(first, seen(daemon_with(&file)), "after a restart");
    let distinct: BTreeSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), users.len());
    for (salt, count) in &first {
        assert_eq!((salt.len(), &count[..]), (first[0].0.len(), "i=5000"));
    }
    // Another file has another key, and other decoys.
    let other_dir = tempfile::tempdir().unwrap();
    let other = password_file(&other_dir);
    change_password(&other, "fred", set).unwrap();
    let daemon = daemon_with(&other);
    assert_ne!(salt_of(&daemon, "ann"), first[1]);

    // The answer to a wrong proof is the same too.
    let mut known = daemon.connect();
    assert_denied(&mut known, "wrong");
    let mut unknown = daemon.connect();
    let ann = "n,,n=ann,r=abc";
    let challenge = challenge(&mut unknown, ann);
    let proof = data(&proof(ann, password, challenge.as_bytes()));
    let expected = "authentication failed: authentication failed".to_owned();
    assert_eq!(failure(&mut unknown, SASL_STEP, &proof), (45, 7, expected));
    daemon.stop();
}

/// 256 KiB before the login, and the limit of the protocol after it.
#[test]
fn message_limit_before_a_login_is_lifted_by_it() {
    let daemon = sasl_daemon(|_| ());
    let long = vec![0; 300 << 10];
    let mut client = daemon.connect();
    // The daemon may close before all bytes are written.
    let _ = client.stream.write_all(&message(AUTH_LIST, 1, &long));
    assert!(client.is_closed());

    let mut client = daemon.connect();
    log_in(&mut client, "pencil");
    client.open();
    client.call(GET_HOSTNAME, &long);
    client.call(GET_HOSTNAME, &vec![0; 4 << 20]);
    // A failed login does not lift it.
    let mut client = daemon.connect();
    assert_denied(&mut client, "wrong");
    let _ = client.stream.write_all(&message(AUTH_LIST, 1, &long));
    assert!(client.is_closed());
    daemon.stop();
}

/// Calls out of turn are attempts too: they end the connection like wrong passwords.
#[test]
fn three_steps_out_of_turn_close_the_connection() {
    let daemon = sasl_daemon(|_| ());
    let mut client = daemon.connect();
    for _ in 0..3 {
        let (code, ..) = failure(&mut client, SASL_STEP, &data(b"c=biws"));
        assert_eq!(code, 45);
    }
    assert!(client.is_closed());
    daemon.stop();
}
