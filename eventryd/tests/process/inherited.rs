//! The daemon as a process: the state that it inherits from the program that starts it.

use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use test_support::daemon::{Daemon, eventryd};
use test_support::timeout::{bounded, wait_until};

/// Returns a command that starts the daemon through `launcher`, which changes the state and calls `exec`.
fn through(launcher: &[&str], dir: &TempDir, options: &[&str]) -> Command {
    let mut command = Command::new(launcher[0]);
    command
        .args(&launcher[1..])
        .arg(eventryd().get_program())
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .args(options)
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn start_through(launcher: &[&str]) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    Daemon::start_by(&mut through(launcher, &dir, &[]), dir)
}

fn run(mut command: Command) -> Output {
    bounded("the end of eventryd", move || command.output().unwrap())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the signals in a mask of `/proc/PID/status`.
fn signals(pid: u32, mask: &str) -> BTreeSet<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(mask));
    let bits = u64::from_str_radix(line.unwrap().trim_start_matches([':', '\t']), 16).unwrap();
    (1..=64)
        .filter(|signal| bits >> (signal - 1) & 1 == 1)
        .collect()
}

fn numbers(signals: &[Signal]) -> BTreeSet<u32> {
    signals
        .iter()
        .map(|signal| signal.as_raw() as u32)
        .collect()
}

/// DM-111
#[test]
fn blocked_signals_still_stop_the_daemon() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let daemon = start_through(&["env", "--block-signal"]);
        assert_eq!(signals(daemon.pid(), "SigBlk"), BTreeSet::new());
        daemon.signal(signal);
        assert_eq!(daemon.wait().status, Some(0));
    }
}

/// A signal that was blocked and pending at the `exec` stops the daemon in order, because it is caught before it is
/// unblocked.
#[test]
fn pending_signal_at_the_start_is_an_orderly_stop() {
    let dir = tempfile::tempdir().unwrap();
    let launcher = [
        "env",
        "--block-signal=TERM",
        "sh",
        "-c",
        "kill -TERM $$; exec \"$@\"",
        "sh",
    ];
    let output = run(through(&launcher, &dir, &[]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// The open of a FIFO blocks until it has a writer.
#[test]
fn wait_for_a_fifo_at_the_start_is_ended_by_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("a.conf");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let launcher = ["env", "--ignore-signal=TERM", "--block-signal=TERM"];
    let options = ["--config", fifo.to_str().unwrap()];
    let mut child = through(&launcher, &dir, &options).spawn().unwrap();
    let term = Signal::TERM.as_raw() as u32;
    wait_until("the daemon sleeps with its signals caught", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        signals(child.id(), "SigCgt").contains(&term) && stat.contains(") S ")
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let status = bounded("the end of eventryd", move || child.wait().unwrap());
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
}

/// DM-111
#[test]
fn ignored_signals_are_caught() {
    let daemon = start_through(&["env", "--ignore-signal"]);
    let caught = signals(daemon.pid(), "SigCgt");
    for expected in numbers(&[
        Signal::TERM,
        Signal::INT,
        Signal::QUIT,
        Signal::HUP,
        Signal::CHILD,
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::XFSZ,
    ]) {
        assert!(
            caught.contains(&expected),
            "signal {expected} is not caught"
        );
    }
    assert!(signals(daemon.pid(), "SigIgn").contains(&(Signal::PIPE.as_raw() as u32)));
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn signals_without_meaning_do_not_end_the_daemon() {
    let daemon = Daemon::start();
    for signal in [
        Signal::USR1,
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::XFSZ,
    ] {
        daemon.signal(signal);
        daemon.connect().open();
    }
    assert_eq!(daemon.stop().status, Some(0));
}

/// With SIGCHLD ignored the kernel discards the exit status of children: of the daemon that the command waits for, and
/// of `pkcheck`.
#[test]
fn ignored_sigchld_loses_no_exit_status() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    fs::write(dir.path().join("run/eventry-sock"), "").unwrap();
    let launcher = ["env", "--ignore-signal=CHLD"];
    let mut command = through(&launcher, &dir, &["--daemon"]);
    command.env("LIBVIRT_LOG_OUTPUTS", "1:stderr");
    let output = run(command);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
}

/// DM-111
#[test]
fn umask_of_the_daemon_is_022() {
    for inherited in ["0", "0777"] {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let launcher = ["sh", "-c", "umask \"$0\" && exec \"$@\"", inherited];
        let options = ["--pid-file", pid_file.to_str().unwrap()];
        let mut command = through(&launcher, &dir, &options);
        let daemon = Daemon::start_by(&mut command, dir);
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        assert!(status.contains("\nUmask:\t0022\n"), "{status}");
        assert_eq!(
            fs::metadata(&pid_file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

/// DM-111: in the foreground too.
#[test]
fn daemon_leaves_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("a.conf"), "log_outputs = \"1:file:log\"\n").unwrap();
    let mut command = through(&["env"], &dir, &["--config", "a.conf", "--pid-file", "pid"]);
    let daemon = Daemon::start_by(command.current_dir(&work), dir);
    let directory = fs::read_link(format!("/proc/{}/cwd", daemon.pid())).unwrap();
    assert_eq!(directory, Path::new("/"));
    assert!(work.join("pid").exists());

    // Relative paths keep their meaning at a reload.
    fs::rename(work.join("log"), work.join("log.1")).unwrap();
    fs::write(
        work.join("a.conf"),
        "log_outputs = \"1:file:log\"\nmax_clients = 7\n",
    )
    .unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the log is written at its path again", || {
        let log = fs::read_to_string(work.join("log")).unwrap_or_default();
        log.contains("in force now: max_clients")
    });
    assert_eq!(daemon.stop().status, Some(0));
    assert!(!work.join("pid").exists());
}

/// The working directory is removed before the program starts.
const IN_REMOVED_DIRECTORY: [&str; 4] = ["sh", "-c", "rmdir \"$PWD\" && exec \"$@\"", "sh"];

/// DM-112
#[test]
fn removed_working_directory_matters_to_no_absolute_path() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let log = dir.path().join("log");
    let config = dir.path().join("a.conf");
    fs::write(
        &config,
        format!("log_outputs = \"1:file:{}\"\n", log.display()),
    )
    .unwrap();
    let options = ["--config", config.to_str().unwrap()];
    let mut command = through(&IN_REMOVED_DIRECTORY, &dir, &options);
    let daemon = Daemon::start_by(command.current_dir(&gone), dir);
    assert!(!gone.exists());
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}

/// DM-112
#[test]
fn relative_path_in_a_removed_directory_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("a.conf");
    fs::write(&config, "log_outputs = \"1:file:some.log\"\n").unwrap();
    for (options, name) in [
        (&["--pid-file", "some.pid"][..], "some.pid"),
        (&["--config", "some.conf"], "some.conf"),
        (&["--run-dir", "some-dir"], "some-dir"),
        (&["--config", config.to_str().unwrap()], "some.log"),
    ] {
        let gone = dir.path().join("gone");
        fs::create_dir(&gone).unwrap();
        let mut command = Command::new(IN_REMOVED_DIRECTORY[0]);
        command
            .args(&IN_REMOVED_DIRECTORY[1..])
            .arg(eventryd().get_program())
            .args(options)
            .current_dir(&gone);
        let output = run(command);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(&format!("{name:?}")), "{said}");
        assert!(
            said.contains("working directory: No such file or directory"),
            "{said}"
        );
    }
}

#[test]
fn closed_standard_streams_are_dev_null() {
    let dir = tempfile::tempdir().unwrap();
    let launcher = ["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];
    let daemon = Daemon::start_silent(&mut through(&launcher, &dir, &[]), dir);
    wait_until("the socket exists", || daemon.socket().exists());
    daemon.connect().open();
    for number in 0..3 {
        let file = fs::read_link(format!("/proc/{}/fd/{number}", daemon.pid())).unwrap();
        assert_eq!(file, Path::new("/dev/null"));
    }
    assert_eq!(daemon.stop().status, Some(0));
}

fn full_disk() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Options that print something and end.
const PRINTING: [&str; 5] = [
    "--print-config",
    "--print-sample",
    "--check-config",
    "--help",
    "--version",
];

#[test]
fn full_disk_at_standard_output_is_an_error() {
    for option in PRINTING {
        let mut command = eventryd();
        command
            .arg(option)
            .stdout(full_disk())
            .stderr(Stdio::piped());
        let output = run_with_streams(command);
        assert_eq!(output.status.code(), Some(1), "{option}");
        let said = stderr(&output);
        let expected = "cannot write to standard output: No space left on device";
        assert!(said.contains(expected), "{option}: {said}");
    }
}

#[test]
fn closed_reader_of_standard_output_is_no_error() {
    for option in PRINTING {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        let mut command = eventryd();
        command.arg(option).stdout(writer).stderr(Stdio::piped());
        let output = run_with_streams(command);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{option}: {}",
            stderr(&output)
        );
    }
}

/// Runs a command whose standard output is set already.
fn run_with_streams(mut command: Command) -> Output {
    bounded("the end of eventryd", move || {
        command.spawn().unwrap().wait_with_output().unwrap()
    })
}

/// DM-111: `pkcheck` gets none of them, and the daemon can use them.
#[test]
fn inherited_descriptors_are_closed_on_exec() {
    const CLOSED_ON_EXEC: u32 = 0o2_000_000;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("a.conf");
    fs::write(&config, "max_clients = 7\n").unwrap();
    let script = "exec 5</ 6>>/dev/null 7<\"$0\" 8>&2 9<>\"$0\" && exec \"$@\"";
    let launcher = ["sh", "-c", script, config.to_str().unwrap()];
    let options = ["--config", "/dev/fd/9"];
    let daemon = Daemon::start_by(&mut through(&launcher, &dir, &options), dir);
    let process = format!("/proc/{}", daemon.pid());
    let file = |number: u32| fs::read_link(format!("{process}/fd/{number}")).unwrap();
    for number in 5..=9 {
        let info = fs::read_to_string(format!("{process}/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        assert_ne!(
            flags & CLOSED_ON_EXEC,
            0,
            "{number}: {}",
            file(number).display()
        );
    }
    let files = [5, 6, 7, 8, 9].map(file);
    let expected = [
        Path::new("/"),
        Path::new("/dev/null"),
        &config,
        &file(2),
        &config,
    ];
    assert_eq!(files.each_ref().map(|file| &**file), expected);
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}
