//! Pid files whose place another user has prepared.

use std::path::Path;
use std::process::Command;
use test_support::daemon::{Daemon, Exit, refused, refused_with};

/// Starts a daemon whose pid file cannot be used, with a pid file at `path`.
fn refused_at(path: &Path) -> Exit {
    let dir = tempfile::tempdir().unwrap();
    let exit = refused_with(dir.path(), &["--pid-file", path.to_str().unwrap()]);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    exit
}

/// DM-108: the target of a link keeps its content, for the configured file and for that in the run directory.
#[test]
fn pid_file_that_is_a_link_is_refused_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("eventryd.pid"));
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for (exit, status, setting) in [
        (refused_at(&link), 1, "eventry_pid_file"),
        (refused(dir.path()), 2, "unix_sock_dir"),
    ] {
        assert_eq!(exit.status, Some(status), "{}", exit.stderr);
        let expected = format!("the pid file {} is a symbolic link", link.display());
        assert!(exit.stderr.contains(&expected), "{}", exit.stderr);
        assert!(exit.stderr.contains(setting), "{}", exit.stderr);
    }
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    assert!(link.is_symlink());
}

/// The start ends in bounded time: opening a FIFO for reading or writing alone would wait for a peer.
#[test]
fn pid_file_that_is_a_fifo_does_not_block_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("eventryd.pid");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for (exit, status) in [(refused_at(&fifo), 1), (refused(dir.path()), 2)] {
        assert_eq!(exit.status, Some(status), "{}", exit.stderr);
        assert!(exit.stderr.contains("is a FIFO"), "{}", exit.stderr);
    }
}

#[test]
fn pid_file_where_every_user_can_replace_it_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path().join("pid");
    let exit = refused_at(&path);
    assert_eq!(exit.status, Some(1), "{}", exit.stderr);
    assert!(
        exit.stderr.contains("every user can replace it"),
        "{}",
        exit.stderr
    );
    assert!(!path.exists());
}

/// A daemon that was killed leaves its file behind.
#[test]
fn left_over_pid_file_holds_the_new_number_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    std::fs::write(&path, "123456789012345\n").unwrap();
    let options = ["--pid-file", path.to_str().unwrap()];
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &options);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, format!("{}\n", daemon.pid()));
}

/// The name is that of a directory for the kernel, and that of a file for the standard library.
#[test]
fn pid_file_with_a_final_slash_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for end in ["pid/", "pid/.", "pid//./"] {
        let path = format!("{}/{end}", dir.path().display());
        let started = refused_at(Path::new(&path));
        let checked = refused_with(dir.path(), &["--pid-file", &path, "--check-config"]);
        for exit in [started, checked] {
            assert_eq!(exit.status, Some(1), "{}", exit.stderr);
            let expected = format!("the pid file {path} names a directory");
            assert!(exit.stderr.contains(&expected), "{}", exit.stderr);
        }
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
}

/// DM-108: a program that removes old files may take the pid file of a running daemon.
#[test]
fn end_leaves_the_pid_file_of_a_successor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    let options = ["--pid-file", path.to_str().unwrap()];
    let start = || Daemon::start_in(tempfile::tempdir().unwrap(), &options);
    let first = start();
    std::fs::remove_file(&path).unwrap();
    let second = start();
    assert_eq!(first.stop().status, Some(0));
    let left = std::fs::read_to_string(&path).unwrap();
    assert_eq!(left, format!("{}\n", second.pid()));
    assert_eq!(second.stop().status, Some(0));
    assert!(!path.exists());
}

/// DM-108: a file that can be opened, also for reading only, can be locked, and the lock prevents the next start.
#[test]
fn pid_files_can_be_opened_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    std::fs::write(&path, "of a killed daemon").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let options = ["--pid-file", path.to_str().unwrap()];
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), &options);
    for file in [&path, &daemon.run_dir().join("eventryd.pid")] {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    assert_eq!(daemon.stop().status, Some(0));
}
