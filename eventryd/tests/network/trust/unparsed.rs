//! Certificates of clients and servers that rustls-webpki does not parse: X.509 version 1, and unknown critical extensions.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use test_support::daemon::{Daemon, eventryd, run_to_end};
use test_support::pki::{CLIENT, CLIENT_CRITICAL, CLIENT_V1, Key, Pki, Tool};
use test_support::timeout::wait_until;
use test_support::tls::{Tls, Version, client_config_with, handshake};

/// A running daemon with clients of its authority.
struct Fixture {
    daemon: Daemon,
    pki: Pki,
    log: PathBuf,
}

impl Fixture {
    /// Starts a daemon with the clients `ordinary`, `old` and `critical`, whose keys are of this kind.
    fn start(key: Key, more: &str) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::new(dir.path(), Tool::Openssl, key);
        pki.client("ordinary", CLIENT);
        pki.client("old", CLIENT_V1);
        pki.client("critical", CLIENT_CRITICAL);
        let log = dir.path().join("log");
        let text =
            pki.configuration() + &format!("log_outputs = \"1:file:{}\"\n{more}", log.display());
        let file = dir.path().join("a.conf");
        fs::write(&file, text).unwrap();
        let daemon = Daemon::start_in(dir, &["--config", file.to_str().unwrap()]);
        Fixture { daemon, pki, log }
    }

    fn connect(&self, client: &str, key_of: &str, version: Version) -> Tls {
        let identity = (
            self.pki.path(&format!("{client}cert.pem")),
            self.pki.path(&format!("{key_of}key.pem")),
        );
        let config = client_config_with(&self.pki.path("cacert.pem"), version, Some(identity));
        let stream = TcpStream::connect(self.daemon.addresses("TLS")[0]).unwrap();
        Tls::over(stream, config)
    }

    /// Checks that the daemon closes the connection, and logs this text.
    #[track_caller]
    fn assert_refused(&self, mut stream: Tls, text: &str) {
        let mut welcome = [0];
        let read = std::io::Read::read(&mut stream, &mut welcome);
        assert!(!read.is_ok_and(|length| length == 1), "{text}");
        self.assert_logged(text);
    }

    #[track_caller]
    fn assert_logged(&self, text: &str) {
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        wait_until(text, || log().contains(text));
    }
}

const OLD: &str = "its chain is invalid: a certificate is of X.509 version 1 or 2, and only version 3 is supported";
const CRITICAL: &str =
    "its chain is invalid: a certificate has a critical extension that is not supported";

#[test]
fn refused_client_is_named_whatever_its_certificate() {
    let fixture = Fixture::start(Key::P256, "");
    for version in [Version::Tls12, Version::Tls13] {
        handshake(fixture.connect("ordinary", "ordinary", version)).open();
        for (client, problem) in [("old", OLD), ("critical", CRITICAL)] {
            let text = format!("client certificate \"O=eventry,CN={client}\" rejected: {problem}");
            fixture.assert_refused(fixture.connect(client, client, version), &text);
        }
        fs::write(&fixture.log, "").unwrap();
    }
}

#[test]
fn authority_is_refused_as_a_client() {
    let fixture = Fixture::start(Key::P256, "");
    let text = "client certificate \"CN=CA\" rejected: it is a CA certificate (CA:TRUE), not one for a client";
    fixture.assert_refused(fixture.connect("ca", "ca", Version::Tls13), text);
}

/// DM-1204
#[test]
fn client_is_accepted_without_any_verification() {
    for key in [Key::P256, Key::Rsa, Key::Ed25519] {
        let fixture = Fixture::start(key, "tls_no_verify_certificate = 1\n");
        for version in [Version::Tls12, Version::Tls13] {
            for (client, problem) in [("old", OLD), ("critical", CRITICAL)] {
                handshake(fixture.connect(client, client, version)).open();
                fixture.assert_logged(&format!(
                    "\"O=eventry,CN={client}\" accepted without verification: {problem}"
                ));
            }
            fs::write(&fixture.log, "").unwrap();
        }
    }
}

/// Without verification too, a client proves that it has the key of its certificate.
#[test]
fn client_with_the_key_of_another_is_refused() {
    let fixture = Fixture::start(Key::P256, "tls_no_verify_certificate = 1\n");
    for version in [Version::Tls12, Version::Tls13] {
        for client in ["ordinary", "old", "critical"] {
            let stream = fixture.connect(client, "server", version);
            fixture.assert_refused(stream, "TLS failed: invalid peer certificate: BadSignature");
            fs::write(&fixture.log, "").unwrap();
        }
    }
}

/// The message names the certificate and not the key, with and without the checks of certificates.
#[test]
fn server_certificate_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new(dir.path(), Tool::Openssl, Key::P256);
    // A certificate of version 1 has no purpose, and another purpose is only a warning.
    pki.client("old", CLIENT_V1);
    pki.client("critical", CLIENT_CRITICAL);
    let file = dir.path().join("a.conf");
    let run_dir = dir.path().join("run");
    for (name, problem) in [
        (
            "old",
            "it is of X.509 version 1 or 2, and only version 3 is supported; have it signed again",
        ),
        (
            "critical",
            "it has a critical extension that eventryd does not know; have it signed again",
        ),
    ] {
        for more in ["", "tls_no_sanity_certificate = 1\n"] {
            let text = pki.configuration().replace("server", name) + more;
            fs::write(&file, text).unwrap();
            let mut command = eventryd();
            command.arg("--check-config").arg("--config").arg(&file);
            command
                .arg("--run-dir")
                .arg(&run_dir)
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            let exit = run_to_end(&mut command);
            assert_eq!(exit.status, Some(6), "{}", exit.stderr);
            let certificate = pki.path(&format!("{name}cert.pem"));
            let expected = format!(
                "no usable server certificate in {}: {problem}",
                certificate.display()
            );
            assert!(exit.stderr.contains(&expected), "{}", exit.stderr);
            for wrong in ["private key", "CA that signed"] {
                assert!(!exit.stderr.contains(wrong), "{}", exit.stderr);
            }
        }
    }
}
