//! Log files that are no plain files, and directories that others may write (DM-1607).

use super::*;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;
use test_support::daemon::{eventryd, run_to_end};
use test_support::timeout::wait_until;

/// Runs a daemon whose start fails, with a log file.
fn refused_with_log(path: &Path) -> String {
    refused_with_options(path, &[])
}

fn refused_with_options(path: &Path, options: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut command = eventryd();
    command
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .args(options)
        .env("LIBVIRT_LOG_OUTPUTS", format!("1:file:{}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let exit = run_to_end(&mut command);
    assert_eq!(exit.status, Some(1), "{}", exit.stderr);
    exit.stderr
}

#[test]
fn fifo_without_a_reader_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    make_fifo(&fifo);
    let said = refused_with_log(&fifo);
    assert!(said.contains("/fifo") && said.contains("reader"), "{said}");
}

#[test]
fn reload_with_a_fifo_without_a_reader_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (config, fifo) = (dir.path().join("a.toml"), dir.path().join("fifo"));
    make_fifo(&fifo);
    let mut daemon = start_logging_to(dir, "1:stderr");
    let text = format!("log_outputs = \"1:file:{}\"\n", fifo.display());
    std::fs::write(config, text).unwrap();
    daemon.signal(Signal::HUP);
    read_until(daemon.take_stderr(), &["/fifo", "nothing is changed"]);
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn dev_null_is_a_log_file() {
    let daemon = start_logging_to(tempfile::tempdir().unwrap(), "1:file:/dev/null");
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn full_disk_is_reported_once_and_stops_nothing() {
    let outputs = "3:stderr 1:file:/dev/full";
    let daemon = start_logging_to(tempfile::tempdir().unwrap(), outputs);
    cause_warnings(&daemon, 3);
    daemon.connect().open();
    let ended = daemon.stop();
    assert_eq!(ended.status, Some(0));
    let report = "cannot log to /dev/full: No space left on device";
    assert_eq!(ended.log.matches(report).count(), 1, "{}", ended.log);
    assert_eq!(ended.log.matches("broke the protocol").count(), 3);
    let lost = "lines lost: /dev/full did not accept them";
    assert!(ended.log.contains(lost), "{}", ended.log);
}

#[test]
fn line_cut_by_a_full_disk_is_ended_before_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let daemon = start_logging_to(dir, &format!("1:file:{}", log.display()));
    cause_warnings(&daemon, 1);
    let read = || std::fs::read_to_string(&log).unwrap();
    wait_until("a line is written", || {
        read().ends_with('\n') && read().contains("broke the protocol")
    });
    // The limit of the size of files stands for the disk.
    let pid = rustix::process::Pid::from_raw(daemon.pid().try_into().unwrap());
    let limit = |current| {
        let new = Rlimit {
            current,
            ..getrlimit(Resource::Fsize)
        };
        prlimit(pid, Resource::Fsize, new).unwrap();
    };
    let full = u64::try_from(read().len()).unwrap() + 10;
    limit(Some(full));
    cause_warnings(&daemon, 1);
    wait_until("a line is cut", || {
        u64::try_from(read().len()).unwrap() == full
    });
    // Lines of a full disk are lost as a whole.
    cause_warnings(&daemon, 1);
    limit(None);
    cause_warnings(&daemon, 1);
    wait_until("a line is written", || {
        read().ends_with('\n') && read().contains("dropped here")
    });
    let text = read();
    assert_eq!(daemon.stop().status, Some(0));
    let odd: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("+0000: "))
        .collect();
    let cut = &text[usize::try_from(full).unwrap() - 10..][..10];
    assert_eq!(odd, [cut], "{text}");
    assert!(
        text.lines()
            .all(|line| line.matches("+0000: ").count() <= 1),
        "{text}"
    );
}

#[test]
fn copytruncate_goes_on_at_the_start_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let daemon = start_logging_to(dir, &format!("1:file:{}", log.display()));
    let read = || std::fs::read_to_string(&log).unwrap();
    cause_warnings(&daemon, 1);
    wait_until("a line is written", || {
        read().contains("broke the protocol")
    });
    std::fs::File::create(&log).unwrap();
    cause_warnings(&daemon, 1);
    wait_until("a line is written", || {
        read().contains("broke the protocol")
    });
    assert!(!read().contains('\0'));
    assert_eq!(read().matches("listening on").count(), 0);
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn closed_or_full_standard_streams_are_no_fault() {
    for redirection in ["2>&-", "2>/dev/full"] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")])
            .arg(eventryd().get_program())
            .arg("--run-dir")
            .arg(dir.path().join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let daemon = Daemon::start_by(&mut command, dir);
        cause_warnings(&daemon, 3);
        daemon.connect().open();
        assert_eq!(daemon.stop().status, Some(0), "{redirection}");
    }
}

#[test]
fn last_of_two_levels_for_a_file_applies() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let path = log.display();
    let outputs = format!("4:file:{path} 1:file:{path}");
    let daemon = start_logging_to(dir, &outputs);
    let read = || std::fs::read_to_string(&log).unwrap();
    wait_until("the start is logged", || read().contains("listening on"));
    assert_eq!(daemon.stop().status, Some(0));
}

/// The count follows the window of ten seconds, with the next line of any kind, and not only the end of the daemon.
#[test]
fn suppressed_lines_are_reported_while_the_daemon_serves() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_in(dir, &[]);
    let stderr = daemon.take_stderr();
    let reader = std::thread::spawn(move || read_until(stderr, &[" more lines of "]));
    cause_warnings(&daemon, 60);
    wait_until("the report", || {
        cause_warnings(&daemon, 1);
        std::thread::sleep(Duration::from_millis(50));
        reader.is_finished()
    });
    let log = reader.join().unwrap();
    let limited = log
        .lines()
        .filter(|line| line.contains("broke the protocol"));
    assert!(limited.count() >= 50, "{log}");
    let (before, _) = log.split_once(" more lines of ").unwrap();
    let count: usize = before.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(count >= 10, "{log}");
}

/// Makes a directory in `dir` that others may write.
fn open_directory(dir: &Path) -> std::path::PathBuf {
    let open = dir.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    open
}

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        test_support::not_run(test, "the daemon must run as root");
    }
    is_root
}

#[test]
fn log_of_root_in_a_directory_of_others_is_warned_of() {
    if !is_root("log_of_root_in_a_directory_of_others_is_warned_of") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = open_directory(dir.path()).join("log");
    let outputs = format!("1:stderr 1:file:{}", path.display());
    let log = start_logging_to(dir, &outputs).stop().log;
    let warning = log.lines().find(|line| line.contains(": warning : "));
    let warning = warning.expect("a warning");
    assert!(warning.contains(path.to_str().unwrap()), "{warning}");
    assert!(warning.contains("mode 0777"), "{warning}");
}

#[test]
fn symlink_in_a_directory_of_others_is_not_followed() {
    if !is_root("symlink_in_a_directory_of_others_is_not_followed") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, target) = (open_directory(dir.path()).join("log"), dir.path().join("x"));
    symlink(&target, &path).unwrap();
    let said = refused_with_log(&path);
    assert!(said.contains("symbolic link"), "{said}");
    assert_eq!(refused_with_options(&path, &["--check-config"]), said);
    assert!(!target.exists());
}

#[test]
fn symlink_in_a_directory_of_root_alone_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, target) = (dir.path().join("log"), dir.path().join("x"));
    symlink(&target, &path).unwrap();
    let file = std::fs::File::create(&target).unwrap();
    let outputs = format!("1:stderr 1:file:{}", path.display());
    let ended = start_logging_to(dir, &outputs).stop();
    assert!(!ended.log.contains(": warning : "), "{}", ended.log);
    drop(file);
}
