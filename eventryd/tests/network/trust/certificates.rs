//! Certificates of clients, and revocation lists.

use super::{Running, Setup};
use test_support::rpc::GET_HOSTNAME;

/// Checks that exactly the clients in `accepted` are accepted.
#[track_caller]
fn assert_accepted(running: &Running, accepted: &[&str]) {
    for client in ["direct", "revoked", "indirect", "indirect-revoked"] {
        let expected = accepted.contains(&client);
        assert_eq!(running.accepts(client), expected, "{client}");
    }
}

#[test]
fn client_of_an_unknown_authority_is_refused() {
    let running = Setup::new().start("");
    assert_accepted(
        &running,
        &["direct", "revoked", "indirect", "indirect-revoked"],
    );
    assert!(!running.accepts("lasting"));
    running.assert_logged("rejected: it is not signed by a configured CA");
}

#[test]
fn revoked_intermediate_authority_is_not_trusted() {
    let running = Setup::with_lists(&["intermediate.crl"]).start("");
    assert_accepted(&running, &["direct", "revoked"]);
    running.assert_logged("certificate \"O=eventry,CN=indirect\" rejected: it has been revoked");
}

#[test]
fn lists_of_all_authorities_in_a_file_apply() {
    for lists in [
        ["revoked.crl", "indirect-revoked.crl"],
        ["indirect-revoked.crl", "revoked.crl"],
    ] {
        let running = Setup::with_lists(&lists).start("");
        assert_accepted(&running, &["direct", "indirect"]);
    }
    let running = Setup::with_lists(&["indirect-revoked.crl"]).start("");
    assert_accepted(&running, &["direct", "revoked", "indirect"]);
}

/// As with GnuTLS: the older list would let in what the newer one revokes.
#[test]
fn newest_of_several_lists_of_an_authority_applies() {
    for lists in [
        ["nothing.crl", "revoked.crl"],
        ["revoked.crl", "nothing.crl"],
    ] {
        let running = Setup::with_lists(&lists).start("");
        assert_accepted(&running, &["direct", "indirect", "indirect-revoked"]);
    }
}

#[test]
fn expired_list_refuses_only_listed_clients() {
    let setup = Setup::with_lists(&["revoked-expired.crl", "indirect-revoked.crl"]);
    let running = setup.start("");
    assert_accepted(&running, &["direct", "indirect"]);
    running.assert_logged(
        "lists.crl expired on 2022-01-01 00:00:00 UTC: certificates revoked after that date \
         are still accepted; install a new one and reload",
    );
    assert!(
        !running.log().contains("lists.crl expires"),
        "{}",
        running.log()
    );
}

#[test]
fn required_current_list_refuses_all_when_expired() {
    let setup = Setup::with_lists(&["revoked-expired.crl"]);
    let mut running = setup.start("tls_require_current_crl = 1\n");
    assert_accepted(&running, &[]);
    let expected = format!(
        "client certificate \"O=eventry,CN=direct\" rejected: the revocation list \"CN=eventry root\" in {} has expired",
        running.chain.path("lists.crl").display()
    );
    running.assert_logged(&expected);
    running.chain.join(&["revoked.crl"], "lists.crl");
    running.reload();
    assert_accepted(&running, &["direct", "indirect", "indirect-revoked"]);
}

#[test]
fn reload_of_a_list_applies_to_new_clients_only() {
    let mut running = Setup::with_lists(&["nothing.crl"]).start("");
    let mut before = running.chain.connect("revoked", running.address).unwrap();
    before.open();
    running.chain.join(&["revoked.crl"], "lists.crl");
    assert!(running.accepts("revoked"), "the list is not read before");
    running.reload();
    running.assert_logged(
        "SIGHUP: the settings are unchanged; keys, certificates and revocation lists were read again; log files \
         were opened again\n",
    );
    let lost = "no certificate revocation list is in force any more: ";
    assert!(!running.log().contains(lost));
    assert!(!running.accepts("revoked"));
    before.call(GET_HOSTNAME, &[]);
    // Without the file, nothing is revoked.
    std::fs::remove_file(running.chain.path("lists.crl")).unwrap();
    running.reload();
    assert!(running.accepts("revoked"));
    running.assert_logged(lost);
    running.assert_logged("clients whose certificates it revoked are accepted now");
}

#[test]
fn required_list_that_is_missing_fails_start_and_reload() {
    let require = "tls_require_current_crl = 1\n";
    let setup = Setup::new();
    let shown = setup.start_error(require);
    let config = setup.chain.path("eventryd.conf").display().to_string();
    let list = setup.chain.path("lists.crl").display().to_string();
    let missing = format!(
        "tls_require_current_crl is set, but the certificate revocation list {list} does not exist"
    );
    assert!(
        shown.contains(&format!("{config}:6:12: {missing}")),
        "{shown}"
    );
    setup.chain.join(&["revoked.crl"], "lists.crl");
    let mut running = setup.start(require);
    std::fs::remove_file(&list).unwrap();
    running.reload();
    running.assert_logged(&missing);
    running.assert_logged("nothing is changed");
    assert_accepted(&running, &["direct", "indirect", "indirect-revoked"]);
}

#[test]
fn required_list_of_another_authority_fails_the_start() {
    let setup = Setup::with_lists(&["indirect-revoked.crl"]);
    setup.chain.join(&["root.pem", "brief.pem"], "ca.pem");
    let shown = setup.start_error("tls_require_current_crl = 1\n");
    let expected = format!(
        "{} has no list of the CA \"CN=eventry root\" in {}",
        setup.chain.path("lists.crl").display(),
        setup.chain.path("ca.pem").display()
    );
    assert!(shown.contains(&expected), "{shown}");
    setup.chain.join(&["revoked.crl"], "lists.crl");
    let shown = setup.start_error("tls_require_current_crl = 1\n");
    assert!(
        shown.contains("has no list of the CA \"CN=eventry brief\""),
        "{shown}"
    );
}

#[test]
fn list_that_a_setting_names_and_is_missing_is_warned_of() {
    let setup = Setup::new();
    let config = setup.chain.path("eventryd.conf").display().to_string();
    let list = setup.chain.path("lists.crl").display().to_string();
    let running = setup.start("");
    running.assert_logged(&format!(
        "{config}:6: the certificate revocation list {list} does not exist: no client certificate is revoked"
    ));
    assert!(running.accepts("revoked"));
}

/// Neither the new authority nor the new list is in force without the new key.
#[test]
fn reload_replaces_the_context_as_a_whole_or_not() {
    let mut running = Setup::with_lists(&["revoked.crl"]).start("");
    let key = std::fs::read(running.chain.path("server.key")).unwrap();
    running.chain.join(&["root.pem", "brief.pem"], "ca.pem");
    running.chain.join(&["nothing.crl"], "lists.crl");
    running.chain.join(&["direct.key"], "server.key");
    running.reload();
    running.assert_logged("the key does not match the server certificate");
    assert_accepted(&running, &["direct", "indirect", "indirect-revoked"]);
    assert!(!running.accepts("lasting"));

    std::fs::write(running.chain.path("server.key"), key).unwrap();
    running.reload();
    assert!(running.accepts("revoked") && running.accepts("lasting"));
}

#[test]
fn server_certificate_at_a_client_follows_the_setting() {
    let running = Setup::new().start("");
    assert!(running.accepts("purpose"));
    running.assert_logged("does not allow a TLS client");
    let running = Setup::new().start("tls_strict_purpose = 1\n");
    assert!(!running.accepts("purpose"));
    running.assert_logged("rejected: its extended key usage does not allow a TLS client");
    assert!(running.accepts("direct"));
}

#[test]
fn list_with_a_wrong_signature_is_named_with_its_setting() {
    let setup = Setup::with_lists(&["revoked.crl"]);
    let list = setup.chain.path("lists.crl");
    let text = std::fs::read_to_string(&list).unwrap();
    let (signed, end) = text.split_at(text.rfind("\n-----END").unwrap() - 8);
    let changed = if end.starts_with('A') { "B" } else { "A" };
    std::fs::write(&list, format!("{signed}{changed}{}", &end[1..])).unwrap();
    let shown = setup.start_error("");
    let expected = format!(
        "no usable certificate revocation list in {}: it is not signed by its CA",
        list.display()
    );
    assert!(shown.contains(&expected), "{shown}");
    let config = std::fs::read_to_string(setup.chain.path("eventryd.conf")).unwrap();
    let mut lines = config.lines();
    let line = lines.position(|line| line.starts_with("crl_file")).unwrap() + 1;
    assert!(shown.contains(&format!("eventryd.conf:{line}:")), "{shown}");
    assert!(!shown.contains("server certificate"), "{shown}");
}
