//! Start in the background (DM-106).
//!
//! `fork` would need `unsafe`. Instead, the program starts itself again as a child with the hidden
//! option `--in-background`. The child creates its own session, and reports a successful start by
//! one byte on its standard output.

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Starts the daemon in the background. Waits until it accepts clients or has failed, and returns
/// its exit status. The child prints its own errors.
pub(super) fn launch() -> io::Result<ExitCode> {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| "eventryd".into());
    let mut child = Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .arg("--in-background")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut status = [0];
    let output = child.stdout.take().expect("stdout is piped");
    let is_reported = output.take(1).read(&mut status)? == 1;
    if is_reported {
        return Ok(ExitCode::from(status[0]));
    }
    // The child has exited without a report.
    let exit = child.wait()?;
    let code = exit.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Detaches the child from the terminal and from standard input, which the configuration may have been read from.
pub(super) fn leave_terminal() -> io::Result<()> {
    // `setsid` fails only for the leader of a process group, which a new child is not.
    rustix::process::setsid()?;
    dup2_stdin(&File::open("/dev/null")?)?;
    Ok(())
}

/// Reports to the parent that the daemon accepts clients, and redirects standard output and
/// standard error to `/dev/null`.
pub(super) fn detach() -> io::Result<()> {
    // The parent may have exited.
    let _ = io::stdout()
        .write_all(&[0])
        .and_then(|()| io::stdout().flush());
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}
