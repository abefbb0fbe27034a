//! The daemon as a process: background, pid file, idle timeout and service manager.

use crate::configured::Configured;
use rustix::process::{Pid, Signal, getsid, kill_process, test_kill_process};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use test_support::client::RawClient;
use test_support::daemon::{Daemon, eventryd};
use test_support::timeout::{TIMEOUT, bounded, wait_until};

fn in_dir(run_dir: &Path, options: &[&str]) -> Command {
    let mut command = eventryd();
    command.arg("--run-dir").arg(run_dir).args(options);
    command
}

fn run(mut command: Command) -> Output {
    bounded("the end of eventryd", move || command.output().unwrap())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A daemon in the background. It is killed on drop.
struct Background(Pid);

impl Background {
    fn from_pid_file(path: &Path) -> Background {
        let text = std::fs::read_to_string(path).unwrap();
        let number = text.strip_suffix('\n').unwrap().parse().unwrap();
        Background(Pid::from_raw(number).unwrap())
    }

    fn wait(&self) {
        wait_until("the daemon in the background has ended", || {
            test_kill_process(self.0).is_err()
        });
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// DM-106: the command returns when the daemon serves. The daemon is a session leader, has the number in the pid file,
/// and prints nothing.
#[test]
fn in_the_background_it_serves_when_the_command_returns() {
    let dir = tempfile::tempdir().unwrap();
    let (run_dir, pid_file, log) = (
        dir.path().join("run"),
        dir.path().join("pid"),
        dir.path().join("log"),
    );
    let mut command = in_dir(
        &run_dir,
        &["--daemon", "--pid-file", pid_file.to_str().unwrap()],
    );
    command.env("LIBVIRT_LOG_OUTPUTS", format!("1:file:{}", log.display()));
    let output = run(command);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
    assert!(output.stdout.is_empty());

    let daemon = Background::from_pid_file(&pid_file);
    assert_eq!(getsid(Some(daemon.0)), Ok(daemon.0));
    let working_directory =
        std::fs::read_link(format!("/proc/{}/cwd", daemon.0.as_raw_nonzero())).unwrap();
    assert_eq!(working_directory, Path::new("/"));
    RawClient::connect(&run_dir.join("eventry-sock")).open();
    kill_process(daemon.0, Signal::TERM).unwrap();
    daemon.wait();
    assert!(!pid_file.exists() && std::fs::read_dir(&run_dir).unwrap().next().is_none());
    let log = std::fs::read_to_string(log).unwrap();
    let listening = format!(
        "listening on {}/eventry-sock (read-write)\n",
        run_dir.display()
    );
    assert!(log.contains(&listening), "{log}");
}

/// The lines of the start are written before standard error becomes `/dev/null`.
#[test]
fn in_the_background_stderr_gets_the_lines_of_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (run_dir, pid_file) = (dir.path().join("run"), dir.path().join("pid"));
    let mut command = in_dir(
        &run_dir,
        &["--daemon", "--pid-file", pid_file.to_str().unwrap()],
    );
    command.env("LIBVIRT_LOG_OUTPUTS", "1:stderr");
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let daemon = Background::from_pid_file(&pid_file);
    assert_eq!(stderr(&output).matches("listening on ").count(), 2);
    kill_process(daemon.0, Signal::TERM).unwrap();
    daemon.wait();
}

/// The exit status and the message are those of a start in the foreground.
#[test]
fn in_the_background_a_start_that_fails_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    std::fs::write(path("file"), "").unwrap();
    std::fs::create_dir(path("run")).unwrap();
    std::fs::write(path("run/eventry-sock"), "").unwrap();
    let config = path("a.conf");
    std::fs::write(&config, "max_client = 1").unwrap();
    let cases: [(_, &[&str], i32, &str); 4] = [
        ("file/below", &[], 2, "cannot create the directory"),
        ("run", &[], 6, "is not a socket"),
        ("other", &["--pid-file", "/nowhere/pid"], 1, "/nowhere/pid"),
        (
            "other",
            &["--config", config.to_str().unwrap()],
            1,
            "unknown setting",
        ),
    ];
    for (run_dir, options, status, message) in cases {
        let mut command = in_dir(&path(run_dir), &["--daemon"]);
        command.args(options).env(
            "LIBVIRT_LOG_OUTPUTS",
            format!("1:file:{}", path("log").display()),
        );
        let output = run(command);
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        let lines = stderr(&output)
            .lines()
            .filter(|line| line.contains(message))
            .count();
        assert_eq!(lines, 1, "{}", stderr(&output));
    }
}

/// Processes that `parent` has started.
fn children(parent: u32) -> Vec<Pid> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let numbers = listed.unwrap_or_default();
    let numbers = numbers.split_whitespace();
    numbers
        .filter_map(|number| Pid::from_raw(number.parse().ok()?))
        .collect()
}

/// Starts a daemon in the background that waits for its configuration, a FIFO. Returns the command and the daemon.
fn start_with_fifo(dir: &Path) -> (Child, Background) {
    start_with_fifo_by(eventryd(), dir)
}

fn start_with_fifo_by(mut command: Command, dir: &Path) -> (Child, Background) {
    let fifo = dir.join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    command.arg("--run-dir").arg(dir.join("run"));
    command.arg("--daemon").arg("--config").arg(fifo);
    let launcher = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut started = Vec::new();
    wait_until("the daemon is started", || {
        started = children(launcher.id());
        !started.is_empty()
    });
    (launcher, Background(started[0]))
}

/// The daemon would start later, and its status would be lost.
#[test]
fn in_the_background_a_signal_to_the_command_ends_both() {
    // A terminal that is closed sends SIGHUP.
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP] {
        let dir = tempfile::tempdir().unwrap();
        let (mut launcher, daemon) = start_with_fifo(dir.path());
        kill_process(Pid::from_child(&launcher), signal).unwrap();
        let status = bounded("the end of the command", move || launcher.wait().unwrap());
        assert_eq!(status.signal(), Some(signal.as_raw()));
        assert!(test_kill_process(daemon.0).is_err(), "the daemon has ended");
        assert!(!dir.path().join("run").exists());
    }
}

/// As by `nohup`.
#[test]
fn in_the_background_an_ignored_hangup_has_no_effect() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("env");
    command
        .arg("--ignore-signal=HUP")
        .arg(eventryd().get_program());
    let (mut launcher, _daemon) = start_with_fifo_by(command, dir.path());
    kill_process(Pid::from_child(&launcher), Signal::HUP).unwrap();
    std::fs::write(dir.path().join("fifo"), "log_outputs = \"1:stderr\"\n").unwrap();
    let status = bounded("the end of the command", move || launcher.wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// A daemon that has been signalled may take time to end.
#[test]
fn in_the_background_the_command_waits_for_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut launcher, daemon) = start_with_fifo(dir.path());
    let read = |name: &str| {
        let path = format!("/proc/{}/{name}", daemon.0.as_raw_nonzero());
        std::fs::read_to_string(path).unwrap()
    };
    let has_sigterm = |mask: &str| {
        let status = read("status");
        let bits = status.lines().find_map(|line| line.strip_prefix(mask));
        let bits = u64::from_str_radix(bits.unwrap().trim(), 16).unwrap();
        bits >> (Signal::TERM.as_raw() - 1) & 1 == 1
    };
    wait_until("the daemon catches signals", || {
        read("cmdline").contains("--in-background") && has_sigterm("SigCgt:")
    });
    kill_process(daemon.0, Signal::STOP).unwrap();
    wait_until("the daemon is stopped", || {
        read("status").contains("\nState:\tT")
    });
    kill_process(Pid::from_child(&launcher), Signal::TERM).unwrap();
    wait_until("the daemon is signalled", || has_sigterm("ShdPnd:"));
    assert!(launcher.try_wait().unwrap().is_none());
    kill_process(daemon.0, Signal::CONT).unwrap();
    let status = bounded("the end of the command", move || launcher.wait().unwrap());
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
}

/// The command that starts a daemon must not report success for one that a signal has ended.
#[test]
fn in_the_background_a_start_that_a_signal_ends_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (launcher, daemon) = start_with_fifo(dir.path());
    kill_process(daemon.0, Signal::KILL).unwrap();
    let output = bounded("the end of the command", move || {
        launcher.wait_with_output().unwrap()
    });
    assert_eq!(output.status.code(), Some(1));
    let expected = "eventryd: ended by signal 9 (SIGKILL) while it started\n";
    assert_eq!(stderr(&output), expected);
    assert!(!dir.path().join("run").exists());
}

/// Only the daemon reads a pipe, not the command that starts it.
#[test]
fn in_the_background_a_piped_configuration_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    let log = path("log");
    std::fs::write(
        path("piped"),
        format!("log_outputs = \"1:file:{}\"\n", log.display()),
    )
    .unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "cat \"$0\" | \"$@\""])
        .arg(path("piped"))
        .arg(eventryd().get_program())
        .args(["--daemon", "--config", "/dev/stdin", "--run-dir"])
        .arg(path("run"))
        .arg("--pid-file")
        .arg(path("pid"));
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let daemon = Background::from_pid_file(&path("pid"));
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.contains("listening on "), "{written}");
    let stdin = std::fs::read_link(format!("/proc/{}/fd/0", daemon.0.as_raw_nonzero())).unwrap();
    assert_eq!(stdin, Path::new("/dev/null"));
    kill_process(daemon.0, Signal::TERM).unwrap();
    daemon.wait();
}

/// DM-108: the pid file is locked, holds the number of the process, and is removed at the end.
#[test]
fn a_pid_file_belongs_to_one_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let option = ["--pid-file", pid_file.to_str().unwrap()];
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &option);
    let written = std::fs::read_to_string(&pid_file).unwrap();
    assert_eq!(written, format!("{}\n", daemon.pid()));

    let other = dir.path().join("run");
    let output = run(in_dir(&other, &option));
    assert_eq!(output.status.code(), Some(1));
    let text = format!("is locked by another process ({})", daemon.pid());
    assert!(stderr(&output).contains(&text), "{}", stderr(&output));
    assert!(!other.exists());
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), written);

    assert_eq!(daemon.stop().status, Some(0));
    assert!(!pid_file.exists());
}

/// DM-110
#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -S -n 64 && ulimit -H -n 512 && exec \"$@\"",
            "sh",
        ])
        .arg(eventryd().get_program())
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let daemon = Daemon::start_by(&mut command, dir);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let fields: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(fields[3..5], ["512", "512"]);
}

/// DM-1307
#[test]
fn idle_timeout_ends_the_daemon_in_order() {
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &["--timeout", "1"]);
    daemon.connect().open();
    let ended = daemon.wait();
    assert_eq!(ended.status, Some(0), "{}", ended.log);
    assert!(
        ended
            .log
            .contains("there has been no client for the duration of eventry_idle_timeout"),
        "{}",
        ended.log
    );
    assert_eq!(ended.left_behind, [""; 0]);
}

/// Returns the time of the clock that the service manager compares with.
fn monotonic_micros() -> u128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    std::time::Duration::try_from(now).unwrap().as_micros()
}

/// DM-109
#[test]
fn the_service_manager_is_told_of_start_reload_and_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let notification = || {
        let mut message = [0; 1024];
        let length = manager.recv(&mut message).expect("a notification");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let daemon = Daemon::start_notifying(&path);
    assert_eq!(notification(), "READY=1\n");
    // The daemon serves before it sends READY.
    daemon.connect().open();

    let before = monotonic_micros();
    daemon.signal(Signal::HUP);
    let reloading = notification();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let micros = micros.and_then(|rest| rest.strip_suffix('\n')?.parse().ok());
    let is_now = |micros| (before..=monotonic_micros()).contains(&micros);
    assert!(micros.is_some_and(is_now), "{reloading}");
    assert_eq!(notification(), "READY=1\n");

    daemon.signal(Signal::TERM);
    assert_eq!(notification(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=10000000\n");
    assert_eq!(daemon.wait().status, Some(0));
}

#[test]
fn service_manager_is_told_of_a_stop_by_idleness() {
    let configured = Configured::start("eventry_idle_timeout = 1");
    assert_eq!(configured.notification(), "STOPPING=1");
    assert_eq!(configured.daemon.unwrap().wait().status, Some(0));
}
