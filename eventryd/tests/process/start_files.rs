//! Files that a start reads: pipes, which a secret manager feeds once, and files that are too long.

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use tempfile::TempDir;
use test_support::daemon::{Daemon, eventryd, refused_with};
use test_support::timeout::wait_until;
use test_support::tls::{Chain, committed_files, lines_naming};

/// The settings that name a file with secrets or certificates.
const FILES: [&str; 5] = [
    "ca_file",
    "cert_file",
    "key_file",
    "crl_file",
    "eventry_sasl_password_file",
];

const PASSWORDS: &str = "eventry_sasl_password_file";

/// Writes a configuration in which `setting` names `file`. Returns its path.
fn config_with(dir: &Path, setting: &str, file: &Path) -> PathBuf {
    let named = format!("{setting} = \"{}\"\n", file.display());
    let text = if setting == PASSWORDS {
        format!("auth_unix_rw = \"sasl\"\n{named}")
    } else {
        let keys = lines_naming(&committed_files());
        let others: String = keys
            .lines()
            .filter(|line| !line.starts_with(setting))
            .map(|line| format!("{line}\n"))
            .collect();
        let address = "listen_tls = 1\nlisten_addr = \"127.0.0.1\"\ntls_port = \"0\"\n";
        format!("{address}{others}{named}")
    };
    let path = dir.join("a.conf");
    fs::write(&path, text).unwrap();
    path
}

/// A configuration in which `setting` names a FIFO. Returns the paths of both.
fn with_fifo(dir: &Path, setting: &str) -> (PathBuf, PathBuf) {
    let fifo = dir.join("fifo");
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    (config_with(dir, setting, &fifo), fifo)
}

fn with_config(dir: &TempDir, config: &Path, options: &[&str]) -> Command {
    let mut command = eventryd();
    command
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .arg("--config")
        .arg(config)
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits until a process opens the FIFO, which it then reads until the returned writer is dropped.
fn opened_by_reader(fifo: &Path) -> OwnedFd {
    let mut writer = None;
    wait_until("the FIFO has a reader", || {
        writer = open(fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        writer.is_some()
    });
    writer.unwrap()
}

/// Sends a signal, by which the process must end.
fn assert_ended_by(signal: Signal, mut child: Child, what: &str) {
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).unwrap();
    let mut status = None;
    let waited = catch_unwind(AssertUnwindSafe(|| {
        wait_until("the signal ends eventryd", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
    }));
    if waited.is_err() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let by = status.and_then(|status| status.signal());
    assert_eq!(by, Some(signal.as_raw()), "{what}");
}

#[test]
fn start_reads_every_file_once() {
    for setting in FILES {
        let dir = tempfile::tempdir().unwrap();
        let (config, fifo) = with_fifo(dir.path(), setting);
        let chain_dir = tempfile::tempdir().unwrap();
        let files = committed_files();
        let content = match setting {
            "ca_file" => fs::read(files.ca).unwrap(),
            "cert_file" => fs::read(&files.server[0].certificate).unwrap(),
            "key_file" => fs::read(&files.server[0].key).unwrap(),
            "crl_file" => fs::read(Chain::in_dir(chain_dir.path()).path("nothing.crl")).unwrap(),
            _ => Vec::new(),
        };
        let feeding = thread::spawn(move || fs::write(fifo, content).unwrap());
        let daemon = Daemon::start_by(&mut with_config(&dir, &config, &[]), dir);
        feeding.join().unwrap();
        assert_eq!(daemon.stop().status, Some(0), "{setting}");
    }
}

#[test]
fn wait_for_a_file_at_the_start_is_ended_by_sigterm() {
    for setting in FILES {
        let dir = tempfile::tempdir().unwrap();
        let (config, fifo) = with_fifo(dir.path(), setting);
        let child = with_config(&dir, &config, &[]).spawn().unwrap();
        let _writer = opened_by_reader(&fifo);
        assert_ended_by(Signal::TERM, child, setting);
        assert!(!dir.path().join("run").exists(), "{setting}");
    }
}

/// The signal is caught before the wait begins, and nothing comes after it.
#[test]
fn signal_before_the_wait_for_a_file_ends_the_start() {
    for is_config in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (config, fifo) = with_fifo(dir.path(), "key_file");
        let config = if is_config { &fifo } else { &config };
        let mut command = Command::new("env");
        command
            .args(["--block-signal=TERM", "sh", "-c"])
            .args(["kill -TERM $$; exec \"$@\"", "sh"])
            .arg(eventryd().get_program())
            .arg("--run-dir")
            .arg(dir.path().join("run"))
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let exit = test_support::daemon::run_to_end(&mut command);
        assert_eq!(exit.status, Some(0), "{}", exit.stderr);
    }
}

#[test]
fn check_config_is_ended_by_a_signal() {
    for signal in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let (config, fifo) = with_fifo(dir.path(), "key_file");
        let mut command = with_config(&dir, &config, &["--check-config"]);
        let child = command.spawn().unwrap();
        let _writer = opened_by_reader(&fifo);
        assert_ended_by(signal, child, "--check-config");
    }
}

#[test]
fn print_config_is_ended_by_a_signal() {
    for signal in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("a.conf");
        fs::write(&config, "").unwrap();
        let (_reader, full) = rustix::pipe::pipe().unwrap();
        rustix::io::ioctl_fionbio(&full, true).unwrap();
        while rustix::io::write(&full, &[0; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).unwrap();
        let mut command = with_config(&dir, &config, &["--print-config"]);
        let child = command.stdout(File::from(full)).spawn().unwrap();
        wait_until("the program sleeps with its signals caught", || {
            let of = |name| fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
            let status = of("status");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
            let is_caught = mask >> (signal.as_raw() - 1) & 1 == 1;
            is_caught && of("stat").contains(") S ")
        });
        assert_ended_by(signal, child, "--print-config");
    }
}

#[test]
fn file_longer_than_the_limit_is_refused() {
    for setting in FILES {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("long");
        File::create(&long)
            .unwrap()
            .set_len((10 << 20) + 1)
            .unwrap();
        fs::set_permissions(&long, fs::Permissions::from_mode(0o600)).unwrap();
        let config = config_with(dir.path(), setting, &long);
        let run_dir = dir.path().join("run");
        let exit = refused_with(&run_dir, &["--config", config.to_str().unwrap()]);
        let expected = format!("{}: the file is longer than 10485760 bytes", long.display());
        assert!(
            exit.stderr.contains(&expected),
            "{setting}: {}",
            exit.stderr
        );
        assert!(!run_dir.exists(), "{setting}");
    }
}
