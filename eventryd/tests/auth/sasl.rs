//! SASL on the daemon's sockets.

use crate::*;
use eventryd::auth::{PasswordChange, change_password};
use eventryd::server::TcpService;
use eventryd::session::Auth;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use test_support::client::RawClient;
use test_support::rpc::{AUTH_LIST, CONNECT_OPEN, GET_HOSTNAME, message, open_arguments};
use test_support::sasl::{log_in, proof_of};
use test_support::timeout::wait_until;

fn set_password(dir: &TempDir, user: &str, password: &str) {
    let set = PasswordChange::Set {
        password: password.as_bytes(),
        iterations: NonZeroU32::new(4096).unwrap(),
    };
    change_password(&password_file(dir), user, set).unwrap();
}

/// Starts a daemon whose read-write socket requires SASL, with the user fred.
pub(crate) fn sasl_daemon(change: impl FnOnce(&mut Config)) -> TestDaemon {
    let dir = tempfile::tempdir().unwrap();
    set_password(&dir, "fred", "pencil");
    TestDaemon::start(dir, |config| {
        config.auth_unix_rw = Auth::Sasl;
        change(config);
    })
}

/// Tries to log in; returns `true` on success.
pub(crate) fn can_log_in(client: &mut RawClient, password: &str) -> bool {
    let last = proof_of(client, password);
    let call = message(SASL_STEP, 9, &last);
    client.stream.write_all(&call).unwrap();
    let (header, _) = client.read_message().expect("a reply");
    header[5] == 0
}

pub(crate) fn assert_denied(client: &mut RawClient, password: &str) {
    let last = proof_of(client, password);
    let expected = "authentication failed: authentication failed".to_owned();
    assert_eq!(failure(client, SASL_STEP, &last), (45, 7, expected));
}

#[test]
fn sasl_login_is_required_for_service() {
    let daemon = sasl_daemon(|_| ());
    let mut client = daemon.connect();
    assert_eq!(client.call(AUTH_LIST, &[]), [0, 0, 0, 1, 0, 0, 0, 1]);
    let (code, domain, text) = failure(&mut client, CONNECT_OPEN, &open_arguments());
    assert_eq!(
        (code, domain, &text[..]),
        (39, 7, "authentication required")
    );
    log_in(&mut client, "pencil");
    client.open();
    client.call(GET_HOSTNAME, &[]);
    // The read-only socket requires no authentication.
    RawClient::connect(&daemon.config.read_only_socket_path()).open();
    daemon.stop();
}

#[test]
fn three_failures_close_the_connection() {
    let daemon = sasl_daemon(|_| ());
    let mut client = daemon.connect();
    for _ in 0..3 {
        assert_denied(&mut client, "wrong");
    }
    assert!(client.is_closed());
    let mut client = daemon.connect();
    assert_denied(&mut client, "wrong");
    assert_denied(&mut client, "wrong");
    log_in(&mut client, "pencil");
    client.open();
    daemon.stop();
}

#[test]
fn only_users_who_fit_a_pattern_are_let_in() {
    for (patterns, is_allowed) in [
        (&["fred"][..], true),
        (&["ann", "f*"], true),
        (&["ann", "fre", "*@example"], false),
        // An empty list allows no user.
        (&[], false),
    ] {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.into()).collect();
        let daemon = sasl_daemon(|config| config.sasl.allowed_users = Some(patterns.clone()));
        let mut client = daemon.connect();
        if is_allowed {
            log_in(&mut client, "pencil");
            client.open();
        } else {
            assert_denied(&mut client, "pencil");
        }
        daemon.stop();
    }
}

#[test]
fn passwords_are_read_again_when_asked_and_kept_if_that_fails() {
    let daemon = sasl_daemon(|_| ());
    set_password(&daemon.dir, "fred", "pen");
    let mut client = daemon.connect();
    log_in(&mut client, "pencil");
    let control = &daemon.ready.control;
    control.commit(control.prepare(&daemon.config, |_| ()).unwrap());
    client.call(AUTH_LIST, &[]);
    client.open();
    log_in(&mut daemon.connect(), "pen");
    assert_denied(&mut daemon.connect(), "pencil");

    std::fs::write(password_file(&daemon.dir), "fred:broken\n").unwrap();
    let refused = control.prepare(&daemon.config, |_| ());
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("passwords:1: expected SCRAM-SHA-256$"),
        "{text}"
    );
    log_in(&mut daemon.connect(), "pen");
    daemon.stop();
}

#[test]
fn auth_timeout_closes_anonymous_clients_only() {
    let daemon = sasl_daemon(|config| config.auth_timeout = Duration::from_millis(300));
    let mut known = daemon.connect();
    log_in(&mut known, "pencil");
    let mut silent = daemon.connect();
    let mut asking = daemon.connect();
    asking.call(AUTH_LIST, &[]);
    let mut halfway = daemon.connect();
    proof_of(&mut halfway, "pencil");
    for client in [&mut silent, &mut asking, &mut halfway] {
        assert!(client.is_closed());
    }
    known.open();
    // The time of a client begins when it is accepted, and not when the daemon starts.
    log_in(&mut daemon.connect(), "pencil");
    daemon.stop();
}

#[test]
fn anonymous_limit_does_not_block_other_services() {
    let daemon = sasl_daemon(|config| {
        config.max_anonymous_clients = 2;
        config.eviction_grace = Duration::MAX;
    });
    let mut first = daemon.connect();
    first.call(AUTH_LIST, &[]);
    let mut second = daemon.connect();
    second.call(AUTH_LIST, &[]);

    let mut third = daemon.connect();
    third.stream.write_all(&message(AUTH_LIST, 1, &[])).unwrap();
    assert!(third.is_kept_waiting());
    RawClient::connect(&daemon.config.read_only_socket_path()).open();

    // An authenticated client frees an anonymous slot, and so does a disconnected one.
    log_in(&mut first, "pencil");
    assert!(third.read_message().is_some());
    let mut fourth = daemon.connect();
    fourth
        .stream
        .write_all(&message(AUTH_LIST, 1, &[]))
        .unwrap();
    assert!(fourth.is_kept_waiting());
    drop(second);
    assert!(fourth.read_message().is_some());
    daemon.stop();
}

#[test]
fn unusable_auth_settings_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let sasl = |config: &mut Config| config.auth_unix_rw = Auth::Sasl;
    let missing = start_error(&dir, sasl);
    assert_eq!(missing.exit_status(), 7);
    let message = missing.to_string();
    assert!(
        message.contains("cannot read the password file"),
        "{message}"
    );
    assert!(message.contains("eventryd passwd --file"), "{message}");

    set_password(&dir, "fred", "pencil");
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(password_file(&dir), permissions).unwrap();
    };
    for open in [0o640, 0o604, 0o620] {
        mode(open);
        let message = start_error(&dir, sasl).to_string();
        assert!(message.contains("chmod 600"), "{message}");
    }
    mode(0o600);

    for (auth, expected) in [
        (Auth::Sasl, "SASL cannot be used on plain TCP"),
        (Auth::Polkit, "polkit cannot be used on TCP"),
    ] {
        let error = start_error(&dir, |config| {
            config.tcp = Some(TcpService {
                address: Some("127.0.0.1".into()),
                port: "0".into(),
                auth,
            });
        });
        assert_eq!(error.exit_status(), 7);
        assert!(error.to_string().contains(expected), "{error}");
    }

    let error = start_error(&dir, |config| config.max_clients = 19.try_into().unwrap());
    assert!(
        error.to_string().contains("max_anonymous_clients is 20"),
        "{error}"
    );
}

#[test]
fn disconnect_during_login_frees_the_slot() {
    let daemon = sasl_daemon(|config| config.max_anonymous_clients = 1);
    for _ in 0..20 {
        let mut client = daemon.connect();
        client.call(AUTH_LIST, &[]);
        drop(client);
    }
    for _ in 0..20 {
        let mut client = daemon.connect();
        proof_of(&mut client, "pencil");
        drop(client);
    }
    let mut client = daemon.connect();
    log_in(&mut client, "pencil");
    wait_until("a slot is free", || {
        let mut next = daemon.connect();
        next.call(AUTH_LIST, &[]);
        true
    });
    daemon.stop();
}
