//! Authorization by polkit's own program, `pkcheck`.

use super::polkit::{Authorization, Authorizer, PolkitAction, Subject};
use super::{AuthError, Cancellation};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::env;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Maximum number of bytes that are read from the standard error of `pkcheck`.
const MAX_DIAGNOSTIC_LEN: u64 = 1_024;

/// Search path of `pkcheck`. The rest of the daemon's environment is not passed on.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Start of the diagnostic of a `pkcheck` that reaches no polkit, or no system bus.
const NO_AUTHORITY: &str = "Error getting authority:";

/// Environment variable with the address of the system bus, which is passed on if it is set.
const BUS_ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// Authorizer that runs `pkcheck` for each request, with user interaction allowed: polkit may ask
/// the user for a password through the authentication agent of the user's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PkCheck {
    /// Path of the program.
    pub program: PathBuf,
}

impl Default for PkCheck {
    /// Uses `/usr/bin/pkcheck`, the path in the common distributions.
    fn default() -> PkCheck {
        PkCheck {
            program: "/usr/bin/pkcheck".into(),
        }
    }
}

impl Authorizer for PkCheck {
    fn check(&self) -> Result<(), AuthError> {
        let is_executable = fs::metadata(&self.program)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        is_executable
            .then_some(())
            .ok_or_else(|| AuthError::PkcheckMissing(self.program.clone()))
    }

    fn authorize(
        &self,
        subject: Subject,
        action: PolkitAction,
        timeout: Duration,
        cancellation: &Cancellation,
    ) -> Authorization {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("LC_ALL", "C")
            .envs(env::var_os(BUS_ADDRESS).map(|address| (BUS_ADDRESS, address)))
            .current_dir("/")
            .args(["--action-id", action.id(), "--process"])
            .arg(subject.to_string())
            .arg("--allow-user-interaction")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        match command
            .spawn()
            .and_then(|child| wait_or_kill(child, timeout, cancellation))
        {
            Ok(Some((status, diagnostic))) => authorization_for(status, &diagnostic),
            Ok(None) => Authorization::Failed(format!("no answer within {timeout:?}")),
            Err(error) => {
                Authorization::Failed(format!("cannot run {}: {error}", self.program.display()))
            }
        }
    }
}

/// Waits for the program, and kills it after `timeout` or a cancellation. Returns its exit status and its standard
/// error, or `None` if the time is over.
fn wait_or_kill(
    mut child: Child,
    timeout: Duration,
    cancellation: &Cancellation,
) -> io::Result<Option<(ExitStatus, String)>> {
    let exited = wait_for_exit(&child, timeout, cancellation);
    if !matches!(exited, Ok(true)) {
        // Killing fails if the program has exited in the meantime, which is no error here.
        let _ = child.kill();
        child.wait()?;
        return exited.map(|_| None);
    }
    let status = child.wait()?;
    let mut diagnostic = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // The program has exited, so its output is complete. A child of it may still hold the pipe
        // open, so the read must not block.
        rustix::io::ioctl_fionbio(&stderr, true)?;
        let _ = stderr.take(MAX_DIAGNOSTIC_LEN).read_to_end(&mut diagnostic);
    }
    Ok(Some((
        status,
        String::from_utf8_lossy(&diagnostic).trim().to_owned(),
    )))
}

/// Waits until the program exits, which a cancellation kills. Returns `false` after `timeout`.
fn wait_for_exit(
    child: &Child,
    timeout: Duration,
    cancellation: &Cancellation,
) -> io::Result<bool> {
    let process = Arc::new(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?);
    let killed = Arc::clone(&process);
    cancellation.on_cancel(move || {
        // The descriptor names this process also after its end, when the signal fails, which is no error here.
        let _ = pidfd_send_signal(&*killed, Signal::KILL);
    });
    let timespec = Timespec::try_from(timeout).ok();
    loop {
        let mut fds = [PollFd::new(&*process, PollFlags::IN)];
        match poll(&mut fds, timespec.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Maps an exit status to a result, as pkcheck(1) defines it.
fn authorization_for(status: ExitStatus, diagnostic: &str) -> Authorization {
    match status.code() {
        Some(0) => Authorization::Granted,
        Some(1) => Authorization::Denied,
        Some(2) => Authorization::NoAgent,
        Some(3) => Authorization::Dismissed,
        _ if diagnostic.is_empty() => Authorization::Failed(format!("pkcheck ended with {status}")),
        _ if diagnostic.starts_with(NO_AUTHORITY) => Authorization::Failed(format!(
            "{diagnostic}; polkit may not run: start it, for example with `systemctl start polkit`"
        )),
        _ => Authorization::Failed(diagnostic.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::Path;

    const SUBJECT: Subject = Subject {
        pid: 12,
        start_time: 345,
        uid: 678,
    };
    const LONG: Duration = Duration::from_secs(30);

    /// Creates a shell script that stands in for `pkcheck`.
    fn fake(dir: &Path, script: &str) -> PkCheck {
        let program = dir.join("pkcheck");
        let mut file = fs::File::create(&program).unwrap();
        writeln!(file, "#!/bin/sh\n{script}").unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o755))
            .unwrap();
        PkCheck { program }
    }

    /// Runs the script. `ETXTBSY` is retried: a process that another test forks holds a copy of the
    /// descriptor that wrote the script until it calls `exec`.
    fn ask(pkcheck: &PkCheck, action: PolkitAction, timeout: Duration) -> Authorization {
        loop {
            match pkcheck.authorize(SUBJECT, action, timeout, &Cancellation::new()) {
                Authorization::Failed(why) if why.contains("Text file busy") => {}
                answer => return answer,
            }
        }
    }

    #[test]
    fn pkcheck_gets_pid_start_time_and_uid() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let pkcheck = fake(dir.path(), &format!("echo \"$*\" >{}", said.display()));
        for (action, name) in [
            (PolkitAction::Manage, "manage"),
            (PolkitAction::Monitor, "monitor"),
        ] {
            assert_eq!(ask(&pkcheck, action, LONG), Authorization::Granted);
            let expected = format!(
                "--action-id org.libvirt.unix.{name} --process 12,345,678 --allow-user-interaction\n"
            );
            assert_eq!(fs::read_to_string(&said).unwrap(), expected);
        }
    }

    #[test]
    fn program_must_be_an_executable_file() {
        let dir = tempfile::tempdir().unwrap();
        let pkcheck = fake(dir.path(), "exit 0");
        for (mode, is_usable) in [(0o755, true), (0o100, true), (0o644, false), (0, false)] {
            fs::set_permissions(&pkcheck.program, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(pkcheck.check().is_ok(), is_usable, "{mode:o}");
        }
        for program in [dir.path().join("missing"), dir.path().to_owned()] {
            let found = PkCheck { program }.check();
            assert!(
                matches!(found, Err(AuthError::PkcheckMissing(_))),
                "{found:?}"
            );
        }
    }

    /// DM-111
    #[test]
    fn pkcheck_gets_a_clean_environment() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let script = format!(
            "{{ pwd; tr '\\0' '\\n' </proc/$$/environ; }} >{}",
            said.display()
        );
        let pkcheck = fake(dir.path(), &script);
        let answer = ask(&pkcheck, PolkitAction::Manage, LONG);
        assert_eq!(answer, Authorization::Granted);
        let said = fs::read_to_string(&said).unwrap();
        let passed: Vec<&str> = said
            .lines()
            .filter(|line| !line.starts_with(BUS_ADDRESS))
            .collect();
        let path = format!("PATH={SEARCH_PATH}");
        assert_eq!(passed, ["/", "LC_ALL=C", &path]);
    }

    #[test]
    fn pkcheck_exit_status_maps_to_authorization() {
        let dir = tempfile::tempdir().unwrap();
        let failed = |text: &str| Authorization::Failed(text.to_owned());
        for (script, expected) in [
            ("exit 0", Authorization::Granted),
            ("exit 1", Authorization::Denied),
            ("exit 2", Authorization::NoAgent),
            ("exit 3", Authorization::Dismissed),
            ("echo no bus >&2; exit 127", failed("no bus")),
            (
                "echo 'Error getting authority: no bus' >&2; exit 127",
                failed(
                    "Error getting authority: no bus; polkit may not run: start it, for example with \
                     `systemctl start polkit`",
                ),
            ),
            ("exit 126", failed("pkcheck ended with exit status: 126")),
            (
                "kill -KILL $$",
                failed("pkcheck ended with signal: 9 (SIGKILL)"),
            ),
        ] {
            let pkcheck = fake(dir.path(), script);
            assert_eq!(
                ask(&pkcheck, PolkitAction::Manage, LONG),
                expected,
                "{script}"
            );
        }
    }

    #[test]
    fn pkcheck_is_killed_at_the_timeout_and_fails() {
        let dir = tempfile::tempdir().unwrap();
        let pkcheck = fake(dir.path(), "exec sleep 1000");
        let answer = ask(&pkcheck, PolkitAction::Manage, Duration::from_millis(1));
        assert_eq!(answer, Authorization::Failed("no answer within 1ms".into()));
    }

    #[test]
    fn pkcheck_is_killed_by_a_cancellation() {
        let dir = tempfile::tempdir().unwrap();
        let pkcheck = fake(dir.path(), "exec sleep 1000");
        let cancellation = Cancellation::new();
        cancellation.cancel();
        loop {
            let answer =
                pkcheck.authorize(SUBJECT, PolkitAction::Manage, Duration::MAX, &cancellation);
            let Authorization::Failed(why) = answer else {
                panic!("{answer:?}");
            };
            if !why.contains("Text file busy") {
                assert_eq!(why, "pkcheck ended with signal: 9 (SIGKILL)");
                break;
            }
        }
    }

    #[test]
    fn check_fails_if_pkcheck_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let pkcheck = fake(dir.path(), "exit 0");
        pkcheck.check().unwrap();
        let program = dir.path().join("nothing");
        let missing = PkCheck { program };
        let said = missing.check().unwrap_err().to_string();
        assert!(said.contains("install polkitd"), "{said}");
        let answer = ask(&missing, PolkitAction::Manage, LONG);
        assert!(matches!(answer, Authorization::Failed(_)), "{answer:?}");
    }
}
