//! virsh over TLS, and its error messages for rejected clients.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventryd::auth::{DEFAULT_ITERATIONS, PasswordChange, change_password};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use test_support::daemon::{Daemon, virsh};
use test_support::pki::{CLIENT, Key, Pki, Tool};
use test_support::timeout::bounded;

fn start(pki: &Pki, more: &str) -> Daemon {
    start_with(&(pki.configuration() + more))
}

fn start_with(configuration: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("eventryd.conf");
    fs::write(&file, configuration).unwrap();
    let file = file.display().to_string();
    Daemon::start_in(dir, &["--config", &file])
}

/// Lists the domains over TLS with the certificate in `dir`. `more` is appended to the URI.
fn list(daemon: &Daemon, dir: &Path, more: &str) -> Output {
    let address = daemon.addresses("TLS")[0];
    let dir = dir.display();
    let uri = format!("test+tls://{address}/default?pkipath={dir}{more}");
    virsh(&["-c", &uri, "list", "--all"].map(str::to_owned), None)
}

fn assert_listed(output: &Output, what: &str) {
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what}: {output:?}");
    assert!(
        printed.contains(" 1    test   running"),
        "{what}: {printed}"
    );
}

/// Returns parameters for the URI that switch off checks of libvirt. libvirt 9.0.0 requires key encipherment of its own
/// certificate and of the server's, which certtool 3.7.9 does not allow for keys other than RSA.
fn uri_exceptions(tool: Tool, key: Key) -> &'static str {
    if tool == Tool::Certtool && key != Key::Rsa {
        "&no_sanity=1&no_verify=1"
    } else {
        ""
    }
}

#[test]
fn client_certificates_of_all_tools_work_in_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    for tool in [Tool::Certtool, Tool::Openssl] {
        for key in [Key::P256, Key::Rsa, Key::Ed25519] {
            let pki = Pki::new(dir.path(), tool, key);
            let client = pki.client("client1", CLIENT);
            let exceptions = uri_exceptions(tool, key);
            // GnuTLS 3.7.9 cannot use a certificate with an Ed25519 key in TLS 1.2.
            let versions: &[&str] = match key {
                Key::Ed25519 => &["1.3"],
                _ => &["1.2", "1.3"],
            };
            for version in versions {
                let only = format!("NORMAL:-VERS-ALL:+VERS-TLS{version}");
                let what = format!("{tool:?} {key:?} TLS {version}");
                let daemon = start(&pki, &format!("tls_priority = \"{only}\"\n"));
                assert_listed(&list(&daemon, &client, exceptions), &what);
                let daemon = start(&pki, "");
                let chosen = format!("&tls_priority={only}{exceptions}");
                assert_listed(&list(&daemon, &client, &chosen), &what);
            }
        }
    }
}

/// Checks that virsh fails with a message, and that the daemon logs a warning with the reason.
#[track_caller]
fn assert_refused(output: &Output, printed: &str, daemon: Daemon, logged: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr.contains(printed), "{stderr}");
    let log = daemon.stop().log;
    let line = log.lines().find(|line| line.contains(logged));
    let line = line.unwrap_or_else(|| panic!("{logged:?} is not in {log}"));
    assert!(
        line.contains("warning") && line.contains("127.0.0.1:"),
        "{line}"
    );
}

/// The message of virsh if the connection ends after the handshake without the confirmation byte (DM-1203).
const CUT_OFF: &str = "error: Unable to read TLS confirmation: Input/output error";

/// Parameters of the URI that allow one version of TLS only, and make virsh present certificates that it considers
/// invalid.
const ONLY: [&str; 2] = [
    "&no_sanity=1&tls_priority=NORMAL:-VERS-ALL:+VERS-TLS1.2",
    "&no_sanity=1&tls_priority=NORMAL:-VERS-ALL:+VERS-TLS1.3",
];

#[test]
fn unacceptable_certificate_is_closed_and_logged() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), Tool::Certtool, Key::Rsa);
    let of_another_authority = {
        let other = Pki::new(dir.path(), Tool::Openssl, Key::Rsa);
        let client = other.client("other", CLIENT);
        fs::copy(pki.path("cacert.pem"), client.join("cacert.pem")).unwrap();
        client
    };
    let without = pki.path("without");
    fs::create_dir(&without).unwrap();
    fs::copy(pki.path("cacert.pem"), without.join("cacert.pem")).unwrap();
    let dates =
        "activation_date = \"2020-01-01 00:00:00\"\nexpiration_date = \"2021-01-01 00:00:00\"\n";
    let expired = pki.client("expired", &format!("{CLIENT}{dates}"));
    let unrelated = "time_stamping_key\nsigning_key\nencryption_key\n";
    let unrelated = pki.client("unrelated", unrelated);
    for only in ONLY {
        for (client, why) in [
            (&without, "rejected: the client sent none"),
            // GnuTLS does not send a certificate of an authority that the server does not accept.
            (&of_another_authority, "rejected: the client sent none"),
            (&expired, "rejected: it has expired"),
            (
                &unrelated,
                "its extended key usage does not allow a TLS client",
            ),
        ] {
            let daemon = start(&pki, "");
            assert_refused(&list(&daemon, client, only), CUT_OFF, daemon, why);
        }
    }
}

#[test]
fn server_certificate_at_a_client_is_accepted_with_warning() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), Tool::Certtool, Key::Rsa);
    let lines = "tls_www_server\nsigning_key\nencryption_key\n";
    let client = pki.client("server2", lines);
    let daemon = start(&pki, "");
    assert_listed(
        &list(&daemon, &client, "&no_sanity=1"),
        "a server certificate at the client",
    );
    let log = daemon.stop().log;
    assert!(log.contains("does not allow a TLS client"), "{log}");
}

#[test]
fn allowed_dn_list_and_crl_are_applied() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), Tool::Certtool, Key::Rsa);
    let client = pki.client("client1", CLIENT);
    let allowed = |list: &str| start(&pki, &format!("tls_allowed_dn_list = {list}\n"));
    for list_of_names in ["[\"O=eventry,CN=client1\"]", "[\"x\", \"O=*,CN=client?\"]"] {
        assert_listed(&list(&allowed(list_of_names), &client, ""), list_of_names);
    }
    // The order of RFC 4514 gives another name, and an empty list rejects all clients.
    for list_of_names in ["[\"CN=client1,O=eventry\"]", "[]"] {
        let daemon = allowed(list_of_names);
        let output = list(&daemon, &client, "");
        let why = "\"O=eventry,CN=client1\" is not in tls_allowed_dn_list";
        assert_refused(&output, CUT_OFF, daemon, why);
    }
    pki.revoke("client1", "crl_next_update = 10\n");
    let daemon = start(&pki, "");
    let output = list(&daemon, &client, "");
    assert_refused(&output, CUT_OFF, daemon, "rejected: it has been revoked");
    // A client that is not revoked is accepted.
    let second = pki.client("client2", CLIENT);
    assert_listed(&list(&start(&pki, ""), &second, ""), "client2");
    // Without verification the revoked client is accepted, with a warning.
    let daemon = start(&pki, "tls_no_verify_certificate = 1\n");
    assert_listed(&list(&daemon, &client, ""), "unverified");
    let log = daemon.stop().log;
    assert!(
        log.contains("accepted without verification: it has been revoked"),
        "{log}"
    );
}

#[test]
fn an_old_version_is_refused_with_an_alert() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), Tool::Certtool, Key::Rsa);
    let client = pki.client("client1", CLIENT);
    let daemon = start(&pki, "");
    let old = "&tls_priority=LEGACY:-VERS-ALL:%2BVERS-TLS1.1";
    let printed = "TLS handshake failed A TLS fatal alert has been received.";
    let output = list(&daemon, &client, old);
    assert_refused(
        &output,
        printed,
        daemon,
        "TLS 1.2 is needed (peer is incompatible: ",
    );
}

/// SASL is required in addition to the certificate (DM-1210).
#[test]
fn virsh_sasl_over_tls_needs_the_right_password() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), Tool::Openssl, Key::P256);
    let client = pki.client("client1", CLIENT);
    let passwords = dir.path().join("passwords");
    let set = PasswordChange::Set {
        password: b"pencil",
        iterations: DEFAULT_ITERATIONS,
    };
    change_password(&passwords, "fred", set).unwrap();
    for (password, is_allowed) in [("pencil", true), ("pencils", false)] {
        let authfile = dir.path().join("auth.conf");
        let text = format!(
            "[credentials-x]\nauthname=fred\npassword={password}\n\n\
             [auth-libvirt-127.0.0.1]\ncredentials=x\n"
        );
        fs::write(&authfile, text).unwrap();
        let settings = format!(
            "auth_tls = \"sasl\"\neventry_sasl_password_file = \"{}\"\n",
            passwords.display()
        );
        let daemon = start(&pki, &settings);
        let output = list(
            &daemon,
            &client,
            &format!("&authfile={}", authfile.display()),
        );
        if is_allowed {
            assert_listed(&output, "SASL within TLS");
            let log = daemon.stop().log;
            let line = log.lines().find(|line| line.contains(" authenticated: "));
            let line = line.unwrap_or_else(|| panic!("no client is authenticated in {log}"));
            assert!(line.contains("sasl=\"fred\" x509=\""), "{line}");
        } else {
            let printed = "error: authentication failed: authentication failed";
            let logged = "failed to authenticate: wrong user name or password";
            assert_refused(&output, printed, daemon, logged);
        }
    }
}

/// About every second key of certtool 3.7.9 has a leading zero byte, which cryptographic libraries reject.
#[test]
fn a_key_that_certtool_has_written_with_a_zero_too_many_serves() {
    let padded = (0..40).find_map(|_| {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::new(dir.path(), Tool::Certtool, Key::P256);
        let key = fs::read_to_string(pki.path("serverkey.pem")).unwrap();
        has_a_zero_before_its_number(&key).then_some((dir, pki))
    });
    let (_dir, pki) = padded.expect("certtool writes such keys");
    let client = pki.client("client1", CLIENT);
    let exceptions = uri_exceptions(Tool::Certtool, Key::P256);
    assert_listed(&list(&start(&pki, ""), &client, exceptions), "a padded key");
}

/// Returns `true` if a SEC1 key has a private value of 33 bytes.
fn has_a_zero_before_its_number(pem: &str) -> bool {
    let (_, key) = pem.split_once("-----BEGIN EC PRIVATE KEY-----").unwrap();
    let (key, _) = key.split_once("-----END").unwrap();
    let key: String = key.split_whitespace().collect();
    let der = STANDARD.decode(key).unwrap();
    der.windows(6).any(|bytes| bytes == [2, 1, 1, 4, 33, 0])
}

/// Runs `openssl s_client` without a client certificate, and returns its output.
fn openssl(pki: &Pki, daemon: &Daemon, options: &str) -> String {
    let address = daemon.addresses("TLS")[0].to_string();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &address, "-CAfile"])
        .arg(pki.path("cacert.pem"))
        .args(options.split_whitespace())
        .stdin(Stdio::null());
    let output = bounded("openssl", move || command.output().unwrap());
    let printed = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

#[test]
fn client_gets_the_first_certificate_it_can_verify() {
    const RSA: &str = "Peer signature type: RSA-PSS";
    const ECDSA: &str = "Peer signature type: ECDSA";
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), Tool::Openssl, Key::Rsa);
    pki.another_server("second", Key::P256);
    let configuration = |order: [&str; 2]| {
        let single = ["cert_file", "key_file"];
        let all = pki.configuration();
        let others = all
            .lines()
            .filter(|line| !single.iter().any(|key| line.starts_with(key)));
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        for kind in ["cert", "key"] {
            let path = |name: &str| pki.path(&format!("{name}{kind}.pem")).display().to_string();
            lines.push(format!("{kind}_files = {:?}", order.map(path)));
        }
        lines.join("\n") + "\n"
    };
    let daemon = start_with(&configuration(["second", "server"]));
    for (options, shown) in [
        ("-tls1_3", ECDSA),
        ("-tls1_3 -sigalgs RSA-PSS+SHA256", RSA),
        ("-tls1_3 -sigalgs ECDSA+SHA256:RSA-PSS+SHA256", ECDSA),
        ("-tls1_2", ECDSA),
        ("-tls1_2 -sigalgs RSA-PSS+SHA256", RSA),
        // The client can verify ECDSA signatures, but has no cipher suite for them.
        ("-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", RSA),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", ECDSA),
    ] {
        let printed = openssl(&pki, &daemon, options);
        assert!(printed.contains(shown), "{options}: {printed}");
        assert!(printed.contains("Verification: OK"), "{options}: {printed}");
    }
    let printed = openssl(&pki, &daemon, "-tls1_3 -sigalgs ed25519");
    assert!(printed.contains("handshake failure"), "{printed}");
    let client = pki.client("client1", CLIENT);
    assert_listed(&list(&daemon, &client, ""), "virsh");

    let daemon = start_with(&configuration(["server", "second"]));
    for (options, shown) in [("-tls1_3", RSA), ("-tls1_3 -sigalgs ECDSA+SHA256", ECDSA)] {
        let printed = openssl(&pki, &daemon, options);
        assert!(printed.contains(shown), "{options}: {printed}");
    }
}
