//! The clients and private keys that a daemon on TLS trusts.

mod certificates;
mod expiry;
mod keys;
mod names;
mod server;
mod unparsed;

use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;
use test_support::daemon::{Daemon, eventryd};
use test_support::timeout::{bounded, wait_until};
use test_support::tls::{Chain, lines_naming};

/// The files of a daemon before its start.
struct Setup {
    dir: TempDir,
    chain: Chain,
    server: &'static str,
}

/// A running daemon and its files.
struct Running {
    daemon: Daemon,
    chain: Chain,
    address: SocketAddr,
    reloads: usize,
}

impl Setup {
    /// Creates files that trust the root, without revocation lists.
    fn new() -> Setup {
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::in_dir(dir.path());
        chain.join(&["root.pem"], "ca.pem");
        Setup {
            dir,
            chain,
            server: "server",
        }
    }

    /// Creates files with these revocation lists.
    fn with_lists(lists: &[&str]) -> Setup {
        let setup = Setup::new();
        setup.chain.join(lists, "lists.crl");
        setup
    }

    /// Writes the configuration file, and returns its path.
    fn configure(&self, more: &str) -> PathBuf {
        let mut files = self.chain.files(self.server);
        if more.contains("cert_files") {
            files.server.clear();
        }
        let files = lines_naming(&files);
        let log = self.chain.path("log").display().to_string();
        let text = format!(
            "listen_tls = 1\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n\
             log_outputs = \"1:file:{log}\"\n{files}{more}"
        );
        let file = self.chain.path("eventryd.conf");
        fs::write(&file, text).unwrap();
        file
    }

    fn start(self, more: &str) -> Running {
        let file = self.configure(more).display().to_string();
        let daemon = Daemon::start_in(self.dir, &["--config", &file]);
        Running {
            address: daemon.addresses("TLS")[0],
            daemon,
            chain: self.chain,
            reloads: 0,
        }
    }

    /// Starts a daemon that must refuse its configuration, and returns its messages.
    fn start_error(&self, more: &str) -> String {
        let file = self.configure(more);
        let mut command = eventryd();
        command
            .arg("--run-dir")
            .arg(self.chain.path("run"))
            .arg("--config")
            .arg(file);
        let output = bounded("a start that fails", move || command.output().unwrap());
        assert_ne!(output.status.code(), Some(0));
        let log = fs::read_to_string(self.chain.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&output.stderr).into_owned() + &log
    }
}

impl Running {
    fn log(&self) -> String {
        fs::read_to_string(self.chain.path("log")).unwrap_or_default()
    }

    #[track_caller]
    fn assert_logged(&self, text: &str) {
        wait_until(text, || self.log().contains(text));
    }

    /// Reads the files again, and waits until they are in force.
    fn reload(&mut self) {
        self.daemon.signal(Signal::HUP);
        self.reloads += 1;
        wait_until("the reload", || {
            self.log().matches(" SIGHUP: ").count() == self.reloads
        });
    }

    fn accepts(&self, client: &str) -> bool {
        self.chain.connect(client, self.address).is_some()
    }
}
