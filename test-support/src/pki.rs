//! Authorities and certificates, created with certtool or openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that creates certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The tool of GnuTLS.
    Certtool,
    /// The tool of OpenSSL.
    Openssl,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on the curve P-256.
    P256,
    /// RSA with 2048 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// An authority and the certificates that it has signed. The files have libvirt's names.
pub struct Pki {
    dir: PathBuf,
    tool: Tool,
    key: Key,
}

/// The lines of a `certtool` template for a client certificate.
pub const CLIENT: &str = "tls_www_client\nsigning_key\nencryption_key\n";

/// The lines of a `certtool` template for a client certificate of X.509 version 1, which has no extensions. Only certtool
/// creates it, with a key of either tool.
pub const CLIENT_V1: &str = "# version 1\n";

/// The lines of a `certtool` template for a client certificate with a critical extension that no program knows.
pub const CLIENT_CRITICAL: &str =
    "tls_www_client\nsigning_key\nadd_critical_extension = \"1.3.6.1.4.1.99999.1 0x0500\"\n";

/// The lines of a `certtool` template for the server certificate.
const SERVER: &str = "tls_www_server\nsigning_key\nencryption_key\nip_address = \"127.0.0.1\"\ndns_name = \"localhost\"\n";

impl Pki {
    /// Creates an authority and the certificate of a server at 127.0.0.1, in a directory in `dir`.
    pub fn new(dir: &Path, tool: Tool, key: Key) -> Pki {
        let dir = dir.join(format!("{tool:?}-{key:?}"));
        fs::create_dir(&dir).unwrap();
        let pki = Pki { dir, tool, key };
        pki.make_key("cakey.pem");
        match tool {
            Tool::Certtool => {
                let template =
                    pki.template("ca", "cn = \"CA\"\nca\ncert_signing_key\ncrl_signing_key\n");
                let mut command =
                    pki.command("certtool --generate-self-signed --load-privkey cakey.pem");
                run(command.args(["--outfile", "cacert.pem", "--template", &template]));
            }
            Tool::Openssl => {
                let mut command = pki.command("openssl req -new -x509 -key cakey.pem -days 10");
                run(command
                    .args(["-subj", "/CN=CA", "-out", "cacert.pem"])
                    .args([
                        "-addext",
                        "basicConstraints=critical,CA:TRUE",
                        "-addext",
                        "keyUsage=critical,keyCertSign,cRLSign",
                    ]));
            }
        }
        pki.sign("server", "localhost", SERVER);
        pki
    }

    /// Signs another server certificate with a key of another kind, in the files NAMEcert.pem and NAMEkey.pem.
    pub fn another_server(&self, name: &str, key: Key) {
        let (dir, tool) = (self.dir.clone(), self.tool);
        Pki { dir, tool, key }.sign(name, "localhost", SERVER);
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(&self.dir);
        command
    }

    fn make_key(&self, name: &str) {
        let line = match (self.tool, self.key) {
            (Tool::Certtool, Key::P256) => {
                "certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile"
            }
            (Tool::Certtool, Key::Rsa) => {
                "certtool --generate-privkey --key-type rsa --bits 2048 --outfile"
            }
            (Tool::Certtool, Key::Ed25519) => {
                "certtool --generate-privkey --key-type ed25519 --outfile"
            }
            (Tool::Openssl, Key::P256) => {
                "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out"
            }
            (Tool::Openssl, Key::Rsa) => {
                "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out"
            }
            (Tool::Openssl, Key::Ed25519) => "openssl genpkey -algorithm ED25519 -out",
        };
        run(self.command(line).arg(name));
    }

    /// Writes a template for `certtool`, and returns its name. The certificate is valid for ten days unless `lines` name
    /// an expiration.
    fn template(&self, name: &str, lines: &str) -> String {
        let days = if lines.contains("expiration") {
            ""
        } else {
            "expiration_days = 10\n"
        };
        let name = format!("{name}.template");
        fs::write(self.dir.join(&name), format!("{days}{lines}")).unwrap();
        name
    }

    /// Creates the key NAMEkey.pem, and signs the certificate NAMEcert.pem for it.
    fn sign(&self, name: &str, common_name: &str, lines: &str) {
        let (key, certificate) = (format!("{name}key.pem"), format!("{name}cert.pem"));
        self.make_key(&key);
        let tool = if lines == CLIENT_V1 {
            Tool::Certtool
        } else {
            self.tool
        };
        match tool {
            Tool::Certtool => {
                let subject = format!("organization = \"eventry\"\ncn = \"{common_name}\"\n");
                let template = self.template(name, &(subject + lines));
                let line = "certtool --generate-certificate --load-ca-certificate cacert.pem --load-ca-privkey cakey.pem";
                let version: &[&str] = if lines == CLIENT_V1 { &["--v1"] } else { &[] };
                run(self
                    .command(line)
                    .args(["--load-privkey", &key, "--outfile", &certificate])
                    .args(["--template", &template])
                    .args(version));
            }
            Tool::Openssl => {
                let request = format!("{name}.csr");
                let subject = format!("/O=eventry/CN={common_name}");
                run(self
                    .command("openssl req -new -batch")
                    .args(["-key", &key, "-subj", &subject, "-out", &request]));
                let purpose = if lines.contains("tls_www_server") {
                    "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost"
                } else {
                    "extendedKeyUsage=clientAuth"
                };
                let unknown = if lines == CLIENT_CRITICAL {
                    "1.3.6.1.4.1.99999.1=critical,DER:0500\n"
                } else {
                    ""
                };
                let extensions = format!("{name}.extensions");
                let all = format!(
                    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n{purpose}\n{unknown}"
                );
                fs::write(self.dir.join(&extensions), all).unwrap();
                run(self
                    .command("openssl x509 -req -CA cacert.pem -CAkey cakey.pem -CAcreateserial -days 10")
                    .args(["-in", &request, "-out", &certificate])
                    .args(["-extfile", &extensions]));
            }
        }
    }

    /// Signs a client certificate from lines of a template, and returns a directory for `pkipath` of a libvirt URI.
    pub fn client(&self, common_name: &str, lines: &str) -> PathBuf {
        self.sign(common_name, common_name, lines);
        let dir = self.dir.join(common_name);
        fs::create_dir(&dir).unwrap();
        let copy = |from: &str, to: &str| {
            fs::copy(self.dir.join(from), dir.join(to)).unwrap();
        };
        copy("cacert.pem", "cacert.pem");
        copy(&format!("{common_name}cert.pem"), "clientcert.pem");
        copy(&format!("{common_name}key.pem"), "clientkey.pem");
        dir
    }

    /// Revokes the certificate of a client. `lines` are added to the template of the revocation list.
    pub fn revoke(&self, common_name: &str, lines: &str) {
        assert_eq!(self.tool, Tool::Certtool);
        let template = self.dir.join("crl.template");
        fs::write(template, format!("crl_number = 1\n{lines}")).unwrap();
        let line = "certtool --generate-crl --load-ca-certificate cacert.pem --load-ca-privkey cakey.pem --template crl.template --outfile cacrl.pem --load-certificate";
        run(self.command(line).arg(format!("{common_name}cert.pem")));
    }

    /// Returns the path of a file of the authority.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns the lines of `libvirtd.conf` for a server at a port that the system chooses.
    pub fn configuration(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        let mut lines = vec![
            "listen_tls = 1".to_owned(),
            "listen_addr = \"127.0.0.1\"".to_owned(),
            "tls_port = \"0\"".to_owned(),
        ];
        for (key, name) in [
            ("ca_file", "cacert.pem"),
            ("cert_file", "servercert.pem"),
            ("key_file", "serverkey.pem"),
            ("crl_file", "cacrl.pem"),
        ] {
            lines.push(format!("{key} = \"{}\"", path(name)));
        }
        lines.join("\n") + "\n"
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; install openssl and gnutls-bin, or use tests/run, which does")
    });
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
