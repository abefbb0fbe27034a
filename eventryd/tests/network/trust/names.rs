//! Names of clients.

use super::Setup;

fn allowed(names: &str) -> String {
    format!("tls_allowed_dn_list = [ {names} ]\n")
}

#[test]
fn only_the_whole_name_of_the_client_is_compared() {
    for (names, is_allowed) in [
        ("\"O=eventry,CN=direct\"", true),
        ("\"CN=other\", \"O=eventry,CN=direct\"", true),
        ("\"*CN=direct\"", true),
        // The order differs, or a part is missing.
        ("\"CN=direct,O=eventry\"", false),
        ("\"CN=direct\"", false),
        ("\"direct\"", false),
        ("\"O=eventry\"", false),
        ("\"O=eventry,CN=direc\"", false),
        ("\"o=eventry,cn=direct\"", false),
        // The name of the authority, or of the server.
        ("\"CN=eventry root\"", false),
        ("\"O=eventry,CN=server\"", false),
        ("", false),
    ] {
        let running = Setup::new().start(&allowed(names));
        assert_eq!(running.accepts("direct"), is_allowed, "{names}");
        if !is_allowed {
            running.assert_logged("\"O=eventry,CN=direct\" is not in tls_allowed_dn_list");
        }
    }
}

/// Only the first certificate has a key that the client has proved to own.
#[test]
fn other_certificates_of_a_client_do_not_name_it() {
    let setup = Setup::new();
    for (name, more) in [("extra", "direct.pem"), ("extra-root", "root.pem")] {
        let chain = &setup.chain;
        chain.join(&["indirect.pem", more], &format!("{name}.pem"));
        chain.join(&["indirect.key"], &format!("{name}.key"));
    }
    let names = "\"O=eventry,CN=direct\", \"CN=eventry intermediate\", \"CN=eventry root\"";
    let running = setup.start(&allowed(names));
    assert!(running.accepts("direct"));
    for client in ["indirect", "extra", "extra-root"] {
        assert!(!running.accepts(client), "{client}");
    }
    assert!(!running.accepts("revoked"), "another client of the root");
}
