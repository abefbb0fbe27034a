//! `eventryd passwd`.

use crate::password_file;
use eventryd::auth::read_passwords;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, makedev, mknodat};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;
use test_support::daemon::eventryd;
use test_support::timeout::bounded;

pub(crate) fn passwd(dir: &TempDir, arguments: &[&str], stdin: &str) -> Output {
    passwd_of(&password_file(dir), arguments, stdin)
}

pub(crate) fn passwd_of(file: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut command = eventryd();
    command
        .args(["passwd", "--file"])
        .arg(file)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The program may fail without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    bounded("eventryd passwd", move || child.wait_with_output().unwrap())
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn users_are_added_changed_and_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let text = || std::fs::read_to_string(password_file(&dir)).unwrap();
    for (arguments, stdin, users) in [
        (&["fred"][..], "pencil\n", 1),
        (&["--iterations", "4096", "ann"], "secret", 2),
        (&["fred"], "pen\r\n", 2),
        (&["--delete", "ann"], "", 1),
    ] {
        let output = passwd(&dir, arguments, stdin);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"");
        let mode = password_file(&dir).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read_passwords(&password_file(&dir)).unwrap().len(), users);
        for password in ["pencil", "secret"] {
            assert!(!text().contains(password) && !stderr_of(&output).contains(password));
        }
    }
    assert!(text().contains("\nfred:SCRAM-SHA-256$16384:"), "{}", text());
    // No temporary file is left in the directory.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn invalid_passwd_command_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(passwd(&dir, &["fred"], "pencil\n").status.success());
    let before = std::fs::read_to_string(password_file(&dir)).unwrap();
    let long = "x".repeat(2_000);
    for (arguments, stdin, expected) in [
        (&["fred"][..], "", "no password on standard input"),
        (&["fred"], "\n", "a password has 1 to 1024 bytes"),
        (&["fred"], "a\u{7}b\n", "no control character"),
        (&["fred"], &long, "a password has 1 to 1024 bytes"),
        (&["a:b"], "x\n", "no colon"),
        (&["#fred"], "x\n", "does not start with '#'"),
        (&["--delete", "ann"], "", "user \"ann\" is not in"),
        (
            &["--iterations", "4095", "fred"],
            "x\n",
            "4095 is not in 4096..=10000000",
        ),
        (&[], "x\n", "<USER>"),
    ] {
        let output = passwd(&dir, arguments, stdin);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            stderr_of(&output).contains(expected),
            "{}",
            stderr_of(&output)
        );
        let after = std::fs::read_to_string(password_file(&dir)).unwrap();
        assert_eq!(after, before, "{arguments:?}");
    }
}

/// All programs wait for their password and then change the file at the same time.
#[test]
fn passwords_that_are_set_at_once_are_all_stored() {
    let dir = tempfile::tempdir().unwrap();
    let file = password_file(&dir);
    let users: Vec<String> = (0..16).map(|number| format!("user{number}")).collect();
    let waiting = users.iter().map(|user| {
        let mut command = eventryd();
        command
            .args(["passwd", "--iterations", "4096", "--file"])
            .arg(&file)
            .arg(user)
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    });
    let mut waiting: Vec<_> = waiting.collect();
    for child in &mut waiting {
        child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    }
    for mut child in waiting {
        assert!(bounded("eventryd passwd", move || child.wait().unwrap()).success());
    }
    let text = std::fs::read_to_string(&file).unwrap();
    for user in &users {
        assert_eq!(
            text.matches(&format!("\n{user}:SCRAM")).count(),
            1,
            "{text}"
        );
    }
    assert_eq!(text.matches("DECOY").count(), 1);
    assert_eq!(read_passwords(&file).unwrap().len(), users.len());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Every user may open the directory, and lock it.
#[test]
fn lock_on_the_directory_delays_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let directory = File::open(dir.path()).unwrap();
    flock(&directory, FlockOperation::LockExclusive).unwrap();
    assert!(passwd(&dir, &["fred"], "pencil\n").status.success());
    // A change that fails leaves no file.
    std::fs::remove_file(password_file(&dir)).unwrap();
    assert!(!passwd(&dir, &["--delete", "fred"], "").status.success());
    assert!(!password_file(&dir).exists());
}

#[test]
fn passwd_asks_twice_on_a_terminal_without_echo() {
    for (second, expected) in [("pencil\n", true), ("pencli\n", false)] {
        let dir = tempfile::tempdir().unwrap();
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let side = || {
            let mut options = File::options();
            let options = options.read(true).write(true);
            options.open(name.to_str().unwrap()).unwrap()
        };
        let kept_open = side();
        let mut child = eventryd()
            .args(["passwd", "--file"])
            .arg(password_file(&dir))
            .arg("fred")
            .stdin(side())
            .stderr(side())
            .spawn()
            .unwrap();
        let mut keyboard = File::from(terminal);
        let mut screen = keyboard.try_clone().unwrap();
        // Without this descriptor the terminal hangs up.
        let _terminal = keyboard.try_clone().unwrap();
        let shown = bounded("the prompts", move || {
            let mut shown = Vec::new();
            for (question, answer) in [("fred: ", "pencil\n"), ("password: ", second)] {
                while !String::from_utf8_lossy(&shown).ends_with(question) {
                    let mut byte = [0];
                    screen.read_exact(&mut byte).unwrap();
                    shown.extend(byte);
                }
                keyboard.write_all(answer.as_bytes()).unwrap();
            }
            shown
        });
        let status = bounded("eventryd passwd", move || child.wait().unwrap());
        assert_eq!(status.success(), expected);
        assert!(!String::from_utf8_lossy(&shown).contains("penc"));
        assert_eq!(password_file(&dir).exists(), expected);
        let modes = tcgetattr(&kept_open).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO), "the echo is on again");
    }
}

/// A daemon that runs as another user can still read the file.
#[test]
fn changed_password_file_keeps_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(passwd(&dir, &["fred"], "pencil\n").status.success());
    std::os::unix::fs::chown(password_file(&dir), Some(1001), Some(1002)).unwrap();
    for arguments in [&["ann"][..], &["--delete", "fred"]] {
        assert!(passwd(&dir, arguments, "secret\n").status.success());
        let file = password_file(&dir).metadata().unwrap();
        assert_eq!(
            (file.uid(), file.gid(), file.mode() & 0o777),
            (1001, 1002, 0o600)
        );
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// As htpasswd and saslpasswd2 do, and as the daemon reads it.
#[test]
fn passwd_changes_the_target_of_a_link() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    let (link, target) = (password_file(&dir), dir.path().join("real/users"));
    symlink("other", &link).unwrap();
    symlink(&target, dir.path().join("other")).unwrap();
    let links = names_in(dir.path());
    for (arguments, users) in [
        (&["fred"][..], 1),
        (&["ann"], 2),
        (&["--delete", "fred"], 1),
    ] {
        let output = passwd(&dir, arguments, "pencil\n");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(read_passwords(&target).unwrap().len(), users);
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("other"));
        assert_eq!(names_in(dir.path()), links);
        assert_eq!(names_in(&dir.path().join("real")), ["users"]);
    }
    std::fs::remove_file(dir.path().join("other")).unwrap();
    symlink(&link, dir.path().join("other")).unwrap();
    let output = passwd(&dir, &["fred"], "pencil\n");
    let said = stderr_of(&output);
    assert!(said.contains("Too many levels of symbolic links"), "{said}");
}

#[test]
fn passwd_reports_an_invalid_line_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = password_file(&dir);
    assert!(passwd(&dir, &["fred"], "pencil\n").status.success());
    let good = std::fs::read_to_string(&file).unwrap();
    let user = good.lines().last().unwrap();
    for (line, problem) in [
        ("ann", "expected USER:SCRAM-SHA-256$"),
        ("ann:secret", "SCRAM-SHA-256$"),
        (user, "user \"fred\" already has a line"),
    ] {
        let text = format!("{good}\n{line}\n");
        std::fs::write(&file, &text).unwrap();
        let number = text.lines().count();
        for arguments in [&["ann"][..], &["fred"], &["--delete", "fred"]] {
            let output = passwd(&dir, arguments, "secret\n");
            assert_eq!(output.status.code(), Some(1), "{line}");
            let said = stderr_of(&output);
            let place = format!("eventryd: {}:{number}: ", file.display());
            assert!(said.starts_with(&place) && said.contains(problem), "{said}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }
    assert_eq!(names_in(dir.path()), ["passwords"]);
}

#[test]
fn passwd_creates_no_directory_of_a_named_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("no/such/passwords");
    let directory = dir.path().join("no/such");
    let (mkdir, missing) = (
        format!(
            "the directory {0} of the password file does not exist; create it with `mkdir -p {0}`",
            directory.display()
        ),
        format!("the password file {} does not exist", file.display()),
    );
    for (arguments, expected) in [(&["fred"][..], mkdir), (&["--delete", "fred"], missing)] {
        let output = passwd_of(&file, arguments, "pencil\n");
        assert_eq!(output.status.code(), Some(1));
        let said = stderr_of(&output);
        assert!(said.contains(&expected), "{said}");
        assert_eq!(names_in(dir.path()), [""; 0]);
    }
    let output = passwd(&dir, &["--delete", "fred"], "");
    let said = stderr_of(&output);
    assert!(said.contains("passwords does not exist"), "{said}");
    assert_eq!(names_in(dir.path()), [""; 0]);
}

/// Creates entries that are no regular files in `dir`. Returns their names and kinds.
fn create_special_files(dir: &Path) -> Vec<(&'static str, &'static str)> {
    let node = |name: &str, kind, device| {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, dir.join(name), kind, mode, device)
    };
    node("fifo", FileType::Fifo, 0).unwrap();
    // The socket file stays when the listener is closed.
    drop(UnixListener::bind(dir.join("socket")).unwrap());
    std::fs::create_dir(dir.join("directory")).unwrap();
    let mut created = vec![
        ("fifo", "a FIFO"),
        ("socket", "a socket"),
        ("directory", "a directory"),
    ];
    // Like /dev/null. Only root may create it.
    if node("device", FileType::CharacterDevice, makedev(1, 3)).is_ok() {
        created.push(("device", "a device"));
    }
    created
}

/// A rename would replace a device such as /dev/null for the whole system.
#[test]
fn passwd_refuses_all_but_regular_files() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind) in create_special_files(dir.path()) {
        let file = dir.path().join(name);
        let link = dir.path().join(format!("to_{name}"));
        symlink(name, &link).unwrap();
        let before = file.symlink_metadata().unwrap();
        let names = names_in(dir.path());
        for (path, found) in [(&file, "is"), (&link, "is a symbolic link to")] {
            for arguments in [&["fred"][..], &["--delete", "fred"]] {
                let output = passwd_of(path, arguments, "pencil\n");
                assert_eq!(output.status.code(), Some(1), "{name} {arguments:?}");
                let expected = format!(
                    "eventryd: the password file {} {found} {kind}; name a regular file, or a new one, with --file\n",
                    path.display()
                );
                assert_eq!(stderr_of(&output), expected);
                let after = file.symlink_metadata().unwrap();
                assert_eq!(
                    (after.ino(), after.mode()),
                    (before.ino(), before.mode()),
                    "{name}"
                );
                assert_eq!(names_in(dir.path()), names);
            }
        }
    }
}
