//! A daemon whose configuration, log and notifications are in one directory.

use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use test_support::client::RawClient;
use test_support::daemon::{Daemon, eventryd};
use test_support::timeout::{TIMEOUT, wait_until};

/// A daemon with a configuration, a log and a password file in a directory, which also receives its notifications.
pub(crate) struct Configured {
    pub(crate) daemon: Option<Daemon>,
    pub(crate) manager: UnixDatagram,
    dir: TempDir,
}

/// The settings for SASL on the read-write socket.
pub(crate) const SASL: &str =
    "auth_unix_rw = \"sasl\"\neventry_sasl_password_file = \"DIR/passwords\"\n";

impl Configured {
    /// Starts a daemon. `DIR` in the settings stands for the directory.
    pub(crate) fn start(settings: &str) -> Configured {
        Configured::start_with(settings, |_| ())
    }

    /// Starts a daemon after `create` has added files to the directory.
    pub(crate) fn start_with(settings: &str, create: impl FnOnce(&Path)) -> Configured {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path());
        let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut configured = Configured {
            daemon: None,
            manager,
            dir,
        };
        configured.write(settings);
        if settings.contains(SASL) {
            set_password(&configured, "pencil");
        }
        let run = tempfile::tempdir().unwrap();
        let mut command = eventryd();
        command
            .arg("--run-dir")
            .arg(run.path().join("run"))
            .arg("--config")
            .arg(configured.path("a.conf"))
            .env("NOTIFY_SOCKET", configured.path("notify"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        configured.daemon = Some(Daemon::start_by(&mut command, run));
        assert_eq!(configured.notification(), "READY=1");
        configured
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, settings: &str) {
        let dir = self.dir.path().to_str().unwrap();
        let text = format!("{settings}\nlog_outputs = \"1:file:DIR/log\"\n");
        // Replaced, because the path may be a FIFO.
        fs::write(self.path("a.conf.new"), text.replace("DIR", dir)).unwrap();
        fs::rename(self.path("a.conf.new"), self.path("a.conf")).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    pub(crate) fn connect(&self) -> RawClient {
        self.daemon().connect()
    }

    pub(crate) fn hup(&self) {
        self.daemon().signal(Signal::HUP);
    }

    /// Returns the first line of the next notification.
    pub(crate) fn notification(&self) -> String {
        let mut message = [0; 1024];
        let length = self.manager.recv(&mut message).expect("a notification");
        let text = String::from_utf8_lossy(&message[..length]).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn wait_for(&self, expected: &str, count: usize) {
        wait_until(expected, || self.log().matches(expected).count() >= count);
        assert_eq!(
            self.log().matches(expected).count(),
            count,
            "{}",
            self.log()
        );
    }

    /// Reloads other settings, and waits for the end.
    pub(crate) fn reload(&self, settings: &str) {
        self.write(settings);
        self.reload_as_written();
    }

    /// Reloads the configuration, and waits for the end.
    pub(crate) fn reload_as_written(&self) {
        self.hup();
        assert_eq!(self.notification(), "RELOADING=1");
        assert_eq!(self.notification(), "READY=1");
    }

    pub(crate) fn stop(mut self) {
        let ended = self.daemon.take().unwrap().stop();
        assert_eq!(ended.status, Some(0), "{}", ended.log);
    }
}

/// Sets the password of fred.
pub(crate) fn set_password(configured: &Configured, password: &str) {
    let mut command = eventryd();
    command
        .args(["passwd", "fred", "--iterations", "4096", "--file"])
        .arg(configured.path("passwords"))
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{password}").unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
