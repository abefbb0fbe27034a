//! Pid files in directories of several modes, and with a holder.

use super::*;
use rustix::fs::{makedev, mknodat};
use std::fs;

#[test]
fn acquire_in_fails_while_another_process_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = PidFile::acquire_in(dir.path()).unwrap();
    let pid = std::process::id();
    let content = fs::read_to_string(dir.path().join("eventryd.pid")).unwrap();
    assert_eq!(content, format!("{pid}\n"));

    let second = PidFile::acquire_in(dir.path()).unwrap_err();
    let NetError::AlreadyRunning { pid: reported, .. } = second else {
        panic!("{second}");
    };
    assert_eq!(reported, Some(pid));

    drop(first);
    assert!(!dir.path().join("eventryd.pid").exists());
    PidFile::acquire_in(dir.path()).unwrap();
}

/// The holder of the lock removes the file on exit, and another process may have opened it
/// before.
#[test]
fn lock_on_a_removed_file_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventryd.pid");
    for has_new_file in [false, true] {
        fs::write(&path, "").unwrap();
        let opened = File::options().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if has_new_file {
            fs::write(&path, "").unwrap();
        }
        let locked = PidFile::try_acquire(opened, Place::examine(&path).unwrap());
        assert!(locked.unwrap().is_none());
    }
}

#[test]
fn pid_file_of_a_killed_daemon_is_reused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("eventryd.pid"), "99999999999\nrest").unwrap();
    let pid_file = PidFile::acquire_in(dir.path()).unwrap();
    let content = fs::read_to_string(dir.path().join("eventryd.pid")).unwrap();
    assert_eq!(content, format!("{}\n", std::process::id()));
    drop(pid_file);
}

fn refused(path: &Path) -> String {
    let error = PidFile::acquire(path).unwrap_err().to_string();
    let checked = PidFile::check(path).unwrap_err().to_string();
    assert_eq!(checked, error);
    error
}

#[test]
fn acquire_follows_no_link_and_leaves_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("eventryd.pid"));
    fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(refused(&link).contains("is a symbolic link"));
    assert!(PidFile::acquire_in(dir.path()).is_err());
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");

    fs::remove_file(&link).unwrap();
    fs::hard_link(&target, &link).unwrap();
    assert!(refused(&link).contains("has a second name"));
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
}

#[test]
fn acquire_takes_regular_files_only_and_never_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    rustix::fs::mkfifoat(CWD, path("fifo"), Mode::RWXU).unwrap();
    fs::create_dir(path("dir")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let mut refusals = vec![
        (path("fifo"), "is a FIFO"),
        (path("dir"), "is a directory"),
        (path("socket"), "is a socket"),
        (path("new/"), "names a directory"),
        (PathBuf::from("/"), "names no file"),
    ];
    // Like /dev/null. Only root may create it.
    let (kind, mode) = (FileType::CharacterDevice, Mode::RUSR | Mode::WUSR);
    if mknodat(CWD, path("device"), kind, mode, makedev(1, 3)).is_ok() {
        refusals.push((path("device"), "is a device"));
    }
    for (path, found) in refusals {
        let expected = format!(
            "the pid file {} {found}; choose another path in eventry_pid_file (or --pid-file)",
            path.display()
        );
        assert_eq!(refused(&path), expected);
    }
    for by_kernel in ["/proc/eventry.pid", "/sys/eventry.pid"] {
        let error = refused(Path::new(by_kernel));
        assert!(error.contains("cannot open the pid file"), "{error}");
        assert!(
            error.ends_with("); choose another path in eventry_pid_file (or --pid-file)"),
            "{error}"
        );
    }
    let expected = format!(
        "cannot open the pid file {}: No such file or directory (os error 2); create the directory {}, or choose \
         another path in eventry_pid_file (or --pid-file)",
        path("missing/pid").display(),
        path("missing").display()
    );
    assert_eq!(refused(&path("missing/pid")), expected);
}

/// The setting of the other pid file is no remedy.
#[test]
fn error_in_the_run_directory_names_its_option() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventryd.pid");
    let refused = |expected: &str| {
        let expected = format!("the pid file {} {expected}", path.display());
        let error = PidFile::acquire_in(dir.path()).unwrap_err().to_string();
        assert_eq!(error, expected);
        let error = PidFile::check_in(dir.path()).unwrap_err().to_string();
        assert_eq!(error, expected);
    };
    fs::create_dir(&path).unwrap();
    refused(
        "is a directory; move it away, or choose another directory with --run-dir or unix_sock_dir",
    );
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    refused(
        "is in a directory where every user can replace it; choose another directory with --run-dir or unix_sock_dir",
    );
    let missing = PidFile::check_in(&dir.path().join("no"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.ends_with("; choose another directory with --run-dir or unix_sock_dir"),
        "{missing}"
    );
}

#[test]
fn directory_writable_by_all_must_be_sticky() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    let set_mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (mode, is_accepted) in [
        (0o700, true),
        (0o775, true),
        (0o1777, true),
        (0o777, false),
        (0o702, false),
    ] {
        set_mode(mode);
        assert_eq!(PidFile::check(&path).is_ok(), is_accepted, "{mode:o}");
        assert_eq!(PidFile::acquire(&path).is_ok(), is_accepted, "{mode:o}");
    }
    set_mode(0o1777);
    fs::write(&path, "").unwrap();
    assert!(PidFile::check(&path).is_ok());
    // Only root can give the file to another user.
    if std::os::unix::fs::chown(&path, Some(1), None).is_ok() {
        assert!(refused(&path).contains("belongs to another user"));
        set_mode(0o700);
        assert!(PidFile::check(&path).is_ok());
    }
}

#[test]
fn check_changes_nothing_and_ignores_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    PidFile::check(&path).unwrap();
    assert!(!path.exists());
    let held = PidFile::acquire(&path).unwrap();
    PidFile::check(&path).unwrap();
    let content = fs::read_to_string(&path).unwrap();
    assert_eq!(content, format!("{}\n", std::process::id()));
    drop(held);
}

#[test]
fn directory_of_a_pid_file_may_be_the_current_one() {
    let place = Place::examine(Path::new("no-such-file-of-eventryd")).unwrap();
    assert!(!place.exists);
}

/// Opening it would wait for a writer.
#[test]
fn fifo_is_no_directory_of_a_pid_file() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, PRIVATE, 0).unwrap();
    let examined = test_support::timeout::bounded("the examination", move || {
        Place::examine(&fifo.join("pid")).map(drop)
    });
    assert!(examined.is_err());
}
