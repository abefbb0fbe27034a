//! Order of file, environment and options, at the start and at each reload.

use super::{Configured, file, run, utf8};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use test_support::daemon::{Daemon, eventryd};
use test_support::timeout::wait_until;

#[test]
fn option_overrides_environment_which_overrides_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = "log_level = 4\nlog_filters = \"4:file\"\nmax_clients = 7\n";
    let path = file(&dir, "a.conf", text);
    let printed = |options: &[&str], variables: &[(&str, &str)]| {
        let file = ["--print-config", "-f", path.to_str().unwrap()];
        let output = run(&[&file, options].concat(), variables);
        assert_eq!(output.status.code(), Some(0), "{}", utf8(&output.stderr));
        utf8(&output.stdout)
    };
    let variables = [
        ("LIBVIRT_DEBUG", "1"),
        ("LIBVIRT_LOG_FILTERS", "2:variable"),
    ];
    let of_file = printed(&[], &[]);
    assert!(of_file.contains("log_level = 4  # "), "{of_file}");
    let of_variable = printed(&[], &variables);
    let line = "log_level = 1  # environment LIBVIRT_DEBUG\n";
    assert!(of_variable.contains(line), "{of_variable}");
    // An empty variable counts as none, as for libvirtd.
    let empty = variables.map(|(name, _)| (name, ""));
    assert_eq!(printed(&[], &empty), of_file);
    let of_option = printed(&["--quiet"], &variables);
    for line in [
        "log_level = 3  # option --quiet\n",
        "log_filters = \"2:variable\"  # environment LIBVIRT_LOG_FILTERS\n",
        "max_clients = 7  # ",
    ] {
        assert!(of_option.contains(line), "{line}: {of_option}");
    }
}

/// A daemon whose file, environment and options set the log.
fn start_with_all(dir: &Path, text: &str) -> Daemon {
    let config = dir.join("eventryd.conf");
    fs::write(&config, text).unwrap();
    let run_dir = tempfile::tempdir().unwrap();
    let mut command = eventryd();
    command
        .arg("--run-dir")
        .arg(run_dir.path().join("run"))
        .arg("--config")
        .arg(config)
        .args(["--timeout", "1000", "--verbose"])
        .env("LIBVIRT_LOG_FILTERS", "1:session")
        .env(
            "LIBVIRT_LOG_OUTPUTS",
            format!("1:file:{}", dir.join("log").display()),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Daemon::start_by(&mut command, run_dir)
}

#[test]
fn reload_keeps_options_and_environment() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start_with_all(dir.path(), "eventry_idle_timeout = 2000\nlog_level = 2\n");
    let log = || fs::read_to_string(dir.path().join("log")).unwrap();
    let other =
        "eventry_idle_timeout = 100\nlog_level = 2\nlog_filters = \"4:x\"\nmax_clients = 7\n";
    fs::write(dir.path().join("eventryd.conf"), other).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the reload", || log().contains("SIGHUP: in force now"));
    assert!(
        log().contains("SIGHUP: in force now: max_clients\n"),
        "{}",
        log()
    );
    assert!(!log().contains("after a restart"), "{}", log());
    let before = log().matches(": debug : ").count();
    daemon.connect().open();
    assert_eq!(daemon.stop().status, Some(0));
    assert!(log().matches(": debug : ").count() > before, "{}", log());
}

/// The level of the log is info, so only the filter lets lines of level debug through.
#[test]
fn reload_without_a_line_restores_the_default() {
    let debug_lines = |log: &str| log.matches(": debug : ").count();
    let configured = Configured::start("log_filters = \"1:server\"\neventry_log_burst = 1\n");
    configured.daemon().connect().open();
    wait_until("lines of the filter", || debug_lines(&configured.log()) > 0);
    configured.reload("", "SIGHUP: in force now: log_filters, eventry_log_burst\n");
    let before = debug_lines(&configured.log());
    for _ in 0..3 {
        let mut client = configured.daemon().connect();
        std::io::Write::write_all(&mut client.stream, &[0; 4]).unwrap();
        assert!(client.is_closed());
    }
    // Lines are written in order, so the last line stands behind those of the clients.
    let protocol = || configured.log().matches("broke the protocol").count();
    wait_until("three warnings", || protocol() == 3);
    assert_eq!(
        debug_lines(&configured.log()),
        before,
        "{}",
        configured.log()
    );
}

#[test]
fn reload_without_log_level_restores_level_info() {
    let configured = Configured::start("log_level = 4");
    assert_eq!(configured.log(), "");
    configured.reload("", "SIGHUP: in force now: log_level\n");
}

#[test]
fn first_of_two_filters_for_a_module_applies() {
    for (filters, is_logged) in [("1:server 4:server", true), ("4:server 1:server", false)] {
        let mut configured = Configured::start(&format!("log_filters = \"{filters}\""));
        configured.daemon().connect().open();
        let ended = configured.daemon.take().unwrap().stop();
        assert_eq!(ended.status, Some(0));
        let log = configured.log();
        assert_eq!(
            log.contains(": debug : server."),
            is_logged,
            "{filters}: {log}"
        );
    }
}

#[test]
fn reload_changes_the_level_of_an_output_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let of_file = || fs::read_to_string(&log).unwrap();
    let text = |level| {
        format!(
            "log_outputs = \"{level}:stderr 1:file:{}\"\n",
            log.display()
        )
    };
    let config = file(&dir, "a.conf", &text(4));
    let options = ["--config", config.to_str().unwrap()];
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &options);
    fs::write(&config, text(1)).unwrap();
    daemon.signal(Signal::HUP);
    let reloaded = "SIGHUP: in force now: log_outputs";
    wait_until("the reload", || of_file().contains(reloaded));
    let stderr = daemon.stop().log;
    assert!(of_file().contains("listening on"), "{}", of_file());
    assert!(!stderr.contains("listening on"), "{stderr}");
    assert!(stderr.contains(reloaded), "{stderr}");
}

#[test]
fn reload_logs_what_has_no_effect_in_the_new_file() {
    let configured = Configured::start("max_clients = 5");
    let text = "max_clients = 6\nmax_clients = 7\n";
    configured.reload(text, "`max_clients` has no effect: line 1 sets it already");
    configured.reload("max_clients = 6", "the settings are unchanged");
}

/// The log names users and clients.
#[test]
fn new_log_file_is_readable_by_its_owner_only() {
    let configured = Configured::start("");
    let path = configured.dir.path().join("log");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o600);
    fs::remove_file(&path).unwrap();
    configured.reload("max_clients = 9", "SIGHUP: in force now: max_clients");
    assert_eq!(mode(), 0o600);
}
